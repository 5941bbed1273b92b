"""A probe: a classifier fitted on cached features of the training part and measured on held-out images."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, get_origin

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from acclimate.catalogue import ProtocolKind
from acclimate.errors import RecipeError, complaint, unknown
from acclimate.images import require_classes
from acclimate.models import Backbone
from acclimate.protocols.protocol import Labels, Protocol, budgeted, kept_in, with_fewer_values
from acclimate.protocols.row import Outcome, Probabilities, measured, result_row, stored_predictions
from acclimate.protocols.task import Stated, Task
from acclimate.scores import PROBES, FittedProbe, ProbeSettings
from acclimate.storage.results import Results
from acclimate.storage.runtime import Runtime


class ProbePart(BaseModel):
    """Which probe, a name in ``PROBES``, and its settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in PROBES:
            raise ValueError(unknown("score", name, PROBES))
        return name

    @model_validator(mode="after")
    def _checked_settings(self) -> Self:
        self.checked()
        return self

    def checked(self) -> ProbeSettings:
        """Return the settings in full, checked by the probe's own model."""
        return checked_settings(PROBES[self.name].settings, self.settings)


class ProbeProtocol(Protocol):
    """A probe with fixed settings.

    ``labels`` is a label budget that belongs to the protocol, as ``acclimate tune --labels`` takes it (``1%``, ``10``);
    None for all labels.
    """

    kind: ClassVar[ProtocolKind] = "probe"
    labels: Labels = None
    probe: ProbePart

    @classmethod
    def plain(cls, name: str) -> ProbeProtocol:
        """Return the probe of a name in ``PROBES`` with its own settings."""
        return cls(name=name, source=PROBES[name].meaning, probe=ProbePart(name=name))

    @property
    def budget(self) -> str | None:
        """See `Protocol.budget`."""
        return self.labels

    def stated(self) -> dict[str, Any]:
        """See `Protocol.stated`."""
        own = {"labels": self.labels} if self.cited else {}
        return {"name": self.probe.name, **own, "settings": self.probe.checked().model_dump(mode="json")}

    def statement(self) -> Stated:
        """See `Protocol.statement`; a plain probe has its settings alone."""
        return super().statement() if self.cited else Stated(self.name, {"settings": self.stated()["settings"]})

    def with_settings(self, values: Mapping[str, Any]) -> Protocol:
        """See `Protocol.with_settings`."""
        if self.cited:
            return super().with_settings(values)
        try:
            checked_settings(PROBES[self.probe.name].settings, values)
        except ValueError as error:
            raise RecipeError(f"score '{self.name}': {error}") from None
        return self.model_copy(update={"probe": ProbePart(name=self.probe.name, settings=dict(values))})

    def as_run(self, backbone: Backbone) -> Self:
        """See `Protocol.as_run`."""
        settings = with_fewer_values(self.probe.checked().model_dump(mode="json"), self.scale)
        return self.model_copy(update={"probe": ProbePart(name=self.probe.name, settings=settings)})

    def run(
        self, task: Task, backbone: Backbone, runtime: Runtime, folder: Path | None, results: Results | None = None
    ) -> Outcome:
        """See `Protocol.run`. With ``refit`` the validation numbers are those before it."""
        results, task = kept_in(folder, results), budgeted(task, self.name, self.labels)
        require_classes(task.images, task.split)
        shorter = self.as_run(backbone)
        stated = shorter.statement().on(task, backbone)
        key = task.key(backbone, stated)
        if results is not None and results.has(key):
            return Outcome(results.get(key))
        started = time.perf_counter()
        by_part, chosen, n_images = _fit(task, backbone, runtime, shorter.probe)
        seconds = time.perf_counter() - started
        row = result_row(
            task,
            backbone,
            runtime,
            stated,
            measured(task, by_part),
            chosen=chosen,
            trainable=0,
            total=backbone.parameters,
            seconds=seconds,
            images_per_second=n_images / max(seconds, 1e-9),
        )
        if results is not None:
            results.append(row, stored_predictions(task, by_part))
        return Outcome(row)


def _fit(
    task: Task, backbone: Backbone, runtime: Runtime, probe: ProbePart
) -> tuple[Probabilities, dict[str, Any], int]:
    """Return probabilities of each measured part, what validation chose, and the number of images used."""
    parts, split, settings = task.evaluated(), task.split, probe.checked()
    needed = np.concatenate([split.train, *parts.values()])
    features = task.features(backbone, runtime, needed)
    x, y = features.x, features.y

    def fit(settings: ProbeSettings) -> FittedProbe:
        train, val, n_classes, method = split.train, split.val, len(task.images.classes), PROBES[probe.name].fit
        return method(x[train], y[train], x[val], y[val], n_classes=n_classes, seed=task.seed, settings=settings)

    fitted = fit(settings)
    by_part = {part: fitted.predict_proba(x[indices]) for part, indices in parts.items()}
    if getattr(settings, "refit", False):  # it has learned the validation images by now
        by_part["val"] = fit(settings.model_copy(update={"refit": False})).predict_proba(x[split.val])
    return by_part, dict(fitted.settings), len(needed)


def checked_settings(model: type[ProbeSettings], values: Mapping[str, Any]) -> ProbeSettings:
    """Return settings of a probe or of episodes, in full.

    A single value, or a text of values with commas between them, stands for a list where one is expected. Raises
    `ValueError` with the first thing that is wrong; an unknown setting names the nearest one.
    """
    lists = {key for key, field in model.model_fields.items() if get_origin(field.annotation) is tuple}
    values = {key: _as_list(value) if key in lists else value for key, value in values.items()}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError(complaint(error, model, kind="setting")) from None


def _as_list(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value if isinstance(value, list | tuple) else [value]

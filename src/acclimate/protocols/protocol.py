"""What every protocol is: a named way to measure a model, with its source; one class a kind runs it.

Its label budget is a share or a number a class, or a number of images in all. For small machines there is a shorter
version of it: fewer epochs, values to choose from and episodes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr

from acclimate.catalogue import ROW_KINDS, ProtocolKind, protocol_card
from acclimate.errors import DataError, InputError, RecipeError
from acclimate.images import Split, label_subset, parse_labels
from acclimate.models import Backbone
from acclimate.protocols.row import Outcome
from acclimate.protocols.task import Stated, Task
from acclimate.storage.results import Results
from acclimate.storage.runtime import Runtime
from acclimate.storage.store import step_seed
from acclimate.training.recipe import Stage

Indices = npt.NDArray[np.int64]
TRAINING = 0.8  # share of a number of images in all that trains, as in VTAB's 800 of 1000


def _readable(text: str | None) -> str | None:
    try:
        parse_labels(text or "all")
    except DataError as error:
        raise ValueError(str(error)) from None
    return text


Labels = Annotated[str | None, AfterValidator(_readable)]


def budgeted(task: Task, name: str, labels: str | None, examples: int | None = None) -> Task:
    """Return the task with the label budget of the protocol of that name: `labels` a class, or `examples` in all.

    Raises `InputError` when the task has another budget already.
    """
    words = budget_words(labels, examples)
    if words in (None, task.labels):
        return task
    if task.labels is not None:
        raise InputError(
            f"got a label budget of {task.labels} for '{name}', which takes {words} of the labels by itself; "
            "leave one of them out"
        )
    y, split, seed = task.images.labels, task.split, task.seed
    if examples is not None:
        return replace(task, split=in_all(y, split, examples, seed=seed), labels=words)
    count, fraction = parse_labels(labels or "all")
    train = label_subset(y, split.train, count=count, fraction=fraction, seed=seed)
    return replace(task, split=replace(split, train=train), labels=words)


def budget_words(labels: str | None, examples: int | None = None) -> str | None:
    """Return a budget as rows have it; None for all labels."""
    return labels if examples is None else f"{examples} in all"


def in_all(labels: Indices, split: Split, examples: int, *, seed: int) -> Split:
    """Return the split with `examples` images in training and validation together, 4 in 5 of them to train on.

    They are drawn evenly from both parts, whatever their class, but the first of each class always trains: no class is
    left empty, even where that takes more than 4 in 5. Where there are fewer images, all of them are taken.
    """
    both = np.sort(np.concatenate([split.train, split.val]))
    order = both[np.random.default_rng(step_seed("examples", seed)).permutation(len(both))]
    first = np.sort(np.unique(labels[order], return_index=True)[1])
    rest = np.delete(order, first)
    subset = np.concatenate([order[first], rest])[: max(examples, len(first))]
    training = max(len(first), round(TRAINING * len(subset)))
    return replace(split, train=np.sort(subset[:training]), val=np.sort(subset[training:]))


T = TypeVar("T")

LENGTHS: Final = ("epochs", "steps", "least_steps")  # of a stage; at least 1
PATHS: Final = ("k", "c", "lambdas")  # lists of a probe that validation chooses from


def check_scale(scale: float) -> float:
    """Return a scale that can be used. Raises `RecipeError` outside (0, 1]."""
    if not 0 < scale <= 1:
        raise RecipeError(
            f"got scale {scale}; expected more than 0 and at most 1, such as 0.1 for a tenth of the length"
        )
    return float(scale)


def thinned(values: Sequence[T], scale: float) -> tuple[T, ...]:
    """Return about ``scale`` of the values, evenly spaced, at least the first and the last.

    Examples
    --------
    >>> thinned([10, 20, 100, 200], 0.1), thinned(range(9), 0.3)
    ((10, 200), (0, 4, 8))
    """
    n, m = len(values), max(2, round(len(values) * scale))
    if n <= m:
        return tuple(values)
    return tuple(values[round(i * (n - 1) / (m - 1))] for i in range(m))


def shortened(length: int, scale: float) -> int:
    """Return a length times ``scale``, at least 1."""
    return max(1, round(length * scale))


def with_fewer_values(settings: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Return a probe's settings with its lists thinned; a single value stays."""
    lists = {key: settings[key] for key in PATHS if isinstance(settings.get(key), list | tuple)}
    return {**settings, **{key: list(thinned(values, scale)) for key, values in lists.items()}}


def shorter_stage(stage: Stage, scale: float) -> Stage:
    """Return a stage with its length, and the warm-up steps of its heads, times ``scale``; rates stay as they are."""
    if scale == 1:
        return stage
    lengths = {key: shortened(n, scale) for key in LENGTHS if (n := getattr(stage, key))}
    heads = int(stage.head_steps * scale)
    if "steps" in lengths:
        heads = min(heads, lengths["steps"] - 1)
    return stage.model_copy(update={**lengths, "head_steps": heads})


class Protocol(BaseModel, ABC):
    """A named way to measure a model.

    Attributes
    ----------
    name
        As its file lies: ``FAMILY/NAME`` for one that follows a paper.
    source
        The paper and the file of the authors' code that the numbers are from; for one of ours what it is.
    deviations
        Every deliberate difference from the source, in words; None for one of ours that states nothing but its plain
        settings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: ClassVar[ProtocolKind]
    name: str = Field(min_length=1)
    source: str = ""
    deviations: tuple[str, ...] | None = None
    _scale: float = PrivateAttr(default=1.0)

    @property
    def cited(self) -> bool:
        """Whether it follows a source and lists its deviations; its rows state everything in full."""
        return self.deviations is not None

    @property
    def scalable(self) -> bool:
        """Whether a scale can shorten it."""
        return self.cited

    @property
    def scale(self) -> float:
        """What its length is multiplied by when it runs."""
        return self._scale

    @property
    def trains(self) -> bool:
        """Whether it trains the model; else it measures cached features."""
        return self.kind == "recipe"

    @property
    def budget(self) -> str | None:
        """The label budget that it takes by itself, in words; None where that of the task is used."""
        return None

    @abstractmethod
    def stated(self) -> dict[str, Any]:
        """Return everything that is set, in full; JSON-able."""

    @abstractmethod
    def run(
        self, task: Task, backbone: Backbone, runtime: Runtime, folder: Path | None, results: Results | None = None
    ) -> Outcome:
        """Measure a model and return the row with what came about on the way.

        Raises `InputError` when the folder holds another run; for a label budget where the protocol has its own.

        Parameters
        ----------
        folder
            Where it trains, and where rows are kept without `results`. Only what measures features can do without.
        results
            Where the row is kept. A row that is there already is returned and nothing is done.
        """

    def at_scale(self, scale: float) -> Self:
        """Return the protocol shortened by ``scale`` in (0, 1]; its row states the scale.

        Every length is multiplied, and at least 1 is left; lists of values that validation chooses from are thinned.
        Raises `RecipeError` for a scale out of range, or one below 1 for one of ours.
        """
        if check_scale(scale) != 1 and not self.scalable:
            raise RecipeError(f"got scale {scale} for '{self.name}', which is no preset; expected a preset, or scale 1")
        shorter = self.model_copy()
        shorter._scale = float(scale)
        return shorter

    def with_settings(self, values: Mapping[str, Any]) -> Protocol:
        """Return the protocol with other settings, which a plain probe alone has.

        Raises `RecipeError` where settings are fixed, or for one that is unknown or out of range.
        """
        if values:
            raise RecipeError(
                f"got settings for '{self.name}', whose settings are fixed; write a TOML file of your own"
            )
        return self

    def card(self) -> dict[str, Any]:
        """Return what a list of protocols shows; JSON-able."""
        return protocol_card(self.name, self.kind, self.source, self.deviations)

    def statement(self) -> Stated:
        """Return how a row names what is run; see `as_run` for what that is on a network and at a scale."""
        return Stated(self.name, {"kind": ROW_KINDS[self.kind], **self.stated(), "scale": self.scale})

    def as_run(self, backbone: Backbone) -> Self:
        """Return what `run` measures: the protocol as it is on a network, shortened by its scale, which rows state."""
        return self


def kept_in(folder: Path | None, results: Results | None) -> Results | None:
    """Return where rows are kept: in `results`, else in the folder, else nowhere."""
    return results if results is not None or folder is None else Results(folder)

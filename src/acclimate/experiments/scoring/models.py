"""Scores of a model on images: one or all, at one layer or at several from one forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acclimate.errors import InputError, RecipeError, unknown
from acclimate.experiments.scoring.estimates import described
from acclimate.models import LAST, Backbone, Tap, extract_taps, layer_names, tapped_widths
from acclimate.protocols import (
    Preset,
    Task,
    check_scale,
    checked_settings,
    is_preset,
    load_preset,
    protocol_names,
    run_on_features,
    run_score,
)
from acclimate.scores import PROBES, ProbeSettings
from acclimate.scores.estimates import ESTIMATES, prepare
from acclimate.storage.results import Result
from acclimate.storage.runtime import Runtime
from acclimate.training.recipe import recipe_names

EVERY = "all"


@dataclass(frozen=True)
class Named:
    """What was asked for, checked: a preset, or plain scores with their settings (None: their own) and estimates."""

    preset: Preset | None
    scores: Mapping[str, ProbeSettings | None]
    scale: float
    estimates: tuple[str, ...] = ()

    @classmethod
    def of(cls, score: str, settings: Mapping[str, Any], scale: float) -> Named:
        """Check a name, its settings and a scale before any image is read."""
        check_scale(scale)
        if is_preset(score):
            if settings:
                raise RecipeError(
                    f"got settings for '{score}', whose settings are fixed; write a TOML file of your own"
                )
            preset = load_preset(score)
            if preset.kind == "recipe":
                raise InputError(f"'{score}' trains the model; expected a score, or: acclimate tune --recipe {score}")
            return cls(preset, {}, scale)
        if scale != 1:
            raise RecipeError(f"got scale {scale} for '{score}', which is no preset; expected a preset, or scale 1")
        if score == EVERY and not settings:
            return cls(None, dict.fromkeys(PROBES), scale, tuple(ESTIMATES))
        if score in ESTIMATES and not settings:
            return cls(None, {}, scale, (score,))
        if score in ESTIMATES:
            raise RecipeError(f"got settings for the estimate '{score}', which has none; leave --set out")
        if score in recipe_names():
            raise InputError(f"'{score}' trains the model; expected a score, or: acclimate tune --recipe {score}")
        if score not in PROBES:
            known = [name for name in protocol_names() if name not in recipe_names()]
            raise RecipeError(unknown("score", score, [*known, *ESTIMATES, EVERY]))
        try:
            return cls(None, {score: checked_settings(PROBES[score].settings, settings)}, scale)
        except ValueError as error:
            raise RecipeError(f"score '{score}': {error}") from None

    def run(self, task: Task, backbone: Backbone, runtime: Runtime) -> dict[str, Result]:
        """Return the rows by name; nothing is kept."""
        if self.preset is not None:
            return {self.preset.name: run_on_features(task, backbone, runtime, self.preset, scale=self.scale)}
        return {
            name: run_score(task, backbone, runtime, name, settings=settings) for name, settings in self.scores.items()
        }


def taps_of(backbone: Backbone, layers: str, pooling: str) -> tuple[Tap, ...]:
    """Read layers as the command line takes them: one, several with commas, or ``all``."""
    names = layer_names(backbone.module) if layers == EVERY else [part.strip() for part in layers.split(",")]
    if not all(names):
        raise InputError(f"got layers '{layers}'; expected {LAST}, all, or names with commas between them")
    return tuple(dict.fromkeys(Tap(name, pooling).of(backbone.module) for name in names))


def score_once(task: Task, backbone: Backbone, runtime: Runtime, named: Named) -> dict[str, Any]:
    """Return the part of the document for one layer: the value, or the values by name."""
    rows = named.run(task, backbone, runtime)
    estimates = _estimates_of(task, backbone, runtime, named.estimates)
    values: dict[str, Any] = {name: row.metrics["val"]["accuracy"] for name, row in rows.items()}
    values |= {line["name"]: line["value"] for line in estimates}
    (d,) = tapped_widths(backbone.module, backbone.preprocess.size, [task.tap])
    return {
        **({"values": values} if len(values) > 1 else {"value": next(iter(values.values()))}),
        "estimates": estimates,
        "metrics": {name: dict(row.metrics) for name, row in rows.items()},
        "settings": {name: dict(row.settings) for name, row in rows.items()},
        "chosen": {name: dict(row.chosen) for name, row in rows.items()},
        "d": d,
    }


def score_layers(task: Task, backbone: Backbone, runtime: Runtime, named: Named, taps: Sequence[Tap]) -> dict[str, Any]:
    """Return the part of the document for several layers, measured on features of one forward pass."""
    if named.preset is None and (len(named.scores) != 1 or named.estimates):
        raise InputError("got several layers for more than one classifier; expected one, such as --score logistic")
    extract_taps(
        backbone,
        task.images,
        taps,
        runtime,
        indices=np.sort(np.concatenate([task.split.train, task.split.val])),
    )
    widths = tapped_widths(backbone.module, backbone.preprocess.size, taps)
    lines: list[dict[str, Any]] = []
    settings = {}
    for tap, width in zip(taps, widths, strict=True):
        ((name, row),) = named.run(replace(task, tap=tap), backbone, runtime).items()
        lines.append({"layer": tap.layer, "pooling": tap.pooling, "d": width, **row.metrics["val"]})
        settings[f"{name} at {tap}"] = dict(row.settings)
    best = max(lines, key=lambda line: (line["accuracy"], -line.get("log_loss", 0.0)))
    warning = (
        f"the best of {len(lines)} layers was chosen on the validation images it is measured on, so its accuracy is "
        "optimistic: measure it on images that chose nothing before you report it"
    )
    return {
        "value": best["accuracy"],
        "best": best["layer"],
        "layers": lines,
        "settings": settings,
        "d": best["d"],
        "warnings": [warning],
    }


def _estimates_of(task: Task, backbone: Backbone, runtime: Runtime, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the estimates of a model's features of the training part, as documents."""
    if not names:
        return []
    train = task.split.train
    features = task.features(backbone, runtime, train)
    return described(prepare(features.x[train], features.y[train], seed=task.seed), names)

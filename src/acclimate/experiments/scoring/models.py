"""Scores of a model on images: one or all, at one layer or at several from one forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acclimate.errors import InputError, RecipeError
from acclimate.experiments.scoring.files import described
from acclimate.models import LAST, Backbone, Tap, extract_taps
from acclimate.models.taps import require_layers
from acclimate.protocols import Protocol, Task, find_protocol
from acclimate.protocols.protocol import check_scale
from acclimate.scores import PROBES
from acclimate.scores.estimates import ESTIMATES, prepare
from acclimate.storage.results import Result
from acclimate.storage.runtime import Runtime

EVERY = "all"


@dataclass(frozen=True)
class Named:
    """What a name means: protocols that measure features, and training-free estimates."""

    protocols: tuple[Protocol, ...]
    estimates: tuple[str, ...] = ()

    @classmethod
    def of(cls, score: str, settings: Mapping[str, Any], scale: float) -> Named:
        """Check a name, its settings and a scale before any image is read."""
        check_scale(scale)
        if score not in ESTIMATES and score != EVERY:
            protocol = find_protocol(score, "features", others=(*ESTIMATES, EVERY))
            return cls((protocol.with_settings(settings).at_scale(scale),))
        if scale != 1:
            raise RecipeError(f"got scale {scale} for '{score}', which is no preset; expected a preset, or scale 1")
        if settings and score == EVERY:
            raise RecipeError(f"got settings for '{EVERY}' scores; expected one score, such as --score knn")
        if settings:
            raise RecipeError(f"got settings for the estimate '{score}', which has none; leave --set out")
        if score == EVERY:
            return cls(tuple(find_protocol(name) for name in PROBES), tuple(ESTIMATES))
        return cls((), (score,))

    def run(self, task: Task, backbone: Backbone, runtime: Runtime) -> dict[str, Result]:
        """Return the rows by name; nothing is kept."""
        return {protocol.name: protocol.run(task, backbone, runtime, None).row for protocol in self.protocols}


def taps_of(backbone: Backbone, layers: str, pooling: str) -> tuple[Tap, ...]:
    """Read layers as the command line takes them: one, several with commas, or ``all``."""
    outline = backbone.outline
    every = require_layers(outline.layers, outline.kind) if layers == EVERY else ()
    names = every or tuple(part.strip() for part in layers.split(","))
    if not all(names):
        raise InputError(f"got layers '{layers}'; expected {LAST}, all, or names with commas between them")
    return tuple(dict.fromkeys(backbone.tap(Tap(name, pooling)) for name in names))


def score_once(task: Task, backbone: Backbone, runtime: Runtime, named: Named) -> dict[str, Any]:
    """Return the part of the document for one layer: the value, or the values by name."""
    rows = named.run(task, backbone, runtime)
    estimates = _estimates_of(task, backbone, runtime, named.estimates)
    values: dict[str, Any] = {name: row.metrics["val"]["accuracy"] for name, row in rows.items()}
    values |= {line["name"]: line["value"] for line in estimates}
    return {
        **({"values": values} if len(values) > 1 else {"value": next(iter(values.values()))}),
        "estimates": estimates,
        "metrics": {name: dict(row.metrics) for name, row in rows.items()},
        "settings": {name: dict(row.settings) for name, row in rows.items()},
        "chosen": {name: dict(row.chosen) for name, row in rows.items()},
        "d": task.features(backbone, runtime, task.split.train).x.shape[1],
    }


def score_layers(task: Task, backbone: Backbone, runtime: Runtime, named: Named, taps: Sequence[Tap]) -> dict[str, Any]:
    """Return the part of the document for several layers, measured on features of one forward pass."""
    if len(named.protocols) != 1 or named.estimates:
        raise InputError("got several layers for more than one classifier; expected one, such as --score logistic")
    needed = np.sort(np.concatenate([task.split.train, task.split.val]))
    features = extract_taps(backbone, task.images, taps, runtime, indices=needed)
    lines: list[dict[str, Any]] = []
    settings = {}
    for tap, columns in zip(taps, features, strict=True):
        ((name, row),) = named.run(replace(task, tap=tap), backbone, runtime).items()
        lines.append({"layer": tap.layer, "pooling": tap.pooling, "d": columns.x.shape[1], **row.metrics["val"]})
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

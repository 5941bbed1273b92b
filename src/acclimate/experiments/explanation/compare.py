"""Two networks of one architecture on the same images: what changed in each layer, with intervals over images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.experiments.explanation.classes import countable, nearest_mean, separation
from acclimate.experiments.explanation.layers import Place, group_of
from acclimate.experiments.explanation.measures import Layer, dead, hoyer, log_variance_ratio, mean_shift
from acclimate.experiments.explanation.similarity import cka, gram
from acclimate.scores.estimates import prepare
from acclimate.scores.estimates.rank import rankme
from acclimate.stats import bootstrap_counts, paired_difference, percentile_interval

RESAMPLES = 500
_DRAWS = 7  # first word of the seed of the bootstrap

Float64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Draws:
    """How often each image counts, in the estimate (once) and in each resample."""

    all: Float64  # ``(1 + b, n)`` over all images: the first row is ones
    countable: npt.NDArray[np.bool_]  # ``(n,)`` which images count for classes
    # ``(1 + b, m)`` over these m, drawn within their classes, so that class sizes stay what they are
    of_classes: Float64
    seed: int


def draws(labels: Labels, *, seed: int, resamples: int = RESAMPLES) -> Draws:
    """Return the bootstrap of images with these labels ``(n,)``; -1 is no label."""
    rng = np.random.default_rng([_DRAWS, seed])
    countables = countable(labels)
    everyone = _counts(np.zeros(len(labels), np.int64), resamples, rng)
    return Draws(everyone, countables, _counts(labels[countables], resamples, rng), seed)


def _counts(labels: Labels, resamples: int, rng: np.random.Generator) -> Float64:
    """Return ones, then how often each image is drawn when every class is resampled by itself, ``(1 + b, n)``."""
    out = np.ones((1 + resamples, len(labels)))
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        out[1:, own] = bootstrap_counts(len(own), resamples, rng)
    return out


def compare(before: Mapping[Place, Layer], after: Mapping[Place, Layer], labels: Labels, resampled: Draws) -> list[Row]:
    """Return one row a layer, in the order in which they run; the keys are explained in docs/explain.md.

    ``before`` and ``after`` are `record`'s of the two networks, on the same n images in the same order; ``labels`` are
    ``(n,)``, -1 for no label. Without two classes of two images ``separation`` and ``class_mean`` are None.
    """
    return [_row(place, layer, after[place], labels, resampled) for place, layer in before.items() if place in after]


def _row(place: Place, before: Layer, after: Layer, labels: Labels, resampled: Draws) -> Row:
    ratio = log_variance_ratio(before, after)
    return {
        "layer": place.name,
        "group": group_of(place.name),
        "kind": place.kind,
        "width": before.pooled.shape[1],
        "shift": mean_shift(before, after),
        "log_variance": None if ratio is None else dict(zip(("low", "median", "high"), ratio, strict=True)),
        "dead": _both(dead, before, after),
        "zeros": _both(lambda layer: layer.zeros, before, after),
        "hoyer": _both(hoyer, before, after),
        "rank": _both(lambda layer: rankme(prepare(layer.pooled)), before, after),  # Garrido et al. 2023
        "cka": _cka(before, after, resampled),
        **_classes(before, after, labels, resampled),
    }


def _both(measure: Callable[[Layer], float | None], before: Layer, after: Layer) -> Row:
    return {"before": measure(before), "after": measure(after)}


def _cka(before: Layer, after: Layer, resampled: Draws) -> Row | None:
    values = cka(gram(before.pooled), gram(after.pooled), resampled.all)
    if math.isnan(values[0]):
        return None
    return {"value": float(values[0]), **_ends(values)}


def _classes(before: Layer, after: Layer, labels: Labels, resampled: Draws) -> Row:
    own = labels[resampled.countable]
    if len(np.unique(own)) < 2:
        return {"separation": None, "class_mean": None}
    first, second = (layer.pooled[resampled.countable] for layer in (before, after))
    apart = [separation(x, own, resampled.of_classes) for x in (first, second)]
    return {"separation": _separation(*apart), "class_mean": _class_mean(first, second, own, resampled.seed)}


def _separation(before: Float64, after: Float64) -> Row | None:
    if math.isnan(before[0]) or math.isnan(after[0]):
        return None
    change = after - before  # both from the same draws: paired over images
    sides = {"before": float(before[0]), "after": float(after[0])}
    return {**sides, "difference": float(change[0]), **_ends(change)}


def _class_mean(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32], labels: Labels, seed: int) -> Row:
    hits = [nearest_mean(x, labels) for x in (first, second)]
    gain = paired_difference(hits[1], hits[0], seed=seed)
    sides = {"before": float(hits[0].mean()), "after": float(hits[1].mean())}
    return {**sides, "difference": gain.mean, "low": gain.low, "high": gain.high}


def _ends(values: Float64) -> Row:
    """Return the percentile interval of the resamples (all but the first); None where most are undefined."""
    low, high = percentile_interval(values[1:]) or (None, None)
    return {"low": low, "high": high}

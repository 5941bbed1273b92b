"""Two networks of one architecture on the same images: what changed in layers and norms, and what moved most.

Of the norms themselves it is scale (gamma), shift (beta) and running statistics, layer by layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from acclimate.experiments.explanation import measures
from acclimate.experiments.explanation.measures import Bools, Float32, Float64, Labels, Layer
from acclimate.experiments.explanation.record import Place, group_of, is_norm_layer
from acclimate.scores.estimates import prepare
from acclimate.scores.estimates.rank import rankme
from acclimate.stats import bootstrap_counts, paired_difference, percentile_interval

RESAMPLES = 500
_DRAWS = 7  # first word of the seed of the bootstrap

Row = dict[str, Any]
_KINDS = {"scale": "norm scales", "shift": "norm shifts"}
_STILL = 1e-6  # a relative change below this is none
# timm's and torch's names, and what they are.
ROLES = {"weight": "scale", "bias": "shift", "running_mean": "mean", "running_var": "variance"}


@dataclass(frozen=True, eq=False)
class Draws:
    """How often each image counts, in the estimate (once) and in each resample."""

    all: Float64  # ``(1 + b, n)`` over all images: the first row is ones
    countable: Bools  # ``(n,)`` which images count for classes
    # ``(1 + b, m)`` over these m, drawn within their classes, so that class sizes stay what they are
    of_classes: Float64
    seed: int


def draws(labels: Labels, *, seed: int, resamples: int = RESAMPLES) -> Draws:
    """Return the bootstrap of images with these labels ``(n,)``; -1 is no label."""
    rng = np.random.default_rng([_DRAWS, seed])
    countables = measures.countable(labels)
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
    ratio = measures.log_variance_ratio(before, after)
    return {
        "layer": place.name,
        "group": group_of(place.name),
        "kind": place.kind,
        "width": before.pooled.shape[1],
        "shift": measures.mean_shift(before, after),
        "log_variance": None if ratio is None else dict(zip(("low", "median", "high"), ratio, strict=True)),
        "dead": _both(measures.dead, before, after),
        "zeros": _both(lambda layer: layer.zeros, before, after),
        "hoyer": _both(measures.hoyer, before, after),
        "rank": _both(lambda layer: rankme(prepare(layer.pooled)), before, after),  # Garrido et al. 2023
        "cka": _cka(before, after, resampled),
        **_classes(before, after, labels, resampled),
    }


def _both(measure: Callable[[Layer], float | None], before: Layer, after: Layer) -> Row:
    return {"before": measure(before), "after": measure(after)}


def _cka(before: Layer, after: Layer, resampled: Draws) -> Row | None:
    values = measures.cka(measures.gram(before.pooled), measures.gram(after.pooled), resampled.all)
    if math.isnan(values[0]):
        return None
    return {"value": float(values[0]), **_ends(values)}


def _classes(before: Layer, after: Layer, labels: Labels, resampled: Draws) -> Row:
    own = labels[resampled.countable]
    if len(np.unique(own)) < 2:
        return {"separation": None, "class_mean": None}
    first, second = (layer.pooled[resampled.countable] for layer in (before, after))
    apart = [measures.separation(x, own, resampled.of_classes) for x in (first, second)]
    return {"separation": _separation(*apart), "class_mean": _class_mean(first, second, own, resampled.seed)}


def _separation(before: Float64, after: Float64) -> Row | None:
    if math.isnan(before[0]) or math.isnan(after[0]):
        return None
    change = after - before  # both from the same draws: paired over images
    sides = {"before": float(before[0]), "after": float(after[0])}
    return {**sides, "difference": float(change[0]), **_ends(change)}


def _class_mean(first: Float32, second: Float32, labels: Labels, seed: int) -> Row:
    hits = [measures.nearest_mean(x, labels) for x in (first, second)]
    gain = paired_difference(hits[1], hits[0], seed=seed)
    sides = {"before": float(hits[0].mean()), "after": float(hits[1].mean())}
    return {**sides, "difference": gain.mean, "low": gain.low, "high": gain.high}


def _ends(values: Float64) -> Row:
    """Return the percentile interval of the resamples (all but the first); None where most are undefined."""
    low, high = percentile_interval(values[1:]) or (None, None)
    return {"low": low, "high": high}


def sentences(layers: Sequence[Row], affine: Sequence[NormChange]) -> list[str]:
    """Return what changed most: affine parameters, running statistics, features, classes; each a sentence."""
    lines = [_affine(affine, role) for role in _KINDS]
    lines += [_statistics(affine), _moved(layers), _alike(layers), _end(layers)]
    return [sentence for sentence in lines if sentence]


def _affine(affine: Sequence[NormChange], role: str) -> str:
    rows = [row for row in affine if row.role == role]
    whole, title = together(rows), _KINDS[role]
    if not rows:
        return ""
    if not any(row.length > 0 for row in rows):
        return f"The {title} did not change at all."
    groups = {row.group: [other for other in rows if other.group == row.group] for row in rows}
    changes = {name: change for name, members in groups.items() if (change := together(members)) is not None}
    if whole is None or not changes:
        return f"The {title} began at zero and moved."
    top = max(changes, key=lambda name: changes[name])
    turned = sum(row.sign_changed * row.n for row in rows) / sum(row.n for row in rows)
    signs = f"; {_share(turned)} changed sign" if turned > 0 else ""
    most = f", most in {top} ({_share(changes[top])})" if len(changes) > 1 else ""
    return f"The {title} changed by {_share(whole)}{' of' if whole < 2 else ''} their length{most}{signs}."


def _statistics(affine: Sequence[NormChange]) -> str:
    rows = [row for row in affine if row.role in ("mean", "variance")]
    if not rows:
        return ""
    if not any(row.length > 0 for row in rows):
        return "The running statistics of the batch norms did not change."
    mean, variance = (together([row for row in rows if row.role == role]) for role in ("mean", "variance"))
    return f"The running means of the batch norms changed by {_share(mean)}, the variances by {_share(variance)}."


def _moved(layers: Sequence[Row]) -> str:
    rows = [row for row in layers if row["shift"] is not None]
    if not rows:
        return ""
    top = max(rows, key=lambda row: row["shift"])
    if top["shift"] < _STILL:
        return "The mean of the features did not move in any layer."
    return f"The mean of the features moved most in {top['layer']}: by {top['shift']:.2f} of the start's spread."


def _alike(layers: Sequence[Row]) -> str:
    rows = [row for row in layers if row["cka"] is not None and row["kind"] != "features"]
    if not rows:
        return ""
    least = min(rows, key=lambda row: row["cka"]["value"])
    if least["cka"]["value"] > 1 - _STILL:
        return "Every layer is the same as before: CKA 1 throughout."
    return f"Least like before is {least['layer']}: CKA {_interval(least['cka']['value'], least['cka'])}."


def _end(layers: Sequence[Row]) -> str:
    """Say what became of the features that the classifier sees."""
    row = next((row for row in layers if row["kind"] == "features"), None)
    if row is None:
        return ""
    parts = []
    if row["cka"] is not None:
        parts.append(f"CKA {_interval(row['cka']['value'], row['cka'])}")
    parts.append(f"effective rank {row['rank']['before']:.1f} -> {row['rank']['after']:.1f}")
    if (apart := row["separation"]) is not None:
        change = _interval(apart["difference"], apart, sign="+")
        parts.append(f"class separation {apart['before']:.2f} -> {apart['after']:.2f} (change {change})")
    if (near := row["class_mean"]) is not None:
        parts.append(f"nearest class mean right for {_share(near['before'])} -> {_share(near['after'])} of the images")
    return f"Features that the classifier sees: {'; '.join(parts)}."


def _interval(value: float, ends: Row, sign: str = "") -> str:
    if ends["low"] is None:
        return f"{value:{sign}.2f}"
    return f"{value:{sign}.2f} ({ends['low']:{sign}.2f} to {ends['high']:{sign}.2f})"


def _share(value: float | None) -> str:
    if value is None:
        return "an unknown share"
    return f"{100 * value:.3g}%" if value < 2 else f"{value:.1f} times"


@dataclass(frozen=True)
class NormChange:
    """How one vector of one norm layer changed."""

    # layer, role: name of the layer, and ``scale``, ``shift`` (affine parameters), ``mean`` or ``variance`` (running
    # statistics)
    layer: str
    role: str
    n: int  # number of channels
    # length, start: ||a1 - a0|| and ||a0||
    length: float
    start: float
    sign_changed: float  # share of channels whose sign is the opposite of what it was, in [0, 1]
    largest: float  # max |a1 - a0|
    # before, after: means over the channels
    before: float
    after: float

    @property
    def group(self) -> str:
        """The part of the network that the layer belongs to."""
        return group_of(self.layer)

    @property
    def relative(self) -> float | None:
        """``length / start``: 0.3 is a change by 30% of what it was; None where it began at zero."""
        return self.length / self.start if self.start > 0 else None


def changes(before: nn.Module, after: nn.Module) -> list[NormChange]:
    """Return how each norm layer's vectors changed, in the order of the network's modules.

    Both networks have one architecture. A norm without affine parameters has rows for its running statistics only.
    """
    others = dict(after.named_modules())
    out = []
    for name, module in before.named_modules():
        if is_norm_layer(module):
            mine, theirs = _vectors(module), _vectors(others[name])
            out += [_change(name, role, mine[role], theirs[role]) for role in mine]
    return out


def _vectors(module: nn.Module) -> dict[str, Float64]:
    values = {role: getattr(module, name, None) for name, role in ROLES.items()}
    return {role: t.detach().cpu().double().numpy().ravel() for role, t in values.items() if isinstance(t, Tensor)}


def _change(layer: str, role: str, before: Float64, after: Float64) -> NormChange:
    moved = after - before
    return NormChange(
        layer=layer,
        role=role,
        n=len(before),
        length=float(np.linalg.norm(moved)),
        start=float(np.linalg.norm(before)),
        sign_changed=float((before * after < 0).mean()),
        largest=float(np.abs(moved).max()),
        before=float(before.mean()),
        after=float(after.mean()),
    )


def together(rows: Sequence[NormChange]) -> float | None:
    """Return the relative change of several layers' vectors taken as one long vector; None where all began at zero."""
    start = sum(row.start**2 for row in rows)
    return float((sum(row.length**2 for row in rows) / start) ** 0.5) if start > 0 else None

"""What moved most, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acclimate.experiments.explanation.affine import NormChange, together

Row = dict[str, Any]

_KINDS = {"scale": "norm scales", "shift": "norm shifts"}
_STILL = 1e-6  # a relative change below this is none


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

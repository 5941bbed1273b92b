"""Tables of a curve: what each model is worth in labels, and every point with what the mirror image changed."""

from __future__ import annotations

from acclimate.reports.draw.blocks import Cell, Column, Table, Value
from acclimate.reports.draw.tables import RANDOM
from acclimate.reports.read import efficiency
from acclimate.reports.read.collect import Doc, part, parts, words
from acclimate.reports.read.leaderboard import group, random_start
from acclimate.reports.text import LEVEL_TEXT, fixed, number, signed, span
from acclimate.stats import METRICS, mean_interval

LOSS = "log_loss"  # what a curve compares models by
SAID = {"better": "better", "worse": "worse", "same": "cannot tell", "unknown": "one seed"}


def comparisons(curve: Doc) -> Table:
    """Return what every model changes against the base, and how many times the labels that is worth."""
    found = parts(curve, "comparisons")
    columns = [
        Column("Model"),
        Column("Labels", True),
        Column("Change in log loss", True, "other minus base, paired over seeds and test images; less is better"),
        Column(f"{LEVEL_TEXT} interval", True),
        Column("Change in accuracy", True),
        Column("Worth", True, "how many times the labels the base needs to be as good"),
        Column("Verdict"),
    ]
    caption = f"Against {words(curve, 'base')}, with the same labels"
    return Table("worth-table", caption, columns, [_compared(one) for one in found], [_record(one) for one in found])


def _compared(one: Doc) -> list[Cell]:
    loss, accuracy = part(one, "log_loss"), part(one, "accuracy")
    said = words(one, "said")
    return [
        Cell(words(one, "model"), words(one, "model"), efficiency.training_words(words(one, "training"))),
        Cell(words(one, "labels"), words(one, "labels")),
        _change(loss),
        Cell(span(loss.get("low"), loss.get("high")) or "–", number(loss.get("low"))),
        _change(accuracy, span(accuracy.get("low"), accuracy.get("high"))),
        Cell(words(one, "worth_words"), number(one.get("worth")), _ends(one)),
        Cell(SAID.get(said, said), said),
    ]


def _change(change: Doc, note: str = "") -> Cell:
    mean = number(change.get("mean"))
    return Cell("–" if mean is None else signed(mean), mean, note)


def _ends(one: Doc) -> str:
    low, high = number(one.get("worth_low")), number(one.get("worth_high"))
    if low is not None and high is not None:
        return f"{fixed(low, 1)}x to {fixed(high, 1)}x"
    if low is not None:
        return f"{fixed(low, 1)}x or more"
    return "" if high is None else f"{fixed(high, 1)}x or less"


def _record(one: Doc) -> dict[str, Value]:
    out: dict[str, Value] = {key: words(one, key) for key in ("model", "base", "training", "labels", "said")}
    for metric in ("log_loss", "accuracy"):
        out |= {f"{metric}_{key}": number(part(one, metric).get(key)) for key in ("mean", "low", "high")}
    return out | {key: number(one.get(key)) for key in ("worth", "worth_low", "worth_high")}


def side_by_side(curve: Doc) -> Table:
    """Return every model and training at the largest budget, each metric without and with the mirror image."""
    metrics = sorted(efficiency.metrics_of(curve), key=lambda name: (name != LOSS, name == "accuracy"))
    largest, known = efficiency.label_steps(curve)[-1], efficiency.models(curve)
    here = [point for point in parts(curve, "points") if words(point, "labels") == largest]
    groups = group(here, ("training", "model"))
    order = sorted(groups, key=lambda key: (key[0] != "head", known.index(key[1])))
    mirrored = any(part(point, "plain") for point in here)
    hint = f"mean over seeds, below it half the width of its {LEVEL_TEXT} interval"
    columns = [Column("Model")]
    for metric in metrics:
        title = METRICS[metric].heading
        columns.append(Column(title, True, hint))
        if mirrored:
            columns.append(
                Column(f"{title}, TTA", True, f"{METRICS[metric].title} averaged with the mirror image: {hint}")
            )
    rows = [_beside(key, groups[key], metrics, mirrored, key[1] == known[0], curve) for key in order]
    records = [_averages(key, groups[key], metrics, mirrored) for key in order]
    caption = f"All models with {efficiency.amount(largest)}, on the test part"
    caption += ", without and with test-time augmentation (TTA)" if mirrored else ""
    return Table("models-table", caption, columns, rows, records)


def _beside(
    key: tuple[str, ...], found: list[Doc], metrics: list[str], mirrored: bool, base: bool, curve: Doc
) -> list[Cell]:
    how = ", ".join(filter(None, (efficiency.training_words(key[0]), "base" if base else "")))
    cells = [Cell(key[1], key[1], how, (RANDOM,) if key[1] in _random(curve) else ())]
    for metric in metrics:
        cells += [_half_width(values) for values in _views(found, metric, mirrored)]
    return cells


def _random(curve: Doc) -> set[str]:
    return {words(model, "model") for model in parts(curve, "models") if random_start(model)}


def _views(found: list[Doc], metric: str, mirrored: bool) -> list[list[float]]:
    """Return a metric's values over seeds: without the mirror image, and with it where it was asked for."""
    shown = [value for point in found if (value := number(point.get(metric))) is not None]
    if not mirrored:
        return [shown]
    return [[value for point in found if (value := number(part(point, "plain").get(metric))) is not None], shown]


def _half_width(values: list[float]) -> Cell:
    if not values:
        return Cell("–")
    got = mean_interval(values)
    return Cell(fixed(got.mean), got.mean, "" if got.high is None else f"±{fixed(got.high - got.mean)}")


def _averages(key: tuple[str, ...], found: list[Doc], metrics: list[str], mirrored: bool) -> dict[str, Value]:
    out: dict[str, Value] = {"model": key[1], "training": key[0], "labels": words(found[0], "labels")}
    for metric in metrics:
        views = _views(found, metric, mirrored)
        for name, values in zip(("plain", "tta") if mirrored else ("plain",), views, strict=True):
            got = mean_interval(values) if values else None
            ends = (got.mean, got.low, got.high) if got else (None, None, None)
            out |= dict(zip((f"{name} {metric}{end}" for end in ("", " low", " high")), ends, strict=True))
    return out | {"seeds": len(found)}


def points(curve: Doc) -> Table:
    """Return every model at every budget, averaged over seeds; below each number what the mirror image changed."""
    metrics = efficiency.metrics_of(curve)
    groups = group(parts(curve, "points"), ("training", "labels", "model"))
    steps, known = efficiency.label_steps(curve), efficiency.models(curve)
    order = sorted(groups, key=lambda key: (key[0] != "head", steps.index(key[1]), known.index(key[2])))
    hint = "means over seeds; in brackets: by how much averaging with the mirror image changed it"
    columns = [
        Column("Model"),
        Column("Labels", True),
        *(Column(METRICS[metric].title, True, hint) for metric in metrics),
        Column("Seeds", True),
    ]
    rows = [
        [
            Cell(key[2], key[2], efficiency.training_words(key[0])),
            Cell(key[1], key[1]),
            *(_mean(groups[key], metric) for metric in metrics),
            Cell(str(len(groups[key])), len(groups[key])),
        ]
        for key in order
    ]
    records = [_point(point, metrics) for key in order for point in groups[key]]
    return Table("points-table", "Every model at every budget, on the test part", columns, rows, records, folded=True)


def _mean(found: list[Doc], metric: str) -> Cell:
    values = [value for point in found if (value := number(point.get(metric))) is not None]
    if not values:
        return Cell("–")
    gains = [
        value - plain
        for point in found
        if (value := number(point.get(metric))) is not None
        and (plain := number(part(point, "plain").get(metric))) is not None
    ]
    mean = mean_interval(values).mean
    return Cell(fixed(mean), mean, signed(mean_interval(gains).mean) if gains else "")


def _point(point: Doc, metrics: list[str]) -> dict[str, Value]:
    out: dict[str, Value] = {key: words(point, key) for key in ("model", "training", "labels", "seed")}
    out |= {metric: number(point.get(metric)) for metric in metrics}
    return out | {f"plain.{metric}": number(part(point, "plain").get(metric)) for metric in metrics}

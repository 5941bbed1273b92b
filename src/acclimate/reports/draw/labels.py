"""Label efficiency: charts by labels, what each model is worth in labels, and every point of a curve."""

from __future__ import annotations

from acclimate.reports.draw import maps, plot
from acclimate.reports.draw.blocks import Chart, DataTable, Section, TableCell, TableColumn, Value
from acclimate.reports.draw.learning import final_stage
from acclimate.reports.draw.tables import ends_cell, figure_cell, model_cell, text_cell
from acclimate.reports.read import efficiency
from acclimate.reports.read.collect import Contents, Doc, names, part, parts, words
from acclimate.reports.read.leaderboard import group, random_start
from acclimate.reports.read.material import Material
from acclimate.reports.text import LEVEL_TEXT, fixed, number, signed, span
from acclimate.stats import METRICS, mean_interval

LOSS = "log_loss"  # what a curve compares models by
VERDICTS = {"better": "better", "worse": "worse", "same": "cannot tell", "unknown": "one seed"}


def sections(material: Material) -> list[Section]:
    """Return the label-efficiency charts and the paired gains over the base model."""
    contents, curve = material.contents, material.contents.curve
    metrics = efficiency.metrics_of(curve)
    if not metrics:
        return []
    legend = plot.swatches(efficiency.models(curve))
    sentences = []
    if material.summarised:
        verdict = words(curve, "verdict")
        sentences = [verdict] if verdict and verdict not in contents.findings else []
        sentences += efficiency.verdicts(curve)
    sentences.append("Seeds draw other labels; differences are paired by seed, on the same images.")
    sentences += [f"Note: {note}." for note in names(curve, "notes")]
    drawings, tables = [*_by_labels(curve, metrics), *_finetuned(contents)], []
    if words(curve, "base"):
        tables = [*([comparisons(curve)] if parts(curve, "comparisons") else []), side_by_side(curve), points(curve)]
    return [Section("labels", "Label efficiency", sentences, drawings, tables, legend)]


def _finetuned(contents: Contents) -> list[Chart]:
    """Return the validation curves of the finetuning runs behind a curve, at its largest budget, final stage alone."""
    order, largest = efficiency.models(contents.curve), efficiency.label_steps(contents.curve)[-1]
    tuned = [run for run in contents.tuned if words(run.document, "labels") == largest]
    named = [(run, words(run.document, "model"), f", seed {words(run.document, 'seed')}") for run in tuned]
    what = f"Full finetuning with {efficiency.amount(largest)}; one line a seed."
    return final_stage([line for line in named if line[1] in order], order, what, "labels-final")


def _by_labels(curve: Doc, metrics: list[str]) -> list[Chart]:
    """Return the charts of accuracy and log loss, or of what there is, for each way to train."""
    drawn_metrics = [metric for metric in ("accuracy", "log_loss") if metric in metrics] or metrics[:1]
    trainings = efficiency.trainings(curve)
    titles = [efficiency.training_words(training) if len(trainings) > 1 else "" for training in trainings]
    return [
        maps.label_efficiency(efficiency.of_training(curve, training), m, f"labels-{f'{i}-' if i else ''}{m}", title)
        for i, (training, title) in enumerate(zip(trainings, titles, strict=True))
        for m in drawn_metrics
    ]


def comparisons(curve: Doc) -> DataTable:
    """Return what every model changes against the base, and how many times the labels that is worth."""
    columns = [
        TableColumn("Model"),
        TableColumn("Labels", True),
        TableColumn("Change in log loss", True, "other minus base, paired over seeds and test images; less is better"),
        TableColumn(f"{LEVEL_TEXT} interval", True),
        TableColumn("Change in accuracy", True),
        TableColumn("Worth", True, "how many times the labels the base needs to be as good"),
        TableColumn("Verdict"),
    ]
    caption, compared = f"Against {words(curve, 'base')}, with the same labels", parts(curve, "comparisons")
    return DataTable("worth-table", caption, columns, [*map(_compared, compared)], [*map(_record, compared)])


def _compared(one: Doc) -> list[TableCell]:
    loss, accuracy = part(one, "log_loss"), part(one, "accuracy")
    verdict = words(one, "said")
    return [
        text_cell(words(one, "model"), efficiency.training_words(words(one, "training"))),
        text_cell(words(one, "labels")),
        _change(loss),
        ends_cell(loss),
        _change(accuracy, span(accuracy.get("low"), accuracy.get("high"))),
        TableCell(words(one, "worth_words"), number(one.get("worth")), _ends(one)),
        TableCell(VERDICTS.get(verdict, verdict), verdict),
    ]


def _change(change: Doc, note: str = "") -> TableCell:
    mean = number(change.get("mean"))
    return TableCell("–" if mean is None else signed(mean), mean, note)


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


def side_by_side(curve: Doc) -> DataTable:
    """Return every model and training at the largest budget, each metric without and with the mirror image."""
    metrics = sorted(efficiency.metrics_of(curve), key=lambda name: (name != LOSS, name == "accuracy"))
    largest, names = efficiency.label_steps(curve)[-1], efficiency.models(curve)
    here = [point for point in parts(curve, "points") if words(point, "labels") == largest]
    groups = group(here, ("training", "model"))
    order = sorted(groups, key=lambda key: (key[0] != "head", names.index(key[1])))
    mirrored = any(part(point, "plain") for point in here)
    hint = f"mean over seeds, below it half the width of its {LEVEL_TEXT} interval"
    columns = [TableColumn("Model")]
    for metric in metrics:
        title = METRICS[metric].heading
        columns.append(TableColumn(title, True, hint))
        if mirrored:
            averaged = f"{METRICS[metric].title} averaged with the mirror image: {hint}"
            columns.append(TableColumn(f"{title}, TTA", True, averaged))
    rows = [_beside(key, groups[key], metrics, mirrored, key[1] == names[0], curve) for key in order]
    records = [_averages(key, groups[key], metrics, mirrored) for key in order]
    caption = f"All models with {efficiency.amount(largest)}, on the test part"
    caption += ", without and with test-time augmentation (TTA)" if mirrored else ""
    return DataTable("models-table", caption, columns, rows, records)


def _beside(
    key: tuple[str, ...], members: list[Doc], metrics: list[str], mirrored: bool, base: bool, curve: Doc
) -> list[TableCell]:
    how = ", ".join(filter(None, (efficiency.training_words(key[0]), "base" if base else "")))
    random = any(words(model, "model") == key[1] and random_start(model) for model in parts(curve, "models"))
    values = [values for metric in metrics for values in _views(members, metric, mirrored)]
    return [model_cell(key[1], random=random, note=how), *map(_half_width, values)]


def _views(members: list[Doc], metric: str, mirrored: bool) -> list[list[float]]:
    """Return a metric's values over seeds: without the mirror image, and with it where it was asked for."""
    values = [value for point in members if (value := number(point.get(metric))) is not None]
    if not mirrored:
        return [values]
    return [[value for point in members if (value := number(part(point, "plain").get(metric))) is not None], values]


def _half_width(values: list[float]) -> TableCell:
    if not values:
        return TableCell("–")
    estimate = mean_interval(values)
    half = "" if estimate.high is None else f"±{fixed(estimate.high - estimate.mean)}"
    return figure_cell(estimate.mean, note=half)


def _averages(key: tuple[str, ...], members: list[Doc], metrics: list[str], mirrored: bool) -> dict[str, Value]:
    out: dict[str, Value] = {"model": key[1], "training": key[0], "labels": words(members[0], "labels")}
    for metric in metrics:
        views = _views(members, metric, mirrored)
        for name, values in zip(("plain", "tta") if mirrored else ("plain",), views, strict=True):
            estimate = mean_interval(values) if values else None
            ends = (estimate.mean, estimate.low, estimate.high) if estimate else (None, None, None)
            out |= dict(zip((f"{name} {metric}{end}" for end in ("", " low", " high")), ends, strict=True))
    return out | {"seeds": len(members)}


def points(curve: Doc) -> DataTable:
    """Return every model at every budget, averaged over seeds; below each number what the mirror image changed."""
    metrics = efficiency.metrics_of(curve)
    groups = group(parts(curve, "points"), ("training", "labels", "model"))
    steps, names = efficiency.label_steps(curve), efficiency.models(curve)
    order = sorted(groups, key=lambda key: (key[0] != "head", steps.index(key[1]), names.index(key[2])))
    hint = "means over seeds; in brackets: by how much averaging with the mirror image changed it"
    columns = [
        TableColumn("Model"),
        TableColumn("Labels", True),
        *(TableColumn(METRICS[metric].title, True, hint) for metric in metrics),
        TableColumn("Seeds", True),
    ]
    rows = [
        [
            text_cell(key[2], efficiency.training_words(key[0])),
            text_cell(key[1]),
            *(_mean(groups[key], metric) for metric in metrics),
            TableCell(str(len(groups[key])), len(groups[key])),
        ]
        for key in order
    ]
    records = [_point(point, metrics) for key in order for point in groups[key]]
    caption = "Every model at every budget, on the test part"
    return DataTable("points-table", caption, columns, rows, records, folded=True)


def _mean(members: list[Doc], metric: str) -> TableCell:
    pairs = [(number(point.get(metric)), number(part(point, "plain").get(metric))) for point in members]
    values = [value for value, _ in pairs if value is not None]
    gains = [value - plain for value, plain in pairs if value is not None and plain is not None]
    mean = mean_interval(values).mean if values else None
    return figure_cell(mean, note=signed(mean_interval(gains).mean) if gains else "")


def _point(point: Doc, metrics: list[str]) -> dict[str, Value]:
    out: dict[str, Value] = {key: words(point, key) for key in ("model", "training", "labels", "seed")}
    out |= {metric: number(point.get(metric)) for metric in metrics}
    return out | {f"plain.{metric}": number(part(point, "plain").get(metric)) for metric in metrics}

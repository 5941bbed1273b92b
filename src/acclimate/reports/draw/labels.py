"""Label efficiency: charts by labels and tables of a curve."""

from __future__ import annotations

from acclimate.reports.draw import charts, curves, maps, plot
from acclimate.reports.draw.blocks import Chart, DataTable, Section
from acclimate.reports.draw.learning import BEST, VALIDATION
from acclimate.reports.read import efficiency, runs
from acclimate.reports.read.collect import Contents, Doc, names, parts, words
from acclimate.reports.read.material import Material


def sections(material: Material) -> list[Section]:
    """Return the label-efficiency charts and the paired gains over the base model."""
    contents, curve = material.contents, material.contents.curve
    metrics = efficiency.metrics_of(curve)
    if not metrics:
        return []
    legend = plot.swatches(efficiency.models(curve))
    sentences = (
        [verdict]
        if material.summarised and (verdict := words(curve, "verdict")) and verdict not in contents.findings
        else []
    )
    sentences += efficiency.verdicts(curve) if material.summarised else []
    sentences.append("Seeds draw other labels; differences are paired by seed, on the same images.")
    sentences += [f"Note: {note}." for note in names(curve, "notes")]
    drawings = [*_by_labels(curve, metrics), *_finetuned(contents)]
    return [Section("labels", "Label efficiency", sentences, drawings, _curve_tables(curve), legend)]


def _finetuned(contents: Contents) -> list[Chart]:
    """Return the validation curves of the finetuning runs behind a curve, at its largest budget, final stage alone."""
    order, largest = efficiency.models(contents.curve), efficiency.label_steps(contents.curve)[-1]
    tuned = [
        r for r in contents.tuned if words(r.document, "labels") == largest and words(r.document, "model") in order
    ]
    drawings = []
    for key, title, better in VALIDATION:
        lines = [
            runs.final_curve(run, words(run.document, "model"), key, f", seed {words(run.document, 'seed')}")
            for run in tuned
        ]
        if lines := [curve for curve in lines if curve.steps]:
            caption = f"Full finetuning with {efficiency.amount(largest)}; one line a seed. {better} is better. {BEST}"
            heading = f"{title}, final stage"
            drawings.append(
                charts.learning(lines, order, heading, caption, f"labels-final-{key}", "step of the final stage")
            )
    return drawings


def _curve_tables(curve: Doc) -> list[DataTable]:
    """Return the curve's comparisons and its points."""
    if not words(curve, "base"):
        return []
    compared = [curves.comparisons(curve)] if parts(curve, "comparisons") else []
    return [*compared, curves.side_by_side(curve), curves.points(curve)]


def _by_labels(curve: Doc, metrics: list[str]) -> list[Chart]:
    """Return the charts of accuracy and log loss, or of what there is, for each way to train."""
    drawn_metrics = [metric for metric in ("accuracy", "log_loss") if metric in metrics] or metrics[:1]
    trainings = efficiency.trainings(curve)
    drawings = []
    for i, training in enumerate(trainings):
        mine, title = efficiency.of_training(curve, training), efficiency.training_words(training)
        tag = f"{i}-" if i else ""
        drawings += [
            maps.label_efficiency(mine, m, f"labels-{tag}{m}", title if len(trainings) > 1 else "")
            for m in drawn_metrics
        ]
    return drawings


def absent(material: Material) -> list[str]:
    """Say why there is no label efficiency."""
    there = material.contents.curve or material.contents.elsewhere
    return [] if there else ["Label efficiency: no curve.json of the command curve."]

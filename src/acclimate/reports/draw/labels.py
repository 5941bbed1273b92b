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
    found, curve = material.found, material.found.curve
    metrics = efficiency.metrics_of(curve)
    if not metrics:
        return []
    legend = plot.swatches(efficiency.models(curve))
    said = (
        [verdict]
        if material.summarised and (verdict := words(curve, "verdict")) and verdict not in found.findings
        else []
    )
    said += efficiency.verdicts(curve) if material.summarised else []
    said.append("Seeds draw other labels; differences are paired by seed, on the same images.")
    said += [f"Note: {note}." for note in names(curve, "notes")]
    drawn = [*_by_labels(curve, metrics), *_finetuned(found)]
    return [Section("labels", "Label efficiency", said, drawn, _curve_tables(curve), legend)]


def _finetuned(found: Contents) -> list[Chart]:
    """Return the validation curves of the finetuning runs behind a curve, at its largest budget, final stage alone."""
    order, largest = efficiency.models(found.curve), efficiency.label_steps(found.curve)[-1]
    known = [r for r in found.tuned if words(r.document, "labels") == largest and words(r.document, "model") in order]
    made = []
    for key, title, better in VALIDATION:
        drawn = [
            runs.final_curve(run, words(run.document, "model"), key, f", seed {words(run.document, 'seed')}")
            for run in known
        ]
        if drawn := [curve for curve in drawn if curve.steps]:
            said = f"Full finetuning with {efficiency.amount(largest)}; one line a seed. {better} is better. {BEST}"
            heading = f"{title}, final stage"
            made.append(charts.learning(drawn, order, heading, said, f"labels-final-{key}", "step of the final stage"))
    return made


def _curve_tables(curve: Doc) -> list[DataTable]:
    """Return the curve's comparisons and its points."""
    if not words(curve, "base"):
        return []
    compared = [curves.comparisons(curve)] if parts(curve, "comparisons") else []
    return [*compared, curves.side_by_side(curve), curves.points(curve)]


def _by_labels(curve: Doc, metrics: list[str]) -> list[Chart]:
    """Return the charts of accuracy and log loss, or of what there is, for each way to train."""
    shown = [metric for metric in ("accuracy", "log_loss") if metric in metrics] or metrics[:1]
    known = efficiency.trainings(curve)
    made = []
    for i, training in enumerate(known):
        mine, said = efficiency.of_training(curve, training), efficiency.training_words(training)
        tag = f"{i}-" if i else ""
        made += [maps.label_efficiency(mine, m, f"labels-{tag}{m}", said if len(known) > 1 else "") for m in shown]
    return made


def absent(material: Material) -> list[str]:
    """Say why there is no label efficiency."""
    there = material.found.curve or material.found.elsewhere
    return [] if there else ["Label efficiency: no curve.json of the command curve."]

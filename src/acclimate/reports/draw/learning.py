"""Learning curves: one loss chart per objective, then what validation said."""

from __future__ import annotations

from acclimate.reports.draw import charts, plot
from acclimate.reports.draw.blocks import Chart, Section
from acclimate.reports.read import runs
from acclimate.reports.read.collect import Run, parts
from acclimate.reports.read.material import Material

BEST = "A run keeps its step with the lowest log loss."
VALIDATION = (("val_accuracy", "Validation accuracy", "Higher"), ("val_log_loss", "Validation log loss", "Lower"))


def sections(material: Material) -> list[Section]:
    """Return the learning curves: one loss chart per objective, then what validation said."""
    logged = [run for run in material.contents.runs if run.log]
    names = runs.labels_of(logged, with_model=True)
    order = list(names.values())
    drawings = []
    for i, objective in enumerate(runs.objectives(logged)):
        title = f"Training loss, {objective}" if objective else "Training loss"
        if curves := runs.curves(logged, names, "loss", objective):
            drawings.append(charts.learning(curves, order, title, "Lower is better.", f"curve-loss-{i}"))
    for key, title, better in VALIDATION:
        if curves := runs.curves(logged, names, key):
            drawings.append(charts.learning(curves, order, title, f"{better} is better.", f"curve-{key}"))
    drawings += _final_stage(logged, names)
    if not drawings:
        return []
    note = (
        "One line per run; press a name to hide or show it. Steps count over all stages of a run; a diamond "
        "marks where a later stage begins. Losses of different objectives do not compare: each has its chart."
    )
    return [Section("learning", "Learning curves", [note], drawings, legend=plot.swatches(order, lines=True))]


def _final_stage(logged: list[Run], names: dict[str, str]) -> list[Chart]:
    """Return what validation said of the last stages alone; nothing where that would be the same charts again."""
    if not any(len(parts(run.document, "stages")) > 1 for run in runs.finetuned(logged)):
        return []
    drawings = []
    for key, title, better in VALIDATION:
        curves = [curve for run in logged if (curve := runs.final_curve(run, names[run.name], key)).steps]
        if len(curves) > 1:
            what = "The last stage of each run, its steps counted from that stage's start."
            heading, caption = f"{title}, final stage", f"{what} {better} is better. {BEST}"
            order = list(names.values())
            drawings.append(charts.learning(curves, order, heading, caption, f"final-{key}", "step of the final stage"))
    return drawings


def absent(material: Material) -> list[str]:
    """Say why there are no learning curves."""
    logged = any(run.log for run in material.contents.runs)
    return [] if logged else ["Learning curves: no run with a log."]

"""Learning curves: one loss chart per objective, then what validation said."""

from __future__ import annotations

from acclimate.reports.draw.blocks import Chart, Figure, Section
from acclimate.reports.draw.plot import DASHES, colour, figure, layout, scatter, swatches
from acclimate.reports.read import runs
from acclimate.reports.read.collect import Run, parts
from acclimate.reports.read.material import Material
from acclimate.reports.read.runs import LearningCurve
from acclimate.reports.text import fixed, plotly

BEST = "A run keeps its step with the lowest log loss."
VALIDATION = (("val_accuracy", "Validation accuracy", "Higher"), ("val_log_loss", "Validation log loss", "Lower"))


def sections(material: Material) -> list[Section]:
    """Return the learning curves, drawn where runs have a log."""
    logged = [run for run in material.contents.runs if run.log]
    names = runs.labels_of(logged, with_model=True)
    order = list(names.values())
    drawings = []
    for i, objective in enumerate(runs.objectives(logged)):
        title = f"Training loss, {objective}" if objective else "Training loss"
        if curves := runs.curves(logged, names, "loss", objective):
            drawings.append(lines(curves, order, title, "Lower is better.", f"curve-loss-{i}"))
    for key, title, better in VALIDATION:
        if curves := runs.curves(logged, names, key):
            drawings.append(lines(curves, order, title, f"{better} is better.", f"curve-{key}"))
    if any(len(parts(run.document, "stages")) > 1 for run in runs.finetuned(logged)):  # else the same charts again
        what = "The last stage of each run, its steps counted from that stage's start."
        drawings += final_stage([(run, names[run.name], "") for run in logged], order, what, "final", least=2)
    if not drawings:
        return []
    note = (
        "One line per run; press a name to hide or show it. Steps count over all stages of a run; a diamond "
        "marks where a later stage begins. Losses of different objectives do not compare: each has its chart."
    )
    return [Section("learning", "Learning curves", [note], drawings, legend=swatches(order, lines=True))]


def final_stage(
    named: list[tuple[Run, str, str]], order: list[str], what: str, tag: str, *, least: int = 1
) -> list[Chart]:
    """Return what validation said of the last stages alone, in charts of at least so many lines.

    ``named`` are runs, the name in ``order`` that each has, and what tells runs of one name apart.
    """
    drawings = []
    for key, title, better in VALIDATION:
        curves = [curve for run, name, note in named if (curve := runs.final_curve(run, name, key, note)).steps]
        if len(curves) >= least:
            heading, caption = f"{title}, final stage", f"{what} {better} is better. {BEST}"
            drawings.append(lines(curves, order, heading, caption, f"{tag}-{key}", "step of the final stage"))
    return drawings


def lines(
    curves: list[LearningCurve], order: list[str], title: str, caption: str, key: str, steps: str = "step"
) -> Chart:
    """Draw one line per run over its steps; diamonds mark where a stage begins."""
    traces = [_line(curve, order.index(curve.run)) for curve in curves]
    return Chart(key, title, caption, figure(traces, layout(steps, "")), height=320)


def _line(curve: LearningCurve, i: int) -> Figure:
    marked = [step in curve.marks for step in curve.steps]
    plain = 5 if len(curve.steps) < 40 else 0.1
    marker = {
        "symbol": ["diamond" if mark else "circle" for mark in marked],
        "size": [10 if mark else plain for mark in marked],
        "color": colour(i),
        "opacity": 1,
        "line": {"width": 0},
    }
    texts = [
        f"{plotly(curve.run)}{plotly(curve.note)}<br>step {step:,.0f}: {fixed(value, 4)}"
        + (f"<br>{plotly(curve.marks[step])}" if step in curve.marks else "")
        for step, value in zip(curve.steps, curve.values, strict=True)
    ]
    line = {"color": colour(i), "width": 2, "dash": DASHES[i // 7 % 6]}
    trace = scatter("lines+markers", curve.steps, [round(value, 6) for value in curve.values], marker, texts)
    return trace | {"legendgroup": f"g{i}", "line": line}

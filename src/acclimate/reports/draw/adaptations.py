"""Adaptation without labels: what each run changed and kept, its settings, and what its guard saw, one chart a run."""

from __future__ import annotations

from dataclasses import dataclass

from acclimate.reports.draw.blocks import Chart, DataTable, Figure, Section, TableCell, TableColumn, Value
from acclimate.reports.draw.plot import axis, box, figure, layout, scatter
from acclimate.reports.draw.tables import change_cell, figure_cell, flat, model_cell, text_cell, time_cell
from acclimate.reports.read import runs
from acclimate.reports.read.collect import Doc, Run, part, parts, words
from acclimate.reports.read.leaderboard import random_start
from acclimate.reports.read.material import Material
from acclimate.reports.text import Json, count, fixed, number, plotly, short, signed

MONITORED = (
    " Feature spread and RankMe fall when features collapse; neighbours in common say how far the model has moved; "
    "kNN agreement, where there are labels, is the share of an image's nearest neighbours that have its class."
)
DRAWN = 24  # runs with a chart
PANEL = 104  # pixels of height for one monitor
HEADING = 0.3  # share of a panel that its heading takes


def sections(material: Material) -> list[Section]:
    """Return the adaptation runs: what their monitors saw, what they kept, and what they ran with."""
    adaptations = runs.adapted(material.contents)
    if not adaptations:
        return []
    drawings = [chart for i, run in enumerate(adaptations) if (chart := _chart(run, f"monitors-{i}"))]
    sentences = ["Adaptation looks at images without labels; monitors decide whether its weights are kept."]
    if drawings:
        sentences[0] += MONITORED
    if len(drawings) > DRAWN:
        sentences.append(f"The first {DRAWN} of {len(drawings)} runs are drawn; the table has all of them.")
    tables = [outcomes(adaptations), *settings(adaptations)]
    return [Section("adaptation", "Adaptation", sentences, drawings[:DRAWN], tables)]


def outcomes(adaptations: list[Run]) -> DataTable:
    """Return the runs of adaptation without labels: what they changed, what each one kept, and why."""
    columns = [
        *(TableColumn(title) for title in ("Run", "Model", "Method", "Kept", "Reason")),
        TableColumn("Pool", True, "images without labels, less those that look like a held-out image"),
        TableColumn("Feature spread", True, "about 1 when features use all directions, 0 when collapsed"),
        TableColumn("RankMe", True, "effective rank of the features"),
        TableColumn("In common", True, "share of nearest neighbours in common with the start model"),
        TableColumn("Time", True),
    ]
    caption = "Adaptation without labels, before and after"
    return DataTable("adapt-table", caption, columns, [*map(_outcome, adaptations)], [*map(_record, adaptations)])


def _outcome(run: Run) -> list[TableCell]:
    document = run.document
    start, end = (part(part(document, "monitors"), side) for side in ("start", "adapted"))
    return [
        text_cell(run.name),
        model_cell(words(document, "model", "–"), random=random_start(document)),
        text_cell(words(document, "method") or runs.recipe(run), note=runs.fractions(run)),
        text_cell(words(document, "kept"), f"step {count(step)}" if (step := kept_step(run)) else ""),
        text_cell(words(document, "reason")),
        _pool(document),
        change_cell(start.get("feature_std"), end.get("feature_std"), 3),
        change_cell(start.get("rankme"), end.get("rankme"), 1),
        figure_cell(part(document, "monitors").get("neighbour_overlap"), 2),
        time_cell(runs.seconds(run)),
    ]


def _pool(document: Doc) -> TableCell:
    images = part(document, "images")
    size, dropped = number(images.get("pool")), number(images.get("dropped_twins"))
    note = "" if dropped is None else f"{count(dropped)} twin{'' if dropped == 1 else 's'} dropped"
    return TableCell(count(size), size, note)


def _record(run: Run) -> dict[str, Value]:
    keys = ("model", "method", "scope", "kept", "reason", "steps", "images", "images_per_second", "seconds", "monitors")
    facts = flat({key: run.document[key] for key in keys if key in run.document})
    return {"run": run.name, **facts, "kept_step": kept_step(run)}


def settings(adaptations: list[Run]) -> list[DataTable]:
    """Return what was chosen for each run and why, folded; no table where no run says."""
    records: list[dict[str, Value]] = [
        {"run": run.name, "setting": name, "value": _text(choice.get("value")), "why": words(choice, "why")}
        for run in adaptations
        for name, choice in part(run.document, "choices").items()
        if isinstance(choice, dict)
    ]
    if not records:
        return []
    keys = ("run", "setting", "value", "why")[len({record["run"] for record in records}) == 1 :]
    rows = [[text_cell(str(record[key])) for key in keys] for record in records]
    columns = [TableColumn(key.capitalize()) for key in keys]
    return [DataTable("choices-table", "Settings of the adaptation, and why", columns, rows, records, folded=True)]


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if (figure := number(value)) is not None:
        return f"{figure:g}"
    return value if isinstance(value, str) else "–"


@dataclass(frozen=True)
class Monitor:
    """How one monitor is drawn."""

    title: str  # its name as a heading
    word: str  # its name within a sentence
    digits: int
    least: float  # the narrowest range of its axis; a change below a fifth of it must not look large
    relative: bool = False  # drawn as a multiple of the start's value


MONITORS = {
    "feature_std": Monitor("Feature spread", "feature spread", 3, 0.1),
    "rankme": Monitor("RankMe", "RankMe", 1, 0.2, relative=True),
    "neighbour_overlap": Monitor("Neighbours in common with the start model", "neighbours in common", 3, 0.2),
    "knn_agreement": Monitor("kNN agreement on held-out images", "kNN agreement", 3, 0.05),
}


@dataclass(frozen=True)
class Line:
    """One monitor of one run: a value at each look, steps counted over the whole run, the first being the start's."""

    monitor: Monitor
    steps: list[float]
    values: list[float]

    @property
    def drawn(self) -> list[float]:
        """The values as they are drawn."""
        return [value / self.values[0] for value in self.values] if self.monitor.relative else self.values

    def at(self, step: float | None) -> float:
        """Return the value of the last look at that step; of the last one of all for None or where nobody looked."""
        by_step = dict(zip(self.steps, self.values, strict=True))
        return self.values[-1] if step is None else by_step.get(step, self.values[-1])


def _lines(run: Run) -> list[Line]:
    """Return the monitors that a run's looks hold; none for runs of before there were looks."""
    looks = runs.placed(parts(run.document, "looks"))
    monitored = []
    for key, monitor in MONITORS.items():
        points = [(step, value) for step, look in looks if (value := number(look.get(key))) is not None]
        if points and not (monitor.relative and points[0][1] <= 0):
            monitored.append(Line(monitor, [step for step, _ in points], [value for _, value in points]))
    return monitored


def kept_step(run: Run) -> float | None:
    """Return the step whose weights were kept, counted over the whole run; 0: the start model; None: unknown."""
    if words(run.document, "kept") == "start":
        return 0.0
    before, best = 0.0, None
    for stage in parts(run.document, "stages"):
        if step := number(stage.get("best_step")):
            best = before + step
        before += number(stage.get("steps")) or 0.0
    return best


def _chart(run: Run, key: str) -> Chart | None:
    """Draw the monitors below each other over the same steps; None where nobody looked."""
    monitored = _lines(run)
    if not monitored:
        return None
    step = kept_step(run)
    traces = [_trace(line, i, step) for i, line in enumerate(monitored)]
    return Chart(
        key=key,
        title=f"Monitors of {short(run.name, 60)}",
        caption=_caption(monitored, step),
        figure=figure(traces, _shape(monitored, step)),
        height=PANEL * len(monitored) + 56,
    )


def _name(i: int) -> str:
    return str(i + 1) if i else ""


def _trace(line: Line, i: int, final_step: float | None) -> Figure:
    marked = [step == final_step for step in line.steps]
    marker = {
        "symbol": ["diamond" if mark else "circle" for mark in marked],
        "size": [12 if mark else 5 for mark in marked],
        "color": ["@c2" if mark else "@c1" for mark in marked],
        "opacity": 1,
        "line": {"width": 0},
    }
    texts = [_tell(line, at, mark) for at, mark in enumerate(marked)]
    trace = scatter("lines+markers", line.steps, [round(value, 6) for value in line.drawn], marker, texts)
    place = {"xaxis": "x", "yaxis": f"y{_name(i)}", "cliponaxis": False}
    return trace | place | {"line": {"color": "@c1", "width": 2}}


def _tell(line: Line, at: int, final: bool) -> str:
    monitor, value, start = line.monitor, line.values[at], line.values[0]
    ratio = f"{fixed(value / start, 2)} of the start's" if monitor.relative else ""
    change = ratio or f"{signed(value - start)} to the start"
    where = f"step {count(line.steps[at])}{', kept' if final else ''}"
    return f"{plotly(monitor.title)}<br>{where}: {fixed(value, monitor.digits)}<br>{change}"


def _shape(monitored: list[Line], final_step: float | None) -> Figure:
    """Return the layout: one axis of steps, one panel a monitor with its heading, the start and the kept step."""
    shape = layout("step", "")
    del shape["yaxis"]
    end = max(line.steps[-1] for line in monitored) or 1.0
    shape["xaxis"] |= {"anchor": f"y{_name(len(monitored) - 1)}", "range": [-0.03 * end, 1.03 * end], "showgrid": False}
    shape["annotations"], shape["shapes"] = [], []
    for i, line in enumerate(monitored):
        bottom, top = 1 - (i + 1) / len(monitored), 1 - (i + HEADING) / len(monitored)
        low, high = min(line.drawn), max(line.drawn)
        middle, half = (low + high) / 2, max(high - low, line.monitor.least) * 0.58
        reach = [round(middle - half, 6), round(middle + half, 6)]
        place = {"domain": [round(bottom, 4), round(top, 4)], "range": reach, "nticks": 5}
        shape[f"yaxis{_name(i)}"] = axis() | place | {"anchor": "x"}
        shape["annotations"].append(_heading(line, top))
        start, dashes = line.drawn[0], {"color": "@muted", "width": 1, "dash": "dash"}
        shape["shapes"].append(box("line", ("paper", f"y{_name(i)}"), (0, 1), (start, start), dashes))
        if final_step is not None:  # in each panel by itself: not through the headings
            refs, dots = ("x", f"y{_name(i)} domain"), {"color": "@c2", "width": 1.5, "dash": "dot"}
            shape["shapes"].append(box("line", refs, (final_step, final_step), (0, 1), dots) | {"layer": "below"})
    return shape


def _heading(line: Line, y: float) -> Figure:
    more = f", start ({fixed(line.values[0], line.monitor.digits)}) = 1" if line.monitor.relative else ""
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": y, "xanchor": "left", "yanchor": "bottom"}
    look = {"showarrow": False, "font": {"size": 12, "color": "@ink"}}
    return {"text": plotly(line.monitor.title + more), **place, **look}


def _caption(monitored: list[Line], final_step: float | None) -> str:
    """Say in words what the chart shows: what was kept, and what became of each monitor."""
    end, to = max(line.steps[-1] for line in monitored), final_step or None
    weights = f"Step {count(to)} of {count(end)}" if to else "The start model"
    outcome = "" if final_step is None else f"{weights} was kept (diamond, dotted line). "
    changes = [
        f"{line.monitor.word} {fixed(line.values[0], line.monitor.digits)} → {fixed(line.at(to), line.monitor.digits)}"
        for line in monitored
    ]
    reach = f"From the start to {'there' if to else 'the last step'}"
    return f"{outcome}{reach}: {'; '.join(changes)}. Dashed: the start model."

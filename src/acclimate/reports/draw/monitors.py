"""What the guard of an adaptation saw: its monitors over the steps, one chart a run."""

from __future__ import annotations

from dataclasses import dataclass

from acclimate.reports.draw.blocks import Chart, Figure
from acclimate.reports.draw.plot import axis, box, figure, layout, scatter
from acclimate.reports.read import runs
from acclimate.reports.read.collect import Run, parts, words
from acclimate.reports.text import count, fixed, number, plotly, short, signed

PANEL = 104  # pixels of height for one monitor
HEADING = 0.3  # share of a panel that its heading takes


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


def lines(run: Run) -> list[Line]:
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


def chart(run: Run, key: str) -> Chart | None:
    """Draw the monitors below each other over the same steps; None where nobody looked."""
    monitored = lines(run)
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
        place = {"domain": [round(bottom, 4), round(top, 4)], "range": _range(line), "nticks": 5}
        shape[f"yaxis{_name(i)}"] = axis() | place | {"anchor": "x"}
        shape["annotations"].append(_heading(line, top))
        start, dashes = line.drawn[0], {"color": "@muted", "width": 1, "dash": "dash"}
        shape["shapes"].append(box("line", ("paper", f"y{_name(i)}"), (0, 1), (start, start), dashes))
        if final_step is not None:  # in each panel by itself: not through the headings
            refs, dots = ("x", f"y{_name(i)} domain"), {"color": "@c2", "width": 1.5, "dash": "dot"}
            shape["shapes"].append(box("line", refs, (final_step, final_step), (0, 1), dots) | {"layer": "below"})
    return shape


def _range(line: Line) -> list[float]:
    low, high = min(line.drawn), max(line.drawn)
    middle, half = (low + high) / 2, max(high - low, line.monitor.least) * 0.58
    return [round(middle - half, 6), round(middle + half, 6)]


def _heading(line: Line, y: float) -> Figure:
    more = f", start ({fixed(line.values[0], line.monitor.digits)}) = 1" if line.monitor.relative else ""
    return {
        "text": plotly(line.monitor.title + more),
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": y,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 12, "color": "@ink"},
    }


def _caption(monitored: list[Line], final_step: float | None) -> str:
    """Say in words what the chart shows: what was kept, and what became of each monitor."""
    end = max(line.steps[-1] for line in monitored)
    if final_step == 0:
        sentence, to = "The start model was kept (diamond, dotted line). From the start to the last step", None
    elif final_step is not None:
        sentence = f"Step {count(final_step)} of {count(end)} was kept (diamond, dotted line). From the start to there"
        to = final_step
    else:
        sentence, to = "From the start to the last step", None
    changes = [
        f"{line.monitor.word} {fixed(line.values[0], line.monitor.digits)} → {fixed(line.at(to), line.monitor.digits)}"
        for line in monitored
    ]
    return f"{sentence}: {'; '.join(changes)}. Dashed: the start model."

"""The leaderboard's charts and the learning curves."""

from __future__ import annotations

from acclimate.reports.draw.blocks import Chart, Figure
from acclimate.reports.draw.plot import DASHES, box, colour, figure, layout, scatter, whiskers
from acclimate.reports.read.leaderboard import Board, BoardEntry
from acclimate.reports.read.runs import LearningCurve
from acclimate.reports.text import LEVEL_TEXT, fixed, plotly, short, signed, span


def leaderboard(board: Board, key: str, limit: int = 60) -> Chart | None:
    """Draw every entry as a dot with its interval; a band shows the interval of the best."""
    entries = [entry for entry in board.entries if entry.final is not None][:limit]
    if not entries:
        return None
    shape = layout(board.metric, "")
    shape["yaxis"] |= {
        "tickvals": list(range(len(entries))),
        "ticktext": [plotly(short(entry.name, 24)) for entry in entries],
        "range": [len(entries) - 0.4, -0.6],
        "showgrid": False,
        "tickfont": {"size": 12, "color": "@ink"},
    }
    top = entries[0]
    if top.low is not None and top.high is not None:
        band = box("rect", ("x", "paper"), (top.low, top.high), (0, 1), {"width": 0})
        shape["shapes"] = [band | {"layer": "below", "fillcolor": "@band"}]
    traces = [_dots(entries, tied=True), _dots(entries, tied=False)]
    better = "further right is better" if board.higher else "further left is better"
    return Chart(
        key=key,
        title=f"{board.metric[:1].upper()}{board.metric[1:]}, with intervals",
        caption=f"Dots are the measured values, bars their {LEVEL_TEXT} intervals; {better}. Blue is "
        "the top set, whose members cannot be told apart from the best; hollow: from random weights; "
        "the band is the interval of the best.",
        figure=figure(traces, shape),
        height=84 + 32 * len(entries),
        wide=True,
    )


def _dots(entries: list[BoardEntry], tied: bool) -> Figure:
    dots = [(i, e, e.final) for i, e in enumerate(entries) if e.tied is tied and e.final is not None]
    mids = [final for _, _, final in dots]
    tint = "@c1" if tied else "@muted"
    symbols = ["circle-open" if e.random else "circle" for _, e, _ in dots]
    marker = {"size": 10, "color": tint, "symbol": symbols, "line": {"width": 2, "color": tint}}
    bars = whiskers([e.low for _, e, _ in dots], mids, [e.high for _, e, _ in dots]) | {"color": tint}
    trace = scatter("markers", mids, [i for i, _, _ in dots], marker, [_tell(e) for _, e, _ in dots])
    return trace | {"error_x": bars}


def _tell(entry: BoardEntry) -> str:
    interval = span(entry.low, entry.high)
    mark = "<br>randomly initialised" if entry.random else ""
    return f"{plotly(entry.name)}<br>{fixed(entry.final)}{f' ({interval})' if interval else ''}{mark}"


def proxy(board: Board, name: str, key: str, rho: float | None) -> Chart:
    """Draw one cheap proxy against the final number; the dots carry ranks."""
    models = [(e, x, y) for e in board.entries if (x := e.proxies.get(name)) is not None and (y := e.final) is not None]
    finals = [y for _, _, y in models]
    marker = {"size": 19, "color": ["@c1" if e.tied else "@grey" for e, _, _ in models], "opacity": 1}
    texts = [f"{_tell(e)}<br>{plotly(name)} {fixed(x)}" for e, x, _ in models]
    trace = scatter("markers+text", [x for _, x, _ in models], finals, marker, texts) | {
        "error_y": whiskers([e.low for e, _, _ in models], finals, [e.high for e, _, _ in models])
        | {"color": "@rule", "thickness": 1.5},
        "text": [str(e.rank or "") for e, _, _ in models],
        "textfont": {"size": 11, "color": "@onaccent"},
    }
    correlation = "" if rho is None else f" Spearman's rank correlation over {len(models)} models: {signed(rho, 2)}."
    return Chart(
        key=key,
        title=f"{short(name, 40)} against {board.metric}",
        caption=f"Each dot is a model and carries its rank; blue is the top set.{correlation}",
        figure=figure([trace], layout(name, board.metric)),
    )


def learning(
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

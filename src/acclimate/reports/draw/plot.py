"""The look that all charts share, as plain Plotly JSON.

A colour that begins with ``@`` is a name in the page's theme. All text in a figure is escaped, because Plotly
reads labels as markup, and it is passed as ready ``hovertext``, because hover *templates* would read
``%{...}`` inside a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from acclimate.reports.draw.blocks import Figure, Swatch
from acclimate.reports.text import plotly

# After Okabe & Ito (2008), told apart with any kind of colour vision; symbols and dashes repeat the message.
COLOURS = [f"@c{i}" for i in range(1, 8)]
SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star"]
GLYPHS = ["●", "■", "◆", "▲", "✚", "✕", "★"]
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"]


def colour(i: int) -> str:
    """Return the theme's colour of the i-th line or class; grey for -1, which means: no label."""
    return COLOURS[i % 7] if i >= 0 else "@grey"


def symbol(i: int) -> str:
    """Return the marker of the i-th line or class; the first 49 pairs of colour and marker all differ."""
    return SYMBOLS[(i + i // 7) % 7] if i >= 0 else "circle"


def swatches(names: Sequence[str], lines: bool = False) -> list[Swatch]:
    """Return the legend of the names, in the order that the charts number them."""
    return [swatch(i, name, line=lines) for i, name in enumerate(names)]


def swatch(i: int, name: str, *, line: bool = False) -> Swatch:
    """Return the entry of a legend for the i-th line or class; -1: no label."""
    return Swatch(name, f"g{i}", "━" if line else GLYPHS[SYMBOLS.index(symbol(i))], colour(i)[1:])


def axis(title: str = "") -> Figure:
    """Return a quiet axis: hairline grid, no frame, room for its labels."""
    return {
        "title": {"text": plotly(title), "standoff": 12, "font": {"size": 12, "color": "@muted"}},
        "gridcolor": "@line",
        "zeroline": False,
        "automargin": True,
        "ticks": "",
        "tickfont": {"size": 12, "color": "@muted"},
    }


def layout(x: str, y: str) -> Figure:
    """Return the layout that every chart shares."""
    return {
        "paper_bgcolor": "@clear",
        "plot_bgcolor": "@clear",
        "font": {"color": "@ink", "size": 13},
        "margin": {"l": 8, "r": 16, "t": 10, "b": 8, "pad": 4},
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "@raised", "bordercolor": "@rule", "font": {"color": "@ink", "size": 12}},
        "showlegend": False,
        "xaxis": axis(x),
        "yaxis": axis(y),
    }


def scatter(mode: str, x: Sequence[float], y: Sequence[float], marker: Figure, hovertext: list[str]) -> Figure:
    """Return a trace of points, each with the text that is read above it."""
    points = {"type": "scatter", "mode": mode, "x": x, "y": y, "marker": marker}
    return points | {"hoverinfo": "text", "hovertext": hovertext}


def box(kind: str, refs: tuple[str, str], x: tuple[float, float], y: tuple[float, float], line: Figure) -> Figure:
    """Return a shape, ``line`` or ``rect``, between two corners on the axes `refs`."""
    place = {"xref": refs[0], "yref": refs[1], "x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1]}
    return {"type": kind, **place, "line": line}


def whiskers(lows: Iterable[float | None], mids: Sequence[float], highs: Iterable[float | None]) -> Figure:
    """Return error bars from interval ends; a missing end draws nothing."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [round(max(0.0, h - m), 6) if h is not None else 0 for h, m in zip(highs, mids, strict=True)],
        "arrayminus": [round(max(0.0, m - w), 6) if w is not None else 0 for w, m in zip(lows, mids, strict=True)],
        "thickness": 2,
        "width": 0,
    }


def figure(traces: list[Figure], shape: Figure) -> Figure:
    """Return a figure of the traces that have points."""
    return {"data": [trace for trace in traces if trace["x"]], "layout": shape}

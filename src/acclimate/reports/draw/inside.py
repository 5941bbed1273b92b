"""What a run changed inside its network: charts over the layers, and tables of layers and norms."""

from __future__ import annotations

from collections.abc import Callable

from acclimate.reports.draw.blocks import Chart, DataTable, Figure, Section, TableCell, TableColumn
from acclimate.reports.draw.plot import colour, figure, layout, scatter, swatches, symbol, whiskers
from acclimate.reports.draw.tables import change_cell, figure_cell, flat, share_cell, text_cell
from acclimate.reports.read.collect import Doc, Run, names, part, parts, words
from acclimate.reports.read.material import Material
from acclimate.reports.text import count, fixed, number, percent, plotly, short, span

DRAWN = 6  # runs with charts
LONG = 16  # rows from which on a table is folded
APART = 12  # labels that fit below a narrow chart
SIDES = ("before", "after")
LEGEND = ("block", "norm", "before", "after", "scale", "shift")  # their places are their colours
NOTE = (
    "Both networks saw the same images, in evaluation mode; layers stand in the order in which they run. CKA is 1 "
    "where a layer tells the images apart just as before, whatever its scale or rotation, and 0 where nothing is left "
    "of that. Charts of one number draw blocks and norms, charts of before and after the blocks alone."
)


Layers = list[tuple[int, Doc]]  # places along x, and what is known of the layers there


def sections(material: Material) -> list[Section]:
    """Return the section of all runs that `explain` looked into; none where it never did."""
    explained = [run for run in material.contents.runs if parts(run.inside, "layers")]
    if not explained:
        return []
    sentences = [sentence for run in explained for sentence in _sentences(run, len(explained) > 1)]
    if len(explained) > DRAWN:
        sentences.append(f"The first {DRAWN} of {len(explained)} runs are drawn; the tables have all of them.")
    drawings = [chart for i, run in enumerate(explained[:DRAWN]) for chart in _charts(run, i, len(explained) > 1)]
    tables = []
    for i, run in enumerate(explained):
        more, affine = f" of {run.name}" if len(explained) > 1 else "", parts(run.inside, "affine")
        tables += [_layers(run, i, more), *([_affine(affine, i, more)] if affine else [])]
    return [Section("inside", "What training changed inside", [NOTE, *sentences], drawings, tables, swatches(LEGEND))]


def _sentences(run: Run, several: bool) -> list[str]:
    document = run.inside
    images = number(document.get("images"))
    of = f" of {words(document, 'data')} ({words(document, 'part')})" if words(document, "data") else ""
    start = f"{run.name if several else 'The run'} against its start {words(document, 'start', 'model')}"
    sentences = [line.replace("->", "→") for line in (*names(document, "summary"), *names(document, "notes"))]
    return [f"{start}, on {count(images)} images{of}:", *sentences]


# ---- charts


def _charts(run: Run, i: int, several: bool) -> list[Chart]:
    rows = parts(run.inside, "layers")
    norms = [(x, row) for x, row in enumerate(rows) if words(row, "kind") == "norm"]
    blocks = [(x, row) for x, row in enumerate(rows) if words(row, "kind") != "norm"]
    more = f", {short(run.name, 40)}" if several else ""
    level = percent(run.inside.get("level"), 1)
    spread = "How far the channels' means moved, in units of their spread before."
    rank = "RankMe of the features of a block: how many directions they use."
    apart = "Share of the cosine distance between images that lies between classes: 1 where a class is a point."
    kinds = {"norm": norms, "block": blocks}
    shifts = [_trace(kind, layers, lambda row: number(row.get("shift")), fixed) for kind, layers in kinds.items()]
    contents = (
        (
            "cka",
            "CKA with the start",
            f"Bars are {level} intervals over images.",
            [_cka(*kind) for kind in kinds.items()],
        ),
        ("shift", "Shift of feature means", spread, shifts),
        ("rank", "Effective rank", rank, [_side(blocks, "rank", side, 1) for side in SIDES]),
        ("classes", "Class separation", apart, [_side(blocks, "separation", side, 3) for side in SIDES]),
    )
    shape = _shape([words(row, "group") for row in rows])
    drawings = [
        Chart(f"inside-{i}-{key}", f"{title}{more}", caption, figure(traces, shape), height=320)
        for key, title, caption, traces in contents
    ]
    return [chart for chart in (*drawings, _norms(run, i, more)) if chart.figure["data"]]


def _shape(groups: list[str]) -> Figure:
    """Return a layout with the layers along x: a label where another part of the network begins, not too many."""
    shape = layout("", "")
    ticks: list[int] = []
    for i, name in enumerate(groups):
        begins = i == 0 or name != groups[i - 1]
        if begins and (not ticks or i - ticks[-1] >= len(groups) / APART):
            ticks.append(i)
    shape["xaxis"] |= {
        "tickvals": ticks,
        "ticktext": [plotly(groups[i], 12) for i in ticks],
        "range": [-0.6, len(groups) - 0.4],
        "tickangle": -35,
    }
    return shape


def _trace(name: str, layers: Layers, value: Callable[[Doc], float | None], text: Callable[[float], str]) -> Figure:
    """Return a value over the layers that have it, each with its place along x: norms as dots, all else as a line."""
    i, line = LEGEND.index(name), name != "norm"
    points = [(x, words(row, "layer"), y) for x, row in layers if (y := value(row)) is not None]
    marker = {"size": 8 if line else 6, "color": colour(i), "symbol": symbol(i), "opacity": 1, "line": {"width": 0}}
    texts = [f"{plotly(layer)}<br>{text(y)}" for _, layer, y in points]
    xs, ys = [x for x, _, _ in points], [round(y, 6) for _, _, y in points]
    trace = scatter("lines+markers" if line else "markers", xs, ys, marker, texts)
    return trace | {"legendgroup": f"g{i}", "line": {"color": colour(i), "width": 2}}


def _cka(name: str, layers: Layers) -> Figure:
    trace = _trace(name, layers, lambda row: number(part(row, "cka").get("value")), lambda y: f"CKA {fixed(y)}")
    alike = [part(row, "cka") for x, row in layers if x in trace["x"]]
    lows, highs = ([number(one.get(end)) for one in alike] for end in ("low", "high"))
    ends = [f" ({interval})" if (interval := span(*pair)) else "" for pair in zip(lows, highs, strict=True)]
    texts = [text + interval for text, interval in zip(trace["hovertext"], ends, strict=True)]
    bars = whiskers(lows, trace["y"], highs) | {"color": trace["line"]["color"], "thickness": 1.5}
    return trace | {"hovertext": texts, "error_y": bars}


def _side(blocks: Layers, key: str, side: str, digits: int) -> Figure:
    """Return a number before or after, over the blocks."""
    return _trace(side, blocks, lambda row: number(part(row, key).get(side)), lambda y: f"{side}: {fixed(y, digits)}")


def _role(rows: list[Doc], places: list[str], role: str) -> Figure:
    """Return the relative change of the norms' scales or shifts."""
    layers = [(places.index(words(row, "layer")), row) for row in rows if words(row, "role") == role]
    return _trace(role, layers, lambda row: number(row.get("relative")), lambda y: f"{role}: changed by {_times(y)}")


def _norms(run: Run, i: int, more: str) -> Chart:
    rows = [row for row in parts(run.inside, "affine") if words(row, "role") in ("scale", "shift")]
    groups = {words(row, "layer"): words(row, "group") for row in rows}  # in the order of the layers
    traces = [_role(rows, list(groups), role) for role in ("scale", "shift")]
    shape = _shape(list(groups.values()))
    shape["yaxis"]["rangemode"] = "tozero"
    caption = "Length of the change of a norm's scales (γ) or shifts (β), relative to what they were: 1 is as much."
    return Chart(f"inside-{i}-norms", f"Change of the norms{more}", caption, figure(traces, shape), height=320)


def _times(value: float) -> str:
    return f"{100 * value:.3g}%" if value < 2 else f"{value:.1f} times its length"


# ---- tables


def _layers(run: Run, i: int, more: str) -> DataTable:
    rows = parts(run.inside, "layers")
    columns = [
        TableColumn("Layer"),
        TableColumn("CKA", True, "unbiased linear CKA with the start"),
        TableColumn("Shift", True, "how far the channels' means moved, in units of their spread before"),
        TableColumn(
            "Log variance", True, "median and quartiles over channels of ln(variance after / before); ln 4 = 1.39"
        ),
        TableColumn(
            "Zeros", True, "share of values that are exactly zero; below it Hoyer's sparsity, 0 dense, 1 one channel"
        ),
        TableColumn("Effective rank", True, "RankMe of the pooled features"),
        TableColumn("Class separation", True, "1 - distance within classes / distance of any two images"),
        TableColumn("Nearest mean", True, "share of images that are nearest to the mean of their own class"),
    ]
    caption, records = f"Layers{more}, before and after", [{"run": run.name, **flat(row)} for row in rows]
    return DataTable(f"inside-{i}-table", caption, columns, [*map(_layer, rows)], records, folded=len(rows) > LONG)


def _layer(row: Doc) -> list[TableCell]:
    alike, ratio = part(row, "cka"), part(row, "log_variance")
    return [
        text_cell(words(row, "layer"), note=words(row, "kind")),
        figure_cell(alike.get("value"), note=span(alike.get("low"), alike.get("high"))),
        figure_cell(row.get("shift")),
        figure_cell(ratio.get("median"), 2, note=span(ratio.get("low"), ratio.get("high"), 2)),
        _sides(row, "zeros", 2, note=f"Hoyer {_sides(row, 'hoyer', 2).text}"),
        _sides(row, "rank", 1),
        _sides(row, "separation", 3),
        _sides(row, "class_mean", 3),
    ]


def _sides(row: Doc, key: str, digits: int, note: str = "") -> TableCell:
    return change_cell(part(row, key).get("before"), part(row, key).get("after"), digits, note)


def _affine(rows: list[Doc], i: int, more: str) -> DataTable:
    columns = [
        TableColumn("Norm"),
        TableColumn("What"),
        TableColumn("Change", True, "length of the change, relative to the length before"),
        TableColumn("Sign changed", True, "share of channels"),
        TableColumn("Largest", True, "largest change of one channel"),
        TableColumn("Mean before", True),
        TableColumn("Mean after", True),
    ]
    body = [
        [
            text_cell(words(row, "layer")),
            text_cell(words(row, "role")),
            _relative(row),
            share_cell(row.get("sign_changed")),
            *(figure_cell(row.get(key)) for key in ("largest", "before", "after")),
        ]
        for row in rows
    ]
    caption = f"Norms{more}: scales, shifts and running statistics"
    return DataTable(f"inside-{i}-norms-table", caption, columns, body, [flat(row) for row in rows], folded=True)


def _relative(row: Doc) -> TableCell:
    value = number(row.get("relative"))
    if value is None:
        return TableCell("from zero", None)
    return TableCell(f"{100 * value:.1f}%" if value < 2 else f"{value:.1f}×", value)

"""What a run changed inside its network: charts over the layers, and tables of layers and norms."""

from __future__ import annotations

from collections.abc import Callable

from acclimate.reports.draw.blocks import Chart, DataTable, Figure, Section, TableCell, TableColumn, Value
from acclimate.reports.draw.plot import colour, figure, layout, scatter, swatches, symbol, whiskers
from acclimate.reports.draw.tables import change_cell, figure_cell, flat, text_cell
from acclimate.reports.read.collect import Doc, Run, names, part, parts, words
from acclimate.reports.read.material import Material
from acclimate.reports.text import count, fixed, number, percent, plotly, short, span

DRAWN = 6  # runs with charts
LONG = 16  # rows from which on a table is folded
APART = 12  # labels that fit below a narrow chart
LEGEND = ("block", "norm", "before", "after", "scale", "shift")  # their places are their colours
NOTE = (
    "Both networks saw the same images, in evaluation mode; layers stand in the order in which they run. CKA is 1 "
    "where a layer tells the images apart just as before, whatever its scale or rotation, and 0 where nothing is left "
    "of that. Charts of one number draw blocks and norms, charts of before and after the blocks alone."
)


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


def absent(material: Material) -> list[str]:
    """Say why nothing is known of the insides."""
    looked = any(run.inside for run in material.contents.runs)
    return [] if looked else ["Feature shift: no run that explain looked into."]


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
    blocks = [(x, row) for x, row in enumerate(rows) if words(row, "kind") != "norm"]
    more = f", {short(run.name, 40)}" if several else ""
    level = percent(run.inside.get("level"), 1)
    spread = "How far the channels' means moved, in units of their spread before."
    rank = "RankMe of the features of a block: how many directions they use."
    apart = "Share of the cosine distance between images that lies between classes: 1 where a class is a point."
    contents = (
        ("cka", "CKA with the start", f"Bars are {level} intervals over images.", _cka(rows)),
        ("shift", "Shift of feature means", spread, _one(rows, lambda row: number(row.get("shift")))),
        ("rank", "Effective rank", rank, _two(blocks, "rank", 1)),
        ("classes", "Class separation", apart, _two(blocks, "separation", 3)),
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


def _points(name: str, points: list[tuple[int, str, float, str]], line: bool) -> Figure:
    """Return a trace of ``(x, layer, y, what it says)``."""
    i = LEGEND.index(name)
    tint = colour(i)
    marker = {"size": 8 if line else 6, "color": tint, "symbol": symbol(i), "opacity": 1, "line": {"width": 0}}
    texts = [f"{plotly(layer)}<br>{text}" for _, layer, _, text in points]
    xs, ys = [x for x, _, _, _ in points], [round(y, 6) for _, _, y, _ in points]
    trace = scatter("lines+markers" if line else "markers", xs, ys, marker, texts)
    return trace | {"legendgroup": f"g{i}", "line": {"color": tint, "width": 2}}


def _one(
    rows: list[Doc], value: Callable[[Doc], float | None], text: Callable[[Doc], str] | None = None
) -> list[Figure]:
    """Return the blocks as a line and the norms as dots."""
    traces = []
    for name in ("norm", "block"):
        layers = [(x, row) for x, row in enumerate(rows) if (words(row, "kind") == "norm") is (name == "norm")]
        points = [
            (x, words(row, "layer"), y, text(row) if text else fixed(y))
            for x, row in layers
            if (y := value(row)) is not None
        ]
        traces.append(_points(name, points, line=name == "block"))
    return traces


def _cka(rows: list[Doc]) -> list[Figure]:
    def value(row: Doc) -> float | None:
        return number(part(row, "cka").get("value"))

    def text(row: Doc) -> str:
        ends = span(part(row, "cka").get("low"), part(row, "cka").get("high"))
        return f"CKA {fixed(value(row))}{f' ({ends})' if ends else ''}"

    traces = _one(rows, value, text)
    for trace in traces:
        intervals = [part(rows[x], "cka") for x in trace["x"]]
        lows, highs = ([number(one.get(end)) for one in intervals] for end in ("low", "high"))
        trace["error_y"] = whiskers(lows, trace["y"], highs) | {"color": trace["line"]["color"], "thickness": 1.5}
    return traces


def _two(blocks: list[tuple[int, Doc]], key: str, digits: int) -> list[Figure]:
    """Return a number before and after, over the blocks."""
    traces = []
    for side in ("before", "after"):
        points = [
            (x, words(row, "layer"), y, f"{side}: {fixed(y, digits)}")
            for x, row in blocks
            if (y := number(part(row, key).get(side))) is not None
        ]
        traces.append(_points(side, points, line=True))
    return traces


def _norms(run: Run, i: int, more: str) -> Chart:
    """Draw the relative change of the norms' scales and shifts."""
    rows = [row for row in parts(run.inside, "affine") if words(row, "role") in ("scale", "shift")]
    layers = list(dict.fromkeys(words(row, "layer") for row in rows))
    traces = []
    for role in ("scale", "shift"):
        points = [
            (layers.index(words(row, "layer")), words(row, "layer"), y, f"{role}: {_times(y)}")
            for row in rows
            if words(row, "role") == role and (y := number(row.get("relative"))) is not None
        ]
        traces.append(_points(role, points, line=True))
    groups = {words(row, "layer"): words(row, "group") for row in rows}  # in the order of the layers
    shape = _shape(list(groups.values()))
    shape["yaxis"]["rangemode"] = "tozero"
    caption = "Length of the change of a norm's scales (γ) or shifts (β), relative to what they were: 1 is as much."
    return Chart(f"inside-{i}-norms", f"Change of the norms{more}", caption, figure(traces, shape), height=320)


def _times(value: float) -> str:
    return f"changed by {100 * value:.3g}%" if value < 2 else f"changed by {value:.1f} times its length"


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
    return DataTable(
        key=f"inside-{i}-table",
        caption=f"Layers{more}, before and after",
        columns=columns,
        rows=[_layer(row) for row in rows],
        records=[{"run": run.name, **flat(row)} for row in rows],
        folded=len(rows) > LONG,
    )


def _layer(row: Doc) -> list[TableCell]:
    layer, alike, ratio = words(row, "layer"), part(row, "cka"), part(row, "log_variance")
    ends = span(alike.get("low"), alike.get("high"))
    quartiles = span(ratio.get("low"), ratio.get("high"), 2)
    return [
        text_cell(layer, note=words(row, "kind")),
        figure_cell(alike.get("value"), note=ends),
        figure_cell(row.get("shift")),
        figure_cell(ratio.get("median"), 2, note=quartiles),
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
            TableCell(percent(row.get("sign_changed"), 1) or "–", number(row.get("sign_changed"))),
            figure_cell(row.get("largest")),
            figure_cell(row.get("before")),
            figure_cell(row.get("after")),
        ]
        for row in rows
    ]
    records: list[dict[str, Value]] = [flat(row) for row in rows]
    caption = f"Norms{more}: scales, shifts and running statistics"
    return DataTable(f"inside-{i}-norms-table", caption, columns, body, records, folded=True)


def _relative(row: Doc) -> TableCell:
    value = number(row.get("relative"))
    if value is None:
        return TableCell("from zero", None)
    return TableCell(f"{100 * value:.1f}%" if value < 2 else f"{value:.1f}×", value)

"""Charts of label efficiency and of feature maps."""

from __future__ import annotations

from acclimate.reports.draw.blocks import Chart, Figure, Section, Swatch
from acclimate.reports.draw.plot import colour, figure, layout, scatter, swatch, symbol, whiskers
from acclimate.reports.read import efficiency
from acclimate.reports.read.collect import Doc, names, parts, words
from acclimate.reports.read.material import Material
from acclimate.reports.text import LEVEL_TEXT, fixed, number, plotly, short, span
from acclimate.stats import METRICS

MAP_POINTS = 2000


def label_efficiency(curve: Doc, metric: str, key: str, training: str = "") -> Chart:
    """Draw a metric against the count of labels, one line per model, with intervals over seeds."""
    model_names, steps = efficiency.models(curve), efficiency.label_steps(curve)
    title, higher = METRICS[metric].title, METRICS[metric].larger_is_better
    shape = layout("labels per class, or share of all labels", title)
    shape["xaxis"] |= {
        "tickvals": list(range(len(steps))),
        "ticktext": [plotly(step, 12) for step in steps],
        "range": [-0.4, len(steps) - 0.6],
        "showgrid": False,
    }
    traces = [_efficiency_line(curve, model, i, len(model_names), metric) for i, model in enumerate(model_names)]
    return Chart(
        key=key,
        title=f"{title[:1].upper()}{title[1:]} by labels{f', {training}' if training else ''}",
        caption=f"Means and {LEVEL_TEXT} intervals over seeds; {'higher' if higher else 'lower'} is better. "
        "Lines are moved aside a little so that the bars do not cover each other.",
        figure=figure(traces, shape),
    )


def _efficiency_line(curve: Doc, model: str, i: int, n: int, metric: str) -> Figure:
    steps = efficiency.label_steps(curve)
    means = [(x, step, e) for x, step in enumerate(steps) if (e := efficiency.estimate(curve, model, step, metric))]
    mids = [e.mean for _, _, e in means]
    tint = colour(i)
    texts = [
        f"{plotly(model)}<br>{plotly(efficiency.amount(step))}<br>{fixed(e.mean)}"
        + (f" ({span(e.low, e.high)}, {e.n} seeds)" if e.low is not None else " (one seed)")
        for _, step, e in means
    ]
    xs = [round(x + 0.08 * (i - (n - 1) / 2), 3) for x, _, _ in means]
    marker = {"size": 9, "color": tint, "symbol": symbol(i)}
    bars = whiskers([e.low for _, _, e in means], mids, [e.high for _, _, e in means]) | {"color": tint}
    trace = scatter("lines+markers", xs, [round(mid, 6) for mid in mids], marker, texts)
    return trace | {"legendgroup": f"g{i}", "error_y": bars, "line": {"color": tint, "width": 2}}


def class_names(document: Doc) -> list[str]:
    """Return the classes of a feature map; numbers stand in where no names are given."""
    listed = names(document, "classes")
    labels = [number(label) for item in parts(document, "maps") for label in _column(item, "label")]
    most = int(max((label for label in labels if label is not None), default=-1))
    return listed + [f"class {i}" for i in range(len(listed), min(most + 1, 10_000))]


def _column(document: Doc, key: str) -> list[object]:
    value = document.get(key)
    return list(value) if isinstance(value, list) else []


def feature_map(document: Doc, classes: list[str], key: str) -> Chart:
    """Draw one model's feature map; colour and symbol say the class, grey says that there is no label."""
    points = _points(document, classes)
    total, stride = len(points), -(-len(points) // MAP_POINTS) or 1
    shape = layout("", "")
    bare = {"showgrid": False, "showticklabels": False, "zeroline": False, "showline": True, "linecolor": "@line"}
    shape["xaxis"] |= bare | {"mirror": True, "title": {"text": ""}}
    shape["yaxis"] |= bare | {"mirror": True, "title": {"text": ""}, "scaleanchor": "x"}
    traces = [_cloud(points[::stride], i, classes) for i in range(-1, len(classes))]
    share = f"{len(points[::stride]):,} of {total:,}" if stride > 1 else f"{total:,}"
    model = words(document, "model", "model")
    return Chart(
        key=key,
        title=short(model, 60),
        caption=f"{share} images. Those near each other look alike to this model; axes have no unit.",
        figure=figure(traces, shape),
        height=420,
    )


def _points(document: Doc, classes: list[str]) -> list[tuple[float, float, int, str]]:
    xs, ys, labels = (_column(document, key) for key in ("x", "y", "label"))
    splits = _column(document, "split") or [""] * len(xs)
    rows = []
    for x, y, label, split in zip(xs, ys, labels or [-1] * len(xs), splits, strict=False):
        a, b = number(x), number(y)
        if a is not None and b is not None:
            rows.append((a, b, _class_index(label, classes), str(split or "")))
    return rows


def _class_index(label: object, classes: list[str]) -> int:
    if isinstance(label, str) and label in classes:
        return classes.index(label)
    index = number(label)
    return int(index) if index is not None and 0 <= index < len(classes) else -1


def _cloud(points: list[tuple[float, float, int, str]], index: int, classes: list[str]) -> Figure:
    mine = [point for point in points if point[2] == index]
    name = "no label" if index < 0 else plotly(classes[index])
    look = {"opacity": 0.45 if index < 0 else 0.8, "color": colour(index), "symbol": symbol(index)}
    marker = {"size": 7, **look, "line": {"width": 0.5, "color": "@ground"}}
    xs, ys = [round(p[0], 3) for p in mine], [round(p[1], 3) for p in mine]
    texts = [f"{name}<br>{plotly(p[3])}" if p[3] else name for p in mine]
    return scatter("markers", xs, ys, marker, texts) | {"legendgroup": f"g{index}"}


def legend(document: Doc, classes: list[str]) -> list[Swatch]:
    """Return the legend that all maps share: the classes, and "no label" where a point has none."""
    used = {point[2] for item in parts(document, "maps") for point in _points(item, classes)}
    return [swatch(i, [*classes, "no label"][i]) for i in (*range(len(classes)), -1) if i in used]


def sections(material: Material) -> list[Section]:
    """Return the feature maps, one chart per model, with one legend of classes for all."""
    document = material.contents.map
    classes = class_names(document)
    items = parts(document, "maps")
    drawings = [feature_map(item, classes, f"map-{i}") for i, item in enumerate(items)]
    drawings = [chart for chart in drawings if chart.figure["data"]]
    note = "Each dot is an image, placed by its features in two dimensions. Press a class to hide or show it."
    return [Section("maps", "Feature maps", [note], drawings, legend=legend(document, classes))] if drawings else []

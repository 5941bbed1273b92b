"""Found data -> the sections of a report, in reading order. A section without data does not exist."""

from __future__ import annotations

from acclimate.errors import DataError
from acclimate.reports.draw import adaptations, charts, inside, live, maps, monitors, plot, provenance, summary, tables
from acclimate.reports.draw import curves as proofs
from acclimate.reports.draw import foresight as trusting
from acclimate.reports.draw.blocks import Chart, Report, Section, Table
from acclimate.reports.draw.payload import payload
from acclimate.reports.read import efficiency, frames, runs
from acclimate.reports.read import ranks as standing
from acclimate.reports.read.collect import Doc, Found, Run, names, parts, words
from acclimate.reports.read.foresight import ask, target_of
from acclimate.reports.read.grid import Grid, mixed_units
from acclimate.reports.read.grid import build as grid_of
from acclimate.reports.read.leaderboard import Board, boards, ranked
from acclimate.reports.text import LEVEL_TEXT
from acclimate.stats import spearman

SHARED = "Those that share a rank cannot be told apart with the images at hand; their order means nothing."
FROM_ROWS = " Made from the result rows: intervals are over seeds, and two that meet count as a tie."
MONITORED = (
    " Feature spread and RankMe fall when features collapse; neighbours in common say how far the model has moved; "
    "kNN agreement, where there are labels, is the share of an image's nearest neighbours that have its class."
)
BEST = "A run keeps its step with the lowest log loss."
LISTED = 2000  # rows with a table of their own
DRAWN = 24  # runs of adaptation with a chart
VALIDATION = (
    ("val_accuracy", "Validation accuracy", "Higher"),
    ("val_log_loss", "Validation log loss", "Lower"),
)


def build(found: Found, target: str | None = None) -> Report:
    """Return the whole report of what was found; ``target`` is the protocol that the cheap ones should foresee.

    Raises
    ------
    DataError
        If there is no such protocol, or if tables are all there is and none can be used.
    """
    grid, problems = _grid(found)
    aim = target_of(grid, target) if grid else None
    trust, why = ask(grid, aim) if grid and aim else (None, "nothing says which is which; say --target PROTOCOL")
    leaders, board = _leaders(found, grid, aim)
    told = bool(found.findings)  # then the summary does not say what the numbers say, and the sections do
    made = [
        *([live.leaderboard(grid, board, aim)] if grid and board else leaderboards(leaders, told)),
        *proxies(leaders if found.rank else []),
        *(live.sections(grid, trust, listed=not found.tables and len(found.rows) <= LISTED) if grid else []),
        *compared(found),
        *recipes(found, told),
        *adaptation(found),
        *learning(found),
        *inside.section(found),
        *label_efficiency(found, told),
        *feature_maps(found.map),
        *measurements(found),
        *provenance.section(found, grid),
    ]
    return Report(
        title=found.title,
        subtitle=provenance.subtitle(found, grid),
        tiles=summary.tiles(found, leaders),
        summary=summary.sentences(found, leaders, trust.answer if trust else {}),
        warnings=[*summary.warnings(found, grid), *(mixed_units(grid) if grid else []), *problems],
        sections=made,
        grid=payload(grid, trust, aim) if grid else None,
        absent=[*(live.absent(grid, trust, why) if grid else []), *absent(found)],
    )


def _grid(found: Found) -> tuple[Grid | None, list[str]]:
    """Return the grid of all numbers where two models or more have some, and which tables were left out."""
    models = {words(row, "model") for row in found.rows}
    if not found.tables and len(models) < 2:
        return None, []
    frame, problems = frames.table_of(found)
    made = None if frame is None else grid_of(frame)
    nothing_else = not any((found.rows, found.rank, found.runs, found.curve, found.map, found.findings, found.compare))
    if made is None and nothing_else:
        raise DataError(problems[0] if problems else "the table has numbers of one model only; expected two or more")
    return made, problems


def _leaders(found: Found, grid: Grid | None, target: str | None) -> tuple[list[Board], Board | None]:
    """Return the leaderboards, and that of the grid where it is the one."""
    if parts(found.rank, "models"):
        return [ranked(found.rank)], None
    if grid is None:
        return boards(found), None
    first = standing.board(grid, standing.headline(grid, target))
    return [first], first


def compared(found: Found) -> list[Section]:
    """Return what `compare` left."""
    said, shown = trusting.compared(found.compare)
    return [Section("compare", "What was asked of compare", said, tables=shown)] if said or shown else []


def absent(found: Found) -> list[str]:
    """Return in a line each which other sections are not there and why."""
    missing = {
        "Learning curves: no run with a log.": not any(run.log for run in found.runs),
        "Label efficiency: no curve.json of the command curve.": not found.curve and not found.elsewhere,
        "Feature shift: no run that explain looked into.": not any(run.inside for run in found.runs),
    }
    return [line for line, gone in missing.items() if gone]


def leaderboards(leaders: list[Board], told: bool) -> list[Section]:
    """Return one section per leaderboard: the chart, then the table."""
    made = []
    for i, board in enumerate(leaders):
        tag = f"leaderboard{i or ''}"
        chart = charts.leaderboard(board, f"{tag}-chart")
        title = "Leaderboard" + (f": {board.dataset}" if len(leaders) > 1 else "")
        said = [SHARED + (FROM_ROWS if board.basis == "rows" else "")]
        if told:
            said = [" ".join(summary.leader(board)), *said]
        table = tables.leaderboard(board, f"{tag}-table")
        made.append(Section(tag, title, said, [chart] if chart else [], [table]))
    return made


def proxies(leaders: list[Board]) -> list[Section]:
    """Return the cheap proxies drawn against the final numbers, where at least two models have both."""
    made: list[Chart] = []
    for i, board in enumerate(leaders):
        names = dict.fromkeys(name for entry in board.entries for name in entry.proxies)
        for j, name in enumerate(names):
            pairs = [(x, e.final) for e in board.entries if (x := e.proxies.get(name)) is not None]
            known = [(x, y) for x, y in pairs if y is not None]
            if len(known) > 1:
                rho = spearman([x for x, _ in known], [y for _, y in known])
                made.append(charts.proxy(board, name, f"proxy{i}-{j}", rho))
    note = "How well the cheap scores foresaw the final numbers. With few models a perfect order can be luck."
    return [Section("proxies", "Proxies against final numbers", [note], made)] if made else []


def recipes(found: Found, told: bool) -> list[Section]:
    """Return the finetuning runs side by side."""
    known = runs.finetuned(found)
    if not known:
        return []
    note = "Choices are made on the validation split; the test split is only looked at afterwards. "
    note += f"Intervals below accuracies are {LEVEL_TEXT}, from the count of images."
    title = "Recipes compared" if len(known) > 1 else "The finetuning run"
    ordered = sorted(known, key=lambda run: (runs.setting(run), -(summary.accuracy(run) or 0.0)))
    return [
        Section(
            "recipes",
            title,
            [*(summary.best_recipe(known) if told else []), note],
            tables=[tables.recipes(ordered)],
        )
    ]


def adaptation(found: Found) -> list[Section]:
    """Return the adaptation runs: what their monitors saw, what they kept, and what they ran with."""
    known = runs.adapted(found)
    if not known:
        return []
    made = [chart for i, run in enumerate(known) if (chart := monitors.chart(run, f"monitors-{i}"))]
    said = ["Adaptation looks at images without labels; monitors decide whether its weights are kept."]
    if made:
        said[0] += MONITORED
    if len(made) > DRAWN:
        said.append(f"The first {DRAWN} of {len(made)} runs are drawn; the table has all of them.")
    shown = [adaptations.outcomes(known), *adaptations.settings(known)]
    return [Section("adaptation", "Adaptation", said, made[:DRAWN], shown)]


def learning(found: Found) -> list[Section]:
    """Return the learning curves: one loss chart per objective, then what validation said."""
    known = [run for run in found.runs if run.log]
    names = runs.labels_of(known, with_model=True)
    order = list(names.values())
    made = [chart for i, name in enumerate(runs.objectives(known)) for chart in _loss(known, names, name, i)]
    for key, title, better in VALIDATION:
        if curves := runs.curves(known, names, key):
            made.append(charts.learning(curves, order, title, f"{better} is better.", f"curve-{key}"))
    made += _final_stage(known, names)
    if not made:
        return []
    note = (
        "One line per run; press a name to hide or show it. Steps count over all stages of a run; a diamond "
        "marks where a later stage begins. Losses of different objectives do not compare: each has its chart."
    )
    return [Section("learning", "Learning curves", [note], made, legend=plot.swatches(order, lines=True))]


def _loss(known: list[Run], names: dict[str, str], objective: str, i: int) -> list[Chart]:
    curves = runs.curves(known, names, "loss", objective)
    title = f"Training loss, {objective}" if objective else "Training loss"
    order = list(names.values())
    return [charts.learning(curves, order, title, "Lower is better.", f"curve-loss-{i}")] if curves else []


def _final_stage(known: list[Run], names: dict[str, str]) -> list[Chart]:
    """Return what validation said of the last stages alone; nothing where that would be the same charts again."""
    if not any(len(parts(run.document, "stages")) > 1 for run in runs.finetuned_of(known)):
        return []
    made = []
    for key, title, better in VALIDATION:
        curves = [curve for run in known if (curve := runs.final_curve(run, names[run.name], key)).steps]
        if len(curves) > 1:
            said = f"The last stage of each run, its steps counted from that stage's start. {better} is better. {BEST}"
            heading, tag = f"{title}, final stage", f"final-{key}"
            made.append(charts.learning(curves, list(names.values()), heading, said, tag, "step of the final stage"))
    return made


def label_efficiency(found: Found, told: bool) -> list[Section]:
    """Return the label-efficiency charts and the paired gains over the base model."""
    curve = found.curve
    metrics = efficiency.metrics_of(curve)
    if not metrics:
        return []
    legend = plot.swatches(efficiency.models(curve))
    said = [verdict] if told and (verdict := words(curve, "verdict")) and verdict not in found.findings else []
    said += efficiency.verdicts(curve) if told else []
    said.append("Seeds draw other labels; differences are paired by seed, on the same images.")
    said += [f"Note: {note}." for note in names(curve, "notes")]
    drawn = [*_by_labels(curve, metrics), *_finetuned(found)]
    return [Section("labels", "Label efficiency", said, drawn, _curve_tables(curve), legend)]


def _finetuned(found: Found) -> list[Chart]:
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


def _curve_tables(curve: Doc) -> list[Table]:
    """Return the curve's comparisons and its points."""
    if not words(curve, "base"):
        return []
    compared = [proofs.comparisons(curve)] if parts(curve, "comparisons") else []
    return [*compared, proofs.side_by_side(curve), proofs.points(curve)]


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


def feature_maps(document: Doc) -> list[Section]:
    """Return the feature maps, one chart per model, with one legend of classes for all."""
    classes = maps.class_names(document)
    items = parts(document, "maps")
    made = [maps.feature_map(item, classes, f"map-{i}") for i, item in enumerate(items)]
    made = [chart for chart in made if chart.figure["data"]]
    note = "Each dot is an image, placed by its features in two dimensions. Press a class to hide or show it."
    legend = maps.legend(document, classes)
    return [Section("maps", "Feature maps", [note], made, legend=legend)] if made else []


def measurements(found: Found) -> list[Section]:
    """Return every result row, averaged over seeds; of very many the live table is enough."""
    if not 0 < len(found.rows) <= LISTED:
        return []
    note = "The CSV file holds each row by itself, with all its settings."
    return [Section("rows", "All measurements", [note], tables=[tables.result_rows(found.rows)])]

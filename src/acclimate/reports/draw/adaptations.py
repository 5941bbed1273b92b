"""Tables of adaptation without labels: what each run changed and kept, and the settings it ran with."""

from __future__ import annotations

from acclimate.reports.draw import monitors
from acclimate.reports.draw.blocks import DataTable, Section, TableCell, TableColumn, Value
from acclimate.reports.draw.monitors import kept_step
from acclimate.reports.draw.tables import change_cell, figure_cell, flat, model_cell, text_cell, time_cell
from acclimate.reports.read import runs
from acclimate.reports.read.collect import Doc, Run, part, words
from acclimate.reports.read.leaderboard import random_start
from acclimate.reports.read.material import Material
from acclimate.reports.text import Json, count, number

MONITORED = (
    " Feature spread and RankMe fall when features collapse; neighbours in common say how far the model has moved; "
    "kNN agreement, where there are labels, is the share of an image's nearest neighbours that have its class."
)
DRAWN = 24  # runs with a chart


def sections(material: Material) -> list[Section]:
    """Return the adaptation runs: what their monitors saw, what they kept, and what they ran with."""
    adaptations = runs.adapted(material.contents)
    if not adaptations:
        return []
    drawings = [chart for i, run in enumerate(adaptations) if (chart := monitors.chart(run, f"monitors-{i}"))]
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
    return DataTable(
        key="adapt-table",
        caption="Adaptation without labels, before and after",
        columns=columns,
        rows=[_outcome(run) for run in adaptations],
        records=[_record(run) for run in adaptations],
    )


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

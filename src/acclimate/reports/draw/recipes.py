"""The finetuning runs side by side, and every result row, averaged over seeds."""

from __future__ import annotations

from acclimate.reports.draw import summary
from acclimate.reports.draw.blocks import DataTable, Section, TableCell, TableColumn, Value
from acclimate.reports.draw.tables import FIRST, SPLITS, figure_cell, flat, metrics, model_cell, text_cell, time_cell
from acclimate.reports.read import runs
from acclimate.reports.read.collect import Doc, Run, part, words
from acclimate.reports.read.leaderboard import group, mean_of, metric_estimate, random_start
from acclimate.reports.read.material import Material
from acclimate.reports.text import LEVEL_TEXT, count, number, percent, span
from acclimate.stats import METRICS

NOTE = (
    "Choices are made on the validation split; the test split is only looked at afterwards. Intervals below accuracies "
    f"are {LEVEL_TEXT}, from the count of images."
)


def sections(material: Material) -> list[Section]:
    """Return the finetuning runs, those of one setting together, the most accurate first."""
    finetuned = runs.finetuned(material.contents.runs)
    if not finetuned:
        return []
    heading = "Recipes compared" if len(finetuned) > 1 else "The finetuning run"
    ordered = sorted(finetuned, key=lambda run: (runs.setting(run), -(summary.accuracy(run) or 0.0)))
    sentences = [*(summary.best_recipe(finetuned) if material.summarised else []), NOTE]
    return [Section("recipes", heading, sentences, tables=[table(ordered)])]


def table(finetuned: list[Run]) -> DataTable:
    """Return runs side by side, with the share of parameters that each one trained beside its name."""
    labels = runs.labels_of(finetuned)
    splits = [split for split in SPLITS if any(part(run.document, split) for run in finetuned)]
    wanted = [(s, m) for s in splits for m in (metrics() if s == splits[-1] else FIRST)]
    columns_of = [(s, m) for s, m in wanted if any(m in part(run.document, s) for run in finetuned)]
    every = [(s, m) for s in splits for m in metrics()]
    return DataTable(
        key="recipes-table",
        caption="Recipes, with the share of parameters that each stage trained",
        columns=[
            TableColumn("Recipe"),
            TableColumn("Model"),
            TableColumn("Labels", True, "labels per class, or share of all labels, that training saw"),
            *(TableColumn(f"{SPLITS[s]} {METRICS[m].title}", True) for s, m in columns_of),
            TableColumn("Trained", True, "the largest number of parameters that a stage trained"),
            TableColumn("Time", True),
        ],
        rows=[_recipe_row(run, labels[run.name], columns_of) for run in finetuned],
        records=[_recipe_record(run, labels[run.name], every) for run in finetuned],
    )


def _recipe_row(run: Run, label: str, columns: list[tuple[str, str]]) -> list[TableCell]:
    trained = (runs.largest_share(run) or (None,))[0]
    return [
        TableCell(runs.recipe(run), label, note=runs.fractions(run)),
        model_cell(words(run.document, "model", "–"), random=random_start(run.document)),
        text_cell(words(run.document, "labels", "all")),
        *(_measured(run, split, metric) for split, metric in columns),
        TableCell(count(trained), trained),
        time_cell(runs.seconds(run)),
    ]


def _measured(run: Run, split: str, metric: str) -> TableCell:
    ends = runs.interval(run, split) if metric == "accuracy" else None
    return figure_cell(part(run.document, split).get(metric), METRICS[metric].digits, span(*ends) if ends else "")


def _recipe_record(run: Run, label: str, columns: list[tuple[str, str]]) -> dict[str, Value]:
    trained, total = runs.largest_share(run) or (None, None)
    return {
        "recipe": label,
        "run": run.name,
        "model": words(run.document, "model"),
        "labels": words(run.document, "labels", "all"),
        **{f"{split} {metric}": number(part(run.document, split).get(metric)) for split, metric in columns},
        "stages": runs.fractions(run),
        "trainable": trained,
        "total": total,
        "seconds": runs.seconds(run),
        "random_start": "yes" if random_start(run.document) else "no",
    }


def measurements(material: Material) -> list[Section]:
    """Return every result row, averaged over seeds."""
    if not material.listed:
        return []
    note = "The CSV file holds each row by itself, with all its settings."
    return [Section("rows", "All measurements", [note], tables=[_measured_rows(material.contents.rows)])]


def _measured_rows(rows: list[Doc]) -> DataTable:
    """Return the result rows, averaged over seeds; the CSV file has every row by itself."""
    groups = group(rows, ("dataset", "model", "protocol", "labels"))
    splits = [s for s in SPLITS if any(part(part(row, "metrics"), s) for row in rows)]
    numbers = [(s, m) for s in splits for m in FIRST]
    columns = [
        *(TableColumn(title) for title in ("Data", "Model", "Protocol")),
        TableColumn("Labels", True),
        TableColumn("Seeds", True),
        *(TableColumn(f"{SPLITS[s]} {METRICS[m].title}", True) for s, m in numbers),
        TableColumn("Trained", True),
        TableColumn("Time", True),
    ]
    body = [_group_row(key, members, numbers) for key, members in groups.items()]
    caption = "Every measurement, averaged over seeds"
    return DataTable("rows-table", caption, columns, body, [flat(row) for row in rows], folded=True)


def _group_row(key: tuple[str, ...], members: list[Doc], numbers: list[tuple[str, str]]) -> list[TableCell]:
    first = members[0]
    return [
        text_cell(key[0]),
        model_cell(key[1], random=any(random_start(row) for row in members)),
        text_cell(key[2], note=percent(first.get("trainable"), first.get("total"))),
        TableCell(key[3] or "–", number(first.get("labels")) or key[3]),
        TableCell(str(len(members)), len(members)),
        *(_estimate(members, split, metric) for split, metric in numbers),
        TableCell(count(first.get("trainable")), number(first.get("trainable"))),
        time_cell(mean_of(members, "seconds")),
    ]


def _estimate(members: list[Doc], split: str, metric: str) -> TableCell:
    mean, low, high, _ = metric_estimate(members, split, metric) or (None,) * 4
    return figure_cell(mean, METRICS[metric].digits, span(low, high))

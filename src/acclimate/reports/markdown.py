"""A report -> Markdown: the words and the tables; the charts stay on the page."""

from __future__ import annotations

from acclimate.reports.draw.blocks import DataTable, Report, Section, TableCell
from acclimate.reports.text import markdown as safe

ROWS = 200  # of one table


def render(report: Report) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    lines = [f"# {safe(report.title)}", "", safe(report.subtitle), ""]
    lines += [line for warning in report.warnings for line in (f"> **Note.** {safe(warning)}", "")]
    lines += [f"- {safe(sentence)}" for sentence in report.summary]
    for section in report.sections:
        lines += ["", *_section(section)]
    lines += ["", "## Left out", "", *(f"- {safe(line)}" for line in report.absent)] if report.absent else []
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section) -> list[str]:
    lines = [f"## {safe(section.title)}", ""]
    lines += [line for words in section.words for line in (safe(words), "")]
    lines += [*(f"- {safe(note)}" for note in section.notes), ""] if section.notes else []
    for table in section.tables:
        if table.rows or not table.view:
            lines += [*_table(table), ""]
    if section.charts:
        titles = "; ".join(safe(chart.title) for chart in section.charts)
        lines += [f"Charts in `report.html`: {titles}."]
    return lines


def _table(table: DataTable) -> list[str]:
    head = "| " + " | ".join(safe(column.title) for column in table.columns) + " |"
    rule = "|" + "|".join(" ---: " if column.numeric else " --- " for column in table.columns) + "|"
    body = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in table.rows[:ROWS]]
    more = ["", f"{len(table.rows) - ROWS:,} more rows in `report.html`."] if len(table.rows) > ROWS else []
    return [f"**{safe(table.caption)}**", "", head, rule, *body, *more]


def _cell(cell: TableCell) -> str:
    marks = [f"**{safe(badge.text)}**" for badge in cell.badges]
    note = [f"({safe(cell.note)})"] if cell.note else []
    return " ".join([safe(cell.text), *note, *marks])

"""A report -> Markdown: the words and the tables; the charts stay on the page."""

from __future__ import annotations

from acclimate.reports.draw.blocks import Report
from acclimate.reports.page import templates
from acclimate.reports.text import markdown

ROWS = 200  # of one table


def render(report: Report) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    environment = templates(autoescape=False)
    environment.filters["markdown"] = markdown
    text: str = environment.get_template("template.md").render(report=report, rows=ROWS)
    return text.rstrip() + "\n"

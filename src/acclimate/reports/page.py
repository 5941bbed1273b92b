"""A report -> one HTML file that needs nothing else, styles, data, Plotly and its own script inside; and Markdown.

The page's Content-Security-Policy allows exactly the scripts written here, by their SHA-256, and no network
at all, so that even a name that slipped through every escape could neither run nor call home.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from acclimate.reports.draw.blocks import DataTable, Report
from acclimate.reports.text import markdown

ROWS = 200  # of one table in Markdown
WEB = Path(__file__).with_name("web")
SCRIPTS = ("theme.js", "tables.js", "grid.js", "figures.js", "ranks.js", "live.js", "page.js")


def render(report: Report) -> str:
    """Return the page as text."""
    # The page's own script is one closure of all its files, of which the last draws.
    own_script = '(() => {\n"use strict";\n' + "\n".join(_read(name) for name in SCRIPTS) + "\n})();\n"
    scripts = [_plotly(), own_script]
    template = _templates(autoescape=True).get_template("template.html")
    return template.render(
        report=report,
        policy=policy(scripts),
        style=Markup(_read("style.css")),
        data=Markup(script_json(payload(report))),
        scripts=[Markup(script) for script in scripts],
    )


def render_markdown(report: Report) -> str:
    """Return the words and the tables as GitHub-flavoured Markdown; the charts stay on the page."""
    environment = _templates(autoescape=False)
    environment.filters["markdown"] = markdown
    return environment.get_template("markdown.jinja").render(report=report, rows=ROWS).rstrip() + "\n"


def _templates(*, autoescape: bool) -> Environment:
    loader = FileSystemLoader(WEB)
    return Environment(
        loader=loader, autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _read(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """Return Plotly's own script, with the line ends that an HTML parser makes before it takes the hash."""
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]  # plotly 5 and 6 ship no types

    source: str = get_plotlyjs()
    return source.replace("\r\n", "\n").replace("\r", "\n")


def policy(scripts: list[str]) -> str:
    """Return a Content-Security-Policy that allows these scripts and the page's own styles, nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def payload(report: Report) -> dict[str, Any]:
    """Return what the script needs: the figures by key, each table's records as columns and rows, and the grid."""
    charts = [chart for section in report.sections for chart in section.charts]
    tables = [table for section in report.sections for table in section.tables]
    data: dict[str, Any] = {
        "charts": {chart.key: chart.figure for chart in charts if not chart.view},
        "tables": {table.key: _records(table) for table in tables if not table.view},
    }
    return data | ({"grid": report.grid} if report.grid else {})


def _records(table: DataTable) -> dict[str, Any]:
    columns = list(dict.fromkeys(key for record in table.records for key in record))
    rows = [[record.get(key) for key in columns] for record in table.records]
    return {"columns": columns, "rows": rows}


def script_json(value: object) -> str:
    """Return JSON that cannot end the script element it stands in, nor a line of JavaScript."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text

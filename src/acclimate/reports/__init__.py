"""Result rows and run documents -> one self-contained interactive page, and the same in Markdown.

No torch is needed, no network, and no server: the page carries Plotly inside and forbids itself to fetch anything.
"""

from __future__ import annotations

from pathlib import Path


def report(folder: Path, target: str | None = None) -> Path:
    """Write ``report.html`` and ``report.md`` into a folder, from whatever runs and results lie there; return the page.

    The folder is what a command wrote, one of such folders, or one with results tables; or it is a results table by
    itself, beside which ``NAME-report.html`` is written. ``target`` is the protocol that the cheap ones should foresee;
    None finds out. Raises `DataError` if the folder does not exist or holds nothing to report, or has no protocol of
    the target's name; `InputError` if the report cannot be written there: no permission, no space.
    """
    from acclimate.reports.page import render, render_markdown
    from acclimate.reports.read.collect import collect
    from acclimate.reports.sections import build
    from acclimate.storage.store import write_atomic

    folder = Path(folder)
    content = build(collect(folder), target)
    where = folder.with_name(f"{folder.stem}-report.html") if folder.is_file() else folder / "report.html"
    write_atomic(where.with_suffix(".md"), render_markdown(content))
    write_atomic(where, render(content))
    return where

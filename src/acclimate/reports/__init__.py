"""Result rows and run documents -> one self-contained interactive page, and the same in Markdown.

No torch is needed, no network, and no server: the page carries Plotly inside and forbids itself to fetch anything.
"""

from __future__ import annotations

from pathlib import Path


def report(folder: Path, target: str | None = None) -> Path:
    """Write ``report.html`` and ``report.md`` into a folder, from whatever runs and results lie there.

    Parameters
    ----------
    folder : Path
        What a command wrote, a folder of such folders, or one with results tables; or a results table by itself,
        beside which ``NAME-report.html`` is written.
    target : str or None
        The protocol that the cheap ones should foresee; None finds out.

    Returns
    -------
    Path
        The page, ``folder / "report.html"``.

    Raises
    ------
    DataError
        If the folder does not exist or holds nothing to report, or has no protocol of the target's name.
    InputError
        If the report cannot be written there: no permission, no space.
    """
    from acclimate.reports.markdown import render as markdown
    from acclimate.reports.page import render as page
    from acclimate.reports.read.collect import collect
    from acclimate.reports.sections import build
    from acclimate.storage.store import write_atomic

    folder = Path(folder)
    content = build(collect(folder), target)
    where = folder.with_name(f"{folder.stem}-report.html") if folder.is_file() else folder / "report.html"
    write_atomic(where.with_suffix(".md"), markdown(content))
    write_atomic(where, page(content))
    return where

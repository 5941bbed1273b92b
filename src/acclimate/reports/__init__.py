"""Result rows and run documents -> one self-contained interactive page, and the same in Markdown.

No torch is needed, no network, and no server: the page carries Plotly inside and forbids itself to fetch
anything.
"""

from __future__ import annotations

from pathlib import Path


def report(folder: Path) -> Path:
    """Write ``report.html`` and ``report.md`` into a folder, from whatever runs and results lie there.

    Parameters
    ----------
    folder : Path
        What `rank`, `tune`, `adapt`, `curve` or `demo` wrote, or a folder of such folders.

    Returns
    -------
    Path
        The page, ``folder / "report.html"``.

    Raises
    ------
    DataError
        If the folder does not exist or holds nothing to report.
    InputError
        If the report cannot be written there: no permission, no space.
    """
    from ..store import write_atomic
    from .collect import collect
    from .markdown import render as markdown
    from .page import render as page
    from .sections import build

    folder = Path(folder)
    made = build(collect(folder))
    write_atomic(folder / "report.md", markdown(made))
    write_atomic(folder / "report.html", page(made))
    return folder / "report.html"


__all__ = ["report"]

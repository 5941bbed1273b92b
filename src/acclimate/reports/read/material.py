"""All that the sections of a report are drawn from: what a folder holds, and what was computed from it once."""

from __future__ import annotations

from dataclasses import dataclass, field

from acclimate.errors import DataError
from acclimate.reports.read import frames, ranks
from acclimate.reports.read.collect import Contents, parts, words
from acclimate.reports.read.foresight import Foresight, ask, target_of
from acclimate.reports.read.grid import Grid
from acclimate.reports.read.grid import build as grid_of
from acclimate.reports.read.leaderboard import Board, boards, ranked

LISTED = 2000  # rows with a table of their own


@dataclass(frozen=True, eq=False)
class Material:
    """What sections are drawn from."""

    contents: Contents
    grid: Grid | None = None  # all numbers, where two models or more have some
    target: str | None = None  # the protocol that the cheap ones should foresee
    foresight: Foresight | None = None  # whether they do
    unforeseen: str = ""  # or why nobody can say
    boards: list[Board] = field(default_factory=list)  # leaderboards
    live: bool = False  # the only one is a column of the grid
    problems: list[str] = field(default_factory=list)  # a sentence for each table that was left out

    @property
    def summarised(self) -> bool:
        """Whether a program wrote findings; the summary then has its words, and what numbers say is in the sections."""
        return bool(self.contents.findings)

    @property
    def listed(self) -> bool:
        """Whether every result row has a line in a table of its own; of very many the live table is enough."""
        return 0 < len(self.contents.rows) <= LISTED


def gather(contents: Contents, target: str | None = None) -> Material:
    """Return the material of a report; ``target`` is the protocol that the cheap ones should foresee.

    Raises `DataError` if there is no such protocol, or if tables are all there is and none can be used.
    """
    grid, problems = _grid(contents)
    aim = target_of(grid, target) if grid else None
    foresight, why = ask(grid, aim) if grid and aim else (None, "nothing says which is which; say --target PROTOCOL")
    leaders, live = _boards(contents, grid, aim)
    return Material(contents, grid, aim, foresight, why, leaders, live, problems)


def _grid(contents: Contents) -> tuple[Grid | None, list[str]]:
    """Return the grid of all numbers where two models or more have some, and which tables were left out."""
    models = {words(row, "model") for row in contents.rows}
    if not contents.tables and len(models) < 2:
        return None, []
    frame, problems = frames.table_of(contents)
    grid = None if frame is None else grid_of(frame)
    if grid is None and not contents.documented:
        raise DataError(problems[0] if problems else "the table has numbers of one model only; expected two or more")
    return grid, problems


def _boards(contents: Contents, grid: Grid | None, target: str | None) -> tuple[list[Board], bool]:
    """Return the leaderboards, and whether the one there is belongs to the grid."""
    if parts(contents.rank, "models"):
        return [ranked(contents.rank)], False
    if grid is None:
        return boards(contents), False
    return [ranks.board(grid, ranks.headline(grid, target))], True

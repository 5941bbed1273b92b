"""What a report is made of: sections of sentences, tables and charts, for both writers, page and Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

Figure: TypeAlias = dict[str, Any]  # Plotly's own JSON: {"data": [...], "layout": {...}}
Value: TypeAlias = str | float | int | None


@dataclass(frozen=True)
class Badge:
    """A short mark beside a name: kind is ``best``, ``tie``, ``random`` or ``plain``."""

    kind: str
    text: str


@dataclass(frozen=True)
class TableCell:
    """One table cell: what is read (text, a smaller note, marks) and the value it sorts by."""

    text: str
    value: Value = None
    note: str = ""
    badges: tuple[Badge, ...] = ()


@dataclass(frozen=True)
class TableColumn:
    """A column heading; numbers stand to the right, and ``hint`` explains the heading where it needs it."""

    title: str
    numeric: bool = False
    hint: str = ""


@dataclass(frozen=True)
class DataTable:
    """A table to read, and ``records``: the same facts unrounded, one flat object per CSV line.

    With a ``view`` the page's script fills it from the grid, page by page; ``rows`` are then for Markdown alone.
    """

    key: str
    caption: str
    columns: list[TableColumn]
    rows: list[list[TableCell]]
    records: list[dict[str, Value]]
    folded: bool = False
    view: str = ""


@dataclass(frozen=True)
class Chart:
    """One Plotly figure with the words that replace it for those who cannot see it.

    With a ``view`` the page's script makes the figure of that name from the grid, for what the reader chose.
    """

    key: str
    title: str
    caption: str
    figure: Figure
    height: int = 360
    wide: bool = False
    view: str = ""


@dataclass(frozen=True)
class Swatch:
    """One entry of a legend that several charts share; its name is also the traces' ``legendgroup``."""

    name: str
    group: str
    symbol: str
    colour: str


@dataclass(frozen=True)
class Control:
    """One choice of a live section: ``key`` in the page's state, and (value, text) of its options, the first chosen."""

    key: str
    label: str
    options: list[tuple[str, str]]


@dataclass(frozen=True)
class Tile:
    """One key figure at the top of the page."""

    label: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """One part of the report, in reading order: words, charts, tables; a ``live`` one obeys the filters.

    ``notes`` are for those who want to know more: folded on the page.
    """

    key: str
    title: str
    words: list[str] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    tables: list[DataTable] = field(default_factory=list)
    legend: list[Swatch] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)
    live: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """A whole report, ready to be written.

    ``grid`` is what the page's script draws live sections from; ``absent`` says in a line each what is not shown, and
    why.
    """

    title: str
    subtitle: str
    tiles: list[Tile]
    summary: list[str]
    warnings: list[str]
    sections: list[Section]
    grid: dict[str, Any] | None = None
    absent: list[str] = field(default_factory=list)

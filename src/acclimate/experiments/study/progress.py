"""How far a study is, on stderr: a bar with the time that is left, or a line now and then where nobody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from acclimate.experiments.study.plan import Cell
from acclimate.experiments.study.work import Event

EVERY = 30.0  # seconds between two lines


class Clock:
    """Guesses the time that is left from how long cells of the same protocol took."""

    def __init__(self, cells: Sequence[Cell], workers: int) -> None:
        self.waiting = {cell.id: cell.protocol for cell in cells}
        self.workers = workers
        self.begun: dict[str, float] = {}
        self.took: dict[str, list[float]] = {}

    def note(self, event: Event, now: float) -> None:
        """Take an event in. The opening of a group counts for nothing: it is not known what others will cost."""
        if event.kind == "start":
            self.begun[event.cell] = now
        elif event.kind in ("done", "failed", "seen"):
            protocol = self.waiting.pop(event.cell, "")
            if (begun := self.begun.pop(event.cell, None)) is not None:
                self.took.setdefault(protocol, []).append(now - begun)

    @property
    def left(self) -> float | None:
        """Seconds that are left, or None before the first cell is done."""
        if not self.took:
            return None
        means = {protocol: sum(times) / len(times) for protocol, times in self.took.items()}
        usual = sum(means.values()) / len(means)
        return sum(means.get(protocol, usual) for protocol in self.waiting.values()) / self.workers


def duration(seconds: float | None) -> str:
    """Return a time in words of one unit or two.

    Examples
    --------
    >>> duration(4000), duration(75), duration(3.2), duration(None)
    ('1 h 06 min', '1 min 15 s', '3 s', '?')
    """
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


class StudyProgress:
    """A context that shows events; called with each of them."""

    def __init__(self, cells: Sequence[Cell], *, workers: int, quiet: bool, words: Mapping[str, str]) -> None:
        """Take the cells of the plan; ``words`` are the names of the groups by id."""
        self.clock = Clock(cells, workers)
        self.total, self.quiet, self.words = len(cells), quiet, words
        self.failed, self.last = 0, time.monotonic()
        self.console = Console(stderr=True)
        columns = (
            TextColumn("{task.completed}/{task.total} cells"),
            BarColumn(30),
            TextColumn("{task.fields[left]} left"),
            TextColumn("{task.fields[what]}"),
        )
        self.bar = Progress(*columns, console=self.console, transient=True, disable=quiet)
        self.task = self.bar.add_task("", total=self.total, left="?", what="")

    def __enter__(self) -> Self:
        if not self.quiet and self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        now = time.monotonic()
        self.clock.note(event, now)
        self.failed += event.kind == "failed"
        if self.quiet:
            return
        what, done = self._what(event), self.total - len(self.clock.waiting)
        rest = duration(self.clock.left)
        self.bar.update(self.task, completed=done, left=rest)
        if what:
            self.bar.update(self.task, what=escape(what))
        if not self.console.is_terminal and (now - self.last > EVERY or event.kind == "open"):
            self.last = now
            failed = f", {self.failed} failed" if self.failed else ""
            print(f"{done} of {self.total} cells{failed}, {rest} left: {what}", file=sys.stderr, flush=True)

    def _what(self, event: Event) -> str:
        group = self.words.get(event.group, "")
        if event.kind == "images":
            return f"{group}: {event.done:,} of {event.total:,} images"
        return event.words if event.kind in ("open", "start") else ""

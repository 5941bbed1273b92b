"""What a run says while it runs: a progress bar for people, one JSON line per log point for programs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Value = float | int | str | None
Line = dict[str, Value]


class Journal:
    """Append-only ``metrics.jsonl`` and a progress bar on stderr (only where stderr is a terminal)."""

    def __init__(self, path: Path, *, position: int, quiet: bool) -> None:
        self.path = path
        path.touch(exist_ok=True)
        os.truncate(path, min(position, path.stat().st_size))  # lines past the checkpoint will be written again
        self._file = path.open("a", encoding="utf-8")
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
            console=console,
            disable=quiet or not sys.stderr.isatty(),
        )

    def __enter__(self) -> Journal:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._file.close()

    def stage(self, title: str, *, steps: int, done: int) -> Meter:
        """Begin a stage and return its meter."""
        task = self._bar.add_task(title, total=steps, completed=done, status="")
        return Meter(self._bar, task)

    def write(self, line: Line) -> None:
        """Append one line."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    @property
    def position(self) -> int:
        """Length of the file in bytes, for the checkpoint."""
        return self.path.stat().st_size


class Meter:
    """Counts images, seconds and the share of time spent waiting for data, since the last reading and in all."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self.images, self.waited = 0, 0.0
        self.started = self._last = time.perf_counter()
        self._last_images, self._last_waited = 0, 0.0
        self._status = ""

    @property
    def seconds(self) -> float:
        """Seconds since the stage began in this process."""
        return time.perf_counter() - self.started

    def advance(self, images: int, waited: float) -> None:
        """Count one optimizer step."""
        self.images += images
        self.waited += waited
        self._bar.update(self._task, advance=1)

    def reading(self, values: Mapping[str, Value]) -> Line:
        """Return images/s and the share of time waiting for data since the last reading; show them and ``values``."""
        now = time.perf_counter()
        span = max(now - self._last, 1e-9)
        speed = (self.images - self._last_images) / span
        share = (self.waited - self._last_waited) / span
        self._last, self._last_images, self._last_waited = now, self.images, self.waited
        self._status = ", ".join(f"{name} {value}" for name, value in values.items()) or self._status
        self._bar.update(self._task, status=f"{speed:.0f} images/s, {share:.0%} data  {self._status}")
        return {"images_per_second": round(speed, 2), "data_wait": round(share, 4)}

"""What a run writes on its way: checkpoints to go on from, and a journal to follow it by.

A checkpoint is everything a run needs to go on as if it had never stopped, written by rename.
No random-number state is kept, because there is none: every draw comes from a seed computed from the step number.

The journal is a progress bar for people, and one JSON line per log point for programs.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch import Tensor

from acclimate.errors import InputError
from acclimate.storage.store import write_atomic

CHECKPOINT = "checkpoint.pt"


@dataclass
class Best:
    """The best evaluation so far in a stage.

    Attributes
    ----------
    value, step
        Of the best evaluation, smaller is better: validation log loss, or what a watch says; infinity and 0 before the
        first.
    state
        The network's state there; None where no evaluation has been made.
    """

    value: float = float("inf")
    step: int = 0
    state: dict[str, Tensor] | None = None


@dataclass
class Position:
    """Where a run stands: the next step to do, and the state dicts, which are empty before the first step of a run.

    Attributes
    ----------
    identity
        Digest of all that decides the result: recipe, data, split, weights, seed, precision.
    journal
        Bytes of ``metrics.jsonl`` that belong to what was done.
    seconds, images
        Spent and seen in this stage before the checkpoint.
    finished
        Reports of the stages that are done.
    start
        The probe that the stage has to beat, and its validation log loss.
    last
        The network at the end of a stage that was watched, before its best step came back; that one where the end is
        not finite.
    """

    identity: str
    stage: int = 0
    step: int = 0
    journal: int = 0
    seconds: float = 0.0
    images: int = 0
    finished: list[dict[str, Any]] = field(default_factory=list)
    network: dict[str, Tensor] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    best: Best = field(default_factory=Best)
    start: Best = field(default_factory=Best)
    last: dict[str, Tensor] = field(default_factory=dict)


def save_position(folder: Path, position: Position) -> None:
    """Write the checkpoint; the one before stays whole until this one is."""
    buffer = io.BytesIO()
    values = {name: getattr(position, name) for name in position.__dataclass_fields__}
    torch.save({**values, "best": vars(position.best), "start": vars(position.start)}, buffer)
    write_atomic(folder / CHECKPOINT, buffer.getvalue())


def load_position(folder: Path, identity: str) -> Position:
    """Return where the run in this folder stands; a fresh start where there is no checkpoint.

    Raises InputError when the folder holds the checkpoint of another run.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return Position(identity)
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(f"'{path}' is damaged ({type(error).__name__}); delete the folder to begin anew") from None
    if values["identity"] != identity:
        raise InputError(
            f"'{folder}' holds an unfinished run with another recipe, data, model or seed; expected the same "
            "command to go on with it. Choose another --out, or delete the folder"
        )
    return Position(**{**values, **{name: Best(**values.get(name, {})) for name in ("best", "start")}})


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

"""What a study's folder knows: which cells have their row, which failed and why, and the table at the end.

``cells/ID.json`` names the row of a finished cell, ``failed/ID.json`` says why one has none. Both are written after the
row, whole or not at all: a process that is killed between the two finds the row by its key and writes the rest.
"""

from __future__ import annotations

import csv
import io
import json
import math
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acclimate.errors import AcclimateError, StudyError
from acclimate.experiments.study.plan import Cell, StudyPlan
from acclimate.storage.results import COLUMNS, Result, Results
from acclimate.storage.store import write_atomic

DOCUMENT = "study.json"
TABLE = "results.csv"


@dataclass(frozen=True)
class Ledger:
    """The folder of a study."""

    folder: Path

    @property
    def results(self) -> Results:
        """The rows."""
        return Results(self.folder)

    def key(self, cell: Cell) -> str | None:
        """Return the key of a finished cell's row; None while it is not finished."""
        key = str(_read(self._done(cell)).get("key", ""))
        return key if key and self.results.has(key) else None

    def has_failed(self, cell: Cell) -> bool:
        """Whether the cell was tried and has no row."""
        return self._failed(cell).is_file() and self.key(cell) is None

    def settled(self, cell: Cell) -> bool:
        """Whether nothing is left to do for a cell: it has its row, or a reason why not."""
        return self._failed(cell).is_file() or self.key(cell) is not None

    def finish(self, cell: Cell, row: Result) -> None:
        """Note the row of a cell, which is in `results` already."""
        note = {**asdict(cell), "key": row.key, "weights": row.weights, "fingerprint": row.fingerprint}
        write_atomic(self._done(cell), json.dumps(note, indent=1))
        self._failed(cell).unlink(missing_ok=True)

    def fail(self, cell: Cell, error: BaseException | str) -> None:
        """Note why a cell has no row."""
        ours = isinstance(error, str | AcclimateError)
        reason = str(error) if ours else f"{type(error).__name__}: {error}"
        details = "" if isinstance(error, str) else "".join(traceback.format_exception(error))
        note = {**asdict(cell), "reason": " ".join(reason.split()), "details": details}
        write_atomic(self._failed(cell), json.dumps(note, indent=1))

    def forget_failures(self, cells: Sequence[Cell]) -> None:
        """Let failed cells be tried again."""
        for cell in cells:
            self._failed(cell).unlink(missing_ok=True)

    def failures(self, plan: StudyPlan) -> list[dict[str, Any]]:
        """Return the failed cells with their reasons."""
        return [
            {**asdict(cell), "reason": _read(self._failed(cell)).get("reason", "")}
            for cell in plan.cells
            if self.has_failed(cell)
        ]

    def require_same(self, cells: Sequence[Cell], *, what: str, digest: str, name: str) -> None:
        """Refuse rows of other images or of another model under the same name, with a `StudyError`.

        ``what`` is ``fingerprint`` of the data or ``weights`` of the model, as notes have it.
        """
        for cell in cells:
            if self.key(cell) is not None and _read(self._done(cell)).get(what) != digest:
                raise StudyError(
                    f"'{name}' is not what it was when rows of this study were made in {self.folder}; choose another "
                    "--out, or put back what it was"
                )

    def rows(self, plan: StudyPlan) -> list[tuple[Cell, Result]]:
        """Return the rows of a plan's finished cells, in its order."""
        return [(cell, self.results.get(key)) for cell in plan.cells if (key := self.key(cell)) is not None]

    def write_table(self, rows: Sequence[tuple[Cell, Result]]) -> Path:
        """Write ``results.csv``: one line for each metric of each part of each row, columns `COLUMNS`."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(COLUMNS)
        for cell, row in rows:
            for split, metrics in row.metrics.items():
                for name, value in metrics.items():
                    text = "" if math.isnan(value) else repr(float(value))
                    writer.writerow((cell.model, row.dataset, cell.protocol, name, text, cell.seed, split, cell.labels))
        write_atomic(self.folder / TABLE, buffer.getvalue())
        return self.folder / TABLE

    def write_document(self, document: dict[str, Any]) -> None:
        """Write ``study.json``."""
        write_atomic(self.folder / DOCUMENT, json.dumps(document, indent=1, allow_nan=False))

    def open(self, plan: StudyPlan) -> None:
        """Take a folder for a study: a new one, or one where a study of this name was begun.

        Raises `StudyError` when another study is there, or this one with inputs of another size: rows do not say their
        size.
        """
        document, size = _read(self.folder / DOCUMENT), plan.study.image_size
        there = document.get("study")
        if there not in (None, plan.study.name):
            raise StudyError(f"'{self.folder}' holds the study '{there}'; choose another --out for '{plan.study.name}'")
        if there is None:
            self.write_document({"command": "study", "study": plan.study.name, "image_size": size, "finished": False})
        elif (old := document.get("image_size")) != size:
            sizes = [f"image_size {one}" if one else "the models' own sizes" for one in (old, size)]
            raise StudyError(
                f"'{self.folder}' holds the study '{there}' at {sizes[0]}; choose another --out for {sizes[1]}"
            )

    def _done(self, cell: Cell) -> Path:
        return self.folder / "cells" / f"{cell.id}.json"

    def _failed(self, cell: Cell) -> Path:
        return self.folder / "failed" / f"{cell.id}.json"


def _read(path: Path) -> dict[str, Any]:
    """Return a note; nothing where there is none or it is damaged: that cell is then done again."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}

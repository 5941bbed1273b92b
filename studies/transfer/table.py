"""The committed table: what was measured, one number a line, in the form that ``acclimate compare`` reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from studies.transfer.design import PROTOCOLS, TARGET, Model

from acclimate.comparison import read_table
from acclimate.experiments.study.plan import Cell
from acclimate.storage.results import Result
from acclimate.storage.store import write_atomic

if TYPE_CHECKING:
    import pandas as pd

TABLE: Final = Path(__file__).resolve().parent / "results.csv"
COLUMNS: Final = (
    "model",
    "dataset",
    "protocol",
    "metric",
    "value",
    "seed",
    "split",
    "family",
    "backbone",
    "norm",
    "parameters",
)
Line = tuple[str, ...]


def lines_of(rows: Iterable[tuple[Cell, Result]], models: dict[str, Model]) -> list[Line]:
    """Return the lines of finished cells: accuracy on test images, and of all but the target on validation images.

    A proxy is read on validation and the target on test, so that no image decides both. The target's validation
    accuracy would choose nothing.
    """
    names = {protocol.file: name for name, protocol in PROTOCOLS.items()}
    return [
        _line(cell, names[cell.protocol], split, row.metrics[split]["accuracy"], models[cell.model])
        for cell, row in rows
        for split in ("val", "test")
        if split == "test" or names[cell.protocol] != TARGET
    ]


def _line(cell: Cell, protocol: str, split: str, value: float, model: Model) -> Line:
    dataset = cell.data.rpartition("-")[0]
    groups = (model.family, model.backbone, model.norm, str(model.parameters))
    return (cell.model, dataset, protocol, "accuracy", f"{value:.4f}", str(cell.seed), split, *groups)


def write(path: Path, lines: Iterable[Line]) -> None:
    """Write the table, its lines in an order that does not depend on when they were measured."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    ordered: list[Line] = sorted(lines, key=_place)
    writer.writerows(ordered)
    write_atomic(path, buffer.getvalue())


def _place(line: Line) -> tuple[str, str, int, str, str]:
    return line[1], line[0], list(PROTOCOLS).index(line[2]), line[5], line[6]


def read(path: Path) -> list[Line]:
    """Return the lines of a table, without its head."""
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(line) for line in csv.reader(file)][1:]


def complete(path: Path) -> pd.DataFrame:
    """Return the rows of the models and seeds that have every protocol that all networks can do, on every domain.

    A stopped study leaves some models and seeds half measured; means over domains would then compare different sets.
    """
    frame = read_table(path)
    common = [name for name, protocol in PROTOCOLS.items() if not protocol.networks]
    needed = len(common) * frame["dataset"].nunique()
    tests = frame[(frame["split"] == "test") & frame["protocol"].isin(common)]
    found = tests.groupby(["model", "seed"]).size()
    whole = set(found[found == needed].index)
    keys = zip(frame["model"], frame["seed"], strict=True)
    return frame[[key in whole for key in keys]]

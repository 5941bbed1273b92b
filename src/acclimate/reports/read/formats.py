"""Which files are results tables: told by their columns, before anything is read."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Final

from acclimate.comparison.table import NEEDED

SUFFIXES: Final = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")


def is_table(path: Path) -> bool:
    """Say whether a file has the columns of a results table, by its first line; of Parquet, by its schema.

    Anything that cannot be read is no table: the folder of a report holds other files too.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        return False
    try:
        if suffix == ".parquet":
            import pyarrow.parquet as parquet  # type: ignore[import-untyped]  # ships no types

            return set(NEEDED) <= set(parquet.read_schema(path).names)
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline(100_000)
        if suffix in (".jsonl", ".ndjson"):
            first = json.loads(line)
            return isinstance(first, dict) and set(NEEDED) <= set(first)
        head = next(csv.reader([line], delimiter="\t" if suffix == ".tsv" else ","), [])
        return set(NEEDED) <= {name.strip() for name in head}
    except ImportError:  # reading it will say what to install
        return True
    except (OSError, ValueError):
        return False

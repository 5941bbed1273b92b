"""The file that says which kind of shift lies between data sets: CSV with ``dataset,shift`` and maybe ``source``."""

from __future__ import annotations

from pathlib import Path

from acclimate.errors import DataError


def read_shifts(path: str | Path) -> dict[tuple[str, str], str]:
    """Return (source, data set) -> kind of shift, the source empty where it is not given.

    The kinds are free words; Marks et al. (2025) have categorical, style and both.

    Raises
    ------
    DataError
        No such file, missing columns, or two kinds for one pair.
    """
    import csv

    if not Path(path).is_file():
        raise DataError(f"there is no '{path}'; expected a CSV file with the columns dataset and shift")
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = names
        if not {"dataset", "shift"} <= set(names):
            raise DataError(f"'{path}' has the columns {', '.join(names)}; expected dataset, shift and maybe source")
        shifts: dict[tuple[str, str], str] = {}
        for line in reader:
            pair = ((line.get("source") or "").strip(), (line["dataset"] or "").strip())
            kind = (line["shift"] or "").strip()
            if shifts.setdefault(pair, kind) != kind:
                raise DataError(f"'{path}' gives '{pair[1]}' the shifts '{shifts[pair]}' and '{kind}'; expected one")
    return shifts

"""A folder of runs -> plain data. Reads what lies there, believes nothing, never imports torch."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from acclimate.comparison.table import NEEDED, SUFFIXES
from acclimate.errors import DataError
from acclimate.reports.text import Json, clean, visible

Doc = dict[str, Json]

DOCUMENTS = ("rank.json", "curve.json", "map.json", "findings.json", "compare.json")


@dataclass(frozen=True)
class Run:
    """One ``run.json`` with the ``metrics.jsonl`` beside it; ``name`` is its folder, seen from the report.

    ``inside`` is what `explain` found in it, empty where nobody asked.
    """

    name: str
    document: Doc
    log: list[Doc] = field(default_factory=list)
    inside: Doc = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """Everything a folder holds that a report can show. Empty parts are empty, never made up."""

    title: str
    rows: list[Doc] = field(default_factory=list)
    rank: Doc = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    curve: Doc = field(default_factory=dict)  # the folder's own, else the only one below it
    tuned: list[Run] = field(default_factory=list)  # finetuning runs behind that curve, so not in `runs`
    elsewhere: list[str] = field(default_factory=list)  # folders with a curve that is not shown: one of several
    map: Doc = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    compare: Doc = field(default_factory=dict)  # what `compare` answered
    tables: list[tuple[str, Path]] = field(default_factory=list)  # (name, path) of results tables

    @property
    def documented(self) -> bool:
        """Whether there is anything but results tables and curves that are not shown."""
        return any((self.rows, self.rank, self.runs, self.curve, self.map, self.findings, self.compare))


def part(document: Doc, key: str) -> Doc:
    """Return the object under a key, or an empty one."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def parts(document: Doc, key: str) -> list[Doc]:
    """Return the objects of the list under a key; anything that is not an object is left out."""
    value = document.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def words(document: Doc, key: str, default: str = "") -> str:
    """Return the value under a key as text."""
    value = document.get(key)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    return default


def names(document: Doc, key: str) -> list[str]:
    """Return the texts of the list under a key."""
    value = document.get(key)
    return [str(item) for item in value if isinstance(item, str | int)] if isinstance(value, list) else []


def collect(folder: Path) -> Contents:
    """Read every document a report knows, in the folder and below it.

    A file that cannot be read is named on the page instead of stopping it: a report of a run that was
    killed is when one is needed most. Raises `DataError` if there is no such folder, or if it holds nothing to report.
    """
    if folder.is_file():
        return _of_file(folder)
    if not folder.is_dir():
        raise DataError(f"cannot report on '{folder}': no such folder; expected a folder that a command wrote")
    unreadable: list[str] = []
    documents = {name: _document(folder / name, folder, unreadable) for name in DOCUMENTS}
    rows, runs, curves = _walk(folder, unreadable)
    curve_folder = folder if documents["curve.json"] or len(curves) != 1 else curves[0]
    contents = Contents(
        title=visible(folder.resolve().name) or "report",
        rows=rows,
        rank=documents["rank.json"],
        runs=runs,
        curve=_document(curve_folder / "curve.json", folder, []),
        tuned=_tuned(curve_folder, folder, unreadable),
        elsewhere=[visible(at.relative_to(folder).as_posix()) for at in curves if at not in (curve_folder, folder)],
        map=documents["map.json"],
        findings=names(documents["findings.json"], "sentences"),
        unreadable=unreadable,
        compare=documents["compare.json"],
        tables=_tables(folder, rows),
    )
    _refuse_nothing(contents, folder)
    return contents


def _refuse_nothing(contents: Contents, folder: Path) -> None:
    if contents.documented or contents.elsewhere or contents.tables:
        return
    broken = f"; could not read {', '.join(contents.unreadable[:5])}" if contents.unreadable else ""
    raise DataError(
        f"nothing to report in '{folder}': looked for {', '.join(DOCUMENTS)} in it, and for rows/*.json and "
        f"run.json in it and below{broken}; run rank, tune, adapt, curve or demo with --out {folder} first, or put a "
        f"results table ({', '.join(SUFFIXES)}) there with the columns {', '.join(NEEDED)}"
    )


def _of_file(path: Path) -> Contents:
    """Return a results table that was given by itself."""
    if not is_table(path):
        raise DataError(
            f"cannot report on the file '{path}'; expected a folder, or a results table ({', '.join(SUFFIXES)}) with "
            f"the columns {', '.join(NEEDED)}"
        )
    return Contents(title=visible(path.stem) or "report", tables=[(visible(path.name), path)])


def _tables(folder: Path, rows: list[Doc]) -> list[tuple[str, Path]]:
    """Return the results tables of a folder, but for the copy that a study keeps of its own rows."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and is_table(path))
    own = folder / "results.csv" if rows and (folder / "study.json").is_file() else None
    return [(visible(path.name), path) for path in paths if path != own]


def _walk(folder: Path, unreadable: list[str]) -> tuple[list[Doc], list[Run], list[Path]]:
    """Return the result rows, the runs, and the folders that `curve` wrote."""
    rows: dict[str, Doc] = {}
    runs: list[Run] = []
    curves: list[Path] = []
    for here, inside, files in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        at = Path(here)
        if words(_document(at / "curve.json", folder, []), "command") == "curve":
            inside[:] = [name for name in inside if name != "runs"]  # dozens of runs, each already a point of the curve
            curves.append(at)
        if words(_document(at / "study.json", folder, []), "command") == "study":
            inside[:] = [name for name in inside if name != "runs"]  # each already a row
        if at.name == "rows":
            for name in sorted(files):
                if name.endswith(".json") and (row := _document(at / name, folder, unreadable)):
                    rows.setdefault(json.dumps(row, sort_keys=True), row)  # merged folders repeat rows
        elif "run.json" in files:
            runs += _run(at, folder, unreadable)
    return list(rows.values()), runs, curves


def _run(at: Path, folder: Path, unreadable: list[str]) -> Iterator[Run]:
    if document := _document(at / "run.json", folder, unreadable):
        place = at.relative_to(folder).as_posix()
        name = visible(folder.resolve().name if place == "." else place)
        inside = _document(at / "explain.json", folder, unreadable)
        yield Run(name, document, list(_log(at / "metrics.jsonl", folder, unreadable)), inside)


def _tuned(curve: Path, folder: Path, unreadable: list[str]) -> list[Run]:
    """Return the runs that `curve` left beside its document."""
    if words(_document(curve / "curve.json", folder, []), "command") != "curve":
        return []
    places = sorted(path.parent for path in (curve / "runs").glob("*/run.json"))
    return [run for at in places for run in _run(at, folder, unreadable)]


def _document(path: Path, folder: Path, unreadable: list[str]) -> Doc:
    if not path.is_file():
        return {}
    try:
        value = clean(cast(Json, json.loads(path.read_bytes())), f"{folder.resolve().as_posix()}/")
    except (OSError, ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    unreadable.append(visible(path.relative_to(folder).as_posix()))
    return {}


def _log(path: Path, folder: Path, unreadable: list[str]) -> Iterator[Doc]:
    """Yield the log points; the last line of a run that was killed may be cut short, and is left out."""
    if not path.is_file():
        return
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        unreadable.append(visible(path.relative_to(folder).as_posix()))
        return
    for line in lines:
        try:
            point = clean(cast(Json, json.loads(line)))
        except (ValueError, RecursionError):
            continue
        if isinstance(point, dict):
            yield point


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

"""Any results table in long format, read and checked: CSV, Parquet, JSON lines, or a folder of our own rows."""

from __future__ import annotations

import difflib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from acclimate.errors import DataError, InputError, unknown
from acclimate.storage.results import Result, Results

if TYPE_CHECKING:
    import pandas as pd

NEEDED: Final = ("model", "dataset", "protocol", "metric", "value")
OPTIONAL: Final = ("seed", "split", "labels")
UNITS: Final = ("fraction", "percent")
ROW: Final = "_row"  # where a line stood, from 1 on, for messages
KEY: Final = "_key"  # of our own rows: where the predictions are
_ABSENT: Final = ("", "nan", "na", "n/a", "none", "null", "-")
SUFFIXES: Final = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")


def read_table(source: str | Path) -> pd.DataFrame:
    """Return a results table, one line a number.

    The source is ``.csv``, ``.tsv``, ``.parquet``, ``.jsonl`` or ``.ndjson`` with the columns ``model, dataset,
    protocol, metric, value``, optionally ``seed, split, labels, unit``, and any others, which may group models or tell
    settings apart; or a folder with ``rows/`` as the other commands leave it.

    The table has ``value`` as float64 (NaN where a cell is empty), everything else as text, and `ROW`. A column
    ``unit`` is applied and gone: such values are fractions. Raises `DataError` for no such file, another format, a
    missing column, a value that is no number, or an empty name.
    """
    path = Path(source)
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise DataError(f"there is no '{source}'; expected a results table ({', '.join(SUFFIXES)}) or a results folder")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"cannot read '{source}' as a results table; expected {', '.join(SUFFIXES)}, or a folder with rows/"
        )
    return tidy(_read(path), str(source))


def tidy(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the table with checked columns; ``where`` is its name in messages. See `read_table`."""
    frame = frame.rename(columns={name: str(name).strip() for name in frame.columns})
    for name in NEEDED:
        if name not in frame.columns:
            near = difflib.get_close_matches(name, [str(c) for c in frame.columns], n=1, cutoff=0.6)
            hint = f"; rename '{near[0]}'" if near else ""
            raise DataError(
                f"'{where}' has no column '{name}': it has {', '.join(map(str, frame.columns)) or 'none'}; "
                f"expected {', '.join(NEEDED)}{hint}"
            )
    if frame.empty:
        raise DataError(f"'{where}' has no rows; expected one line for each model, data set, protocol and metric")
    result = frame.assign(**{name: _texts(frame[name]) for name in frame.columns if name != "value"})
    result[ROW] = np.arange(1, len(frame) + 1)
    for name in NEEDED[:4]:
        empty = result[result[name] == ""]
        if len(empty):
            raise DataError(f"row {empty[ROW].iloc[0]} of '{where}' has no {name}; expected a name in every row")
    result["value"] = _numbers(frame["value"], where)
    return _one_unit(result, where)


def keep(frame: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """Return the rows that fulfil every ``COLUMN=VALUE`` and ``COLUMN!=VALUE``; an empty value means empty cells.

    Raises `InputError` for another form, an unknown column, or a value that no row has; the nearest is named.
    """
    for condition in conditions:
        name, equals, value = (part.strip() for part in condition.partition("="))
        if not equals:
            raise InputError(f"got --where '{condition}'; expected COLUMN=VALUE or COLUMN!=VALUE, such as split=test")
        without, name = name.endswith("!"), name.removesuffix("!").strip()
        names = columns(frame)
        if name not in names:
            raise InputError(unknown("column", name, names))
        values = set(frame[name])
        if value not in values:
            raise InputError(unknown(f"value of {name}", value, sorted(values)[:50]))
        frame = frame[(frame[name] == value) != without]
    return frame


def columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that may be asked about."""
    return [str(name) for name in frame.columns if name not in (ROW, KEY, "value")]


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd  # slow to import, and the help needs none

    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return pd.read_parquet(path)
        if suffix in (".jsonl", ".ndjson"):
            return pd.DataFrame(_json_lines(path))
        separator = "\t" if suffix == ".tsv" else ","
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ImportError:
        raise DataError(f"reading '{path}' needs the package pyarrow; install it, or save the table as CSV") from None
    except (ValueError, OSError, zipfile.BadZipFile) as error:  # pandas' and pyarrow's own errors are ValueErrors
        raise DataError(f"cannot read '{path}' ({error}); expected a table in {suffix} format") from None


def _json_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no object")
            rows.append(row)
    return rows


def _texts(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.object_]]:
    """Return cells as text: empty for a missing one, whole numbers without a point."""
    values = column.tolist()
    if all(type(value) is str for value in values):  # of which a long table has few different ones
        texts = {value: _text(value) for value in set(values)}
        return np.array([texts[value] for value in values], dtype=object)
    return np.array([_text(value) for value in values], dtype=object)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)) or str(value) == "<NA>":
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _numbers(column: pd.Series[Any], where: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return values as floats, NaN for what says that nothing is there."""
    numbers = np.full(len(column), np.nan)
    for i, value in enumerate(column.tolist()):
        text = _text(value)
        if text.lower() in _ABSENT:
            continue
        try:
            numbers[i] = float(value)
        except (TypeError, ValueError):
            raise DataError(
                f"row {i + 1} of '{where}' has the value '{text}'; expected a number, or an empty cell if there is none"
            ) from None
        if np.isinf(numbers[i]):
            raise DataError(f"row {i + 1} of '{where}' has the value '{text}'; expected a finite number")
    return numbers


def _one_unit(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Apply the column ``unit`` if there is one: percent becomes a fraction."""
    if "unit" not in frame.columns:
        return frame
    odd = frame[~frame["unit"].isin([*UNITS, ""])]
    if len(odd):
        raise DataError(
            f"row {odd[ROW].iloc[0]} of '{where}' has the unit '{odd['unit'].iloc[0]}'; "
            "expected fraction, percent or an empty cell"
        )
    percent = frame["unit"] == "percent"
    return frame.assign(value=frame["value"].where(~percent, frame["value"] / 100)).drop(columns="unit")


def _of_folder(folder: Path) -> pd.DataFrame:
    """Return the rows of a results folder with their settings, parameter counts and keys as columns."""
    import pandas as pd

    rows = Results(folder).rows()
    if not rows:
        raise DataError(f"'{folder}' has no rows/; expected a folder that rank, curve or study wrote, or a table")
    lines = [
        {**_described(row), "split": split, "metric": name, "value": value}
        for row in rows
        for split, metrics in row.metrics.items()
        for name, value in metrics.items()
    ]
    return tidy(pd.DataFrame(lines), str(folder))


def _described(row: Result) -> dict[str, Any]:
    """Return what identifies a row; settings that are one value keep their name unless it is taken."""
    own = {
        "model": row.model,
        "dataset": row.dataset,
        "protocol": row.protocol,
        "seed": row.seed,
        "labels": row.labels,
        "parameters": row.total,
        KEY: row.key,
    }
    reserved = {*own, *NEEDED, *OPTIONAL, "unit", ROW}
    simple = {k: v for k, v in row.settings.items() if isinstance(v, str | int | float | bool) and k not in reserved}
    return {**simple, **own}

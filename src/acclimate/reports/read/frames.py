"""What lies in a folder -> one results table in long format: our own rows, and tables from anywhere.

Names are made visible here, once for each different one, so that everything behind this file may show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from acclimate.comparison.table import KEY, ROW, read_table, tidy
from acclimate.errors import DataError
from acclimate.reports.read.collect import Contents, Doc, part, words
from acclimate.reports.read.leaderboard import EPISODES_ENDS, competes, random_start
from acclimate.reports.text import number, visible

if TYPE_CHECKING:
    import pandas as pd

CORE: Final = ("model", "dataset", "protocol", "metric", "value", "seed", "split", "labels")
RANDOM: Final = "_random"  # whether a row says that its model began from random numbers


def table_of(contents: Contents) -> tuple[pd.DataFrame | None, list[str]]:
    """Return every number that was found, one line each, and a sentence for each table that cannot be used.

    The columns are those of `comparison.read_table`; text is visible, `RANDOM` is a bool. None without a number.
    """
    import pandas as pd

    parts, problems = [], []
    for name, path in contents.tables:
        try:
            parts.append(read_table(path))
        except DataError as error:
            problems.append(f"Left out: {name}. {visible(str(error)).replace(str(path), name)}.")
    if lines := [line for row in contents.rows if competes(row) for line in _lines(row)]:
        parts.append(tidy(pd.DataFrame(lines), "rows"))
    if not parts:
        return None, problems
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return _visible(frame), problems


def _lines(row: Doc) -> list[dict[str, Any]]:
    """Return one line for each number of a row of our own."""
    named = {key: words(row, key) for key in ("model", "dataset", "protocol")}
    if not all(named.values()):
        return []
    settings = {k: v for k, v in part(row, "settings").items() if isinstance(v, str | int | float | bool)}
    simple = {k: v for k, v in settings.items() if k not in (*CORE, "unit", "seconds", "parameters", ROW, KEY)}
    about = {
        **simple,
        **named,
        "seed": words(row, "seed"),
        "labels": words(row, "labels"),
        "seconds": number(row.get("seconds")),
        "parameters": number(row.get("total")),
        RANDOM: random_start(row),
    }
    return [
        {**about, "split": split, "metric": metric, "value": value}
        for split, metrics in part(row, "metrics").items()
        if isinstance(metrics, dict)
        for metric, cell in metrics.items()
        if metric not in ("", "n", *EPISODES_ENDS) and (value := number(cell)) is not None
    ]


def _visible(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with text that is visible, empty for a missing cell, and a row's random start as a bool."""
    columns = {}
    for name in frame.columns:
        if name in ("value", ROW, KEY):
            continue
        values = frame[name].astype(object).where(frame[name].notna(), "").tolist()
        spelt = {value: visible(str(value)) for value in set(values)}
        columns[visible(str(name))] = [spelt[value] for value in values]
    import pandas as pd

    # Plain Python strings: pandas' own are slow to walk through, one cell after the other.
    named = pd.DataFrame(columns, dtype=object).assign(value=frame["value"].to_numpy())
    for name in ("seed", "split", "labels"):
        if name not in named.columns:
            named[name] = ""
    random = named[RANDOM] == "True" if RANDOM in named.columns else False
    named[RANDOM] = random | named["model"].str.startswith("random:")
    return named

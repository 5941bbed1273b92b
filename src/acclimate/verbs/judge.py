"""Verbs about trust in numbers that are there already: compare. No torch."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.comparison import ImageDraw, Question, StoredImages, analyse, keep, read_shifts, read_table
from acclimate.errors import DataError
from acclimate.storage.results import Results
from acclimate.storage.store import write_atomic
from acclimate.verbs.options import Options, document


def compare(
    results: str | Path,
    *,
    proxy: str | Sequence[str],
    target: str,
    dataset: str | None = None,
    target_dataset: str | None = None,
    metric: str | None = None,
    by: str | None = None,
    ood: bool = False,
    shifts: str | Path | None = None,
    where: Sequence[str] = (),
    unit: str | None = None,
    smaller_is_better: Sequence[str] = (),
    top: int = 3,
    resamples: int = 2000,
    level: float = 0.9,
    out: str | Path | None = None,
    options: Options | None = None,
) -> dict[str, Any]:
    """Say whether one protocol can be trusted to order models as another does, and how sure that is.

    Parameters
    ----------
    results
        A table (CSV, TSV, Parquet, JSON lines) with the columns ``model, dataset, protocol, metric, value`` and others
        as ``docs/compare.md`` has them, or a results folder.
    proxy
        The protocol that predicts; several, as a list or with commas, are compared with the first.
    target
        The protocol that is predicted. It and a proxy may name a label budget: ``knn@10``.
    dataset, target_dataset
        Where to read the proxy and the target; default: every data set that has both.
    metric
        Of both, or ``PROXY,TARGET``.
    by
        A column: groups of models, or settings of the proxy, such as feature normalisation.
    ood
        Every data set predicts every other one.
    shifts
        A CSV file ``dataset,shift`` or ``source,dataset,shift``; default: the column ``shift``.
    where
        Conditions ``COLUMN=VALUE`` on rows.
    unit
        ``fraction``, ``percent`` or ``other``; default: found out, asked where it is mixed.
    smaller_is_better
        Metrics of which less is better, besides ``log_loss`` and ``ece``.
    top
        The k of the top-k overlap.
    resamples, level
        Of the bootstrap and its intervals.
    out
        A folder that gets ``compare.json``.

    Raises
    ------
    InputError
        For a table or a question that cannot be answered.
    """
    started, options = time.perf_counter(), options or Options()
    table = keep(read_table(results), where)
    question = Question(
        proxies=_proxies(proxy, set(table["protocol"])),
        target=target,
        dataset=dataset,
        target_dataset=target_dataset,
        metric=metric,
        by=by,
        ood=ood,
        shifts=None if shifts is None else read_shifts(shifts),
        unit=unit,
        smaller_is_better=tuple(smaller_is_better),
        top=top,
        resamples=resamples,
        level=level,
        seed=options.seed,
    )
    answer = analyse(table, question, _images(Path(results), options))
    seconds = time.perf_counter() - started
    found = {**document("compare", options, seconds, "cpu"), "results": str(results), **answer}
    if out is not None:
        found["out"] = str(Path(out) / "compare.json")
        _write(Path(out), found)
    return found


def _proxies(given: str | Sequence[str], protocols: set[str]) -> tuple[str, ...]:
    """Return the proxies; a protocol may have a comma in its name."""
    if isinstance(given, str):
        given = [given] if given in protocols else given.split(",")
    return tuple(dict.fromkeys(text for part in given if (text := part.strip())))


def _images(results: Path, options: Options) -> ImageDraw | None:
    return StoredImages(Results(results), options.seed) if results.is_dir() else None


def _write(folder: Path, found: dict[str, Any]) -> None:
    if folder.is_file():
        raise DataError(f"got --out '{folder}', which is a file; expected a folder, which gets compare.json")
    write_atomic(folder / "compare.json", json.dumps(found, indent=1, allow_nan=False) + "\n")

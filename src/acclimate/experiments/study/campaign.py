"""A study from its plan to its table: nothing is measured twice, and what cannot be measured does not stop the rest."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from acclimate.errors import Interrupted, StudyError
from acclimate.experiments.study.inputs import Input
from acclimate.experiments.study.ledger import Ledger
from acclimate.experiments.study.plan import Cell, StudyPlan
from acclimate.experiments.study.progress import StudyProgress
from acclimate.experiments.study.work import Worker
from acclimate.experiments.study.workers import Crew
from acclimate.models import choose_device
from acclimate.storage.results import Result
from acclimate.storage.runtime import AUTO, VERSION, Runtime
from acclimate.storage.store import safe_name

SHOWN: Final = "accuracy"


def dry_run(plan: StudyPlan, ledger: Ledger | None = None) -> dict[str, Any]:
    """Return what a study would do: every cell, what is missing or has to be downloaded, and what is done already."""
    gone = {one.name for one in plan.missing}
    return {
        "dry_run": True,
        **_head(plan),
        "models": [_input(one) for one in plan.models],
        "data": [_input(one) for one in plan.data],
        "missing": [_input(one) for one in plan.missing],
        "cells": [_cell(cell, "missing" if gone & {cell.model, cell.data} else "", ledger) for cell in plan.cells],
    }


def _cell(cell: Cell, state: str, ledger: Ledger | None) -> dict[str, Any]:
    if not state and ledger is not None:
        state = "failed" if ledger.has_failed(cell) else "done" if ledger.settled(cell) else ""
    keys = ("model", "data", "protocol", "labels", "seed")
    return {**{key: getattr(cell, key) for key in keys}, "state": state or "open"}


def _input(one: Input) -> dict[str, str]:
    return {"name": one.name, "state": one.state, "said": one.said}


def _head(plan: StudyPlan) -> dict[str, Any]:
    fields = {**plan.study.model_dump(mode="json"), "study": plan.study.name, "seeds": list(plan.seeds)}
    keys = ("study", "source", "deviations", "protocols", "labels", "seeds", "scale", "image_size")
    return {key: fields[key] for key in keys}


def run_study(
    plan: StudyPlan,
    folder: Path,
    *,
    runtime: Runtime = AUTO,
    workers: int = 1,
    retry_failed: bool = False,
    skip_missing: bool = False,
) -> dict[str, Any]:
    """Measure every cell that has no row yet; leave rows, ``results.csv`` and ``study.json``, and return the document.

    Raises `StudyError` for missing inputs, a folder of another study, data or models that changed, or a study of which
    nothing worked; `Interrupted` on Ctrl-C; the text says how to go on.

    What is in the study's folder already is not measured again. ``workers`` are processes on this machine; the same
    study may also be started several times with one folder. ``retry_failed`` tries cells again that failed before,
    ``skip_missing`` leaves out those of inputs that are not on this machine, instead of refusing to begin.
    """
    started, ledger = time.perf_counter(), Ledger(folder)
    possible = require_inputs(plan, skip_missing=skip_missing)
    ledger.open(plan)
    if retry_failed:
        ledger.forget_failures(possible.cells)
    _work(possible, ledger, runtime, workers)
    rows, failures = ledger.rows(possible), ledger.failures(possible)
    if not rows:
        raise StudyError(
            f"none of the {len(possible.cells)} cells could be measured; the first: {failures[0]['reason']}. "
            f"Every reason is in {folder / 'failed'}; --retry-failed tries them again"
        )
    document = {
        "command": "study",
        "version": VERSION,
        "seconds": round(time.perf_counter() - started, 3),
        "seed": plan.seeds[0],
        "device": choose_device(runtime.device),
        **_head(plan),
        "finished": True,
        "models": list(plan.study.models),
        "data": list(plan.study.data),
        "cells": len(plan.cells),
        "done": len(rows),
        "failed": failures,
        "missing": [_input(one) for one in plan.missing],
        "summary": _summary(rows),
        "notes": _notes(rows),
        "table": str(ledger.write_table(rows)),
        "out": str(folder),
    }
    ledger.write_document(document)
    return document


def require_inputs(plan: StudyPlan, *, skip_missing: bool) -> StudyPlan:
    """Return the plan without the cells of missing inputs, if that is asked for.

    Raises `StudyError` when something is missing otherwise, or nothing is left.
    """
    possible = plan.possible()
    if not plan.missing or (skip_missing and possible.cells):
        return possible
    first = plan.missing[0]
    more = f" and {len(plan.missing) - 1} more" if len(plan.missing) > 1 else ""
    cure = "nothing would be left to measure" if skip_missing else "or give --skip-missing to measure the rest"
    raise StudyError(f"'{first.name}'{more} of study '{plan.study.name}' is not on this machine: {first.said}; {cure}")


def _work(plan: StudyPlan, ledger: Ledger, runtime: Runtime, workers: int) -> None:
    words = {group.id: f"{group.model.name} on {group.data.name}" for group in plan.groups()}
    size = min(workers, len(words))
    try:
        with StudyProgress(plan.cells, workers=size, quiet=runtime.quiet, words=words) as progress:
            if size > 1:
                Crew(plan, ledger, runtime, progress, size).run()
            else:
                Worker(plan, ledger, runtime, progress).run()
    except (KeyboardInterrupt, Interrupted):
        settled = sum(ledger.settled(cell) for cell in plan.cells)
        raise Interrupted(
            f"stopped; {settled} of {len(plan.cells)} cells of study '{plan.study.name}' are kept in {ledger.folder}. "
            "Give the same command again to go on there"
        ) from None


def _summary(rows: Sequence[tuple[Cell, Result]]) -> list[dict[str, Any]]:
    """Return mean and spread over seeds, by data set, protocol, labels and model; of the test part if there is one."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for cell, row in rows:
        groups.setdefault((row.dataset, cell.protocol, cell.labels, cell.model), []).append(row)
    lines = []
    for place, members in groups.items():
        split = "test" if "test" in members[0].metrics else "val"
        values = [row.metrics[split][SHOWN] for row in members]
        lines.append(
            {
                **dict(zip(("dataset", "protocol", "labels", "model"), place, strict=True)),
                "random_start": members[0].random_start,
                "split": split,
                "metric": SHOWN,
                "mean": statistics.fmean(values),
                "std": statistics.stdev(values) if len(values) > 1 else None,
                "seeds": len(values),
            }
        )
    return lines


def _notes(rows: Sequence[tuple[Cell, Result]]) -> list[str]:
    """Say what a reader of the table could take for more than it is."""
    notes = []
    repeated: Counter[tuple[str, str]] = Counter()
    places: set[tuple[object, ...]] = set()
    by_weights: dict[str, set[str]] = {}
    for cell, row in rows:
        values = tuple(sorted((part, name, value) for part, of in row.metrics.items() for name, value in of.items()))
        place = (row.dataset, cell.protocol, cell.labels, cell.model, values)
        repeated[row.dataset, cell.labels] += place in places
        places.add(place)
        by_weights.setdefault(row.weights, set()).add(cell.model)
    for (dataset, labels), times in repeated.items():
        if times:
            notes.append(
                f"{dataset}, labels {labels}: {times} rows equal that of another seed to the last digit: seeds draw "
                "the same images there and the protocol uses no random number. Their spread says nothing"
            )
    notes += [f"{' and '.join(sorted(same))} have the same weights" for same in by_weights.values() if len(same) > 1]
    return notes


def default_folder(plan: StudyPlan) -> str:
    """Return where a study goes without ``--out``."""
    return f"runs/study-{safe_name(plan.study.name)}"

"""Verbs that need no model and never import torch: models, check, report."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from acclimate.catalogue import entries
from acclimate.errors import ModelError, unknown
from acclimate.images import check as check_images
from acclimate.images import load_images
from acclimate.reports import report as render
from acclimate.verbs.options import Options, document


def models(*, family: str | None = None, options: Options | None = None) -> dict[str, Any]:
    """Return the catalogue; ``family`` keeps one family, such as ``zoo``.

    Raises
    ------
    ModelError
        For an unknown family; the nearest one is named.
    """
    started, options = time.perf_counter(), options or Options()
    listed = entries()
    families = {entry.family for entry in listed}
    if family is not None and family not in families:
        raise ModelError(unknown("family", family, families))
    kept = [asdict(entry) for entry in listed if family in (None, entry.family)]
    return {**document("models", options, time.perf_counter() - started, "cpu"), "models": kept}


def check(data: str | Path, *, options: Options | None = None) -> dict[str, Any]:
    """Look for corrupt files, duplicates, leaks between splits, rare classes and shared groups.

    Corrupt files do not stop this verb: it is there to find them.
    """
    started, options = time.perf_counter(), options or Options()
    found = check_images(load_images(data, skip_bad=True, cache=options.cache))
    return {**document("check", options, time.perf_counter() - started, "cpu"), "data": str(data), **found}


def report(folder: str | Path, *, target: str | None = None, options: Options | None = None) -> dict[str, Any]:
    """Write ``report.html`` and ``report.md`` from whatever a folder of runs, rows, rankings and tables holds.

    ``target`` is the protocol that the cheap ones should foresee; a finetuning, or the dearest one, where it is None.
    """
    started, options = time.perf_counter(), options or Options()
    page = render(Path(folder), target)
    return {
        **document("report", options, time.perf_counter() - started, "cpu"),
        "folder": str(folder),
        "out": str(page),
    }

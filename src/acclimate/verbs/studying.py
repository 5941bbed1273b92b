"""Verbs about studies: study."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from acclimate.errors import InputError
from acclimate.experiments.study import dry_run as dry_run_study
from acclimate.experiments.study import load_study, plan_study, run_study
from acclimate.experiments.study.campaign import default_folder, require_inputs
from acclimate.experiments.study.ledger import Ledger
from acclimate.models import choose_device
from acclimate.verbs.common import fresh_folder
from acclimate.verbs.options import Options, document


def study(
    study: str | Path,
    *,
    out: str | Path | None = None,
    workers: int = 1,
    data_root: str | Path | None = None,
    retry_failed: bool = False,
    skip_missing: bool = False,
    dry_run: bool = False,
    options: Options | None = None,
) -> dict[str, Any]:
    """Measure models x data sets x protocols x seeds x label fractions, each cell once, and leave one table.

    Stopped or killed, the same call goes on where it was. A cell that fails leaves its reason in ``failed/``.

    Parameters
    ----------
    study
        A name (``marks2025``, ``sirotkin2024``, ``ssda2020``, each with ``-mini``) or a TOML file.
    workers
        Processes; each takes all cells of one model on one data set.
    data_root
        Where relative paths of data sets, and folders of ``data:NAME``, are looked for first.
    retry_failed
        Try again what failed.
    skip_missing
        Leave out what is not on this machine.

    Raises
    ------
    InputError
        For a typo, an unknown name, a path that leads out of the study's folder, missing inputs, or another study's
        folder; before anything is loaded.
    """
    started, options = time.perf_counter(), options or Options()
    if workers < 1:
        raise InputError(f"got {workers} workers; expected at least 1")
    read, folder = load_study(study)
    plan = plan_study(read, folder, data_root=Path(data_root) if data_root else None, seed=options.seed)
    device = choose_device(options.device)
    place = Path(out) if out else Path(default_folder(plan))
    if dry_run:
        told = dry_run_study(plan, Ledger(place))
        return {**document("study", options, time.perf_counter() - started, device), **told}
    require_inputs(plan, skip_missing=skip_missing)
    return run_study(
        plan,
        fresh_folder(place, ""),
        runtime=options.runtime,
        workers=workers,
        retry_failed=retry_failed,
        skip_missing=skip_missing,
    )

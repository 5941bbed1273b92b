"""Commands about studies: study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acclimate.cli.shared import Cache, Device, DryRun, Json, Out, Precision, Seed, SkipBad, options_of, show


def study(
    study: Annotated[str, typer.Argument(help="A TOML file, or marks2025, sirotkin2024, ssda2020 (or with -mini).")],
    out: Out = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine.", min=1)] = 1,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data sets; default: that of the study's file.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try cells again that failed.")] = False,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out models and data that are not on this machine.")
    ] = False,
    dry_run: DryRun = False,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Measure models x data sets x protocols x seeds x label fractions into one table. Resumes after a kill."""
    from acclimate.verbs import study as verb

    document = verb(
        study,
        out=out,
        workers=workers,
        data_root=data_root,
        retry_failed=retry_failed,
        skip_missing=skip_missing,
        dry_run=dry_run,
        options=options_of(seed, device, precision, cache, skip_bad, json),
    )
    show(document, json)

"""Commands that look: models, check, report."""

from __future__ import annotations

from typing import Annotated

import typer

from acclimate.cli.shared import Cache, Data, Device, Json, Seed, options_of, show


def models(
    family: Annotated[str | None, typer.Option(help="Keep one family, such as zoo.")] = None,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """List the catalogue: source, size, licence."""
    from acclimate.verbs import models as verb

    show(verb(family=family, options=options_of(seed, device, json=json)), json)


def check(data: Data, json: Json = False, seed: Seed = 0, device: Device = "auto", cache: Cache = None) -> None:
    """Look for corrupt files, duplicates, leaks between splits and rare classes."""
    from acclimate.verbs import check as verb

    show(verb(data, options=options_of(seed, device, cache=cache, json=json)), json)


def report(
    folder: Annotated[str, typer.Argument(help="A folder with runs, rows, a ranking or results tables, or a table.")],
    target: Annotated[
        str | None,
        typer.Option(help="Protocol that the cheap ones should foresee; default a finetuning, else the dearest."),
    ] = None,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Write one self-contained report.html from whatever a folder holds."""
    from acclimate.verbs import report as verb

    show(verb(folder, target=target, options=options_of(seed, device, json=json)), json)

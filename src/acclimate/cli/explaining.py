"""The command that looks inside a run: explain."""

from __future__ import annotations

from typing import Annotated

import typer

from acclimate.cli.shared import Cache, Device, Json, Run, Seed, SkipBad, options_of, show


def explain(
    run: Run,
    data: Annotated[
        str | None, typer.Option(help="Images to compare on; default: the validation part of the run's own data.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Where the start model is now, if it is not where the run found it.")
    ] = None,
    images: Annotated[int, typer.Option(help="At most so many images, chosen by the seed.")] = 512,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Say what a run changed inside its network: features, CKA, norms, class separation, layer by layer."""
    from acclimate.verbs import explain as verb

    options = options_of(seed, device, cache=cache, skip_bad=skip_bad, json=json)
    show(verb(run, data=data, start=start, images=images, options=options), json)

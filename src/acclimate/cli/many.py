"""Commands about many models: demo, rank, curve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acclimate.cli.shared import (
    Cache,
    Data,
    Device,
    DryRun,
    Json,
    Labels,
    Out,
    Precision,
    Seed,
    SkipBad,
    options_of,
    show,
)


def demo(
    out: Annotated[Path, typer.Option(help="Where to write everything.")] = Path("acclimate-demo"),
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    cache: Cache = None,
) -> None:
    """Run the whole story on embedded data and models, offline: rank, adapt, tune, report."""
    from acclimate.story import demo as verb

    show(verb(out=out, options=options_of(seed, device, cache=cache, json=json)), json)


def rank(
    data: Data,
    models: Annotated[str, typer.Option(help="Model names with commas between.")] = "",
    zoo: Annotated[bool, typer.Option("--zoo", help="Also every embedded model.")] = False,
    top: Annotated[int, typer.Option(help="How many the final recipe is run on.", min=1)] = 3,
    final: Annotated[str, typer.Option(help="The recipe of the final round, or a preset that trains.")] = "bn",
    labels: Labels = None,
    out: Out = None,
    dry_run: DryRun = False,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Rank models: kNN and logistic regression for all, batch-norm finetuning for the best."""
    from acclimate.verbs import rank as verb

    options = options_of(seed, device, precision, cache, skip_bad, json)
    names = [name.strip() for name in models.split(",") if name.strip()]
    document = verb(
        data,
        models=names,
        zoo=zoo,
        top=top,
        final=final,
        labels=labels,
        out=out,
        dry_run=dry_run,
        options=options,
    )
    show(document, json)


def curve(
    data: Data,
    models: Annotated[str, typer.Option(help="Model names with commas between; the first is the base.")],
    labels: Annotated[str, typer.Option(help="Budgets: images a class, or shares of all.")] = "1,5,10,25,100%",
    seeds: Annotated[int, typer.Option(help="How often labels are drawn; intervals need 2 or more.", min=1)] = 5,
    training: Annotated[str, typer.Option(help="head (on fixed features), full (the recipe), or head,full.")] = "head",
    recipe: Annotated[str, typer.Option(help="The recipe of full: a name or a TOML file.")] = "staged",
    negative: Annotated[str, typer.Option(help="Classes against which all others count as positive.")] = "",
    tta: Annotated[str, typer.Option(help="hflip: average each test image and its mirror image; or none.")] = "hflip",
    out: Out = None,
    dry_run: DryRun = False,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Measure models with few labels, and say how many times the labels each is worth against the first."""
    from acclimate.verbs import curve as verb

    document = verb(
        data,
        models=models,
        labels=labels,
        seeds=seeds,
        training=training,
        recipe=recipe,
        negative=negative,
        tta=tta,
        out=out,
        dry_run=dry_run,
        options=options_of(seed, device, precision, cache, skip_bad, json),
    )
    show(document, json)

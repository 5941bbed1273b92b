"""Commands about one run: tune, adapt, predict, export."""

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
    Model,
    Out,
    Precision,
    Run,
    Scale,
    Seed,
    SkipBad,
    options_of,
    show,
)


def tune(
    data: Data,
    model: Model,
    recipe: Annotated[
        str,
        typer.Option(
            help="linear, bn, bn-paper, finetune, staged, ssda, a preset that trains (see: acclimate protocols), or a "
            "TOML file."
        ),
    ] = "finetune",
    labels: Labels = None,
    scale: Scale = 1.0,
    out: Out = None,
    dry_run: DryRun = False,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Finetune a model on labelled images. Killed or stopped, the same command goes on where it was."""
    from acclimate.verbs import tune as verb

    options = options_of(seed, device, precision, cache, skip_bad, json)
    document = verb(
        data, model=model, recipe=recipe, labels=labels, scale=scale, out=out, dry_run=dry_run, options=options
    )
    show(document, json)


def adapt(
    data: Data,
    model: Model,
    method: Annotated[
        str,
        typer.Option(
            help="byol, simsiam, simclr, moco-v2, moco-v3, barlow, vicreg, swav, dino, mae, rotation or norm-stats."
        ),
    ] = "byol",
    scope: Annotated[
        str | None,
        typer.Option(help="all (default), norm, bias, last:K, lora:R, re:PATTERN, or a sum such as lora:8+last:1."),
    ] = None,
    domain: Annotated[
        str,
        typer.Option(help="natural, microscopy, aerial, document or xray: flips and colours that make sense there."),
    ] = "natural",
    steps: Annotated[int | None, typer.Option(help="Optimizer steps; default: by the size of the pool.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step; default: by pool and device.", min=2)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate of the heads; default: by the batch.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, as NAME=VALUE: head_steps=0, l2_sp=0.01, ema=0.99. Repeat it."),
    ] = None,
    ignore_labels: Annotated[
        bool, typer.Option("--ignore-labels", help="Use no label, not even for the probe that watches the run.")
    ] = False,
    out: Out = None,
    dry_run: DryRun = False,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Continue a model on images without labels. Hands back the start model where that did harm."""
    from acclimate.verbs import adapt as verb
    from acclimate.verbs.options import read_settings

    options = options_of(seed, device, precision, cache, skip_bad, json)
    document = verb(
        data,
        model=model,
        method=method,
        scope=scope,
        domain=domain,
        steps=steps,
        batch=batch,
        lr=lr,
        settings=read_settings(settings or []),
        ignore_labels=ignore_labels,
        out=out,
        dry_run=dry_run,
        options=options,
    )
    show(document, json)


def predict(
    run: Run,
    images: Data,
    tta: Annotated[str, typer.Option(help="none, or hflip: average each image and its mirror image.")] = "none",
    out: Annotated[Path, typer.Option(help="A .csv file.")] = Path("predictions.csv"),
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Write the classes of new images to a CSV file."""
    from acclimate.verbs import predict as verb

    options = options_of(seed, device, precision, cache, skip_bad, json)
    show(verb(run, images, tta=tta, out=out, options=options), json)


def export(
    run: Run,
    format: Annotated[str, typer.Option(help="timm or onnx.")] = "timm",
    out: Annotated[Path | None, typer.Option(help="Where to write; default: timm/ or model.onnx in the run.")] = None,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Write a run's classifier for plain timm, or as an ONNX graph that was checked."""
    from acclimate.verbs import export as verb

    show(verb(run, format=format, out=out, options=options_of(seed, device, json=json)), json)

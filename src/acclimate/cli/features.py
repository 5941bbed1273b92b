"""Commands about the features of one model: embed, score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acclimate.cli.shared import Cache, Data, Device, Json, Model, Precision, Scale, Seed, SkipBad, options_of, show


def embed(
    data: Data,
    model: Model,
    out: Annotated[Path, typer.Option(help="A .npz file.")] = Path("features.npz"),
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Write the features of all images to a file."""
    from acclimate.verbs import embed as verb

    options = options_of(seed, device, precision, cache, skip_bad, json)
    show(verb(data, model=model, out=out, options=options), json)


def score(
    data: Annotated[
        str, typer.Argument(help="As for embed; or a features file, .npz with x (n, d), y (n,)[, p (n, z)].")
    ],
    model: Annotated[str | None, typer.Option(help="As for embed; not needed for a features file.")] = None,
    score: Annotated[
        str,
        typer.Option(help="A classifier (knn), an estimate (logme), a preset (knn/dino), or all; see: protocols."),
    ] = "knn",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of a score, as NAME=VALUE: normalise=l2. Repeat it.")
    ] = None,
    scale: Scale = 1.0,
    layers: Annotated[
        str, typer.Option(help="last, a layer by name or number, last:K, several with commas, or all.")
    ] = "last",
    pooling: Annotated[str, typer.Option(help="default, cls, mean or cls+mean.")] = "default",
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
) -> None:
    """Measure a model: classifiers on held-out images, training-free estimates on the training images."""
    from acclimate.verbs import score as verb
    from acclimate.verbs.options import read_settings

    options = options_of(seed, device, precision, cache, skip_bad, json)
    document = verb(
        data,
        model=model,
        score=score,
        settings=read_settings(settings or []),
        scale=scale,
        layers=layers,
        pooling=pooling,
        options=options,
    )
    show(document, json)

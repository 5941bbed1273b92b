"""``acclimate embed``: the features of all images in a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acclimate.commands.data import check_data, check_model, open_data
from acclimate.commands.shared import (
    Cache,
    Command,
    Data,
    Device,
    Document,
    Model,
    Precision,
    Seed,
    SkipBad,
    head,
    runtime_of,
    writable_file,
)
from acclimate.commands.tables import escape, named

if TYPE_CHECKING:
    from rich.console import Console


def embed(
    data: Data,
    *,
    model: Model,
    out: Annotated[Path | str, typer.Option(help="A .npz file.")] = Path("features.npz"),
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
    quiet: bool = False,
) -> Document:
    """Write the features of all images to a file.

    The file holds x (n, d), y (n,), classes, split and name.

    Returns
    -------
    The document: ``n``, ``d``, ``images_per_second``, ``out`` and what was embedded.
    """
    started = time.perf_counter()
    runtime = runtime_of(device=device, precision=precision, cache=cache, skip_bad=skip_bad, quiet=quiet)
    check_data(data)
    check_model(model)
    target = writable_file(out, ".npz")
    images = open_data(data, runtime)

    from acclimate.models import choose_device, extract, load_backbone
    from acclimate.storage.features import save_features

    backbone = load_backbone(model, cache=runtime.cache)
    features = extract(backbone, images, runtime)
    names = [images.source.name(i) for i in range(len(images))]
    save_features(features, target, classes=images.classes, names=names, splits=images.splits)
    return {
        **head("embed", started, seed=seed, device=choose_device(device)),
        "data": images.name,
        "model": backbone.name,
        "random_start": backbone.random_start,
        "n": len(images),
        "d": int(features.x.shape[1]),
        "images_per_second": round(len(images) / (time.perf_counter() - started), 2),
        "out": str(out),
    }


def show(document: Document, console: Console) -> None:
    """Print what the file holds."""
    n, d = document["n"], document["d"]
    console.print(f"{n:,} images, {d} features each of {named(document)}: {escape(document['out'])}")


COMMAND = Command(embed, show)

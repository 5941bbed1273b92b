"""``acclimate explain``: what finetuning or adapting changed inside a network."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acclimate.commands.data import check_data, open_data
from acclimate.commands.shared import Cache, Command, Device, Document, Run, Seed, SkipBad, head, runtime_of
from acclimate.commands.tables import escape, loud, notes, table
from acclimate.errors import DataError, InputError

if TYPE_CHECKING:
    from rich.console import Console

    from acclimate.images import Images
    from acclimate.storage.runtime import Runtime

FILE = "explain.json"


def explain(
    run: Run,
    *,
    data: Annotated[
        str | Path | None,
        typer.Option(help="Images to compare on; default: the validation part of the run's own data."),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Where the start model is now, if it is not where the run found it.")
    ] = None,
    images: Annotated[int, typer.Option(help="At most so many images, chosen by the seed.")] = 512,
    seed: Seed = 0,
    device: Device = "auto",
    cache: Cache = None,
    skip_bad: SkipBad = False,
    quiet: bool = False,
) -> Document:
    """Say what a run changed inside its network: features, CKA, norms, class separation, layer by layer.

    Shift of feature means and variances, sparsity, effective rank, CKA, class separation, and how the norms' scales,
    shifts and running statistics changed; see docs/explain.md. Test images are never looked at. The document is
    written to ``RUN/explain.json``.

    Parameters
    ----------
    run
        The folder of a finished ``tune`` or ``adapt``.
    data
        Images to compare on; default the run's own validation part.
    start
        Where the start model is now; it must be the very one that the run began with.
    images
        At most so many images, chosen by the seed.

    Returns
    -------
    The document: ``layers``, ``affine``, ``summary`` and what was compared.

    Raises
    ------
    InputError
        When the folder holds no finished run of this kind, or fewer than 4 images are asked for.
    ModelError
        When the start model cannot be found, or is another one.
    DataError
        When the data cannot be opened, changed, or does not have the run's classes.
    """
    started = time.perf_counter()
    runtime = runtime_of(device=device, cache=cache, skip_bad=skip_bad, quiet=quiet)

    from acclimate.experiments import explanation
    from acclimate.models import choose_device
    from acclimate.storage.store import write_atomic

    if images < explanation.FEWEST:
        raise InputError(f"got --images {images}; expected at least {explanation.FEWEST}, which unbiased CKA needs")
    folder = Path(run)
    facts = explanation.finished_run(folder)
    if data is not None:
        check_data(data)
    before = explanation.start_model(facts, start)
    after, remarks = explanation.trained_model(folder, facts)
    asked = explanation.sample(_images(facts, data, runtime), facts, most=images, seed=seed)
    changes = explanation.compare_models(before, after, asked, runtime, seed=seed)
    document = {
        **head("explain", started, seed=seed, device=choose_device(device)),
        "run": str(run),
        "of": facts["command"],
        "recipe": facts.get("recipe"),
        "start": before.name,
        "random_start": before.random_start,
        "weights": {"before": before.digest, "after": after.digest},
        "data": asked.images.name,
        "fingerprint": asked.images.fingerprint,
        "part": asked.part,
        "images": len(asked.indices),
        "labelled": int((asked.labels >= 0).sum()),
        "level": explanation.LEVEL,
        "resamples": explanation.RESAMPLES,
        **changes,
        "notes": remarks,
    }
    write_atomic(folder / FILE, json.dumps(document, indent=1))
    return document


def _images(facts: Mapping[str, Any], data: str | Path | None, runtime: Runtime) -> Images:
    """Open the images that the user names, or the run's own, which must be the same as then."""
    from acclimate.experiments.explanation import own_data, require_unchanged

    if data is not None:
        return open_data(data, runtime)
    origin = own_data(facts)
    try:
        images = open_data(origin, runtime)
    except DataError as error:
        raise DataError(f"cannot open the run's own data again: {error}; or pass --data DATA") from None
    require_unchanged(images, facts)
    return images


def show(document: Document, console: Console) -> None:
    """Print the sentences, then one line a block."""
    console.print(
        f"[bold]{escape(document['run'])}[/] against its start [bold]{escape(document['start'])}[/]{loud(document)}, "
        f"on {document['images']:,} images of {escape(document['data'])} ({escape(document['part'])})"
    )
    notes(console, document["summary"], "-")
    notes(console, document["notes"])
    blocks = [row for row in document["layers"] if row["kind"] != "norm"]
    titles = {
        "layer": "layer",
        "cka": "CKA",
        "interval": f"{document['level']:.0%} interval",
        "shift": "shift",
        "rank": "effective rank",
        "separation": "class separation",
    }
    table(console, [_line(row) for row in blocks], titles)
    run = escape(document["run"])
    console.print(f"All {len(document['layers'])} layers: {run}/{FILE}. Charts: acclimate report {run}")


def _line(row: Document) -> Document:
    similarity, separation = row["cka"] or {}, row["separation"]
    bounded = similarity.get("low") is not None
    return {
        "layer": row["layer"],
        "cka": similarity.get("value"),
        "interval": f"{similarity['low']:.3f} to {similarity['high']:.3f}" if bounded else None,
        "shift": row["shift"],
        "rank": f"{row['rank']['before']:.1f} -> {row['rank']['after']:.1f}",
        "separation": f"{separation['before']:.3f} -> {separation['after']:.3f}" if separation else None,
    }


COMMAND = Command(explain, show)

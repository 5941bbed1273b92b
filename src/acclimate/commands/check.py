"""``acclimate check``: what is wrong with a data set."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from acclimate.commands.shared import Cache, Command, Data, Device, Document, Seed, head, path_of
from acclimate.commands.tables import escape

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 10  # examples of one kind


def check(data: Data, *, seed: Seed = 0, device: Device = "auto", cache: Cache = None) -> Document:
    """Look for corrupt files, duplicates, leaks between splits and rare classes.

    Corrupt files do not stop this command: it is there to find them.

    Returns
    -------
    The document: ``images``, ``classes``, ``corrupt``, ``duplicates``, ``leaks`` and ``problems``, which are sentences.
    """
    from acclimate.images import check as check_images
    from acclimate.images import load_images

    started = time.perf_counter()
    findings = check_images(load_images(data, skip_bad=True, cache=path_of(cache)))
    return {**head("check", started, seed=seed, device="cpu"), "data": str(data), **findings}


def show(document: Document, console: Console) -> None:
    """Print the problems, then examples of each kind."""
    console.print(f"{document['images']:,} images, {len(document['classes'])} classes")
    for problem in document["problems"]:
        console.print(f"[yellow]-[/] {escape(problem)}")
    if not document["problems"]:
        console.print("No problem found.")
    leaks = [
        f"{pair['a']['name']} and {pair['b']['name']} {'are the same' if pair['exact'] else 'look the same'}"
        for pair in document["leaks"]["pairs"]
    ]
    copies = [" = ".join(group) for group in document["duplicates"]["groups"]]
    for examples in (document["corrupt"], leaks, copies):
        for example in examples[:SHOWN]:
            console.print(f"    {escape(example)}", highlight=False)
        if len(examples) > SHOWN:
            console.print(f"    and {len(examples) - SHOWN} more, see --json")


COMMAND = Command(check, show)

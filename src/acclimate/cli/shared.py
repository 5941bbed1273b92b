"""What the commands share: the types of their arguments, the options of every verb, and how a document is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from acclimate.verbs.options import Options

Data = Annotated[
    str,
    typer.Argument(help="Folder, manifest.csv, .npz, builtin:digits, data:NAME@FOLDER, torchvision:NAME or hf:NAME."),
]
Run = Annotated[str, typer.Argument(help="Folder of a finished run.")]
Model = Annotated[
    str, typer.Option(help="zoo:NAME, timm name, paper:NAME, run folder, weights, ARCH@FILE or random:ARCH.")
]
Out = Annotated[Path | None, typer.Option(help="Where to write; default: a folder under runs/.")]
Labels = Annotated[str | None, typer.Option(help="Keep only so many training labels: 10 a class, or 25%.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Resolve everything, print the plan, touch nothing.")]
Scale = Annotated[float, typer.Option(help="Shortens a preset: 0.1 is a tenth of its epochs, points or episodes.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; logs go to stderr.")]
Seed = Annotated[int, typer.Option(help="Seed of splits, subsets, training and bootstrap.", min=0)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option(help="auto, 32, bf16 or 16.")]
Cache = Annotated[Path | None, typer.Option(help="Folder of decoded pixels and features; default: the user's cache.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out unreadable files instead of stopping.")]


def options_of(
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    cache: Path | None = None,
    skip_bad: bool = False,
    json: bool = False,
) -> Options:
    """Return the options of a verb from what the command line was given."""
    from acclimate.verbs.options import Options

    return Options(seed=seed, device=device, precision=precision, cache=cache, skip_bad=skip_bad, quiet=json)


def show(document: dict[str, Any], json: bool) -> None:
    """Print a document as JSON or for people."""
    from acclimate import console

    console.show(document, as_json=json)

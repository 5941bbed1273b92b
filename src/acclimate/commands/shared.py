"""What the commands share: the types of their arguments, and the keys that every document begins with.

Where a type names several, the shell gives the first of them, and Python takes any: ``--models a,b`` is a text, and
``models=["a", "b"]`` does as well. ``quiet`` exists in Python alone; the shell's ``--json`` sets it.

The folders and files that commands write to are tried here before the work begins.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acclimate.errors import DataError, InputError
from acclimate.storage.runtime import DEVICES, PRECISIONS, VERSION, Runtime

if TYPE_CHECKING:
    from rich.console import Console

Document = dict[str, Any]
Value = bool | int | float | str


def one_of(names: Iterable[str]) -> str:
    """Return names as a help text says them.

    Examples
    --------
    >>> one_of(["a", "b", "c"])
    'a, b or c'
    """
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


Data = Annotated[
    str | Path,
    typer.Argument(help="Folder, manifest.csv, .npz, builtin:digits, data:NAME@FOLDER, torchvision:NAME or hf:NAME."),
]
Run = Annotated[str | Path, typer.Argument(help="Folder of a finished run.")]
Model = Annotated[
    str, typer.Option(help="zoo:NAME, timm name, paper:NAME, run folder, weights, ARCH@FILE or random:ARCH.")
]
Out = Annotated[Path | str | None, typer.Option(help="Where to write; default: a folder under runs/.")]
Labels = Annotated[str | None, typer.Option(help="Keep only so many training labels: 10 a class, or 25%.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Resolve everything, print the plan, touch nothing.")]
Scale = Annotated[float, typer.Option(help="Shortens a protocol of a paper: 0.1 is a tenth of its length.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; logs go to stderr.")]
Seed = Annotated[int, typer.Option(help="Seed of splits, subsets, training and bootstrap.", min=0)]
Device = Annotated[str, typer.Option(help=f"{one_of(DEVICES)}.")]
Precision = Annotated[str, typer.Option(help=f"{one_of(('auto', *PRECISIONS))}.")]
Cache = Annotated[
    Path | str | None, typer.Option(help="Folder of decoded pixels and features; default: the user's cache.")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out unreadable files instead of stopping.")]


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes
    ----------
    run
        The Python verb. The first paragraph of its docstring is the command's help.
    show
        Prints its document for people.
    """

    run: Callable[..., Document]
    show: Callable[[Document, Console], None]


def head(command: str, started: float, *, seed: int, device: str) -> Document:
    """Return the keys that every document begins with; ``started`` is what `time.perf_counter` said at the start."""
    return {
        "command": command,
        "version": VERSION,
        "seconds": round(time.perf_counter() - started, 3),
        "seed": seed,
        "device": device,
    }


def path_of(place: str | Path | None) -> Path | None:
    """Return a place as a path, None where none was given."""
    return None if place is None else Path(place)


def runtime_of(
    *,
    device: str,
    precision: str = "auto",
    cache: str | Path | None = None,
    skip_bad: bool = False,
    quiet: bool = False,
) -> Runtime:
    """Return where and how a command computes; an unknown device or precision is an error here."""
    return Runtime(device=device, precision=precision, cache=path_of(cache), quiet=quiet, skip_bad=skip_bad)


def listed(names: str | Sequence[str]) -> list[str]:
    """Return names as a list: of a text, what stands between its commas; empty parts are left out.

    Examples
    --------
    >>> listed("1, 5,,10%")
    ['1', '5', '10%']
    """
    parts = names.split(",") if isinstance(names, str) else names
    return [text for part in parts if (text := str(part).strip())]


def read_settings(settings: Mapping[str, Value] | Sequence[str] | None) -> dict[str, Value]:
    """Read settings written as ``NAME=VALUE``; numbers, ``true`` and ``false`` are what they say, the rest is text.

    Raises
    ------
    InputError
        For a pair without ``=``.

    Examples
    --------
    >>> read_settings(["head_steps=0", "normalise=l2"])
    {'head_steps': 0, 'normalise': 'l2'}
    """
    if isinstance(settings, Mapping):
        return dict(settings)
    return dict(_pair(text) for text in settings or ())


def _pair(text: str) -> tuple[str, Value]:
    name, equals, right = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"got --set '{text}'; expected NAME=VALUE, such as head_steps=0")
    try:
        value = json.loads(right)
    except ValueError:
        value = right
    return name.strip(), value if isinstance(value, bool | int | float | str) else right


def fresh_folder(out: str | Path | None, default: str = "") -> Path:
    """Return the folder of a run, made if missing.

    Raises
    ------
    DataError
        When it cannot be written.
    """
    folder = Path(out or default)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".acclimate-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        why = "a file is in the way" if in_the_way else error.strerror
        raise DataError(
            f"cannot write into '{folder}': {why}; expected a folder you may write to, choose one with --out"
        ) from None
    return folder


def writable_file(out: str | Path, suffix: str) -> Path:
    """Return the path of a file that a long command will write at its end, after a look whether it can.

    Raises
    ------
    DataError
        For another suffix, a folder in its place, or a folder that cannot be written.
    """
    path = Path(out)
    if path.suffix != suffix or path.is_dir():
        raise DataError(f"got --out '{out}'; expected a file name that ends in {suffix}")
    fresh_folder(path.parent)
    return path

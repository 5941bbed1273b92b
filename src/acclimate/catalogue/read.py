"""The one reader of named data: what ships with the program, by its name, and a user's own TOML file.

A kind is a folder of files, such as ``protocols/knn/dino.toml`` of the protocol ``knn/dino``, or one file with a table
a name. Every kind has an error type of its own; the texts are the same for all.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from acclimate.errors import DataError, InputError, ModelError, RecipeError, StudyError, unknown

SUFFIX: Final = ".toml"
MOST_BYTES: Final = 2**20  # of a file; one that is larger holds something else

Table = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of named data."""

    place: str  # below this folder: a folder of files, or a file of tables
    noun: str  # what messages call one of them
    error: type[InputError]  # what is raised for a bad one
    files: bool = False  # whether a user may give a TOML file in the place of a name


KINDS: Final[Mapping[str, Kind]] = {
    "protocols": Kind("protocols", "protocol", RecipeError, files=True),
    "studies": Kind("studies", "study", StudyError, files=True),
    "datasets": Kind("datasets/datasets.toml", "data set", DataError),
    "zoo": Kind("zoo", "embedded model", ModelError),
    "timm": Kind("models/timm.toml", "model of timm", ModelError),
    "random": Kind("models/random.toml", "random start", ModelError),
    "papers": Kind("papers/models.toml", "model of a paper", ModelError),
    "layouts": Kind("papers/layouts.toml", "layout", ModelError),
}


@dataclass(frozen=True)
class NamedTable:
    """The content of one file or table."""

    values: Table  # as TOML has them, not yet checked
    where: str  # what messages call it: its name or path in quotes
    path: Path | None = None  # of a user's own file; None for what ships with the program


@functools.cache
def names(kind: str) -> tuple[str, ...]:
    """Return the names of a kind: of files sorted, of tables in the order of their file."""
    place = _place(kind)
    return tuple(sorted(_files(place))) if place.is_dir() else tuple(_own_table(place))


def read(kind: str, name: str | Path, *, noun: str | None = None) -> NamedTable:
    """Return what ships under a name, or a user's own file where the kind allows one.

    Raises `InputError` of the kind's type: for an unknown name (the nearest one is named), or a file that is no TOML in
    UTF-8.

    ``noun`` is what messages call it, where the command has a better word than the kind.
    """
    text, noun, files = str(name), noun or KINDS[kind].noun, KINDS[kind].files
    if text in names(kind):
        place = _place(kind)
        return NamedTable(_own_table(file_of(kind, text)) if place.is_dir() else _own_table(place)[text], f"'{text}'")
    if files and (path := own_file(text)) is not None:
        return NamedTable(_users_table(path, f"{noun} '{text}'", KINDS[kind].error), f"'{text}'", path)
    raise KINDS[kind].error(unknown(noun, text, names(kind)) + (", or a TOML file" if files else ""))


def tables(kind: str) -> dict[str, Table]:
    """Return everything that ships of a kind by its name, in the order of `names`."""
    place = _place(kind)
    return {name: _own_table(file_of(kind, name)) for name in names(kind)} if place.is_dir() else _own_table(place)


def file_of(kind: str, name: str, suffix: str = SUFFIX) -> Traversable:
    """Return the file of a name in a kind that is a folder; ``suffix`` is that of what lies beside the TOML file."""
    return _place(kind).joinpath(*f"{name}{suffix}".split("/"))


def _place(kind: str) -> Traversable:
    return resources.files("acclimate").joinpath("catalogue", *KINDS[kind].place.split("/"))


def _files(folder: Traversable, before: str = "") -> Iterator[str]:
    """Yield the name of each file: ``NAME`` and ``FAMILY/NAME``."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{before}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            yield before + entry.name.removesuffix(SUFFIX)


def _own_table(place: Traversable) -> Table:
    return tomllib.loads(place.read_text(encoding="utf-8"))


def own_file(text: str) -> Path | None:
    """Return the file or folder of this path; None where there is none, or where it cannot be a path."""
    try:
        return path if text and (path := Path(text)).exists() else None
    except (OSError, ValueError):
        return None


def _users_table(path: Path, what: str, error: type[InputError]) -> Table:
    """Return the table of a user's file, or say in one line why there is none."""
    if not path.is_file():
        raise error(f"{what} is {'a folder' if path.is_dir() else 'no file'}; expected a name or a TOML file")
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as problem:
        raise error(f"{what} cannot be read: {problem.strerror}; expected a TOML file that you may read") from None
    if len(content) > MOST_BYTES:
        raise error(f"{what} has more than {MOST_BYTES:,} bytes; expected a TOML file")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise error(f"{what} is not text in UTF-8; expected a TOML file") from None
    if text.startswith("\ufeff"):
        raise error(f"{what} begins with a byte order mark; expected UTF-8 without one: save it again as plain UTF-8")
    if not text.strip():
        raise error(f"{what} is empty; expected a TOML file")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as problem:  # numbers too long to be read are no TOMLDecodeError
        raise error(f"{what} is not valid TOML: {problem}") from None

"""From what the user wrote to the place of the weights. Without torch: a wrong name is answered at once."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from acclimate.catalogue import PaperModel, paper_model, zoo_weights
from acclimate.catalogue.lookup import SUFFIXES, require_model
from acclimate.errors import InputError, ModelError
from acclimate.storage.store import cache_root

IN_FOLDERS: Final = ("weights.safetensors", "model.safetensors", "pytorch_model.bin")

SourceKind = Literal["zoo", "timm", "paper", "random", "file"]
_OF_TIMM: Final[dict[str, SourceKind]] = {"timm": "timm", "random": "random"}


@dataclass(frozen=True)
class Source:
    """Where the weights of a name are.

    Attributes
    ----------
    name
        What the user wrote.
    rest
        What stands after the kind: an architecture, a paper's model, a file.
    file
        The weights, where they are a file of this machine.
    config
        The hub's ``config.json`` beside them.
    architecture
        As the user gave it with a file; else empty.
    """

    name: str
    kind: SourceKind
    rest: str
    file: Path | None = None
    config: Path | None = None
    architecture: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that decide what is loaded, as far as they are known before it is."""
        return tuple(path for path in (self.file, self.config) if path is not None)


def find_source(name: str) -> Source:
    """Return where the weights of a name are.

    Raises ModelError for a name that nothing has (the nearest one is named), a file that is missing, a folder without
    weights.
    """
    require_model(name)
    prefix, _, rest = name.partition(":")
    if prefix == "zoo":
        embedded = Path(str(zoo_weights(name)))
        return Source(name, "zoo", rest, embedded if embedded.is_file() else None)  # in an archive it is no file
    if prefix == "paper":
        return Source(name, "paper", rest, _paper_file(name, rest))
    if kind := _OF_TIMM.get(prefix):
        return Source(name, kind, rest)
    if Path(name).exists():
        return _of_path(name, Path(name))
    architecture, at, file = name.partition("@")
    return Source(name, "file", file, Path(file), architecture=architecture) if at else Source(name, "timm", name)


def _of_path(name: str, path: Path) -> Source:
    if path.is_file():
        return Source(name, "file", name, path)
    weights = next((path / file for file in IN_FOLDERS if (path / file).is_file()), None)
    if weights is None:
        raise ModelError(
            f"folder '{path}' holds no weights; expected a run's weights.safetensors or a hub's model.safetensors"
        )
    config = path / "config.json"
    return Source(name, "file", name, weights, config if config.is_file() else None)


def _paper_file(name: str, rest: str) -> Path | None:
    short, at, given = rest.partition("@")
    model = paper_model(short)
    if not at:
        return _downloaded(model)
    if not Path(given).is_file():
        raise ModelError(f"weights file '{Path(given)}' does not exist; give '{name.partition('@')[0]}' to get it")
    return Path(given)


def _downloaded(model: PaperModel) -> Path | None:
    """Return the file of a paper's model in the cache, if it is there."""
    suffixes = (Path(urllib.parse.urlsplit(model.url).path).suffix,) if model.url else SUFFIXES
    try:
        files = [paper_folder() / f"{model.name}{suffix}" for suffix in suffixes]
    except InputError:  # a cache that cannot be written to is an error when something shall be kept there
        return None
    return next((file for file in files if file.is_file()), None)


def paper_folder() -> Path:
    """Return the folder of the papers' weights in the cache."""
    return cache_root() / "weights"

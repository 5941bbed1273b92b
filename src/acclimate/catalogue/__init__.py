"""The catalogue: pretrained models as data. One TOML table a model, no code.

``timm.toml`` lists good starting points among timm's models; every file in the package's ``zoo/`` folder is the card of
an embedded model. Any other timm name works too: the catalogue is a short list to begin with, not a gate.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from acclimate.errors import ModelError, unknown


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue.

    Attributes
    ----------
    name
        What a command takes: ``zoo:NAME`` or ``timm:NAME``.
    family
        ``zoo`` for the embedded ones, else how the model was pretrained.
    source
        The data and the method behind the weights, in a few words.
    architecture
        timm's name of the architecture.
    parameters
        Number of parameters of the backbone, without a classifier.
    licence
        Licence of the weights.
    """

    name: str
    family: str
    source: str
    architecture: str
    parameters: int
    licence: str


def _read(file: Traversable) -> dict[str, dict[str, str | int]]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _entry(name: str, table: dict[str, str | int], family: str) -> Entry:
    return Entry(
        name=name,
        family=str(table.get("family", family)),
        source=str(table["source"]),
        architecture=str(table["architecture"]),
        parameters=int(table["parameters"]),
        licence=str(table["licence"]),
    )


@functools.cache
def entries() -> tuple[Entry, ...]:
    """Return every entry: the embedded models first, then timm's, each by name."""
    package = resources.files("acclimate")
    cards = sorted((f for f in package.joinpath("zoo").iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    zoo = [_entry(f"zoo:{card.name.removesuffix('.toml')}", dict(_read(card)["model"]), "zoo") for card in cards]
    listed = _read(package.joinpath("catalogue", "timm.toml"))
    return tuple(zoo) + tuple(_entry(f"timm:{name}", table, "timm") for name, table in sorted(listed.items()))


def zoo_names() -> tuple[str, ...]:
    """Return the names of the embedded models, ``zoo:`` included."""
    return tuple(entry.name for entry in entries() if entry.name.startswith("zoo:"))


def zoo_weights(name: str) -> Traversable:
    """Return the weights file of an embedded model.

    Raises
    ------
    ModelError
        For a name that is not embedded; the nearest one is named.
    """
    if name not in zoo_names():
        raise ModelError(unknown("embedded model", name, zoo_names()))
    return resources.files("acclimate").joinpath("zoo", f"{name.removeprefix('zoo:')}.safetensors")

"""The pretrained models of the catalogue, one entry each."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

from acclimate.catalogue.paper import PREFIX, paper_models
from acclimate.catalogue.read import file_of, names, tables
from acclimate.errors import ModelError, unknown

ZOO = "zoo:"


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue."""

    name: str  # what a command takes: ``zoo:NAME``, ``random:NAME``, ``timm:NAME`` or ``paper:NAME``
    family: str  # ``zoo`` for the embedded ones, ``random`` for random starts, else how the model was pretrained
    source: str  # the data and the method behind the weights, in a few words
    architecture: str  # timm's name of the architecture
    parameters: int  # number of parameters of the backbone, without a classifier
    licence: str  # licence of the weights, or of the code they come with; ``not stated`` where their source has none
    # where the weights are: ``embedded``, ``timm`` (its hub), ``download`` (the authors' file), ``by hand``, or
    # ``none`` where they are drawn
    weights: str


def _entry(name: str, table: Mapping[str, Any], family: str, weights: str) -> Entry:
    facts = {key: table[key] for key in ("source", "architecture", "parameters", "licence")}
    return Entry(name=name, family=table.get("family", family), weights=weights, **facts)


@functools.cache
def entries() -> tuple[Entry, ...]:
    """Return every entry: the embedded models first, then random starts, timm's and the papers', each by name."""
    zoo = [_entry(f"{ZOO}{name}", card["model"], "zoo", "embedded") for name, card in tables("zoo").items()]
    own = [
        _entry(f"{kind}:{name}", table, kind, weights)
        for kind, weights in (("random", "none"), ("timm", "timm"))
        for name, table in sorted(tables(kind).items())
    ]
    papers = [
        _entry(f"{PREFIX}{one.name}", vars(one), "paper", "download" if one.url else "by hand")
        for one in paper_models()
    ]
    return (*zoo, *own, *papers)


def zoo_names() -> tuple[str, ...]:
    """Return the names of the embedded models, ``zoo:`` included."""
    return tuple(f"{ZOO}{name}" for name in names("zoo"))


def zoo_weights(name: str) -> Traversable:
    """Return the weights file of an embedded model.

    Raises `ModelError` for a name that is not embedded; the nearest one is named.
    """
    if name not in zoo_names():
        raise ModelError(unknown("embedded model", name, zoo_names()))
    return file_of("zoo", name.removeprefix(ZOO), ".safetensors")

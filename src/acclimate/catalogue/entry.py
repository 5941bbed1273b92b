"""The pretrained models of the catalogue, one entry each.

Of a paper's model it says where the weights are, how the file is laid out and what images must look like.
``papers/models.toml`` holds one table a model, ``papers/layouts.toml`` one a checkpoint layout, which several models
share.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Any

from acclimate.catalogue.read import file_of, names, tables
from acclimate.errors import ModelError, unknown

PREFIX = "paper:"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a checkpoint holds a backbone."""

    name: str  # as in ``layouts.toml``
    # keys that lead from the top of the file to the table of tensors; empty when the table is the file
    nest: tuple[str, ...] = ()
    # regular expressions, matched at the start of a name as it stands in the file: heads, queues, decoders
    drop: tuple[str, ...] = ()
    prefix: str = ""  # what every name that is left begins with; it is cut off
    # ``(regular expression, replacement)``, each applied once to every name, in this order
    rename: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...]  # two or three names as they stand in a file: what was expected, when a file does not fit
    verified: str  # what the layout was read from
    assumption: str = ""  # what could not be verified; empty when nothing


@dataclass(frozen=True, kw_only=True)
class PaperModel:
    """One model of a paper."""

    name: str  # without ``paper:``
    # family, source, architecture, parameters, licence: as in `acclimate.catalogue.Entry`
    family: str
    source: str
    architecture: str
    arguments: Mapping[str, Any] = field(default_factory=dict)  # what timm builds the architecture with beside its name
    pooling: str  # ``avg`` or ``token``: how timm pools this architecture with these arguments
    parameters: int
    layout: Layout  # how the file is laid out
    url: str = ""  # of the authors' file, http or https; empty when there is none that a program can fetch
    checksum: str = ""  # ``sha256:HEX`` or ``md5:HEX``, 8 digits or more, as the source publishes it; else empty
    by_hand: str = ""  # how a person gets the file where ``url`` is empty
    preprocess: Mapping[str, Any]  # ``size`` (side in pixels), ``crop_pct``, ``interpolation``, ``mean`` and ``std``
    licence: str
    studies: tuple[str, ...]  # which studies compare this model
    note: str = ""  # what a user should know; empty when nothing


def _frozen(value: Any) -> Any:
    """Return a value of TOML with tuples for its lists."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _facts(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _frozen(value) for key, value in table.items()}


@functools.cache
def paper_models() -> tuple[PaperModel, ...]:
    """Return the models of the papers, by name."""
    layouts = {name: Layout(name=name, **_facts(table)) for name, table in tables("layouts").items()}
    papers = {name: _facts(table) for name, table in sorted(tables("papers").items())}
    return tuple(
        PaperModel(**facts | {"name": name, "layout": layouts[facts["layout"]]}) for name, facts in papers.items()
    )


def paper_model(name: str) -> PaperModel:
    """Return one model of a paper; ``name`` is without ``paper:``.

    Raises `ModelError` for a name that is not in the catalogue; the nearest one is named.

    Examples
    --------
    >>> paper_model("simclr").layout.nest
    ('classy_state_dict', 'base_model', 'model', 'trunk')
    """
    for model in paper_models():
        if model.name == name:
            return model
    raise ModelError(unknown("model of a paper", PREFIX + name, (PREFIX + model.name for model in paper_models())))


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

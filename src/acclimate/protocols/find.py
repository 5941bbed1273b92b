"""A name or a TOML file -> a protocol. The only place that does."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from acclimate import catalogue
from acclimate.catalogue import ALIASES, ProtocolKind, Want
from acclimate.errors import RecipeError, complaint
from acclimate.protocols.episodes import EpisodesProtocol
from acclimate.protocols.probe import ProbeProtocol
from acclimate.protocols.protocol import Protocol
from acclimate.protocols.recipe import RecipeProtocol
from acclimate.scores import PROBES
from acclimate.training.recipe import Recipe

CLASSES: Final[Mapping[ProtocolKind, type[Protocol]]] = {
    "probe": ProbeProtocol,
    "episodes": EpisodesProtocol,
    "recipe": RecipeProtocol,
}


def protocol_names() -> tuple[str, ...]:
    """Return every name: protocols of papers, plain probes, our own recipes, deprecated names. None is there twice."""
    ours = catalogue.plain_names()
    cited = (name for name in catalogue.names("protocols") if name not in ours)
    return (*cited, *PROBES, *ours, *ALIASES)


def find_protocol(name: str | Path | Protocol, want: Want = "any", *, others: Iterable[str] = ()) -> Protocol:
    """Return a protocol by its name or from a TOML file; one that is found already is only checked.

    A deprecated name is said on stderr, with the one that stands for it.

    Parameters
    ----------
    want
        ``training`` for commands that train the model, ``features`` for those that measure features of it.
    others
        Other names that the command takes, for the list of known ones.

    Raises
    ------
    RecipeError
        For an unknown name (the nearest one is named), a file that cannot be read, or a setting that cannot be.
    InputError
        For a protocol of the other kind.
    """
    if isinstance(name, Protocol):
        protocol, text = name, name.name
    else:
        protocol, text = _read(str(name), want, others), str(name)
    catalogue.require_kind(text, protocol.kind, want)
    return protocol


def find_training(name: str | Path | Protocol) -> RecipeProtocol:
    """Return a protocol that trains; see `find_protocol`."""
    protocol = find_protocol(name, "training")
    assert isinstance(protocol, RecipeProtocol)
    return protocol


def protocol_of(recipe: Recipe) -> RecipeProtocol:
    """Return a recipe as a protocol.

    Raises
    ------
    RecipeError
        For one that ends without a classifier.
    """
    values = {"name": recipe.name, "source": recipe.source, "stages": recipe.stages}
    protocol = _checked("recipe", values, f"recipe '{recipe.name}'")
    assert isinstance(protocol, RecipeProtocol)
    return protocol


def _read(name: str, want: Want, others: Iterable[str]) -> Protocol:
    if name in PROBES:
        return ProbeProtocol.plain(name)
    if name in ALIASES:
        print(f"acclimate: '{name}' is a deprecated name of '{ALIASES[name]}', which is run", file=sys.stderr)
    table = catalogue.protocol_table(name, want, (*PROBES, *others))
    return _checked(catalogue.kind_of(table.values), table.values, f"{catalogue.NOUNS[want]} {table.where}")


def _checked(kind: ProtocolKind, values: Mapping[str, Any], what: str) -> Protocol:
    try:
        return CLASSES[kind].model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{what}: {complaint(error, CLASSES[kind])}") from None

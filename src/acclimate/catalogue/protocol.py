"""The names of protocols: deprecated ones, what a command can use, and the two older forms of a file. No torch."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from acclimate.catalogue.read import KINDS, NamedTable, names, own_file, read, tables
from acclimate.errors import InputError, RecipeError, unknown

ProtocolKind = Literal["probe", "episodes", "recipe"]
Want = Literal["any", "training", "features"]

ALIASES: Final[Mapping[str, str]] = {"bn-paper": "bn/paper", "ssda": "staged/ssda"}  # deprecated, for one release
NOUNS: Final[Mapping[Want, str]] = {"any": KINDS["protocols"].noun, "training": "recipe", "features": "score"}
ROW_KINDS: Final[Mapping[ProtocolKind, str]] = {"probe": "score", "episodes": "episodes", "recipe": "recipe"}
PLAIN: Final = frozenset({"name", "source", "stages", "search", "search_length"})  # keys of a recipe of ours
PARTS: Final = ("stages", "probe", "episodes", "recipe", "score")  # the last two in files of the older forms


def check_protocol_name(
    name: str, want: Want = "any", *, probes: Iterable[str] = (), others: Iterable[str] = ()
) -> None:
    """Refuse a name that no protocol has, a file that is no TOML, or a protocol that a command cannot use.

    Raises `RecipeError` for an unknown name (the nearest one is named) or a file that is no TOML in UTF-8; `InputError`
    for a protocol of the other kind.

    ``want`` is ``training`` for commands that train the model, ``features`` for those that measure features of it;
    ``probes`` are the names of the plain probes, which have no file, ``others`` other names that the command takes.
    """
    plain = (*probes, *others)
    kind = "probe" if name in plain else kind_of(protocol_table(name, want, plain).values)
    require_kind(name, kind, want)


def protocol_table(name: str, want: Want = "any", others: Iterable[str] = ()) -> NamedTable:
    """Return the content of a protocol's file in today's form; see `check_protocol_name`."""
    text = ALIASES.get(name, name)
    if text not in names("protocols") and own_file(text) is None:
        raise RecipeError(_unknown(text, want, others))
    table = read("protocols", text, noun=NOUNS[want])
    return replace(table, values=_of_today(table.values, f"{NOUNS[want]} {table.where}"))


def kind_of(values: Mapping[str, Any]) -> ProtocolKind:
    """Return the kind of a protocol from its table in today's form."""
    return "probe" if "probe" in values else "episodes" if "episodes" in values else "recipe"


def require_kind(name: str, kind: ProtocolKind, want: Want) -> None:
    """Refuse a protocol that a command cannot use; see `check_protocol_name`."""
    if want == "training" and kind != "recipe":
        raise InputError(f"'{name}' trains nothing; expected a recipe, or: acclimate score --score {name}")
    if want == "features" and kind == "recipe":
        raise InputError(f"'{name}' trains the model; expected a score, or: acclimate tune --recipe {name}")


@functools.cache
def plain_names() -> tuple[str, ...]:
    """Return the names of our own recipes that ship with the program."""
    return tuple(name for name, values in tables("protocols").items() if PLAIN.issuperset(values))


def protocol_cards(probes: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what a list shows of every protocol: those of papers, the plain probes, our recipes, deprecated names.

    Parameters
    ----------
    probes
        What each plain probe means, by its name.
    """
    values = {name: protocol_table(name).values for name in names("protocols")}
    files = {
        name: protocol_card(name, kind_of(table), table.get("source", ""), table.get("deviations"))
        for name, table in values.items()
    }
    ours = {name: files.pop(name) for name in plain_names()}
    plain = {name: protocol_card(name, "probe", meaning, None) for name, meaning in probes.items()}
    old = [
        {**{**files, **ours}[new], "name": name, "source": f"deprecated name of {new}", "deviations": []}
        for name, new in ALIASES.items()
    ]
    return [*files.values(), *plain.values(), *ours.values(), *old]


def protocol_card(name: str, kind: ProtocolKind, source: str, deviations: Sequence[str] | None) -> dict[str, Any]:
    """Return what a list shows of a protocol; ``deviations`` are None for one that follows no source."""
    return {
        "name": name,
        "preset": deviations is not None,
        "kind": ROW_KINDS[kind],
        "source": source,
        "deviations": list(deviations or ()),
    }


def _unknown(name: str, want: Want, others: Iterable[str]) -> str:
    ours = plain_names()
    if want == "features":
        return unknown(NOUNS[want], name, {*names("protocols"), *others}.difference(ours))
    if want == "any":
        return f"{unknown(NOUNS[want], name, {*names('protocols'), *ALIASES, *others})}, or a TOML file"
    training = [one for one, values in tables("protocols").items() if kind_of(values) == "recipe"]
    return f"{unknown(NOUNS[want], name, {*ours, *ALIASES}, near=training)}, or a TOML file"


def _of_today(values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return a protocol's table in today's form.

    In the older one a probe stood in ``[score]``, with its label budget inside, and everything of a recipe that was not
    ours in ``[recipe]``.
    """
    parts = [part for part in PARTS if part in values]
    if len(parts) > 1:
        raise RecipeError(f"{what}: got {' and '.join(parts)}; expected exactly one of [[stages]], [probe], [episodes]")
    table = dict(values)
    if isinstance(table.get("recipe"), Mapping):
        table = {**table.pop("recipe"), **table}
    if isinstance(table.get("score"), Mapping):
        probe = dict(table.pop("score"))
        table |= {"probe": probe, **({"labels": probe.pop("labels")} if "labels" in probe else {})}
    return table if PLAIN.issuperset(table) and parts != ["recipe"] else {"deviations": [], **table}

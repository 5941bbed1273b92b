"""``acclimate protocols``: every evaluation protocol by name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acclimate.commands.shared import Command, Device, Document, Seed, head
from acclimate.commands.tables import escape, notes, table

if TYPE_CHECKING:
    from rich.console import Console


def list_protocols(
    name: Annotated[str | None, typer.Argument(help="Show this one whole: a name, or a TOML file.")] = None,
    *,
    seed: Seed = 0,
    device: Device = "auto",
) -> Document:
    """List every evaluation protocol: those of the papers, scores and recipes, with source and deviations.

    Parameters
    ----------
    name
        Show one whole, with all its settings: a name, or a TOML file.

    Returns
    -------
    The document: ``protocols``, each with name, preset, kind, source and deviations, and ``settings`` if it is shown
    whole.

    Raises
    ------
    RecipeError
        For an unknown protocol; the nearest one is named.
    """
    from acclimate.catalogue import protocol_cards
    from acclimate.scores import PROBES

    started = time.perf_counter()
    meanings = {probe: PROBES[probe].meaning for probe in PROBES}
    cards = protocol_cards(meanings) if name is None else [_whole(name)]
    return {**head("protocols", started, seed=seed, device="cpu"), "protocols": cards}


def _whole(name: str) -> Document:
    """Return a protocol with its settings in full; those left at their defaults are known to its own class."""
    from acclimate.catalogue import check_protocol_name
    from acclimate.scores import PROBES

    check_protocol_name(name, probes=PROBES)

    from acclimate.protocols import find_protocol

    protocol = find_protocol(name)
    return {**protocol.card(), "settings": protocol.stated()}


def show(document: Document, console: Console) -> None:
    """Print the list, or one protocol whole."""
    cards = document["protocols"]
    if len(cards) == 1 and "settings" in cards[0]:
        _show_whole(cards[0], console)
        return
    rows = [{**card, "count": len(card["deviations"]) if card["preset"] else ""} for card in cards]
    table(console, rows, {"name": "protocol", "kind": "kind", "count": "deviations", "source": "source"})
    console.print("One whole, with its settings and deviations: acclimate protocols NAME")


def _show_whole(card: Document, console: Console) -> None:
    kind = f"{card['kind']} that follows its source" if card["preset"] else card["kind"]
    console.print(f"[bold]{escape(card['name'])}[/], a {kind}")
    console.print(f"Source: {escape(card['source'])}", highlight=False)
    for line in _lines(card["settings"]):
        console.print(f"    {escape(line)}", highlight=False)
    notes(console, card["deviations"], "[yellow]deviates:[/]")


def _lines(settings: Mapping[str, Any], indent: str = "") -> list[str]:
    """Return settings as lines, one a key; a list of tables is numbered."""
    lines = []
    for key, value in settings.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "    ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value, start=1):
                lines += [f"{indent}{key} {number}:", *_lines(item, indent + "    ")]
        elif value not in (None, {}):
            lines.append(f"{indent}{key} = {_short(value)}")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


COMMAND = Command(list_protocols, show)

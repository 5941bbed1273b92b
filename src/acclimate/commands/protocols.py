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
    name: Annotated[str | None, typer.Argument(help="Show this one whole: a name, or a TOML file of a preset.")] = None,
    *,
    seed: Seed = 0,
    device: Device = "auto",
) -> Document:
    """List every evaluation protocol: presets of the papers, scores and recipes, with source and deviations.

    Parameters
    ----------
    name
        Show one whole, with all its settings: a name, or a TOML file of a preset.

    Returns
    -------
    The document: ``protocols``, each with name, preset, kind, source and deviations, and ``settings`` if it is shown
    whole.

    Raises
    ------
    RecipeError
        For an unknown protocol; the nearest one is named.
    """
    from acclimate.errors import RecipeError, unknown
    from acclimate.protocols import is_preset, protocol_names

    started = time.perf_counter()
    if name is not None and name not in protocol_names() and not is_preset(name):
        raise RecipeError(f"{unknown('protocol', name, protocol_names())}, or a TOML file")
    cards = [_card(each) for each in protocol_names()] if name is None else [{**_card(name), "settings": _whole(name)}]
    return {**head("protocols", started, seed=seed, device="cpu"), "protocols": cards}


def _card(name: str) -> Document:
    from acclimate.protocols import is_preset, load_preset
    from acclimate.scores import PROBES
    from acclimate.training.recipe import load_recipe

    if is_preset(name):
        preset = load_preset(name)
        return {
            "name": preset.name,
            "preset": True,
            "kind": preset.kind,
            "source": preset.source,
            "deviations": list(preset.deviations),
        }
    score = name in PROBES
    source = PROBES[name].meaning if score else load_recipe(name).source
    return {"name": name, "preset": False, "kind": "score" if score else "recipe", "source": source, "deviations": []}


def _whole(name: str) -> Mapping[str, Any]:
    """Return the settings in full, those left at their defaults too."""
    from acclimate.protocols import is_preset, load_preset
    from acclimate.scores import PROBES
    from acclimate.training.recipe import load_recipe

    if is_preset(name):
        return load_preset(name).stated()
    if name in PROBES:
        return {"name": name, "settings": PROBES[name].settings().model_dump(mode="json")}
    return {"stages": load_recipe(name).model_dump(mode="json")["stages"]}


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
    kind = f"preset of kind {card['kind']}" if card["preset"] else card["kind"]
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

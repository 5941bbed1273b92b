"""The command that lists what can be run: protocols."""

from __future__ import annotations

from typing import Annotated

import typer

from acclimate.cli.shared import Device, Json, Seed, options_of, show


def protocols(
    name: Annotated[str | None, typer.Argument(help="Show this one whole: a name, or a TOML file of a preset.")] = None,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """List every evaluation protocol: presets of the papers, scores and recipes, with source and deviations."""
    from acclimate.verbs import list_protocols as verb

    show(verb(name, options=options_of(seed, device, json=json)), json)

"""What can be run: every evaluation protocol by name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from acclimate.errors import RecipeError, unknown
from acclimate.protocols import is_preset, load_preset, protocol_names
from acclimate.scores import PROBES
from acclimate.training.recipe import load_recipe
from acclimate.verbs.options import Options, document


def list_protocols(name: str | None = None, *, options: Options | None = None) -> dict[str, Any]:
    """Return every evaluation protocol: the presets of the papers, the plain scores, the recipes.

    Parameters
    ----------
    name
        Show one whole, with all its settings: a name, or a TOML file of a preset.

    Raises
    ------
    RecipeError
        For an unknown protocol; the nearest one is named.
    """
    started, options = time.perf_counter(), options or Options()
    if name is not None and name not in protocol_names() and not is_preset(name):
        raise RecipeError(f"{unknown('protocol', name, protocol_names())}, or a TOML file")
    shown = [_card(each) for each in protocol_names()] if name is None else [_card(name) | {"settings": _whole(name)}]
    return {**document("protocols", options, time.perf_counter() - started, "cpu"), "protocols": shown}


def _card(name: str) -> dict[str, Any]:
    if is_preset(name):
        preset = load_preset(name)
        deviations = list(preset.deviations)
        return {
            "name": preset.name,
            "preset": True,
            "kind": preset.kind,
            "source": preset.source,
            "deviations": deviations,
        }
    score = name in PROBES
    source = PROBES[name].meaning if score else load_recipe(name).source
    return {"name": name, "preset": False, "kind": "score" if score else "recipe", "source": source, "deviations": []}


def _whole(name: str) -> Mapping[str, Any]:
    if is_preset(name):
        return load_preset(name).stated()
    if name in PROBES:
        return {"name": name, "settings": PROBES[name].settings().model_dump(mode="json")}
    return {"stages": load_recipe(name).model_dump(mode="json")["stages"]}

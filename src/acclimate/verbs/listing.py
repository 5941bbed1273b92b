"""What can be run: every evaluation protocol by name."""

from __future__ import annotations

import time
from typing import Any

from acclimate.protocols import find_protocol, protocol_cards
from acclimate.verbs.options import Options, document


def list_protocols(name: str | None = None, *, options: Options | None = None) -> dict[str, Any]:
    """Return every evaluation protocol: those of the papers, the plain probes, our own recipes.

    Parameters
    ----------
    name
        Show one whole, with all its settings: a name, or a TOML file.

    Raises
    ------
    RecipeError
        For an unknown protocol; the nearest one is named.
    """
    started, options = time.perf_counter(), options or Options()
    if name is None:
        cards = protocol_cards()
    else:
        protocol = find_protocol(name)
        cards = [protocol.card() | {"settings": protocol.stated()}]
    return {**document("protocols", options, time.perf_counter() - started, "cpu"), "protocols": cards}

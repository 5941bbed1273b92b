"""The commands as Python functions: names in, one JSON-able document out, the same keys as ``--json`` prints.

Each is imported when first used: ``models``, ``check`` and ``report`` answer at once, without torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Options": "options",
    "adapt": "runs",
    "check": "light",
    "curve": "prove",
    "embed": "data",
    "export": "runs",
    "list_protocols": "listing",
    "models": "light",
    "predict": "runs",
    "rank": "choose",
    "report": "light",
    "score": "data",
    "tune": "runs",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'acclimate.verbs' has no attribute '{name}'")
    return getattr(importlib.import_module(f"acclimate.verbs.{_HOMES[name]}"), name)

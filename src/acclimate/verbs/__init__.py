"""The commands as Python functions: names in, one JSON-able document out, the same keys as ``--json`` prints.

Each is imported when first used: ``models``, ``check`` and ``report`` answer at once, without torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Options": "options",
    "adapt": "runs",
    "curve": "prove",
    "embed": "data",
    "explain": "explaining",
    "export": "runs",
    "predict": "runs",
    "rank": "choose",
    "score": "data",
    "study": "studying",
    "tune": "runs",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'acclimate.verbs' has no attribute '{name}'")
    return getattr(importlib.import_module(f"acclimate.verbs.{_HOMES[name]}"), name)

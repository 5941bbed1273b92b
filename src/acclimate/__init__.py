"""Acclimate: choose, adapt and finetune pretrained vision models, and know how far to trust the answer.

The verbs of the command line are functions here, under the same names: ``acclimate.rank("photos/", zoo=True)``.
They are imported when first used, so that ``import acclimate`` stays instant and never imports torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Backbone": "backbones",
    "Classifier": "classifier",
    "Images": "images",
    "Options": "verbs",
    "adapt": "verbs",
    "check": "verbs",
    "compare": "verbs",
    "curve": "verbs",
    "demo": "story",
    "embed": "verbs",
    "explain": "verbs",
    "export": "verbs",
    "extract": "backbones",
    "find_protocol": "protocols",
    "from_module": "backbones",
    "load_backbone": "backbones",
    "list_protocols": "verbs",
    "load_images": "images",
    "models": "verbs",
    "predict": "verbs",
    "rank": "verbs",
    "report": "verbs",
    "score": "verbs",
    "study": "verbs",
    "tune": "verbs",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'acclimate' has no attribute '{name}'")
    return getattr(importlib.import_module(f"acclimate.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])

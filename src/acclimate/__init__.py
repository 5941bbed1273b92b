"""Acclimate: choose, adapt and finetune pretrained vision models, and know how far to trust the answer.

The commands are functions here, with the arguments of the command line: ``acclimate.rank("photos", zoo=True, seed=1)``.
They are imported when first used, so that ``import acclimate`` stays instant and never imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from acclimate.commands import COMMANDS, VERSION

if TYPE_CHECKING:  # what a type checker sees of the names below; a test compares both
    from acclimate.commands.adapt import adapt as adapt
    from acclimate.commands.check import check as check
    from acclimate.commands.compare import compare as compare
    from acclimate.commands.curve import curve as curve
    from acclimate.commands.demo import demo as demo
    from acclimate.commands.embed import embed as embed
    from acclimate.commands.explain import explain as explain
    from acclimate.commands.export import export as export
    from acclimate.commands.models import list_models as list_models
    from acclimate.commands.predict import predict as predict
    from acclimate.commands.protocols import list_protocols as list_protocols
    from acclimate.commands.rank import rank as rank
    from acclimate.commands.report import report as report
    from acclimate.commands.score import score as score
    from acclimate.commands.study import study as study
    from acclimate.commands.tune import tune as tune
    from acclimate.images import Images as Images
    from acclimate.images import load_images as load_images
    from acclimate.models import Backbone as Backbone
    from acclimate.models import extract as extract
    from acclimate.models import from_module as from_module
    from acclimate.models import load_backbone as load_backbone
    from acclimate.models.classifier import Classifier as Classifier
    from acclimate.protocols import find_protocol as find_protocol

__version__ = VERSION

_MODULES: Final = {
    "Backbone": "models",
    "Classifier": "models.classifier",
    "Images": "images",
    "extract": "models",
    "find_protocol": "protocols",
    "from_module": "models",
    "load_backbone": "models",
    "load_images": "images",
    **{function: f"commands.{name}" for name, function in COMMANDS.items()},
}
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'acclimate' has no attribute '{name}'")
    return getattr(importlib.import_module(f"acclimate.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])

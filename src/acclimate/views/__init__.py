"""Augmentation: a uint8 batch in, one or more normalised float views out.

`augment` says what a view may look like (data), `domains` what images of one kind allow, `draw` takes the random
numbers, `linear` turns them into small matrices, and `make` multiplies. No image is touched one by one, and
torchvision is not imported. What needs torch is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from acclimate.views.augment import AUGMENTS as AUGMENTS
from acclimate.views.augment import DOMAINS as DOMAINS
from acclimate.views.augment import Augment as Augment
from acclimate.views.augment import Domain as Domain
from acclimate.views.augment import Normalize as Normalize
from acclimate.views.augment import for_domain as for_domain
from acclimate.views.augment import scaled as scaled
from acclimate.views.augment import view_size as view_size

if TYPE_CHECKING:
    from acclimate.views.make import center as center
    from acclimate.views.make import make_views as make_views

_WITH_TORCH = ("center", "make_views")


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module 'acclimate.views' has no attribute '{name}'")
    return getattr(importlib.import_module("acclimate.views.make"), name)

"""Networks: a timm architecture, a module of the user's own, and the digest that tells two of them apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from acclimate.catalogue.lookup import require_architecture
from acclimate.errors import ModelError
from acclimate.models.backbone import Backbone, Preprocess
from acclimate.models.load.lean import import_timm
from acclimate.models.network import Dressed


class Headed(Dressed):
    """A user's own module in the dress of a timm network: pooled features below, a linear classifier on top."""

    def __init__(self, body: nn.Module, features: int) -> None:
        super().__init__(body)
        self.num_features = features

    def forward_features(self, x: Tensor) -> Tensor:
        """Return ``(n, d)`` features; maps ``(n, d, h, w)`` are averaged over their positions."""
        y: Tensor = self.body(x)
        return y.mean((-2, -1)) if y.ndim == 4 else y

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new linear classifier on top; 0 takes it away."""
        self.fc = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()


def from_module(
    module: nn.Module, *, name: str, features: int, preprocess: Preprocess, random_start: bool = False
) -> Backbone:
    """Return a Backbone around a module of your own that gives ``(n, d)`` or ``(n, d, h, w)`` features.

    ``features`` is d, the width of the features.
    """
    headed = Headed(module, features).eval()
    architecture = f"module:{type(module).__name__}"
    return Backbone(name, architecture, headed, preprocess, digest(architecture, {}, headed), random_start)


def digest(architecture: str, arguments: Mapping[str, Any], module: nn.Module) -> str:
    """Return the sha256 of an architecture and of all its tensors, names, shapes and types included."""
    sha = hashlib.sha256(json.dumps([architecture, dict(arguments)], sort_keys=True).encode())
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        sha.update(f"{name}{tuple(array.shape)}{array.dtype}".encode())
        sha.update(np.ascontiguousarray(array.flatten().view(torch.uint8).numpy()).data)
    return sha.hexdigest()


def create(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a timm architecture without classifier and with random weights that depend on nothing but its name.

    Raises ModelError for a name timm does not know (the nearest ones are named), or arguments the architecture does not
    take.
    """
    timm = import_timm()
    require_architecture(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            module: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=0, **arguments)
        except TypeError as error:
            raise ModelError(f"timm's '{architecture}' cannot be built with {dict(arguments)}: {error}") from None
    return module.eval()

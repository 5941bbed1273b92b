"""The Backbone: a timm network without classifier, what its images must look like, where its weights came from."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn

from acclimate.catalogue.model_names import unknown_architecture
from acclimate.errors import ModelError
from acclimate.images import Geometry
from acclimate.models.network import reset_classifier
from acclimate.models.taps import DEFAULT, LAST, Tap, tapped

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    """Check one number a channel: the program feeds RGB, to grey or multispectral models it would be wrong."""
    if len(values) != 3:
        raise ModelError(f"got a model with {len(values)} input channels; expected 3 (RGB)")
    return float(values[0]), float(values[1]), float(values[2])


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes the network's input; the fields are those of timm's ``pretrained_cfg``.

    Attributes
    ----------
    size
        ``(height, width)`` of the input, in pixels.
    mean, std
        Of the pretraining data, on the [0, 1] scale, one number a channel.
    crop_pct
        Share of the resized image's side that the centre crop keeps, in (0, 1].
    crop_mode
        ``center`` (short side, then crop), ``squash`` (both sides) or ``border`` (long side, padded).
    """

    size: tuple[int, int]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: str = "bicubic"
    crop_pct: float = 1.0
    crop_mode: str = "center"

    @property
    def geometry(self) -> Geometry:
        """What is decoded and kept: about the input size divided by ``crop_pct``, so that training has room to crop.

        The centre is cut out twice, here and before the network. Both cuts round a half to even, so that together they
        are timm's single one only if the second takes an even number of pixels off each side: up to three pixels of
        the resized image are not kept.
        """
        frame = tuple(math.floor(side / self.crop_pct) for side in self.size)
        kept = tuple(side + (whole - side) // 4 * 4 for side, whole in zip(self.size, frame, strict=True))
        if self.crop_mode == "border":
            fill = tuple(round(255 * value) for value in self.mean)
            return Geometry(frame[0], frame[1], "border", self.interpolation, fill=(fill[0], fill[1], fill[2]))
        if self.crop_mode == "squash" or kept == frame:
            mode = "squash" if self.crop_mode == "squash" else "crop"
            return Geometry(frame[0], frame[1], mode, self.interpolation)
        share = kept[0] / (frame[0] + 0.5)  # dividing by it gives the frame back, whichever way floats round
        if tuple(math.floor(side / share) for side in kept) != frame:
            return Geometry(frame[0], frame[1], "crop", self.interpolation)
        return Geometry(kept[0], kept[1], "crop", self.interpolation, crop_pct=share)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], size: tuple[int, int] | None) -> Preprocess:
        """Read timm's ``pretrained_cfg``; ``size`` replaces the input size where it is given."""
        interpolation = config.get("interpolation") or "bicubic"
        return cls(
            size=size or tuple(config["input_size"][-2:]),
            mean=_three(config.get("mean") or IMAGENET_MEAN),
            std=_three(config.get("std") or IMAGENET_STD),
            interpolation="bilinear" if interpolation == "random" else interpolation,
            crop_pct=float(config.get("crop_pct") or 1.0) if size is None else 1.0,
            crop_mode=config.get("crop_mode") or "center",
        )


@dataclass(frozen=True)
class Backbone:
    """A pretrained network without its classifier.

    Attributes
    ----------
    name
        What the user wrote, such as ``zoo:resnet-byol`` or ``timm:resnet50.a1_in1k``.
    architecture
        timm's name; ``module:CLASS`` for a module of the user's own.
    arguments
        What the architecture was built with beside its name, such as ``{"img_size": 64}``.
    module
        The network, in eval mode, on the CPU; ``forward`` gives ``(n, d)`` pooled features.
    digest
        sha256 of the architecture and of every tensor: two backbones with the same digest are the same function.
    random_start
        Whether the weights are a random initialisation. Every row and report says so.
    """

    name: str
    architecture: str
    module: nn.Module = field(repr=False)
    preprocess: Preprocess
    digest: str
    random_start: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Number of parameters, without a classifier."""
        return sum(p.numel() for p in self.module.parameters())

    @torch.inference_mode()
    def embed(self, x: Tensor, *, layer: str = LAST, pooling: str = DEFAULT) -> Tensor:
        """Return features ``(n, d)`` float32 of a normalised batch ``(n, 3, h, w)``.

        Parameters
        ----------
        layer, pooling
            Where features are taken, see ``Tap``; default the network's own pooled output.

        Examples
        --------
        >>> import torch
        >>> from acclimate.models import load_backbone
        >>> load_backbone("random:test_resnet").embed(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 96])
        """
        (features,) = tapped(self.module, x, [Tap(layer, pooling).of(self.module)])
        return features.float()

    def network(self, n_classes: int) -> nn.Module:
        """Return a copy with a new classifier for ``n_classes`` classes, all zeros; 0 classes: without one.

        A zero classifier starts every class at the same probability and needs no random number; the backbone has no
        gradient at the very first step, as in BiT (Kolesnikov et al. 2020, section 3.3).
        """
        network = copy.deepcopy(self.module)
        reset_classifier(network, n_classes)
        return network

    def card(self) -> dict[str, Any]:
        """Return what a weights file says of itself, so that it can be loaded back by its path alone."""
        return {
            "architecture": self.architecture,
            "arguments": dict(self.arguments),
            "preprocess": asdict(self.preprocess),
            "random_start": self.random_start,
        }


class Headed(nn.Module):
    """A user's own module in the dress of a timm network: pooled features below, a linear classifier on top."""

    def __init__(self, body: nn.Module, features: int) -> None:
        super().__init__()
        self.body = body
        self.num_features = features
        self.fc: nn.Module = nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        """Return ``(n, d)`` features; maps ``(n, d, h, w)`` are averaged over their positions."""
        y: Tensor = self.body(x)
        return y.mean((-2, -1)) if y.ndim == 4 else y

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits, or the features as they are with ``pre_logits``."""
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``(n, C)``, or the features ``(n, d)`` without a classifier."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """Return the classifier; an identity when there is none."""
        return self.fc

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new linear classifier on top; 0 takes it away."""
        self.fc = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()


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

    Raises
    ------
    ModelError
        For a name timm does not know (the nearest ones are named), or arguments the architecture does not take.
    """
    name = architecture.partition(".")[0]
    if not timm.is_model(name):
        raise ModelError(unknown_architecture(architecture))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            module: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=0, **arguments)
        except TypeError as error:
            raise ModelError(f"timm's '{architecture}' cannot be built with {dict(arguments)}: {error}") from None
    return module.eval()

"""The Backbone: a timm network without classifier, what its images must look like, where its weights came from.

Nothing here imports torch before a network is needed: what a command asks of a backbone is often known without it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from acclimate.errors import ModelError
from acclimate.images import Geometry
from acclimate.models.taps import DEFAULT, LAST, Outline, Tap

if TYPE_CHECKING:
    from torch import Tensor, nn

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
        central = tuple(side + (whole - side) // 4 * 4 for side, whole in zip(self.size, frame, strict=True))
        if self.crop_mode == "border":
            fill = tuple(round(255 * value) for value in self.mean)
            return Geometry(frame[0], frame[1], "border", self.interpolation, fill=(fill[0], fill[1], fill[2]))
        if self.crop_mode == "squash" or central == frame:
            mode = "squash" if self.crop_mode == "squash" else "crop"
            return Geometry(frame[0], frame[1], mode, self.interpolation)
        share = central[0] / (frame[0] + 0.5)  # dividing by it gives the frame back, whichever way floats round
        if tuple(math.floor(side / share) for side in central) != frame:
            return Geometry(frame[0], frame[1], "crop", self.interpolation)
        return Geometry(central[0], central[1], "crop", self.interpolation, crop_pct=share)

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
class Opening:
    """A network that is loaded when it is needed, and what is known of it until then."""

    load: Callable[[], nn.Module]
    outline: Outline


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

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields for pickling and copying, the network loaded."""
        return {**self.__dict__, "module": self.module}

    @property
    def outline(self) -> Outline:
        """What can be said of the network without running it."""
        network = self.__dict__["module"]
        if isinstance(network, Opening):
            return network.outline
        from acclimate.models.network import outline_of

        return outline_of(network)

    @property
    def parameters(self) -> int:
        """Number of parameters, without a classifier."""
        return self.outline.parameters

    def tap(self, tap: Tap) -> Tap:
        """Return a tap as it is on this network, see ``Tap.on``."""
        return tap if tap == Tap() else tap.on(self.outline)

    def named(self, name: str) -> Backbone:
        """Return the same backbone under another name; unlike ``dataclasses.replace`` it loads no network."""
        return Backbone(**{**self.__dict__, "name": name})

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
        import torch

        from acclimate.models.layers import tapped

        with torch.inference_mode():
            (features,) = tapped(self.module, x, [self.tap(Tap(layer, pooling))])
            return features.float()

    def network(self, n_classes: int) -> nn.Module:
        """Return a copy with a new classifier for ``n_classes`` classes, all zeros; 0 classes: without one.

        A zero classifier starts every class at the same probability and needs no random number; the backbone has no
        gradient at the very first step, as in BiT (Kolesnikov et al. 2020, section 3.3).
        """
        from acclimate.models.network import reset_classifier

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


class _Network:
    """The field of a network, which is given as it is or as an `Opening`. It has no state of its own."""

    def __get__(self, backbone: Backbone, owner: type) -> nn.Module:
        """Return the network, loaded at the first use."""
        if isinstance(backbone.__dict__["module"], Opening):
            backbone.__dict__["module"] = backbone.__dict__["module"].load()
        network: nn.Module = backbone.__dict__["module"]
        return network

    def __set__(self, backbone: Backbone, network: nn.Module | Opening) -> None:
        """Take the network of a new backbone."""
        backbone.__dict__["module"] = network


Backbone.module = _Network()  # type: ignore[assignment]  # reads as a network; dataclasses take no such default

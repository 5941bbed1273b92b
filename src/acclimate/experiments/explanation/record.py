"""One forward pass that looks at every layer: pooled features of each image, moments of each channel.

Layers are every norm and the output of every block, under timm's own names. Memory is the pooled features, n x C
numbers a layer, and one batch of activations; whole feature maps are never kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from acclimate.experiments.explanation.measures import Float64, Layer
from acclimate.models import Preprocess
from acclimate.models.network import pooled
from acclimate.models.scope import is_norm
from acclimate.training.batches import PixelBatches

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Place:
    """One layer of a network."""

    name: str  # timm's name of the module
    kind: str  # ``norm`` or ``block``
    # whether channels are axis 1 of its output; else they are the last one, as they always are of tokens
    channels_first: bool


FEATURES = Place("features", "features", channels_first=False)  # what the classifier sees


def places(network: nn.Module) -> tuple[Place, ...]:
    """Return the norms and blocks of a network, in the order of its modules.

    A block is what repeats: a member of a sequence (or of what timm calls a stage) with norms inside it, and with no
    such member inside itself. That is a residual block in ResNet and ConvNeXt, a transformer block in ViT and Swin.
    """
    blocks = _blocks(network)
    last = str(getattr(network, "output_fmt", "")).upper().endswith("NHWC")  # timm's word for channels at the end
    layers = []
    for name, module in network.named_modules():
        if is_norm_layer(module):
            # so for batch and group norm, and for timm's layer norms called ``2d``
            first = isinstance(module, nn.modules.batchnorm._NormBase | nn.GroupNorm) or "2d" in type(module).__name__
            layers.append(Place(name, "norm", first))
        elif name in blocks:
            layers.append(Place(name, "block", not last))
    return tuple(layers)


def is_norm_layer(module: nn.Module) -> bool:
    """Whether a module is a norm itself, and not what is called after the norm inside it, such as timm's heads."""
    inside = (inner for inner in module.modules() if inner is not module)
    return is_norm(module) and not any(True for inner in inside for _ in inner.parameters())


def _blocks(network: nn.Module) -> set[str]:
    modules = dict(network.named_modules())
    members = {name for name, module in modules.items() if name and _is_block(module, modules[name.rpartition(".")[0]])}
    return {name for name in members if not any(other.startswith(f"{name}.") for other in members)}


def _is_block(module: nn.Module, parent: nn.Module) -> bool:
    """Whether a member of what repeats has norms inside and is no mere sequence, which leads from stage to stage."""
    repeats = isinstance(parent, _CONTAINERS) or type(parent).__name__.endswith("Stage")
    return (
        repeats
        and not is_norm_layer(module)
        and not isinstance(module, _CONTAINERS)
        and any(is_norm_layer(inner) for inner in module.modules() if inner is not module)
    )


def by_channel(output: Tensor, place: Place) -> Tensor:
    """Return a layer's output as ``(n, positions, C)``: pixels, tokens and attention heads are all positions."""
    if output.ndim == 2:
        return output[:, None]
    tokens = output.ndim == 3 and place.kind == "block"  # (n, tokens, C), whatever else the network's format is
    if place.channels_first and not tokens:
        return output.flatten(2).transpose(1, 2)
    return output.flatten(1, -2)


def group_of(layer: str) -> str:
    """Return the part of the network that a layer belongs to.

    Examples
    --------
    >>> [group_of(name) for name in ("layer4.1.bn2", "stages.3.blocks.0.norm", "blocks.7.norm1", "bn1", "norm")]
    ['layer4', 'stages.3', 'blocks.7', 'bn1', 'norm']
    """
    parts = layer.split(".")
    end = next((i for i, part in enumerate(parts) if part[-1:].isdigit()), len(parts) - 1)
    return ".".join(parts[: end + 1])


class Moments:
    """Mean and variance of channels, over all that was added. Batches are joined as Chan et al. 1983 do, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Float64 = np.zeros(1)
        self.squares: Float64 = np.zeros(1)  # sum of squared deviations from the mean
        self.zeros = 0

    def add(self, x: Tensor) -> None:
        """Take in values ``(n, positions, C)``."""
        variance, mean = torch.var_mean(x, dim=(0, 1), correction=0)
        count = x.shape[0] * x.shape[1]
        moved = mean.cpu().double().numpy() - self.mean
        whole = self.count + count
        self.squares = self.squares + count * variance.cpu().double().numpy() + moved**2 * (self.count * count / whole)
        self.mean = self.mean + moved * (count / whole)
        self.count = whole
        self.zeros += int((x == 0).sum())

    def layer(self, features: list[Tensor]) -> Layer:
        """Return what was seen, with the pooled features of the batches ``[(n, C), ...]``."""
        share = self.zeros / max(self.count * len(self.mean), 1)
        return Layer(torch.cat(features).numpy(), self.mean, self.squares / max(self.count, 1), share)


class Recorder:
    """What every layer of a network gave so far."""

    def __init__(self) -> None:
        self.moments: dict[Place, Moments] = {}  # in the order in which the layers run
        self.features: dict[Place, list[Tensor]] = {}
        self.seen: set[Place] = set()  # in this batch: of a layer that runs twice, the first run counts

    def take(self, place: Place, output: object) -> None:
        """Take in a layer's output; what is no tensor of features is left out."""
        if not isinstance(output, Tensor) or output.ndim < 2 or place in self.seen:
            return
        self.seen.add(place)
        x = by_channel(output, place).float()
        self.moments.setdefault(place, Moments()).add(x)
        self.features.setdefault(place, []).append(x.mean(1).cpu())

    def layers(self) -> dict[Place, Layer]:
        """Return what was seen."""
        return {place: moments.layer(self.features[place]) for place, moments in self.moments.items()}


@torch.inference_mode()
def record(
    network: nn.Module,
    preprocess: Preprocess,
    pixels: npt.NDArray[np.uint8],
    indices: npt.NDArray[np.int64],
    *,
    device: str,
    batch: int = 32,
) -> Mapping[Place, Layer]:
    """Return what every norm, every block and the pooled output of a network give on images, in evaluation mode.

    The network has no classifier; its hooks, mode and weights are left as they were. ``pixels`` ``(m, h, w, 3)`` are
    decoded images, of which ``indices`` ``(n,)`` are looked at. Layers come in the order in which they run, rows of
    their features in the order of ``indices``; float32 throughout.
    """
    recorder = Recorder()
    network, batches = network.to(device), PixelBatches.of(pixels, preprocess, device)
    with _hooked(network, recorder):
        for start in range(0, len(indices), batch):
            recorder.seen.clear()
            recorder.take(FEATURES, pooled(network, batches.plain(indices[start : start + batch])))
    network.to("cpu")
    return recorder.layers()


@contextmanager
def _hooked(network: nn.Module, recorder: Recorder) -> Iterator[None]:
    """Let the recorder see every layer of the network, in evaluation mode, for as long as the block lasts."""
    modules, modes = dict(network.named_modules()), {module: module.training for module in network.modules()}
    handles = [
        modules[place.name].register_forward_hook(lambda _module, _inputs, out, place=place: recorder.take(place, out))
        for place in places(network)
    ]
    network.eval()
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode

"""One forward pass that looks at every layer: pooled features of each image, moments of each channel.

Memory is the pooled features, n x C numbers a layer, and one batch of activations; whole feature maps are never kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from acclimate.experiments.explanation.layers import Place, by_channel, places
from acclimate.experiments.explanation.measures import Layer
from acclimate.models import Preprocess, to_batch
from acclimate.models.network import pooled
from acclimate.views import Normalize, center

FEATURES = Place("features", "features", channels_first=False)  # what the classifier sees

Float64 = npt.NDArray[np.float64]


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
        self._seen: set[Place] = set()  # in this batch: of a layer that runs twice, the first run counts

    def begin(self) -> None:
        """Say that another batch begins."""
        self._seen = set()

    def hook(self, place: Place, _module: nn.Module, _inputs: object, output: object) -> None:
        """Take in a layer's output, as a forward hook."""
        self.take(place, output)

    def take(self, place: Place, output: object) -> None:
        """Take in a layer's output; what is no tensor of features is left out."""
        if not isinstance(output, Tensor) or output.ndim < 2 or place in self._seen:
            return
        self._seen.add(place)
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
    normalize = Normalize(preprocess.mean, preprocess.std)
    network = network.to(device)
    with _hooked(network, recorder):
        for start in range(0, len(indices), batch):
            recorder.begin()
            raw = to_batch(pixels[indices[start : start + batch]]).to(device)
            recorder.take(FEATURES, pooled(network, center(raw, preprocess.size, normalize)))
    network.to("cpu")
    return recorder.layers()


@contextmanager
def _hooked(network: nn.Module, recorder: Recorder) -> Iterator[None]:
    """Let the recorder see every layer of the network, in evaluation mode, for as long as the block lasts."""
    modules, modes = dict(network.named_modules()), {module: module.training for module in network.modules()}
    handles = [modules[place.name].register_forward_hook(partial(recorder.hook, place)) for place in places(network)]
    network.eval()
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode

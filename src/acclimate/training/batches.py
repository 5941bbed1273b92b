"""Where a stage's batches come from: decoded pixels through views, or features of a trunk that does not move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from acclimate.models import Precision, Preprocess, autocast, to_batch
from acclimate.models.heads import Head, Heads, heads_of
from acclimate.models.network import classifiers, evaluating, pooled
from acclimate.views import Augment, Normalize, center, make_views

Indices = npt.NDArray[np.int64]
EVALUATION_BATCH = 64


class Batches(Protocol):
    """Inputs by image index, on the device."""

    def views(self, indices: Indices, seed: int) -> list[Tensor]:
        """Return the training views of some images; every random number comes from ``seed``."""
        ...

    def plain(self, indices: Indices) -> Tensor:
        """Return the images as evaluation sees them."""
        ...


class PixelBatches:
    """Batches from decoded pixels ``(n, h, w, 3)`` uint8; one copy to the device, all views made there."""

    def __init__(
        self,
        pixels: npt.NDArray[np.uint8],
        *,
        size: tuple[int, int],
        normalize: Normalize,
        augments: Sequence[Augment],
        device: str,
    ) -> None:
        self.pixels, self.size, self.normalize = pixels, size, normalize
        self.augments, self.device = augments, device

    @classmethod
    def of(cls, pixels: npt.NDArray[np.uint8], preprocess: Preprocess, device: str) -> PixelBatches:
        """Return batches as a backbone wants them, without augmentation so far."""
        normalize = Normalize(preprocess.mean, preprocess.std)
        return cls(pixels, size=preprocess.size, normalize=normalize, augments=(), device=device)

    def _raw(self, indices: Indices) -> Tensor:
        return to_batch(self.pixels[indices]).to(self.device, non_blocking=True)

    def views(self, indices: Indices, seed: int) -> list[Tensor]:
        """Return one view ``(b, 3, h, w)`` for each augmentation."""
        generator = torch.Generator().manual_seed(seed)
        return make_views(self._raw(indices), self.size, self.augments, self.normalize, generator)

    def plain(self, indices: Indices) -> Tensor:
        """Return the centre crops ``(b, 3, h, w)``."""
        return center(self._raw(indices), self.size, self.normalize)


class FeatureBatches:
    """Batches of pooled features ``(b, d)`` for a classifier alone: the trunk is frozen and sees no augmentation."""

    def __init__(self, features: Tensor, rows: Indices) -> None:
        self.features = features
        self.row_of = {int(image): row for row, image in enumerate(rows)}

    def plain(self, indices: Indices) -> Tensor:
        """Return features of some images."""
        return self.features[[self.row_of[int(i)] for i in indices]]

    def views(self, indices: Indices, seed: int) -> list[Tensor]:
        """Return the same features: without augmentation there is nothing to draw."""
        return [self.plain(indices)]


def trunk_features(
    network: nn.Module, batches: PixelBatches, images: Indices, *, precision: Precision
) -> FeatureBatches:
    """Run the frozen trunk once over the images a stage needs."""
    network.eval()
    with torch.inference_mode(), autocast(precision, batches.device):
        parts = [pooled(network, batches.plain(chunk)).float() for chunk in _chunks(images)]
    # cloned outside inference mode, because the classifier's backward pass keeps its input
    return FeatureBatches(torch.cat(parts).clone(), images)


def can_cache_trunk(network: nn.Module) -> bool:
    """Whether the logits depend on the pooled features alone: one classifier on them, no dropout below it."""
    heads = classifiers(network)
    return len(heads) == 1 and isinstance(heads[0], nn.Linear | Head | Heads) and not getattr(network, "drop_rate", 0.0)


def logits(
    module: nn.Module, batches: Batches, images: Indices, *, precision: Precision, device: str
) -> npt.NDArray[np.float32]:
    """Return the logits ``(m, C)`` of some images in evaluation; leaves every module's mode as it was."""
    return _evaluated(module, module, batches, images, precision, device)


def every_logits(
    network: nn.Module, module: nn.Module, batches: Batches, images: Indices, *, precision: Precision, device: str
) -> npt.NDArray[np.float32]:
    """Return the logits ``(m, H, C)`` of each of a network's several classifiers; ``module`` is what is trained."""
    heads = heads_of(network)
    if heads is None:
        return logits(module, batches, images, precision=precision, device=device)[:, None]
    cached = module is heads
    function = heads.every if cached else lambda x: heads.every(pooled(network, x))
    return _evaluated(function, module, batches, images, precision, device)


def embed(
    network: nn.Module, batches: Batches, images: Indices, *, precision: Precision, device: str
) -> npt.NDArray[np.float32]:
    """Return pooled features ``(m, d)`` of some images in evaluation; leaves every module's mode as it was."""
    return _evaluated(lambda x: pooled(network, x), network, batches, images, precision, device)


def _evaluated(
    function: Callable[[Tensor], Tensor],
    module: nn.Module,
    batches: Batches,
    images: Indices,
    precision: Precision,
    device: str,
) -> npt.NDArray[np.float32]:
    with evaluating(module), torch.inference_mode(), autocast(precision, device):
        parts = [function(batches.plain(chunk)).float().cpu() for chunk in _chunks(images)]
    out: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return out


def _chunks(images: Indices) -> Iterator[Indices]:
    for start in range(0, len(images), EVALUATION_BATCH):
        yield images[start : start + EVALUATION_BATCH]

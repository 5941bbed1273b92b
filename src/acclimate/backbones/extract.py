"""Features of images: decode ahead, forward, write in place. What was interrupted goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from acclimate.backbones.device import Precision, autocast, choose_device, choose_precision
from acclimate.backbones.fold import for_inference
from acclimate.backbones.model import Backbone
from acclimate.features import Features, feature_key, open_feature_store
from acclimate.images import Images, decode_ahead, open_pixels
from acclimate.network import feature_width
from acclimate.store import ArrayStore
from acclimate.views import Normalize, center

Progress = Callable[[int, int], None]
WORKERS = 2  # decoding threads: PIL lets go of the interpreter while it decodes


def extract(
    backbone: Backbone,
    images: Images,
    *,
    indices: npt.NDArray[np.int64] | None = None,
    hflip: bool = False,
    cache: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch: int = 32,
    progress: Progress | None = None,
) -> Features:
    """Return pooled features of ``images``, from the cache where they are there already.

    Parameters
    ----------
    indices
        Images to extract; default all. Rows that were never extracted are zero in the returned array.
    hflip
        Features of the mirror images (left and right exchanged); they have a place of their own in the cache.
    batch
        Images a forward pass; 32 keeps the activations of a 224-pixel ResNet within a CPU's last-level cache.
    progress
        Called with (done, total) after each batch.

    Returns
    -------
    Features with ``x`` (n, d) float32, memory-mapped, and ``y`` (n,), over the whole data set.
    """
    device = choose_device(device)
    chosen = choose_precision(precision, device)
    store = _feature_store(backbone, images, chosen, cache, hflip)
    wanted = np.arange(len(images)) if indices is None else np.unique(indices)
    todo = wanted[~store.done[wanted]]
    if len(todo):
        _fill(store, backbone, images, todo, device, chosen, batch, cache, progress, hflip)
    return Features(store.array, images.labels)


def _feature_store(
    backbone: Backbone, images: Images, precision: Precision, cache: Path | None, hflip: bool
) -> ArrayStore:
    key = feature_key(
        weights=backbone.digest,
        preprocessing=asdict(backbone.preprocess) | ({"hflip": True} if hflip else {}),
        fingerprint=images.fingerprint,
        pooling="default",
        precision=precision,
    )
    width = feature_width(backbone.module, backbone.preprocess.size)
    meta = {"weights": backbone.digest, "fingerprint": images.fingerprint}
    return open_feature_store(key, len(images), width, cache=cache, meta=meta)


def _fill(
    store: ArrayStore,
    backbone: Backbone,
    images: Images,
    todo: npt.NDArray[np.int64],
    device: str,
    precision: Precision,
    batch: int,
    cache: Path | None,
    progress: Progress | None,
    hflip: bool,
) -> None:
    module = for_inference(backbone.module, device, precision)
    normalize = Normalize(backbone.preprocess.mean, backbone.preprocess.std)
    pixels = open_pixels(images, backbone.preprocess.geometry, cache=cache)
    done = 0
    for chunk in decode_ahead(images, backbone.preprocess.geometry, pixels, batch, WORKERS, indices=todo):
        x = center(to_batch(pixels.array[chunk]).to(device), backbone.preprocess.size, normalize)
        x = x.flip(-1) if hflip else x
        with torch.inference_mode(), autocast(precision, device):
            features = module(x).flatten(1).float()
        store.write(chunk, features.cpu().numpy())
        done += len(chunk)
        if progress is not None:
            progress(done, len(todo))


def to_batch(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Return ``(n, 3, h, w)`` of ``(n, h, w, 3)``, without a copy: in memory it is channels-last already."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)

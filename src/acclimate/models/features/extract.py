"""Features of images, from the cache where they are there. What was interrupted goes on where it stopped.

Torch is imported for rows that were never extracted, not for those that are in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from acclimate.images import Images
from acclimate.models.backbone import Backbone
from acclimate.models.device import choose_device, choose_precision
from acclimate.models.features.request import Request
from acclimate.models.taps import Tap
from acclimate.storage.features import Features
from acclimate.storage.runtime import AUTO, Runtime


def extract(
    backbone: Backbone,
    images: Images,
    runtime: Runtime = AUTO,
    *,
    tap: Tap | None = None,
    indices: npt.NDArray[np.int64] | None = None,
    hflip: bool = False,
    batch: int | None = None,
) -> Features:
    """Return features of ``images``, from the cache where they are there already.

    Raises ModelError for a layer or a pooling that the network does not have.

    Parameters
    ----------
    tap
        Layer and pooling; default the network's own pooled output. Each has a place of its own in the cache.
    indices
        Images to extract; default all. Rows that were never extracted are zero in the returned array.
    hflip
        Features of the mirror images (left and right exchanged); they have a place of their own in the cache.
    batch
        Images a forward pass; default 16 on a CPU, 64 elsewhere.

    Returns
    -------
    Features with ``x`` (n, d) float32, memory-mapped, and ``y`` (n,), over the whole data set.
    """
    taps = (tap or Tap(),)
    (features,) = extract_taps(backbone, images, taps, runtime, indices=indices, hflip=hflip, batch=batch)
    return features


def extract_taps(
    backbone: Backbone,
    images: Images,
    taps: Sequence[Tap],
    runtime: Runtime = AUTO,
    *,
    indices: npt.NDArray[np.int64] | None = None,
    hflip: bool = False,
    batch: int | None = None,
) -> tuple[Features, ...]:
    """Return features of several layers or poolings, all from one forward pass of each image; see `extract`."""
    device = choose_device(runtime.device)
    request = Request(
        backbone,
        images,
        taps=[backbone.tap(tap) for tap in taps],
        device=device,
        precision=choose_precision(runtime.precision, device),
        runtime=runtime,
        hflip=hflip,
    )
    wanted = np.arange(len(images)) if indices is None else np.unique(indices)
    stores = request.find()
    if stores is None or not all(store.done[wanted].all() for store in stores):
        from acclimate.models.features.forward import fill

        stores = fill(request, wanted, batch)
    return tuple(Features(store.array, images.labels) for store in stores)

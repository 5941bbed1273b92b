"""Features of images: decode ahead, forward, write in place. What was interrupted goes on where it stopped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx

from acclimate.images import Images, decode_ahead, open_pixels
from acclimate.models.backbone import Backbone
from acclimate.models.device import Precision, autocast, choose_device, choose_precision
from acclimate.models.features.fold import for_inference
from acclimate.models.taps import Tap, tapped, tapped_widths
from acclimate.storage.features import Features, feature_key, open_feature_store
from acclimate.storage.runtime import AUTO, Runtime
from acclimate.storage.store import ArrayStore
from acclimate.views import Normalize, center

Forward = Callable[[npt.NDArray[np.uint8]], list[npt.NDArray[np.float32]]]
CPU_BATCH = 16  # a core's share of the activations of a 224-pixel ResNet stays in the last-level cache
BATCH = 64
WORKERS = 2  # decoding threads: PIL lets go of the interpreter while it decodes


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

    Raises
    ------
    ModelError
        For a layer or a pooling that the network does not have.
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
    precision = choose_precision(runtime.precision, device)
    places = [tap.of(backbone.module) for tap in taps]
    widths = tapped_widths(backbone.module, backbone.preprocess.size, places)
    stores = [
        _feature_store(backbone, images, place, width, precision, runtime.cache, hflip)
        for place, width in zip(places, widths, strict=True)
    ]
    wanted = np.arange(len(images)) if indices is None else np.unique(indices)
    lacking = [number for number, store in enumerate(stores) if not store.done[wanted].all()]
    if lacking:
        done = np.logical_and.reduce([stores[number].done[wanted] for number in lacking])
        filling = [stores[number] for number in lacking]
        forward = _forward(backbone, [places[number] for number in lacking], device, precision, hflip)
        at_once = batch or (CPU_BATCH if device == "cpu" else BATCH)
        _fill(filling, forward, backbone, images, wanted[~done], at_once, runtime)
    return tuple(Features(store.array, images.labels) for store in stores)


def _feature_store(
    backbone: Backbone,
    images: Images,
    tap: Tap,
    width: int,
    precision: Precision,
    cache: Path | None,
    hflip: bool,
) -> ArrayStore:
    key = feature_key(
        weights=backbone.digest,
        preprocessing=asdict(backbone.preprocess) | ({"hflip": True} if hflip else {}),
        fingerprint=images.fingerprint,
        pooling=str(tap),
        precision=precision,
    )
    meta = {"weights": backbone.digest, "fingerprint": images.fingerprint}
    return open_feature_store(key, len(images), width, cache=cache, meta=meta)


def _forward(
    backbone: Backbone, taps: list[Tap], device: str, precision: Precision, hflip: bool
) -> tuple[Forward, int]:
    """Return what makes features of each tap of a batch of pixels ``(n, h, w, 3)``, and how many threads may call it.

    The network's own output comes from its folded copy, alone or beside others, so that its bits are the same. A traced
    copy keeps nothing from call to call, so that on a CPU each core may run batches of its own.
    """
    plain, others = Tap() in taps, [tap for tap in taps if tap != Tap()]
    network = backbone.module.to(device) if others else None
    whole = for_inference(backbone.module, device, precision) if plain else None
    normalize = Normalize(backbone.preprocess.mean, backbone.preprocess.std)

    def forward(pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        x = center(to_batch(pixels).to(device), backbone.preprocess.size, normalize)
        x = x.flip(-1) if hflip else x
        with torch.inference_mode(), autocast(precision, device):
            found = {} if whole is None else {Tap(): whole(x).flatten(1)}
            found |= {} if network is None else dict(zip(others, tapped(network, x, others), strict=True))
        return [found[tap].float().cpu().numpy() for tap in taps]

    alone = device == "cpu" and not others and isinstance(whole, fx.GraphModule)
    return forward, torch.get_num_threads() if alone else 1


def _fill(
    stores: Sequence[ArrayStore],
    forward: tuple[Forward, int],
    backbone: Backbone,
    images: Images,
    todo: npt.NDArray[np.int64],
    batch: int,
    runtime: Runtime,
) -> None:
    pixels = open_pixels(images, backbone.preprocess.geometry, cache=runtime.cache)
    chunks = decode_ahead(images, backbone.preprocess.geometry, pixels, batch, WORKERS, indices=todo)
    done = 0
    for chunk, made in _mapped(*forward, chunks, pixels.array):
        for store, features in zip(stores, made, strict=True):
            new = ~store.done[chunk]
            store.write(chunk[new], features[new])
        done += len(chunk)
        if runtime.progress is not None:
            runtime.progress(done, len(todo))


def _mapped(
    forward: Forward, threads: int, chunks: Iterator[npt.NDArray[np.int64]], pixels: npt.NDArray[np.uint8]
) -> Iterator[tuple[npt.NDArray[np.int64], list[npt.NDArray[np.float32]]]]:
    """Yield each chunk with its features, in order.

    Several threads take a batch each and share none: threads that share a batch wait for one another after every layer,
    and whichever of them decoding has pushed off its core keeps the others waiting.
    """
    if threads == 1:
        yield from ((chunk, forward(pixels[chunk])) for chunk in chunks)
        return
    waiting: deque[tuple[npt.NDArray[np.int64], Future[list[npt.NDArray[np.float32]]]]] = deque()
    with ThreadPoolExecutor(threads, "forward", initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for chunk in chunks:
                waiting.append((chunk, pool.submit(forward, pixels[chunk])))
                if len(waiting) > threads:
                    first, features = waiting.popleft()
                    yield first, features.result()
            for first, features in waiting:
                yield first, features.result()
        finally:
            for _, features in waiting:
                features.cancel()
            torch.set_num_threads(threads)  # what later threads of the program begin with


def to_batch(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Return ``(n, 3, h, w)`` of ``(n, h, w, 3)``, without a copy: in memory it is channels-last already."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)

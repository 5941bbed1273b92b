"""The forward passes behind an extraction: decode ahead, forward, write in place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx

from acclimate.images import decode_ahead, open_pixels
from acclimate.models.device import autocast
from acclimate.models.features.fold import for_inference
from acclimate.models.features.request import Request
from acclimate.models.layers import tapped, tapped_widths
from acclimate.models.taps import Tap
from acclimate.storage.store import ArrayStore
from acclimate.views import Normalize, center

Forward = Callable[[npt.NDArray[np.uint8]], list[npt.NDArray[np.float32]]]
CPU_BATCH = 16  # a core's share of the activations of a 224-pixel ResNet stays in the last-level cache
BATCH = 64
WORKERS = 2  # decoding threads: PIL lets go of the interpreter while it decodes


def fill(request: Request, wanted: npt.NDArray[np.int64], batch: int | None) -> list[ArrayStore]:
    """Return the store of each tap of a request, with the wanted rows in it.

    Only taps that lack a row are computed, all of them from one forward pass of each image that one of them lacks.
    """
    backbone = request.backbone
    stores = request.open(tapped_widths(backbone.module, backbone.preprocess.size, request.taps))
    lacking = [place for place, store in enumerate(stores) if not store.done[wanted].all()]
    if lacking:
        done = np.logical_and.reduce([stores[place].done[wanted] for place in lacking])
        forward = _forward(request, [request.taps[place] for place in lacking])
        at_once = batch or (CPU_BATCH if request.device == "cpu" else BATCH)
        _write([stores[place] for place in lacking], forward, request, wanted[~done], at_once)
    return stores


def _forward(request: Request, taps: list[Tap]) -> tuple[Forward, int]:
    """Return what makes features of each tap of a batch of pixels ``(n, h, w, 3)``, and how many threads may call it.

    The network's own output comes from its folded copy, alone or beside others, so that its bits are the same. A traced
    copy keeps nothing from call to call, so that on a CPU each core may run batches of its own.
    """
    backbone, device, precision = request.backbone, request.device, request.precision
    plain, others = Tap() in taps, [tap for tap in taps if tap != Tap()]
    network = backbone.module.to(device) if others else None
    whole = for_inference(backbone.module, device, precision) if plain else None
    normalize = Normalize(backbone.preprocess.mean, backbone.preprocess.std)

    def forward(pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        x = center(to_batch(pixels).to(device), backbone.preprocess.size, normalize)
        x = x.flip(-1) if request.hflip else x
        with torch.inference_mode(), autocast(precision, device):
            features = {} if whole is None else {Tap(): whole(x).flatten(1)}
            features |= {} if network is None else dict(zip(others, tapped(network, x, others), strict=True))
        return [features[tap].float().cpu().numpy() for tap in taps]

    alone = device == "cpu" and not others and isinstance(whole, fx.GraphModule)
    return forward, torch.get_num_threads() if alone else 1


def _write(
    stores: Sequence[ArrayStore],
    forward: tuple[Forward, int],
    request: Request,
    todo: npt.NDArray[np.int64],
    batch: int,
) -> None:
    geometry, runtime = request.backbone.preprocess.geometry, request.runtime
    pixels = open_pixels(request.images, geometry, cache=runtime.cache)
    chunks = decode_ahead(request.images, geometry, pixels, batch, WORKERS, indices=todo)
    done = 0
    for chunk, rows in _mapped(*forward, chunks, pixels.array):
        for store, features in zip(stores, rows, strict=True):
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

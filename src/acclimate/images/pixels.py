"""The cache of decoded pixels: every image is decoded once for a geometry, and later runs map the file.

Blocks of images are decoded by a few threads (Pillow lets go of the interpreter lock) straight into the
memory map, ahead of the code that reads them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL

from acclimate.errors import DataError
from acclimate.images.dataset import Images
from acclimate.images.geometry import Geometry
from acclimate.images.scan import bad_files
from acclimate.storage.store import ArrayStore, cache_root, digest

Indices = npt.NDArray[np.int64]

_VERSION = 1  # a new one when `decode` gives other pixels
_BLOCK = 8  # images a thread decodes in one go
_AHEAD = 3  # chunks in work or waiting to be consumed
_CHUNK = 128


def open_pixels(images: Images, geometry: Geometry, *, cache: Path | None = None) -> ArrayStore:
    """Open or make the ``(n, height, width, 3)`` uint8 store of `images` in `geometry`, maybe still empty.

    It lies in ``CACHE/pixels``; its key covers the images' fingerprint, the geometry and the decoder's version.
    """
    meta = {"fingerprint": images.fingerprint, "geometry": asdict(geometry), "decoder": [_VERSION, PIL.__version__]}
    folder = (cache or cache_root()) / "pixels" / digest(meta)
    return ArrayStore.open(folder, (len(images), geometry.height, geometry.width, 3), np.uint8, meta)


def decoded(
    images: Images,
    geometry: Geometry,
    *,
    cache: Path | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    indices: Indices | None = None,
) -> ArrayStore:
    """Return the store with `indices` (or all images) decoded; what an earlier run decoded is not done again.

    `progress` is called with (done, of how many). Raises `DataError`: damaged images: how many, and the first ten. All
    others are then in the store, the damaged ones are not.
    """
    store = open_pixels(images, geometry, cache=cache)
    rows = np.arange(len(images), dtype=np.int64) if indices is None else indices
    count = 0
    for chunk in decode_ahead(images, geometry, store, _CHUNK, workers, indices=rows):
        count += len(chunk)
        if progress is not None:
            progress(count, len(rows))
    return store


def decode_ahead(
    images: Images, geometry: Geometry, store: ArrayStore, chunk: int, workers: int, *, indices: Indices | None = None
) -> Iterator[Indices]:
    """Yield `indices` (or all) in order, `chunk` at a time, each as soon as its rows can be read.

    A few chunks are decoded ahead in the background while the caller works on the last one. When the caller stops early
    the threads end with the images in hand. Raises `DataError`: damaged images. From the first one on nothing more is
    yielded, but the rest is decoded, so that the error names all of them and the work is not lost.
    """
    rows = np.arange(len(images), dtype=np.int64) if indices is None else indices
    chunks = iter([rows[k : k + chunk] for k in range(0, len(rows), chunk)])
    queue: deque[_Work] = deque()
    commits: list[Future[None]] = []
    bad: dict[int, str] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            while True:
                while len(queue) < _AHEAD and (part := next(chunks, None)) is not None:
                    queue.append(_start(pool, images, geometry, store, part))
                if not queue:
                    break
                work = queue.popleft()
                failed = {i: reason for task in work.tasks for i, reason in task.result().items()}
                bad |= failed
                new = work.new[~np.isin(work.new, list(failed))]
                if len(new):
                    # The rows can be read now; that they are synced before they are marked is for the next run.
                    commits.append(pool.submit(store.commit, new))
                if not bad:
                    yield work.rows
            for commit in commits:
                commit.result()
        finally:
            for work in queue:
                for task in work.tasks:
                    task.cancel()
    if bad:
        raise bad_files(images.name, [(images.source.name(i), bad[i]) for i in sorted(bad)], len(images))


@dataclass(frozen=True, eq=False)
class _Work:
    rows: Indices
    new: Indices  # those that are not in the store yet
    tasks: list[Future[dict[int, str]]]


def _start(pool: ThreadPoolExecutor, images: Images, geometry: Geometry, store: ArrayStore, rows: Indices) -> _Work:
    new = rows[~store.done[rows]]
    blocks = [new[k : k + _BLOCK] for k in range(0, len(new), _BLOCK)]
    return _Work(rows, new, [pool.submit(_decode, images, geometry, store, block) for block in blocks])


def _decode(images: Images, geometry: Geometry, store: ArrayStore, rows: Indices) -> dict[int, str]:
    """Decode `rows` into the store, without marking them; return the reasons of those that failed."""
    failed = {}
    for i in rows.tolist():
        try:
            store.array[i] = images.source.fitted(i, geometry)
        except DataError as error:
            failed[i] = str(error)
    return failed

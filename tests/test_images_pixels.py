from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from acclimate.errors import DataError
from acclimate.images import FileSource, Geometry, Images, Pixels, decode_ahead, decoded, load_images, open_pixels
from acclimate.storage.store import ArrayStore

GEOMETRY = Geometry(24, 20, "crop", "bicubic")


@dataclasses.dataclass(frozen=True)
class Counting(FileSource):
    """Files that remember who was decoded."""

    seen: list[int] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def fitted(self, i: int, geometry: Geometry) -> Pixels:
        self.seen.append(i)
        time.sleep(self.seconds)
        return super().fitted(i, geometry)


def counting(images: Images, seconds: float = 0.0) -> tuple[Images, list[int]]:
    assert isinstance(images.source, FileSource)
    source = Counting(images.source.root, images.source.paths, seconds=seconds)
    return dataclasses.replace(images, source=source), source.seen


def plain(images: Images) -> Pixels:
    return np.stack([images.source.fitted(i, GEOMETRY) for i in range(len(images))])


def test_decoded_once_and_found_again(flower_folder: Path, cache: Path) -> None:
    images, counts = counting(load_images(flower_folder))
    calls: list[tuple[int, int]] = []
    store = decoded(images, GEOMETRY, progress=lambda count, total: calls.append((count, total)))
    assert store.complete
    assert store.folder.parent == cache / "pixels"
    assert store.array.dtype == np.uint8
    np.testing.assert_array_equal(store.array, plain(load_images(flower_folder)))
    assert sorted(counts) == list(range(len(images)))
    assert calls[-1] == (len(images), len(images))
    counts.clear()
    decoded(images, GEOMETRY)
    assert not counts


@pytest.mark.parametrize("chunk", [1, 5, 1000])
@pytest.mark.parametrize("workers", [1, 3])
def test_chunks_come_in_order_and_ready(flower_folder: Path, chunk: int, workers: int) -> None:
    images = load_images(flower_folder)
    expected = plain(images)
    store = open_pixels(images, GEOMETRY)
    chunks = []
    for rows in decode_ahead(images, GEOMETRY, store, chunk, workers):
        np.testing.assert_array_equal(store.array[rows], expected[rows])
        assert len(rows) <= chunk
        chunks.append(rows)
    assert np.concatenate(chunks).tolist() == list(range(len(images)))
    assert store.complete


def test_a_subset_decodes_only_itself(flower_folder: Path) -> None:
    images, counts = counting(load_images(flower_folder))
    indices = np.array([7, 3, 30])
    store = decoded(images, GEOMETRY, indices=indices)
    assert sorted(counts) == np.flatnonzero(store.done).tolist() == [3, 7, 30]
    counts.clear()
    decoded(images, GEOMETRY)
    assert sorted(counts) == sorted(set(range(len(images))) - {3, 7, 30})


def test_every_geometry_has_its_own_store(flower_folder: Path) -> None:
    images = load_images(flower_folder)
    geometries = [
        GEOMETRY,
        dataclasses.replace(GEOMETRY, mode="squash"),
        dataclasses.replace(GEOMETRY, interpolation="bilinear"),
        dataclasses.replace(GEOMETRY, crop_pct=0.9),
        dataclasses.replace(GEOMETRY, fill=(1, 1, 1)),
    ]
    assert len({open_pixels(images, geometry).folder for geometry in geometries}) == 5
    other = dataclasses.replace(images, fingerprint="other")
    assert open_pixels(other, GEOMETRY).folder != open_pixels(images, GEOMETRY).folder


def test_arrays_are_decoded_too(tiny_npz: Path) -> None:
    images = load_images(tiny_npz)
    same = decoded(images, Geometry(8, 8))
    np.testing.assert_array_equal(same.array[5], images.source.pixels(5))
    assert decoded(images, Geometry(32, 32)).array.shape == (108, 32, 32, 3)


def test_it_decodes_ahead_of_a_slow_consumer_but_not_without_bound(flower_folder: Path) -> None:
    images, counts = counting(load_images(flower_folder))
    chunks = decode_ahead(images, GEOMETRY, open_pixels(images, GEOMETRY), 4, 2)
    next(chunks)
    time.sleep(0.3)
    assert 4 < len(counts) <= 12  # of 32: the chunk in hand and two more
    assert sum(len(rows) for rows in chunks) == 28


def test_a_consumer_that_stops_early_leaves_no_thread_and_a_good_store(flower_folder: Path) -> None:
    images = load_images(flower_folder)
    before = threading.active_count()
    chunks = decode_ahead(images, GEOMETRY, open_pixels(images, GEOMETRY), 4, 2)
    next(chunks)
    chunks.close()
    assert threading.active_count() == before
    store = open_pixels(images, GEOMETRY)
    there = np.flatnonzero(store.done)
    assert 4 <= len(there) < len(images)
    np.testing.assert_array_equal(store.array[there], plain(images)[there])


def test_damage_inside_is_named_and_everything_else_is_kept(flower_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "flowers"
    shutil.copytree(flower_folder, root)
    bad = [root / "china" / f"{k:02}.jpg" for k in range(2, 14)]
    for path in bad:
        path.write_bytes(path.read_bytes()[:-200])
    images = load_images(root)  # all headers are good
    text = r"12 of 32 images of flowers cannot be read: china/02\.jpg \(damaged image: .*; and 2 more.*skip-bad"
    with pytest.raises(DataError, match=text):
        decoded(images, GEOMETRY)
    store = open_pixels(images, GEOMETRY)
    assert [images.source.name(i) for i in store.missing()] == [f"china/{k:02}.jpg" for k in range(2, 14)]
    with pytest.raises(DataError, match="12 of 32 images"):  # and again: nothing bad was marked
        decoded(images, GEOMETRY)
    assert decoded(load_images(root, skip_bad=True), GEOMETRY).complete


def test_no_chunk_is_yielded_after_damage(flower_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "flowers"
    shutil.copytree(flower_folder, root)
    path = root / "china" / "09.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    images = load_images(root)
    chunks = decode_ahead(images, GEOMETRY, open_pixels(images, GEOMETRY), 4, 2)
    assert [next(chunks).tolist() for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(DataError, match=r"1 of 32 .* china/09\.jpg"):
        next(chunks)
    assert open_pixels(images, GEOMETRY).missing().tolist() == [9]


def test_no_disk_space(flower_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    images = load_images(flower_folder)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"not enough disk space: need 0\.0 MB, .* use a smaller image size"):
        decoded(images, GEOMETRY)


CHILD = """
import sys, time
from acclimate.images import Geometry, decode_ahead, load_images, open_pixels
from acclimate.images import FileSource

real = FileSource.fitted
FileSource.fitted = lambda self, i, geometry: (time.sleep(0.03), real(self, i, geometry))[1]
images = load_images(sys.argv[1])
geometry = Geometry(24, 20, "crop", "bicubic")
store = open_pixels(images, geometry)
print(store.folder, flush=True)
for rows in decode_ahead(images, geometry, store, 4, 2):
    pass
time.sleep(60)
"""


def test_kill_9_in_the_middle_redoes_only_what_is_missing(flower_folder: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(flower_folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        with process.stdout:
            folder = Path(process.stdout.readline().strip())
        end = time.monotonic() + 30
        while np.load(folder / "done.npy").sum() < 8 and time.monotonic() < end:
            time.sleep(0.005)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    images, counts = counting(load_images(flower_folder))
    killed: ArrayStore = open_pixels(images, GEOMETRY)
    assert killed.folder == folder
    missing = killed.missing()
    assert 8 <= len(images) - len(missing) < len(images)
    resumed = decoded(images, GEOMETRY)
    assert sorted(counts) == missing.tolist()
    unbroken = decoded(images, GEOMETRY, cache=tmp_path / "other")
    assert resumed.complete
    assert (resumed.folder / "array.npy").read_bytes() == (unbroken.folder / "array.npy").read_bytes()

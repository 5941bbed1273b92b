from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.errors import DataError, InputError
from acclimate.storage.store import ArrayStore, cache_root, digest, write_atomic

META: dict[str, Any] = {"what": "test", "size": [2, 3]}


def rows_of(indices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the right content of rows, (k, 5) float32."""
    return (indices[:, None] * 10 + np.arange(5)).astype(np.float32)


def wait_until(condition: Any, process: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"the child ended early with {process.returncode}"
        assert time.monotonic() < end, "the child did not get far enough"
        time.sleep(0.005)


# --- the cache folder


def test_cache_root_is_what_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "deep" / "cache"))
    assert cache_root() == tmp_path / "deep" / "cache"
    assert cache_root().is_dir()


def test_cache_root_follows_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCLIMATE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for platform, folder in (
        ("linux", tmp_path / "xdg" / "acclimate"),
        ("darwin", tmp_path / "home" / "Library" / "Caches" / "acclimate"),
        ("win32", tmp_path / "local" / "acclimate"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_root() == folder


@pytest.mark.parametrize("call", ["mkdir", "access"])
def test_cache_root_that_cannot_be_written_to(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bool:
        if call == "mkdir":
            raise PermissionError(errno.EACCES, "Permission denied")
        return False

    # The tests may run as root, who may write everywhere.
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "locked"))
    monkeypatch.setattr(Path if call == "mkdir" else os, call, refuse)
    with pytest.raises(InputError, match=r"cache folder .*locked cannot be written to; .* ACCLIMATE_CACHE"):
        cache_root()


# --- keys and files


def test_digest_depends_on_content_and_not_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": (2, 3)}) == digest({"b": [2, np.int64(3)], "a": 1})
    assert digest(Path("a/b")) == digest("a/b")
    different = [digest(1), digest("1"), digest([1]), digest(1, 1), digest(), digest(None), digest(1.5)]
    assert len(set(different)) == len(different)
    assert digest("x") == hashlib.sha256(b'["x"]').hexdigest()[:24]


def test_digest_refuses_what_has_no_canonical_text() -> None:
    with pytest.raises(TypeError, match="a object cannot be part of a key"):
        digest(object())


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_atomic(path, "first")
    write_atomic(path, "zweite ü")
    assert path.read_text("utf-8") == "zweite ü"
    write_atomic(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert list(path.parent.iterdir()) == [path]


def test_write_atomic_keeps_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    write_atomic(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"no space left to write .*file\.txt; free some"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_atomic_writes_into_a_pipe_and_leaves_it_there(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomic(pipe, "through")
        assert os.read(reader, 100) == b"through"
        assert pipe.is_fifo()
    finally:
        os.close(reader)


def test_write_atomic_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InputError, match=r"no permission to write .*file\.txt; choose another folder"):
        write_atomic(tmp_path / "file.txt", "x")
    assert list(tmp_path.iterdir()) == []


def test_write_atomic_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="a file or folder is in the way"):
        write_atomic(tmp_path / "file" / "below.txt", "x")


# --- the array store


def test_store_fills_in_any_order_and_is_found_again(tmp_path: Path) -> None:
    store = ArrayStore.open(tmp_path / "s", (10, 5), np.float32, META)
    assert not store.complete
    assert store.missing().tolist() == list(range(10))
    for part in ([7, 2], [0, 1, 9]):
        store.write(np.array(part), rows_of(np.array(part)))
    again = ArrayStore.open(tmp_path / "s", (10, 5), np.float32, {"size": (2, 3), "what": "test"})
    assert again.missing().tolist() == [3, 4, 5, 6, 8]
    assert again.missing().dtype == np.int64
    again.write(again.missing(), rows_of(again.missing()))
    assert store.complete  # both map the same bytes
    np.testing.assert_array_equal(np.load(tmp_path / "s" / "array.npy"), rows_of(np.arange(10)))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["array.npy", "done.npy", "meta.json", "s"]


def test_store_space_is_reserved(tmp_path: Path) -> None:
    store = ArrayStore.open(tmp_path / "s", (1000, 1000), np.uint8, META)
    stat = os.stat(store.folder / "array.npy")
    assert stat.st_blocks * 512 >= 1_000_000


@pytest.mark.parametrize(
    ("shape", "dtype", "meta"),
    [((10, 4), "f4", META), ((9, 5), "f4", META), ((10, 5), "f8", META), ((10, 5), "f4", META | {"x": 1})],
)
def test_store_of_something_else_starts_again(
    shape: tuple[int, int], dtype: str, meta: dict[str, Any], tmp_path: Path
) -> None:
    first = ArrayStore.open(tmp_path / "s", (10, 5), np.float32, META)
    first.write(np.arange(10), rows_of(np.arange(10)))
    other = ArrayStore.open(tmp_path / "s", shape, dtype, meta)
    assert len(other.missing()) == shape[0]
    assert not other.array.any()
    np.testing.assert_array_equal(first.array, rows_of(np.arange(10)))  # whoever has it open keeps it


@pytest.mark.parametrize("name", ["array.npy", "done.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["short", "empty", "gone", "noise"])
def test_damaged_store_starts_again(name: str, damage: str, tmp_path: Path) -> None:
    store = ArrayStore.open(tmp_path / "s", (10, 5), np.float32, META)
    store.write(np.arange(10), rows_of(np.arange(10)))
    del store
    path = tmp_path / "s" / name
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"short": content[:-3], "empty": b"", "noise": b"\xff" * len(content)}[damage])
    fresh = ArrayStore.open(tmp_path / "s", (10, 5), np.float32, META)
    assert len(fresh.missing()) == 10
    assert os.path.getsize(tmp_path / "s" / "array.npy") >= 200


def test_bitmap_with_other_values_than_0_and_1_is_damage(tmp_path: Path) -> None:
    store = ArrayStore.open(tmp_path / "s", (10, 5), np.float32, META)
    path = store.folder / "done.npy"
    path.write_bytes(path.read_bytes()[:-10] + b"\x07" * 10)
    assert len(ArrayStore.open(tmp_path / "s", (10, 5), np.float32, META).missing()) == 10


def test_rows_are_synced_before_they_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ArrayStore.open(tmp_path / "s", (4, 5), np.float32, META)
    seen = []

    def sync(_: int) -> None:
        seen.append((store.array[2].copy(), store.done.copy()))

    monkeypatch.setattr(os, "fdatasync", sync)
    store.write(np.array([2]), rows_of(np.array([2])))
    (row, done), *_ = seen
    np.testing.assert_array_equal(row, rows_of(np.array([2]))[0])
    assert not done.any()
    assert store.done.tolist() == [False, False, True, False]


def test_failed_sync_does_not_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ArrayStore.open(tmp_path / "s", (4, 5), np.float32, META)

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    monkeypatch.setattr(np.memmap, "flush", broken)
    with pytest.raises(OSError, match="Input/output"):
        store.write(np.array([2]), rows_of(np.array([2])))
    assert not store.done.any()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_disk_space(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", full)
    text = r"not enough disk space: need 0\.2 MB, [\d.,]+ MB free in .*; free some space, .*ACCLIMATE_CACHE"
    with pytest.raises(DataError, match=text):
        ArrayStore.open(tmp_path / "s", (10_000, 5), np.float32, META)
    assert list(tmp_path.iterdir()) == []


def test_array_larger_than_the_disk(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"need 1,000,000,000,000\.0 MB"):
        ArrayStore.open(tmp_path / "s", (10**9, 10**9), np.uint8, META)


def test_file_system_that_cannot_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", no)
    assert ArrayStore.open(tmp_path / "s", (3, 5), np.float32, META).array.shape == (3, 5)


def test_store_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=r"no permission to write .*s; choose another folder"):
        ArrayStore.open(tmp_path / "s", (3, 5), np.float32, META)


def test_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"shape \(0, 5\) would be empty"):
        ArrayStore.open(tmp_path / "s", (0, 5), np.float32, META)


def test_many_open_the_same_store_at_once(tmp_path: Path) -> None:
    old = ArrayStore.open(tmp_path / "s", (3, 5), np.float32, META)  # to be replaced by all of them
    stores: list[ArrayStore] = []
    threads = [
        threading.Thread(target=lambda: stores.append(ArrayStore.open(tmp_path / "s", (64, 5), np.float32, META)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 8
    for k, store in enumerate(stores):
        store.write(np.arange(8 * k, 8 * k + 8), rows_of(np.arange(8 * k, 8 * k + 8)))
    last = ArrayStore.open(tmp_path / "s", (64, 5), np.float32, META)
    assert last.complete
    np.testing.assert_array_equal(last.array, rows_of(np.arange(64)))
    assert [p.name for p in tmp_path.iterdir()] == ["s"]
    assert old.array.shape == (3, 5)


def test_leftovers_of_killed_processes_are_swept(tmp_path: Path) -> None:
    for name in (".s.0123.tmp", ".s.4567.tmp", ".other.0123.tmp"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ".s.0123.tmp", (0, 0))
    os.utime(tmp_path / ".other.0123.tmp", (0, 0))
    ArrayStore.open(tmp_path / "s", (3, 5), np.float32, META)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".other.0123.tmp", ".s.4567.tmp", "s"]


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from acclimate.storage.store import ArrayStore

store = ArrayStore.open(Path(sys.argv[1]), (400, 5), np.float32, {"what": "killed"})
for k in range(0, 400, 3):
    rows = np.arange(k, min(k + 3, 400))
    store.write(rows, (rows[:, None] * 10 + np.arange(5)).astype(np.float32))
    time.sleep(0.002)
time.sleep(60)
"""


def test_kill_9_loses_nothing_that_is_marked(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(CHILD), str(folder)])
    try:
        wait_until(lambda: (folder / "done.npy").exists() and np.load(folder / "done.npy").sum() > 40, process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    store = ArrayStore.open(folder, (400, 5), np.float32, {"what": "killed"})
    there, missing = np.flatnonzero(store.done), store.missing()
    assert 40 < len(there) < 400
    np.testing.assert_array_equal(store.array[there], rows_of(there))
    store.write(missing, rows_of(missing))
    np.testing.assert_array_equal(np.load(folder / "array.npy"), rows_of(np.arange(400)))
    assert json.loads((folder / "meta.json").read_text()) == {"what": "killed"}

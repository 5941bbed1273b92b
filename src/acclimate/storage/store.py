"""What the program keeps on disk: the cache folder, atomic files, and arrays that survive ``kill -9``.

What each guarantee rests on:

- ``kill -9`` ends a process, not the kernel. Every byte already stored into a shared memory map is in the
  page cache and reaches the file. Storing the rows first and marking them second is therefore enough.
- A power cut loses the page cache, and the kernel may have written the bitmap before the rows. So the rows
  are synced to the device before they are marked. The bitmap itself is not synced: a mark that is lost means
  that one row is made again.
- A whole file (`write_atomic`) and a whole store appear under their name by a rename, or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError, InputError

_STALE_SECONDS = 24 * 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def cache_root() -> Path:
    """Return the folder that holds everything that can be made again, and make it if it is missing.

    It is ``$ACCLIMATE_CACHE`` if that is set, otherwise ``acclimate`` in the platform's user cache folder.

    Raises InputError: the folder cannot be made or written to.
    """
    root = _cache_folder()
    with contextlib.suppress(OSError):
        root.mkdir(parents=True, exist_ok=True)
        if os.access(root, os.W_OK):
            return root
    raise InputError(
        f"the cache folder {root} cannot be written to; set the environment variable ACCLIMATE_CACHE to "
        "a folder where you may write"
    )


def _cache_folder() -> Path:
    if own := os.environ.get("ACCLIMATE_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "acclimate"


def step_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on every part and on nothing else, on every machine."""
    hashed = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(hashed[:8], "big") >> 1


def digest(*parts: object) -> str:
    """Return 24 hexadecimal digits of the SHA-256 of the canonical JSON of `parts`.

    Mappings are sorted by key, so that their order does not matter; numpy scalars count as numbers, arrays
    and tuples as lists, paths as text. Anything else raises ``TypeError``: no key may depend on a ``repr``.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"a {type(value).__name__} cannot be part of a key; give text, numbers, lists or mappings")


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file or nothing: a file in the same folder, synced, then renamed over `path`.

    Text is written as UTF-8. Missing folders above `path` are made. What is no file (a pipe, ``/dev/null``) is written
    to, never replaced.

    Raises InputError: no permission to write there, or no space.
    """
    data = content.encode() if isinstance(content, str) else content
    with _readable_errors(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(path)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def safe_name(name: str) -> str:
    """Return a model name as a folder name: letters, digits, dots, dashes and underscores only."""
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name).strip(".-") or "model"


def _beside(path: Path) -> Path:
    """Return a name beside `path` that nobody else uses; files of `tempfile` only their owner can read."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _READ_ONLY:
            raise InputError(
                f"no permission to write {path}; choose another folder, or change the rights of {path.parent}"
            ) from error
        if error.errno in _FULL:
            raise InputError(f"no space left to write {path}; free some space or choose another disk") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            raise InputError(f"cannot write {path}: a file or folder is in the way; choose another name") from error
        raise


@dataclass(frozen=True, eq=False)
class ArrayStore:
    """A memory-mapped array that is filled row by row, in any order, over any number of runs.

    Attributes
    ----------
    folder
        Holds ``array.npy``, ``done.npy`` and ``meta.json``; the first two open with ``np.load``.
    array
        The rows, ``(n, ...)``, mapped from the file for reading and writing.
    done
        Which rows are there, ``(n,)`` bool. One byte a row, so that two processes never write the same byte
        with different values.
    """

    folder: Path
    array: np.memmap[Any, np.dtype[Any]]
    done: np.memmap[Any, np.dtype[np.bool_]]

    @classmethod
    def open(cls, folder: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, meta: dict[str, Any]) -> ArrayStore:
        """Open the store in `folder`; if it is missing, other or damaged, make it, with all its disk space.

        `meta` says what the rows are; a store whose meta, shape or dtype differs is thrown away. Processes
        that open the same folder at once share one store: each makes its own and the first rename wins.
        Writing the same row twice is harmless because the same row has the same bytes.

        Raises DataError: an empty shape, or too little disk space. Raises InputError: no permission to write there.
        """
        if not shape or min(shape) < 1:
            raise DataError(f"an array store of shape {shape} would be empty; give at least one row")
        with _readable_errors(folder):
            store = _existing(folder, shape, np.dtype(dtype), meta)
            if store is None:
                _create(folder, shape, np.dtype(dtype), meta)
                store = _existing(folder, shape, np.dtype(dtype), meta)
        if store is None:
            raise InputError(f"the array store in {folder} was changed while it was opened; try again")
        return store

    @classmethod
    def find(cls, folder: Path, rows: int, dtype: npt.DTypeLike, meta: dict[str, Any]) -> ArrayStore | None:
        """Return the store in `folder` if it has so many rows of one axis, of any width; None where it has not.

        Raises InputError: no permission to read and write there.
        """
        with _readable_errors(folder):
            store = _intact(folder, meta)
        if store is None or store.array.ndim != 2 or store.array.dtype != np.dtype(dtype):
            return None
        return store if len(store.array) == rows else None

    @property
    def complete(self) -> bool:
        """Whether every row is there."""
        return bool(self.done.all())

    def missing(self) -> npt.NDArray[np.int64]:
        """Return the indices of the rows that are not there yet, ascending."""
        return np.flatnonzero(~self.done).astype(np.int64)

    def write(self, indices: npt.NDArray[np.int64], values: npt.ArrayLike) -> None:
        """Store ``values[k]`` as row ``indices[k]`` and mark these rows as done."""
        self.array[indices] = values
        self.commit(indices)

    def commit(self, indices: npt.NDArray[np.int64]) -> None:
        """Mark rows as done whose bytes the caller has stored in `array`; they are synced first."""
        try:
            with (self.folder / "array.npy").open("rb") as file:
                os.fdatasync(file.fileno())  # it lets go of the interpreter lock; mmap.flush may not
        except (AttributeError, OSError):  # no fdatasync on this platform, or the store was replaced
            self.array.flush()
        self.done[indices] = True


def _existing(folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any], meta: dict[str, Any]) -> ArrayStore | None:
    store = _intact(folder, meta)
    return store if store is not None and (store.array.shape, store.array.dtype) == (shape, dtype) else None


def _intact(folder: Path, meta: dict[str, Any]) -> ArrayStore | None:
    """Return the store of a folder, whatever the shape of its rows, if it is whole and its meta is this one."""
    try:
        if json.loads((folder / "meta.json").read_text("utf-8")) != json.loads(_canonical(meta)):
            return None
        array, done = (_mapped(folder / name) for name in ("array.npy", "done.npy"))
    except (FileNotFoundError, NotADirectoryError, ValueError, EOFError):
        return None  # missing, cut short or not ours: made again
    if (done.shape, done.dtype) != (array.shape[:1], np.dtype(bool)):
        return None
    return ArrayStore(folder, array, done) if (done.view(np.uint8) <= 1).all() else None


def _mapped(path: Path) -> np.memmap[Any, np.dtype[Any]]:
    np.lib.format.open_memmap(path, mode="r")  # refuses a short file; "r+" would fill it up with zeros
    return np.lib.format.open_memmap(path, mode="r+")


def _canonical(meta: dict[str, Any]) -> str:
    return json.dumps(meta, sort_keys=True, indent=1, default=_plain)


def _create(folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any], meta: dict[str, Any]) -> None:
    """Make an empty store beside `folder` and rename it there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    fresh = _beside(folder)
    fresh.mkdir()
    try:
        _allocate(fresh / "array.npy", shape, dtype, folder)
        _allocate(fresh / "done.npy", shape[:1], np.dtype(bool), folder)
        (fresh / "meta.json").write_text(_canonical(meta), "utf-8")
        while not _renamed(fresh, folder) and _existing(folder, shape, dtype, meta) is None:
            old = _beside(folder)
            with contextlib.suppress(FileNotFoundError):
                os.rename(folder, old)
            if _existing(old, shape, dtype, meta) is None:
                _remove(old)
            else:  # between the two lines above another process put the right store there
                _renamed(old, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _renamed(fresh: Path, folder: Path) -> bool:
    """Say whether the new store got its name; it does not if another one is there already."""
    try:
        os.rename(fresh, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    return True


def _remove(old: Path) -> None:
    # A process that still has the files mapped goes on with them, nameless, until it lets them go.
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


def _allocate(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], folder: Path) -> None:
    """Make an ``.npy`` file of zeros whose blocks exist.

    A sparse file would do until the disk is full; then a store into the map kills the process with SIGBUS.
    """
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    free = shutil.disk_usage(path.parent).free
    try:
        if size > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                _reserve(file.fileno(), path.stat().st_size)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DataError(
            f"not enough disk space: need {size / 1e6:,.1f} MB, {free / 1e6:,.1f} MB free in "
            f"{folder.parent}; free some space, use a smaller image size, or set "
            "ACCLIMATE_CACHE to a folder on a larger disk"
        ) from error


def _reserve(handle: int, size: int) -> None:
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise  # the others mean that this file system cannot reserve; the free space was checked


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed while it made this store left behind a day ago or earlier."""
    for orphan in folder.parent.glob(f".{folder.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - orphan.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(orphan)

"""Look at every file once: its content hash and whether it is a good image, remembered between runs.

The index of a folder is one JSON file in ``CACHE/index``. An entry holds as long as the size and the time of change
(ns) of its file do, so that a second look at 2,000 files costs 2,000 calls of ``stat``. A file that was changed less
than two seconds before it was read is not remembered: it could change again within the resolution of its time.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from acclimate.errors import DataError
from acclimate.images.decode import fault
from acclimate.storage.store import cache_root, digest, write_atomic

_VERSION = 1  # a new one when `fault` finds other faults
_FRESH_NS = 2_000_000_000
_BLOCK = 32


class FileCheck(NamedTuple):
    """The content hash of one file, and whether it is a good image."""

    size: int
    mtime_ns: int
    sha256: str
    header: str  # why the header is bad, or ""
    full: str | None  # why the pixels are bad, or "", or None if only the header was checked

    @property
    def reason(self) -> str:
        """Why the file cannot be used, or "" as far as is known."""
        return self.header or self.full or ""


def scan(
    root: Path, paths: Sequence[str], *, full: bool, cache: Path | None = None, workers: int = 2
) -> list[FileCheck]:
    """Check every file of `paths`, which are below `root`.

    With `full` every image has been decoded once, now or in an earlier run; otherwise only its header was
    read. A file that cannot be read is an entry with a reason, not an exception.
    """
    index_file = (cache or cache_root()) / "index" / f"{digest('index', _VERSION, os.path.realpath(root))}.json"
    index = _read_index(index_file)
    stats = [_stat(os.path.join(root, path)) for path in paths]
    entries = {
        k: old
        for k, (path, stat) in enumerate(zip(paths, stats, strict=True))
        if (old := index.get(path)) and old[:2] == stat and not (full and old.full is None)
    }
    todo = [k for k in range(len(paths)) if k not in entries]
    blocks = [todo[k : k + _BLOCK] for k in range(0, len(todo), _BLOCK)]
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda block: [_look(root / paths[k], stats[k], full) for k in block], blocks)
        entries |= zip(todo, itertools.chain.from_iterable(results), strict=True)
    checks = [entries[k] for k in range(len(paths))]
    if todo:
        _write_index(index_file, index | dict(zip(paths, checks, strict=True)))
    return checks


def _stat(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


def _look(path: Path, stat: tuple[int, int], full: bool) -> FileCheck:
    try:
        content = path.read_bytes()
    except OSError as error:
        return FileCheck(*stat, "", f"cannot be read: {error.strerror}", None)
    header = fault(content, full=False)
    pixels = None if not full else header or fault(content, full=True)
    return FileCheck(*stat, hashlib.sha256(content).hexdigest(), header, pixels)


def _read_index(path: Path) -> dict[str, FileCheck]:
    try:
        return {name: FileCheck(*row) for name, row in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # missing or damaged: everything is looked at again


def _write_index(path: Path, entries: dict[str, FileCheck]) -> None:
    newest = time.time_ns() - _FRESH_NS
    keep = {name: entry for name, entry in entries.items() if entry.sha256 and entry.mtime_ns < newest}
    write_atomic(path, json.dumps(keep, separators=(",", ":")))


def bad_files(what: str, bad: Sequence[tuple[str, str]], n: int) -> DataError:
    """Return the error for unreadable images, given as (name, reason): how many, and the first ten."""
    first = "; ".join(f"{name} ({reason})" for name, reason in bad[:10])
    more = f"; and {len(bad) - 10} more" if len(bad) > 10 else ""
    return DataError(
        f"{len(bad)} of {n} images of {what} cannot be read: {first}{more}. "
        "Repair or remove them, or leave them out with --skip-bad (skip_bad=True)"
    )

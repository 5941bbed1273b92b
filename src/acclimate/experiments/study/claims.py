"""Claims: who works on what, when several processes share a folder.

A claim is a lock of the operating system on a file. The kernel drops it when its process ends, however it ends, so that
a killed worker leaves nothing to clean up and no claim of a dead process is waited for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

PAUSE = 0.1  # seconds between two looks at a claim of somebody else


@dataclass(frozen=True)
class Claims:
    """The claims of one folder; they hold between processes, and between two users of one process."""

    folder: Path

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[bool]:
        """Claim a name if nobody has it; give whether that worked."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{name}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    @contextlib.contextmanager
    def wait(self, name: str, *, unless: Callable[[], bool]) -> Iterator[bool]:
        """Claim a name, after others if need be; give up, with False, as soon as ``unless`` says so."""
        while not unless():
            with self.attempt(name) as claimed:
                if claimed:
                    yield not unless()
                    return
            time.sleep(PAUSE)
        yield False

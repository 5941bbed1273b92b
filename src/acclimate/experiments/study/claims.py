"""Claims: who works on what, when several processes share a folder.

A claim is a lock of the operating system on a file. The kernel drops it when its process ends, however it ends, so
that a killed worker leaves nothing to clean up and nobody has to guess whether it still lives. The files stay: to
delete one while another process opens it would give two processes the same claim.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PAUSE = 0.1  # seconds between two looks at a claim of somebody else


@dataclass(frozen=True)
class Claims:
    """The claims of one folder; they hold between processes, and between two users of one process."""

    folder: Path

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[bool]:
        """Claim a name if nobody has it; give whether that worked."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            yield _lock(handle)  # closing the handle drops it
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def wait(self, name: str, *, unless: Callable[[], bool]) -> Iterator[bool]:
        """Claim a name, after others if need be; give up, with False, as soon as ``unless`` says so."""
        while not unless():
            with self.attempt(name) as got:
                if got:
                    yield not unless()
                    return
            time.sleep(PAUSE)
        yield False


def _lock(handle: int) -> bool:
    """Lock an open file without waiting; say whether it worked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

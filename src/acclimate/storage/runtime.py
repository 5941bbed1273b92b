"""Where and how a command computes. It decides what a run costs and where its caches lie, never what it measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Runtime:
    """Where and how to compute, settled once by a command and passed whole.

    Attributes
    ----------
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    precision
        ``auto``, ``32``, ``bf16`` or ``16``.
    cache
        Folder of decoded pixels and features; None: ``ACCLIMATE_CACHE`` or the user's cache folder.
    quiet
        No progress on stderr.
    skip_bad
        Leave out files that cannot be decoded instead of stopping.
    progress
        Called with (images done, images in all) while features are extracted.
    """

    device: str = "auto"
    precision: str = "auto"
    cache: Path | None = None
    quiet: bool = False
    skip_bad: bool = False
    progress: Progress | None = None


AUTO: Final = Runtime()  # whatever this machine has, the user's cache

"""Where and how a command computes. It decides what a run costs and where its caches lie, never what it measures.

Here is the program's version too, which every document and every row names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from acclimate.errors import InputError, unknown

VERSION: Final = "0.1.0"


Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

DEVICES: Final = ("auto", "cpu", "cuda", "mps")
PRECISIONS: Final[dict[str, Precision]] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Runtime:
    """Where and how to compute, settled once by a command and passed whole.

    Raises InputError for an unknown device or precision.

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

    def __post_init__(self) -> None:
        require_device(self.device)
        require_precision(self.precision)


def require_device(device: str) -> None:
    """Refuse an unknown device; whether this machine has it, torch alone can tell."""
    if device not in DEVICES:
        raise InputError(unknown("device", device, DEVICES))


def require_precision(precision: str) -> None:
    """Refuse an unknown precision."""
    if precision not in ("auto", *PRECISIONS, *PRECISIONS.values()):
        raise InputError(unknown("precision", precision, ["auto", *PRECISIONS]))


AUTO: Final = Runtime()  # whatever this machine has, the user's cache

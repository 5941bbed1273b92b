"""What every verb takes, and the keys that every JSON document carries. No torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate import __version__
from acclimate.errors import InputError
from acclimate.storage.runtime import Runtime


@dataclass(frozen=True)
class Options:
    """What every verb takes.

    Attributes
    ----------
    seed
        Of splits, label subsets, training and bootstrap.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    precision
        ``auto``, ``32``, ``bf16`` or ``16``.
    cache
        Folder of decoded pixels and features; default ``ACCLIMATE_CACHE`` or the user's cache folder.
    skip_bad
        Leave out files that cannot be decoded instead of stopping.
    quiet
        No progress on stderr.
    """

    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    cache: Path | None = None
    skip_bad: bool = False
    quiet: bool = False

    @property
    def runtime(self) -> Runtime:
        """Where and how to compute."""
        return Runtime(self.device, self.precision, self.cache, self.quiet, self.skip_bad)


def read_settings(pairs: Sequence[str]) -> dict[str, bool | int | float | str]:
    """Read settings written as ``NAME=VALUE``; numbers, ``true`` and ``false`` are what they say, the rest is text.

    Raises
    ------
    InputError
        For a pair without ``=``.
    """
    out: dict[str, bool | int | float | str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise InputError(f"got --set '{pair}'; expected NAME=VALUE, such as head_steps=0")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        out[name.strip()] = value if isinstance(value, bool | int | float | str) else text
    return out


def document(command: str, options: Options, seconds: float, device: str) -> dict[str, Any]:
    """Return the keys that every JSON document begins with."""
    return {
        "command": command,
        "version": __version__,
        "seconds": round(seconds, 3),
        "seed": options.seed,
        "device": device,
    }

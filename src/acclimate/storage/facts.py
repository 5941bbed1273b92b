"""Facts: what was once found out with a heavy library, kept so that the next command can do without it.

A fact is a small JSON file in ``CACHE/facts``. Its name digests everything that decides the answer, and what is read
back is checked against a pydantic model, since anybody may write into a cache. A file that is missing, damaged or of
another form is no error: the question is asked again. A cache that cannot be written to keeps no facts.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import sys
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict

from acclimate.errors import InputError
from acclimate.storage.results import installed
from acclimate.storage.store import cache_root, digest, write_atomic

FORMAT: Final = 1  # of the facts; another number forgets them all
_DECIDING: Final = ("acclimate", "torch", "timm", "safetensors")
_UNUSABLE: Final = (OSError, InputError, ValueError)  # pydantic's errors are ValueErrors
_CPU: Final = Path("/proc/cpuinfo")


class Fact(BaseModel):
    """What is remembered: strictly typed, nothing more and nothing less than its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Kind = TypeVar("Kind", bound=Fact)


def recall(kind: type[Kind], *parts: object, cache: Path | None = None) -> Kind | None:
    """Return the fact that `parts` decide, or None where it is not known; default `cache` is `cache_root`.

    Parts are plain values; the versions of the libraries and the kind of processor decide with them.
    """
    with contextlib.suppress(*_UNUSABLE):
        return kind.model_validate_json(_path(kind, parts, cache).read_bytes())
    return None


def remember(fact: Fact, *parts: object, cache: Path | None = None) -> None:
    """Keep a fact for `recall`; one that does not come back from JSON as it is is not kept."""
    with contextlib.suppress(*_UNUSABLE):
        text = fact.model_dump_json()
        if type(fact).model_validate_json(text) == fact:
            write_atomic(_path(type(fact), parts, cache), text)


def forget(kind: type[Fact], *parts: object, cache: Path | None = None) -> None:
    """Drop a fact that turned out to be wrong."""
    with contextlib.suppress(*_UNUSABLE):
        _path(kind, parts, cache).unlink(missing_ok=True)


def _path(kind: type[Fact], parts: tuple[object, ...], cache: Path | None) -> Path:
    return (cache or cache_root()) / "facts" / f"{digest(kind.__name__, FORMAT, _libraries(), processor(), parts)}.json"


def _libraries() -> tuple[str, ...]:
    return tuple(installed(_DECIDING).values())


@functools.cache
def processor() -> str:
    """Return a digest of the system and the kind of processor: numbers and speeds are not the same on another."""
    lines = _CPU.read_text("utf-8", "replace").partition("\n\n")[0].splitlines() if _CPU.is_file() else []
    kind = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    return digest(sys.platform, platform.machine(), kind)

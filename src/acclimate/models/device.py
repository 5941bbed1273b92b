"""Where and in what precision to compute: the choice that is fastest without changing what the numbers mean.

Torch answers what ``auto`` means. On a machine where no accelerator can be there, its answer is remembered, so that a
command whose features are in the cache needs no torch.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any, Final

from acclimate.errors import InputError
from acclimate.storage.facts import Fact, recall, remember
from acclimate.storage.runtime import PRECISIONS, require_device, require_precision
from acclimate.storage.runtime import Precision as Precision

_ACCELERATORS: Final = ("nvidia*", "nvhost*", "nvgpu*", "nvmap", "kfd", "dxg")  # under /dev
_VARIABLES: Final = ("ATEN_CPU_CAPABILITY", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
_LIBRARIES: Final = Path("/etc/ld.so.cache")  # written anew when a driver is installed


class Processor(Fact):
    """What torch says of a machine without an accelerator."""

    multiplies_bfloat16: bool


def choose_device(device: str = "auto") -> str:
    """Return ``cuda``, ``mps`` or ``cpu``: the first of them this machine has for ``auto``, else what was asked for.

    Raises InputError for an unknown device, or one this machine does not have.
    """
    require_device(device)
    if device == "cpu" or (device == "auto" and _remembered() is not None):
        return "cpu"
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if present[name])
    if not present[device]:
        raise InputError(f"got device '{device}', which this machine does not have; expected 'cpu' or 'auto'")
    return device


def choose_precision(precision: str, device: str) -> Precision:
    """Return the name of the precision; ``auto`` takes bfloat16 only where the hardware multiplies it.

    On a CPU that means AVX-512 BF16 or AMX: elsewhere bfloat16 is emulated and several times slower than float32.

    Raises InputError for an unknown precision.
    """
    require_precision(precision)
    if precision == "auto":
        return "bf16-mixed" if _multiplies_bfloat16(device) else "32-true"
    return next(name for key, name in PRECISIONS.items() if precision in (key, name))


def _multiplies_bfloat16(device: str) -> bool:
    if device == "mps":
        return False
    if device == "cpu" and (processor := _remembered()) is not None:
        return processor.multiplies_bfloat16
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)


def remember_device() -> None:
    """Keep what ``auto`` means here, where that cannot change without a sign that is seen without torch."""
    signs = _signs()
    if not _can_have_accelerator() and recall(Processor, *signs) is None and choose_device() == "cpu":
        remember(Processor(multiplies_bfloat16=_multiplies_bfloat16("cpu")), *signs)


def _remembered() -> Processor | None:
    if "torch" in sys.modules or _can_have_accelerator():  # who has torch asks torch
        return None
    return recall(Processor, *_signs())


def _can_have_accelerator() -> bool:
    """Whether this machine may have an accelerator, as far as its files tell; only Linux tells."""
    if not sys.platform.startswith("linux"):
        return True
    return any(any(Path("/dev").glob(pattern)) for pattern in _ACCELERATORS)


def _signs() -> tuple[object, ...]:
    """Return what changes when torch's answer may."""
    libraries = _LIBRARIES.stat().st_mtime_ns if _LIBRARIES.is_file() else None
    return [os.environ.get(name) for name in _VARIABLES], libraries


def autocast(precision: Precision, device: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which a forward pass runs in this precision."""
    if precision == "32-true":
        return contextlib.nullcontext()
    import torch

    return torch.autocast(device, torch.bfloat16 if precision == "bf16-mixed" else torch.float16)

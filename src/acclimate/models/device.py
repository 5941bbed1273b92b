"""Where and in what precision to compute: the choice that is fastest without changing what the numbers mean."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from acclimate.errors import InputError
from acclimate.storage.runtime import PRECISIONS, require_device, require_precision
from acclimate.storage.runtime import Precision as Precision


def choose_device(device: str = "auto") -> str:
    """Return ``cuda``, ``mps`` or ``cpu``: the first of them this machine has for ``auto``, else what was asked for.

    Raises
    ------
    InputError
        For an unknown device, or one this machine does not have.
    """
    require_device(device)
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if present[name])
    if not present[device]:
        raise InputError(f"got device '{device}', which this machine does not have; expected 'cpu' or 'auto'")
    return device


def choose_precision(precision: str, device: str) -> Precision:
    """Return Fabric's name of the precision; ``auto`` takes bfloat16 only where the hardware multiplies it.

    On a CPU that means AVX-512 BF16 or AMX: elsewhere bfloat16 is emulated and several times slower than float32.

    Raises
    ------
    InputError
        For an unknown precision.
    """
    require_precision(precision)
    if precision == "auto":
        return "bf16-mixed" if _multiplies_bfloat16(device) else "32-true"
    return next(name for key, name in PRECISIONS.items() if precision in (key, name))


def _multiplies_bfloat16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "mps":
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)


def autocast(precision: Precision, device: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which a forward pass runs in this precision."""
    if precision == "32-true":
        return contextlib.nullcontext()
    return torch.autocast(device, torch.bfloat16 if precision == "bf16-mixed" else torch.float16)

"""timm without torch's compiler, which takes longer to import than torch itself and which inference never calls.

Two lines import ``torch._dynamo`` on the way: ``torchvision.ops.roi_align`` takes one function from it, and timm marks
functions with ``torch.compiler.disable``. While timm is imported, a stand-in answers the first and torch's own deferred
form does the second. Both import the compiler when they are called, so that torchvision and timm stay whole.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, Final

COMPILER: Final = "torch._dynamo"
HELPERS: Final = "torch._dynamo.utils"
_QUESTION: Final = "is_compile_supported"  # what torchvision asks, and only where it has no compiled operators
_ONE_AT_A_TIME: Final = threading.Lock()


def import_timm() -> ModuleType:
    """Return timm; the first import leaves torch's compiler out where nothing has imported it yet."""
    if "timm" in sys.modules:
        return importlib.import_module("timm")
    with _ONE_AT_A_TIME, _without_compiler():
        return importlib.import_module("timm")


class _StandIn(ModuleType):
    """``torch._dynamo.utils`` as long as it is not needed: all but one of its names import the real module."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _later if name == _QUESTION else getattr(_helpers(), name)


def _later(device: Any) -> Any:
    """Ask torch whether it compiles for a device."""
    return _helpers().is_compile_supported(device)


def _helpers() -> ModuleType:
    if isinstance(sys.modules.get(HELPERS), _StandIn):
        del sys.modules[HELPERS]
    return importlib.import_module(HELPERS)


@contextlib.contextmanager
def _without_compiler() -> Iterator[None]:
    import torch

    if COMPILER in sys.modules:
        yield
        return
    stand_in, disable = _StandIn(HELPERS), torch.compiler.disable
    deferred = _deferred(disable)
    sys.modules[HELPERS], torch.compiler.disable = stand_in, deferred
    try:
        yield
    finally:
        if sys.modules.get(HELPERS) is stand_in:
            del sys.modules[HELPERS]
        if torch.compiler.disable is deferred:
            torch.compiler.disable = disable


def _deferred(disable: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``torch.compiler.disable`` that leaves the work on a plain function to its first call."""
    from torch._compile import _disable_dynamo

    def disabled(fn: Any = None, recursive: bool = True, **reason: Any) -> Any:
        if isinstance(fn, FunctionType):
            return _disable_dynamo(fn, recursive)
        return disable(fn, recursive, **reason)

    return disabled

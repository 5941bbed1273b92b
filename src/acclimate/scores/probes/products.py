"""Products and exponentials of large matrices by torch.

Its BLAS is nearer to the peak of a CPU where one side is narrow, and it has threads for exponentials.

Two BLAS in one process cost each other: the idle threads of numpy's spin for some 30 ms after each product, on the
cores that torch's need. So numpy's keeps to one thread for as long as `alone` lasts. That costs the rest of the work
its second core, so it pays for large problems only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

Array = npt.NDArray[np.floating[Any]]

_LIMITED: Final = Lock()
LARGE: Final = 2**26  # multiplications of one product; in logistic regression both ways take as long there


def pays(multiplications: int) -> bool:
    """Whether such products are better torch's: large ones, where torch is loaded (that takes longer than it saves)."""
    return multiplications >= LARGE and "torch" in sys.modules


def product(a: Array, b: Array, out: Array | None = None, *, large: bool) -> Any:
    """Return a @ b of matrices of one float type, in `out` if given; by torch if `large`."""
    if not large:
        return np.matmul(a, b, out=out)
    import torch

    target = None if out is None else torch.from_numpy(out)
    return torch.mm(torch.from_numpy(a), torch.from_numpy(b), out=target).numpy()


def softmax_parts(logits: Array, *, large: bool) -> tuple[Array, Array, Array]:
    """Return of logits (a, K, n) the largest of each image (a, n), the sum of exp(logits - it), and p (a, K, n)."""
    if not large:
        highest = logits.max(axis=1, keepdims=True)
        p = logits - highest
        np.exp(p, out=p)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        return highest[:, 0], total[:, 0], p
    import torch

    table = torch.from_numpy(logits)
    peak = table.amax(dim=1, keepdim=True)
    exp = (table - peak).exp_()
    sums = exp.sum(dim=1, keepdim=True)
    exp /= sums
    return peak[:, 0].numpy(), sums[:, 0].numpy(), exp.numpy()


@contextmanager
def alone(large: bool) -> Iterator[None]:
    """Keep OpenBLAS, as numpy and scipy bring it, to one thread if `large`; any other BLAS is left as it is.

    The limit is one for all threads of Python. A call while another one holds it changes nothing.
    """
    if not large or not _LIMITED.acquire(blocking=False):
        yield
        return
    try:
        with _openblas().limit(limits=1):
            yield
    finally:
        _LIMITED.release()


def threads() -> int:
    """Return how many threads numpy's products take where they may; 1 where it brings no OpenBLAS."""
    return max((int(library["num_threads"]) for library in _openblas().info()), default=1)


@cache
def _openblas() -> Any:
    """Return the controls of the OpenBLAS libraries that are not torch's own."""
    controls = ThreadpoolController()
    paths = [library["filepath"] for library in controls.info()]
    paths = [path for path in paths if "torch" not in Path(path).parts]
    return controls.select(internal_api="openblas").select(filepath=paths)

"""What is asked of a table: which protocol is to predict which, on what, and how sure to be."""

from __future__ import annotations

from dataclasses import dataclass

from acclimate.errors import InputError, unknown
from acclimate.stats import LEVEL, RESAMPLES

UNITS = ("fraction", "percent", "other")


@dataclass(frozen=True)
class Question:
    """The arguments of ``compare``."""

    # protocols that predict; ``NAME@LABELS`` reads one label budget. The first is the one the answer is about
    proxies: tuple[str, ...]
    target: str  # the protocol that is predicted
    # dataset, target_dataset: where the proxy and the target are read; None is every data set, each on itself
    dataset: str | None = None
    target_dataset: str | None = None
    metric: str | None = None  # of both, or ``PROXY,TARGET``; None where there is one, or ``accuracy``
    by: str | None = None  # a column that groups models, or that tells the proxy's settings apart
    ood: bool = False  # every data set predicts every other one
    shifts: dict[tuple[str, str], str] | None = None  # (source, data set) -> kind of shift; "" is any source
    unit: str | None = None  # what bounded values are in: fraction, percent, other; None finds out
    smaller_is_better: tuple[str, ...] = ()  # metrics besides ``log_loss`` and ``ece`` of which less is better
    top: int = 3  # the k of the overlap
    # resamples, level, seed: of bootstrap and permutations
    resamples: int = RESAMPLES
    level: float = LEVEL
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.proxies:
            raise InputError("got no proxy; expected the name of a protocol, such as --proxy knn")
        if self.unit is not None and self.unit not in UNITS:
            raise InputError(unknown("unit", self.unit, UNITS))
        if not 0 < self.level < 1:
            raise InputError(f"level is {self.level}; expected a probability between 0 and 1, such as {LEVEL}")
        if self.resamples < 100:
            raise InputError(f"resamples is {self.resamples}; expected at least 100, such as 2000")
        if self.top < 1:
            raise InputError(f"top is {self.top}; expected at least 1, such as 3")

"""The questions of the study, asked of the table by the program's own comparison. Arrays and tables only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from studies.transfer.design import PROTOCOLS, TARGET
from studies.transfer.domains import DOMAINS

from acclimate.comparison import Question, analyse
from acclimate.stats.correlations import LEAST_MODELS
from acclimate.stats.intervals import Interval, bootstrap_interval

if TYPE_CHECKING:
    import pandas as pd

FIRST: Final = "linear"  # what every other proxy is held against
COMMON: Final = tuple(name for name, p in PROTOCOLS.items() if not p.networks and name != TARGET)
OTHERS: Final = tuple(name for name in COMMON if name != FIRST)
SAME: Final = "head"  # a probe that is trained as norm finetuning and finetuning are
LEVEL: Final = 0.9
RESAMPLES: Final = 1000


@dataclass(frozen=True)
class Gain:
    """Test accuracy of one protocol less another, over the models of a group; each model is its mean over domains.

    Attributes
    ----------
    interval
        Over models; None where there are fewer than three.
    """

    group: str
    models: int
    mean: float
    interval: Interval | None


@dataclass(frozen=True, eq=False)
class Answers:
    """What the table answers.

    Attributes
    ----------
    frame
        The rows that count.
    resamples
        Of every bootstrap.
    """

    frame: pd.DataFrame
    resamples: int = RESAMPLES

    def proxies(self) -> dict[str, Any]:
        """Return how every common proxy predicts finetuning, in the mean over domains; ``ood`` holds other domains."""
        shifts = {("", name): DOMAINS[name].shift for name in self.domains if name in DOMAINS}
        return self._ask(self.frame, (FIRST, *OTHERS), ood=True, shifts=shifts)

    def norm_or_probes(self) -> dict[str, dict[str, Any]]:
        """Return norm finetuning and two probes as predictors: of all models, of the pretrained, by domain."""
        pretrained = self.frame[self.frame["family"] != "random"]
        parts = {"all domains, all models": self.frame, "all domains, without random starts": pretrained}
        parts |= {name: self.frame[self.frame["dataset"] == name] for name in self.domains}
        return {title: self._ask(part, ("norm", FIRST, SAME)) for title, part in parts.items() if _enough(part)}

    def on_networks(self, proxy: str) -> dict[str, Any] | None:
        """Return a proxy that not all networks can do against `FIRST`, on those that can; None for too few."""
        able = set(self.frame[self.frame["protocol"] == proxy]["model"])
        some = self.frame[self.frame["model"].isin(able)]
        return self._ask(some, (FIRST, proxy)) if _enough(some) else None

    def paired(self, first: str, second: str) -> dict[str, Any]:
        """Return two proxies on their own domain, the second held against the first."""
        return self._ask(self.frame, (first, second))

    def within_groups(self, by: str) -> dict[str, Any]:
        """Return numbers within groups of models, and pairs within and across them, of three proxies."""
        groups: dict[str, Any] = self._ask(self.frame, (FIRST, "norm", "knn"), by=by)["groups"]
        return groups

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains, in the order of the design."""
        there = set(self.frame["dataset"])
        return tuple(name for name in (*DOMAINS, *sorted(there - set(DOMAINS))) if name in there)

    def _ask(self, frame: pd.DataFrame, proxies: tuple[str, ...], **more: Any) -> dict[str, Any]:
        return analyse(frame, Question(proxies, TARGET, level=LEVEL, resamples=self.resamples, **more))


def _enough(frame: pd.DataFrame) -> bool:
    return frame["model"].nunique() >= LEAST_MODELS


def accuracies(frame: pd.DataFrame, protocol: str) -> dict[str, float]:
    """Return each model's test accuracy, the mean over domains of the means over seeds."""
    rows = frame[(frame["split"] == "test") & (frame["protocol"] == protocol)]
    per_domain = rows.groupby(["model", "dataset"])["value"].mean()
    return {str(model): float(value) for model, value in per_domain.groupby("model").mean().items()}


def gains(frame: pd.DataFrame, protocol: str, over: str, by: str) -> list[Gain]:
    """Return the gain of a protocol over another by group of models, and for all of them."""
    a, b = accuracies(frame, protocol), accuracies(frame, over)
    group = dict(zip(frame["model"], frame[by], strict=True))
    shared = [model for model in a if model in b]
    found = [_gain("all", [a[m] - b[m] for m in shared])]
    for name in sorted({group[model] for model in shared}):
        found.append(_gain(name, [a[m] - b[m] for m in shared if group[m] == name]))
    return found


def _gain(group: str, values: list[float]) -> Gain:
    interval = bootstrap_interval(np.array(values), level=LEVEL, seed=0) if len(values) >= LEAST_MODELS else None
    return Gain(group, len(values), float(np.mean(values)), interval)

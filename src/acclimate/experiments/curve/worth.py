"""How many labels a better start is worth, and what may be said of it. Functions of arrays: no image, no model.

A learning curve is a log loss at growing numbers of labels. Another model's value at one of them is looked up in the
base's curve: the base needs x times the labels to be as good, so the other model is worth x times the labels. Both
curves are made monotone (the best value so far), and the base's is linear between its points in ln(labels).

Intervals are those of `stats.paired_over` and `stats.two_way_curves`: seeds and test images are resampled, Owen (2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from acclimate.stats import LEVEL, RESAMPLES, outer_percentiles, paired_over, two_way_curves

Float64 = npt.NDArray[np.float64]
Curves = tuple[Float64, Float64]  # of the base and of the other model, (r, budgets) each
Said = Literal["better", "worse", "same", "unknown"]

# Relative changes are of the base's loss; below this (nats) a loss is as good as none, and a share of it says nothing.
SMALLEST_LOSS: Final = 0.01


class LossChange(NamedTuple):
    """A mean difference to the base and its interval; the ends are None where one seed shows no spread."""

    mean: float
    low: float | None
    high: float | None

    def said(self, *, larger_is_better: bool = False) -> Said:
        """Return what the interval says of the other model; an interval with zero in it says ``same``."""
        if self.low is None or self.high is None:
            return "unknown"
        if self.low <= 0 <= self.high:
            return "same"
        return "better" if (self.low > 0) == larger_is_better else "worse"


class Worth(NamedTuple):
    """How many times the labels."""

    # the base needs so many times the labels to be as good; None where its curve does not reach that value
    times: float | None
    # low, high: ends of the interval; None where the base's curve ends before it, or where there is one seed
    low: float | None
    high: float | None
    # ``above``: better than the base ever is, worth more than `bound` times; ``below``: worse than the base with the
    # fewest labels, worth less than `bound` times
    side: Literal["inside", "above", "below"]
    # how many times the labels the base's curve goes on to, on that side; for ``inside`` the same as `times`
    bound: float

    @property
    def words(self) -> str:
        """``about 3.1x``, ``more than 4.0x`` or ``less than 0.50x``."""
        how = {"inside": "about", "above": "more than", "below": "less than"}[self.side]
        return f"{how} {_times_text(self.bound)}"

    @property
    def interval(self) -> str:
        """Such as ``2.2x to 4.5x``, ``2.2x or more``; "" where there is none."""
        if self.low is not None and self.high is not None:
            return f"{_times_text(self.low)} to {_times_text(self.high)}"
        if self.low is not None:
            return f"{_times_text(self.low)} or more"
        return "" if self.high is None else f"{_times_text(self.high)} or less"


def _times_text(value: float) -> str:
    return f"{value:.0f}x" if value >= 10 else f"{value:.1f}x" if value >= 1 else f"{value:.2f}x"


@dataclass(frozen=True)
class Compared:
    """Two models with the same labels: what changes from the base to the other one."""

    labels: str  # the budget as text, such as ``10`` (a class) or ``25%``
    # log_loss, accuracy: mean over seeds and test images of other minus base
    log_loss: LossChange
    accuracy: LossChange
    worth: Worth

    @property
    def said(self) -> Said:
        """What the log loss says."""
        return self.log_loss.said()


@dataclass(frozen=True)
class Verdict:
    """What a whole curve says: `kind`, a few words, and a sentence with the numbers."""

    kind: Literal["helped", "same", "hurt", "unknown"]
    short: str
    words: str


def change(differences: Float64, *, seed: int) -> LossChange:
    """Return the mean of ``(seeds, images)`` paired differences, with an interval if there are two seeds."""
    if len(differences) < 2:
        return LossChange(float(differences.mean()), None, None)
    return LossChange(*paired_over(differences, seed=seed))


def average_change(base: Float64, other: Float64, *, seed: int) -> LossChange:
    """Return the relative change of the log loss, averaged over budgets: -0.1 is ten percent less than the base's.

    ``base`` and ``other`` are log losses in nats, ``(budgets, seeds, images)``. Each budget counts the same, whatever
    its loss: it is divided by the base's mean there, which is taken as known.
    """
    scale = np.maximum(base.mean(axis=(1, 2), keepdims=True), SMALLEST_LOSS)
    relative: Float64 = ((other - base) / scale).mean(axis=0)
    return change(relative, seed=seed)


def labels_worth(
    base: Float64, other: Float64, amounts: Float64, *, seed: int, resamples: int = RESAMPLES
) -> list[Worth]:
    """Return how many times the labels the other model is worth, for each budget.

    ``base`` and ``other`` ``(budgets, seeds, images)`` are losses, smaller is better; seeds and images of both are
    paired. ``amounts`` ``(budgets,)`` are labels a class, ascending, above zero; ``seed`` is that of the bootstrap.

    Examples
    --------
    >>> base = np.array([4.0, 3.0, 2.0, 1.0]).reshape(4, 1, 1)
    >>> other = np.array([3.0, 2.0, 1.0, 0.5]).reshape(4, 1, 1)  # as good with half the labels
    >>> [one.words for one in labels_worth(base, other, np.array([1.0, 2.0, 4.0, 8.0]), seed=0)]
    ['about 2.0x', 'about 2.0x', 'about 2.0x', 'more than 1.0x']
    """
    logs, curves = np.log(amounts), None
    means = base.mean(axis=(1, 2))[None], other.mean(axis=(1, 2))[None]
    if base.shape[1] > 1:  # seeds and images are drawn again, alike for both models
        both = two_way_curves(np.concatenate([base, other]), resamples=resamples, seed=seed)
        curves = both[:, : len(base)], both[:, len(base) :]
    return [_worth(means, curves, logs, at) for at in range(len(logs))]


def _worth(means: Curves, curves: Curves | None, logs: Float64, at: int) -> Worth:
    least, most = float(logs[0] - logs[at]), float(logs[-1] - logs[at])
    point = float(_distance(*means, logs, at)[0])
    low, high = (None, None) if curves is None else _ends(_distance(*curves, logs, at), point, least, most)
    if point == np.inf:
        return Worth(None, low, None, "above", float(np.exp(most)))
    if point == -np.inf:
        return Worth(None, None, high, "below", float(np.exp(least)))
    return Worth(float(np.exp(point)), low, high, "inside", float(np.exp(point)))


def _ends(sampled: Float64, point: float, least: float, most: float) -> tuple[float | None, float | None]:
    """Return the interval of the worth from resamples of its logarithm; None for an end off the base's curve."""
    low, high = outer_percentiles(sampled)
    # The quoted value lies in its interval, also where the monotone curves of the resamples lean to one side.
    low, high = min(low, point, most), max(high, point, least)
    return float(np.exp(low)) if low > -np.inf else None, float(np.exp(high)) if high < np.inf else None


def _distance(base: Float64, other: Float64, logs: Float64, at: int) -> Float64:
    """Return ln of the worth for each of r pairs of curves (r, budgets); infinite where the base's curve ends.

    Where the base stands still at the value looked for, the nearest of these numbers of labels counts: equal curves
    are worth one times the labels, also where they are flat.
    """
    best = np.minimum.accumulate(base, axis=1)
    target = np.minimum.accumulate(other, axis=1)[:, at]  # (r,)
    worse = (best > target[:, None]).sum(axis=1)  # points before the base is as good
    last = (best >= target[:, None]).sum(axis=1) - 1  # the last point at which it is not better
    rows, k = np.arange(len(best)), np.clip(worse, 1, max(1, len(logs) - 1))
    after = np.minimum(k, len(logs) - 1)
    drop = best[rows, k - 1] - best[rows, after]
    share = np.divide(best[rows, k - 1] - target, drop, out=np.ones_like(target), where=drop > 0)
    reached = np.where(worse == 0, logs[0], logs[k - 1] + share * (logs[after] - logs[k - 1]))
    end = np.where(last >= worse, logs[np.maximum(last, 0)], reached)
    x = np.clip(logs[at], reached, np.maximum(end, reached))
    x = np.where(last < 0, -np.inf, np.where(worse == len(logs), np.inf, x))
    distance: Float64 = x - logs[at]
    return distance


def conclude(lines: Sequence[Compared], average: LossChange, *, seeds: int) -> Verdict:
    """Say what a curve shows, in the terms of its user.

    The average over all budgets decides: one question, one interval. The budget that is quoted is the middle one of
    those at which the other model is better; budgets that say the opposite by themselves are named.
    """
    direction, numbers = average.said(), _numbers(average)
    if direction == "unknown":
        short = f"no verdict from {seeds} seed"
        return Verdict("unknown", short, f"{short}, which shows no spread ({numbers}); give --seeds 5")
    if direction == "same":
        short = f"no difference that {seeds} seeds can show"
        return Verdict("same", short, f"{short} ({numbers}){_alone(lines, 'better')}{_alone(lines, 'worse')}")
    if direction == "worse":
        return Verdict("hurt", "it hurt", f"it hurt ({numbers}){_alone(lines, 'better')}")
    short, interval = _quote(lines)
    sure = f"{LEVEL:.0%} interval {interval}; " if interval else ""
    return Verdict("helped", short, f"{short} ({sure}{numbers}){_alone(lines, 'worse')}")


def _quote(lines: Sequence[Compared]) -> tuple[str, str]:
    """Return the worth at the budget that is quoted, in words, and its interval."""
    gains = [one for one in lines if one.worth.side == "inside" and one.worth.bound > 1]
    if quotable := [one for one in gains if one.said == "better"] or gains:
        middle = quotable[len(quotable) // 2]
        return f"worth {middle.worth.words} the labels at {amount_words(middle.labels)}", middle.worth.interval
    if beyond := [one for one in lines if one.worth.side == "above" and one.worth.bound > 1]:
        return f"worth {beyond[0].worth.words} the labels at {amount_words(beyond[0].labels)}", ""
    return "better, by more than this curve can say in labels", ""


def _numbers(average: LossChange) -> str:
    text = f"log loss {average.mean:+.1%} on average over the budgets"
    if average.low is None or average.high is None:
        return text
    return f"{text}, {LEVEL:.0%} interval {average.low:+.1%} to {average.high:+.1%}"


def _alone(lines: Sequence[Compared], direction: Said) -> str:
    """Name the budgets whose own interval says this."""
    where = [amount_words(one.labels) for one in lines if one.said == direction]
    return f"; by itself {direction} at {', '.join(where)}" if where else ""


def amount_words(labels: str) -> str:
    """Return a budget in words: ``10 per class``, ``25% of the labels``, ``all labels``."""
    if labels == "100%":
        return "all labels"
    return f"{labels} of the labels" if labels.endswith("%") else f"{labels} per class"

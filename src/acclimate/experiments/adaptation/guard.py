"""The guard of an adaptation: it watches the run, stops one that goes wrong, and says which step was the best.

A look compares the features of the moment with those of the start model, on the same images: spread and rank, which
fall when features collapse, neighbours in common, and with labels a kNN probe. The labelled images are halved as the
split halves them, into training and validation part, and each half is classified by the other: every labelled image is
a held-out one, and groups that the split keeps together are never on both sides.

A gain has to exceed chance, because the best of several looks is taken. The answers share their banks, so that the
error of the mean of independent images is too small: between equally good models the gain's standard deviation was 1.2
to 1.8 times that, at 5, 20 and 100 labels a class. Errors are widened by ``DEPENDENCE``; then 3 to 9 of 80 equally good
models were kept, where one plain error had kept half of them.

Neighbours can improve where a linear classifier gets worse. So a second probe, ridge regression on the same halves, has
a veto: a step at which the right classes' mean probability fell is not kept.

The guard has no state between two looks: a resumed run gives the same looks as an uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from acclimate.models import Backbone
from acclimate.protocols import Task
from acclimate.scores import PROBES
from acclimate.scores.estimates import prepare
from acclimate.scores.estimates.rank import rankme
from acclimate.scores.probes.ridge import RidgeSettings
from acclimate.storage.runtime import Runtime
from acclimate.training import Embed, Look

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

POOLED = 512  # pool images that the label-free monitors look at
LABELLED = 512  # images of each labelled part that the probe looks at
COLLAPSED = 0.1  # share of the start model's spread or rank below which features count as collapsed
BLIND = 0.5  # the same without labels, where nothing else tells of harm
FEW = 20  # labelled images below which the probe can say nothing
DEPENDENCE = 1.7  # see above
SURE = 1.5  # standard errors by which a step has to beat the start model
FALLEN = 3.0  # standard errors below the start model at which a falling probe ends the run
VETO = 0.0  # gain of the linear probe below which a step is not kept
PATIENCE = 0.3  # share of the steps before which a fall may be a transient
NEIGHBOURS = 10  # of an image, that are looked at


@dataclass(frozen=True)
class Monitors:
    """What the guard's images look like under one model; ``agreement`` and ``linear`` are empty without labels."""

    feature_std: float
    rankme: float
    agreement: Features
    linear: Features
    pool: Features


class Guard:
    """Watches one adaptation: everything is compared with the start model ``backbone``.

    ``steps`` are those of the stage that is watched; ``probe`` lets it use labels, where there are enough of them.
    """

    def __init__(self, task: Task, backbone: Backbone, runtime: Runtime, *, steps: int, probe: bool = True) -> None:
        split, rng = task.split, np.random.default_rng(task.seed)
        self.task, self.steps, self.labels = task, steps, task.images.labels
        self.pool = np.sort(rng.permutation(split.pool)[:POOLED])
        self.few = probe and 0 < len(split.train) + len(split.val) < FEW
        self.probes = bool(probe and len(split.train) and len(split.val)) and not self.few
        labelled = [part if self.probes else part[:0] for part in (split.train, split.val)]
        self.parts = [_some(part, self.labels, LABELLED, rng) for part in labelled]
        self.images = np.unique(np.concatenate([self.pool, *self.parts]))
        self.start = self.see(np.asarray(task.features(backbone, runtime, self.images).x[self.images]))

    @staticmethod
    def rules() -> tuple[float, ...]:
        """Return what a verdict depends on besides the run, for its identity."""
        return POOLED, LABELLED, NEIGHBOURS, COLLAPSED, BLIND, FEW, DEPENDENCE, SURE, FALLEN, VETO, PATIENCE

    def look(self, embed: Embed, step: int) -> Look:
        """Look at the network of this moment."""
        x = embed(self.images)
        if not np.isfinite(x).all():
            return Look({"feature_std": None, "rankme": None}, float("inf"), "features are not finite: lower 'lr'")
        return self.judge(self.see(x), step)

    def see(self, x: Features) -> Monitors:
        """Return the monitors of features ``(m, d)`` of the guard's images; what is not finite counts as zero."""
        x = np.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
        at = {int(image): row for row, image in enumerate(self.images)}
        pool, train, val = (x[[at[int(i)] for i in part]] for part in (self.pool, *self.parts))
        near, linear = self._probe(train, val) if len(train) else (x[:0, 0], x[:0, 0])
        return Monitors(feature_std(pool), rankme(prepare(pool)), near, linear, pool)

    def _probe(self, train: Features, val: Features) -> tuple[Features, Features]:
        """Return both probes of each labelled image, the validation part's first."""
        y_train, y_val = (self.labels[part] for part in self.parts)
        ways = ((train, y_train, val, y_val), (val, y_val, train, y_train))
        near = [agreement(bank, y_bank, x, y, _neighbourhood(y_bank)) for bank, y_bank, x, y in ways]
        return np.concatenate(near), np.concatenate([_linear(*way) for way in ways])

    def judge(self, now: Monitors, step: int) -> Look:
        """Return the look at a model: smaller values are better, 0 is the start model's and of all that is not better.

        Without labels nothing tells which of two models is better, so the later one is taken, unless it collapsed.
        """
        gain, error = self.gain(now)
        values: dict[str, float | None] = {
            "feature_std": round(now.feature_std, 4),
            "rankme": round(now.rankme, 2),
            "neighbour_overlap": round(neighbour_overlap(self.start.pool, now.pool), 4),
        }
        if len(now.agreement):
            values |= {"knn_agreement": round(self._balanced(now.agreement), 4), "knn_gain": round(gain, 4)}
            values |= {"linear_gain": round(self.linear_gain(now), 4)}
        if collapse := self.collapse(now):
            return Look(values, float("inf"), collapse)
        if not len(now.agreement):
            return Look(values, -float(step))
        fell = gain < -FALLEN * error and step >= PATIENCE * self.steps
        stop = f"the kNN probe fell by {-gain:.3f} below the start model, {FALLEN:.0f} standard errors" if fell else ""
        return Look(values, -gain if gain > SURE * error and self.agreed(now) else 0.0, stop)

    def agreed(self, now: Monitors) -> bool:
        """Return whether the linear probe, too, is no worse than under the start model."""
        return self.linear_gain(now) >= VETO

    def linear_gain(self, now: Monitors) -> float:
        """Return how much likelier the linear probe finds the right classes than under the start model, in [-1, 1]."""
        return self._balanced(now.linear - self.start.linear)

    def collapse(self, now: Monitors) -> str:
        """Return in words whether features collapsed; empty: they did not."""
        for name, key in (("spread", "feature_std"), ("effective rank", "rankme")):
            before, after = getattr(self.start, key), getattr(now, key)
            if after < (COLLAPSED if self.probes else BLIND) * before:
                return f"features collapsed: their {name} fell from {before:.3f} to {after:.3f}"
        return ""

    def gain(self, now: Monitors) -> tuple[float, float]:
        """Return how much more the neighbours agree than under the start model, and its standard error.

        Both count every class equally, and are paired over images; 0, 0 without labels.
        """
        if not len(now.agreement):
            return 0.0, 0.0
        change = now.agreement - self.start.agreement
        weights, n = self._weights(), len(change)
        mean = float((weights * change).sum())
        error = np.sqrt(n / (n - 1) * (weights**2 * (change - mean) ** 2).sum())
        return mean, float(DEPENDENCE * error)

    def _balanced(self, values: Features) -> float:
        return float((self._weights() * values).sum())

    def _weights(self) -> Features:
        """Return one weight for each labelled image; those of a class sum to 1 / C."""
        labels = np.concatenate([self.labels[self.parts[1]], self.labels[self.parts[0]]])
        counts = np.bincount(labels)
        weights: Features = (1 / (counts[labels] * np.count_nonzero(counts))).astype(np.float32)
        return weights


def _linear(bank: Features, bank_labels: Labels, x: Features, labels: Labels) -> Features:
    """Return the probability ``(n,)`` of each image's class under ridge regression on the bank ``(m, d)``.

    The penalty is the one with the lowest leave-one-out error in the bank. An image whose class the bank lacks has 0.
    """
    if len(np.unique(bank_labels)) < 2:
        return np.zeros(len(x), np.float32)
    classes = int(max(bank_labels.max(), labels.max())) + 1
    settings = RidgeSettings(select="loo")
    fitted = PROBES["ridge"].fit(bank, bank_labels, bank, bank_labels, n_classes=classes, seed=0, settings=settings)
    p: Features = fitted.predict_proba(x)[np.arange(len(x)), labels].astype(np.float32)
    return p


def _some(indices: Labels, labels: Labels, most: int, rng: np.random.Generator) -> Labels:
    """Return at most so many images, as even over the classes as they can be."""
    shuffled = rng.permutation(indices)
    order = np.argsort(labels[shuffled], kind="stable")
    _, starts, counts = np.unique(labels[shuffled][order], return_index=True, return_counts=True)
    turn = np.empty(len(shuffled), np.int64)  # an image's number within its class
    turn[order] = np.arange(len(shuffled)) - np.repeat(starts, counts)
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:most]])


def _neighbourhood(labels: Labels) -> int:
    """Return k for a bank: no more neighbours than a usual class has there, else a perfect model could not agree."""
    counts = np.bincount(labels)
    return int(np.clip(np.median(counts[counts > 0]), 1, NEIGHBOURS))


def feature_std(x: Features) -> float:
    """Return the mean per-dimension standard deviation of unit-length features ``(n, d)``, times sqrt(d).

    About 1 when they spread evenly over the sphere, 0 when they collapsed to a point (Chen and He 2021, section 4.1).
    """
    return float(unit(x).std(0).mean() * np.sqrt(x.shape[1]))


def neighbour_overlap(a: Features, b: Features, k: int = NEIGHBOURS) -> float:
    """Return the mean share of each image's k nearest neighbours (cosine) that two models have in common, in [0, 1]."""
    k = min(k, len(a) - 1)
    alike = [unit(x) @ unit(x).T for x in (a, b)]
    for similarity in alike:
        np.fill_diagonal(similarity, -np.inf)
    shared = [len(np.intersect1d(p, q)) for p, q in zip(*(_nearest(s, k) for s in alike), strict=True)]
    return float(np.mean(shared) / k)


def _nearest(similarity: Features, k: int) -> Labels:
    """Return which k columns of each row (n, m) are the largest, in no order."""
    return np.argpartition(-similarity, k - 1, axis=1)[:, :k]


def agreement(bank: Features, bank_labels: Labels, x: Features, labels: Labels, k: int = NEIGHBOURS) -> Features:
    """Return ``(n,)`` shares of each image's k nearest neighbours in the bank (cosine) that have its label, in [0, 1].

    What kNN accuracy thresholds, kept as a number for each image: paired over images it shows smaller changes than
    accuracy does, and unlike a log loss it does not depend on a temperature.

    The bank is ``(m, d)`` with labels ``(m,)``, the images ``(n, d)`` with labels ``(n,)``; none of them is in the
    bank.
    """
    nearest = _nearest(unit(x) @ unit(bank).T, min(k, len(bank)))
    share: Features = (bank_labels[nearest] == labels[:, None]).mean(1, dtype=np.float32)
    return share


def unit(x: Features) -> Features:
    """Return features of length 1."""
    out: Features = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return out

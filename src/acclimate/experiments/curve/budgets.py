"""Label budgets of a curve: what the user wrote, what the training part can give, and who is drawn with which seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError
from acclimate.experiments.curve.worth import amount_words
from acclimate.images import Images, Split, label_subset, parse_labels

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Budget:
    """How many training images keep their labels."""

    labels: str  # as text: ``10`` a class, or ``25%`` of each class
    count: int | None
    fraction: float | None
    images: int  # how many that are in this training part
    per_class: float  # the same as a mean over the classes

    def draw(self, images: Images, split: Split, seed: int) -> Split:
        """Return the split with the labels of one seed; the test part and the pool stay as they are.

        Validation costs labels too: of each class at most as many images as are drawn for training.
        """
        train = label_subset(images.labels, split.train, count=self.count, fraction=self.fraction, seed=seed)
        return replace(split, train=train, val=_no_more(images.labels, split.val, train, seed))


def _no_more(labels: Indices, val: Indices, train: Indices, seed: int) -> Indices:
    """Return of each class at most as many images of `val` as `train` has."""
    own = labels[val]
    kept = [
        label_subset(labels, val[own == label], count=int(np.count_nonzero(labels[train] == label)), seed=seed)
        for label in np.unique(own)
    ]
    return np.sort(np.concatenate(kept))


def plan_budgets(texts: Sequence[str], images: Images, split: Split) -> tuple[tuple[Budget, ...], list[str]]:
    """Return the budgets from few labels to many, each once, and notes on what the training part cannot give.

    Raises `DataError` for no budget at all, or one that cannot be read.
    """
    if not texts:
        raise DataError("got no number of labels; expected --labels with at least one, such as 1,5,10,25,100%")
    read = dict.fromkeys(parse_labels(text) for text in texts)
    found = [(_budget(count, fraction, images, split)) for count, fraction in read]
    # Of equal sizes the share comes first, so that it is kept: 100% says more than a count that was capped.
    found.sort(key=lambda item: (item[0].images, item[0].count is not None, item[0].count or 0))
    notes = [note for budget, _ in found if (note := _shortage(budget, images, split))]
    kept: dict[tuple[int, ...], Budget] = {}
    for budget, given in found:
        if given in kept:
            same = amount_words(kept[given].labels)
            notes.append(f"{amount_words(budget.labels)} and {same} are the same images here: measured once")
        kept.setdefault(given, budget)
    return tuple(kept.values()), notes


def _budget(count: int | None, fraction: float | None, images: Images, split: Split) -> tuple[Budget, tuple[int, ...]]:
    """Return a budget, and how many images of each class it gives: two with the same are the same subset."""
    drawn = label_subset(images.labels, split.train, count=count, fraction=fraction)
    given = np.bincount(images.labels[drawn], minlength=len(images.classes))
    labels = str(count) if count is not None else f"{100 * (fraction or 0):g}%"
    budget = Budget(labels, count, fraction, len(drawn), len(drawn) / int(np.count_nonzero(given)))
    return budget, tuple(given.tolist())


def _shortage(budget: Budget, images: Images, split: Split) -> str:
    """Say which classes have fewer training images than the budget asks for; "" where none has."""
    if budget.count is None:
        return ""
    there = np.bincount(images.labels[split.train], minlength=len(images.classes))
    short = np.flatnonzero((there > 0) & (there < budget.count))
    if not len(short):
        return ""
    asked = amount_words(budget.labels)
    if len(short) == np.count_nonzero(there):
        return f"{asked} is more than any class has: all {budget.images} training images are used"
    rarest = int(short[np.argmin(there[short])])
    others = f" and {len(short) - 1} more classes fewer than {budget.count}" if len(short) > 1 else ""
    return f"{asked} is more than '{images.classes[rarest]}' has ({there[rarest]}{others}): all of its images are used"

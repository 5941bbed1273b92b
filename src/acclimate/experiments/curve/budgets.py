"""Label budgets of a curve: what the user wrote, what the training part can give, and who is drawn with which seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from acclimate.errors import DataError
from acclimate.experiments.curve.worth import amount_words
from acclimate.images import Images, Split, label_subset, parse_labels


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
        labels, own = images.labels, images.labels[split.val]
        parts = [
            label_subset(labels, split.val[own == label], count=int((labels[train] == label).sum()), seed=seed)
            for label in np.unique(own)
        ]
        return replace(split, train=train, val=np.sort(np.concatenate(parts)))


def plan_budgets(texts: Sequence[str], images: Images, split: Split) -> tuple[tuple[Budget, ...], list[str]]:
    """Return the budgets from few labels to many, each once, and notes on what the training part cannot give.

    Raises `DataError` for no budget at all, or one that cannot be read.
    """
    if not texts:
        raise DataError("got no number of labels; expected --labels with at least one, such as 1,5,10,25,100%")
    read = dict.fromkeys(parse_labels(text) for text in texts)
    budgets = [_budget(count, fraction, images, split) for count, fraction in read]
    # Of equal sizes the share comes first, so that it is kept: 100% says more than a count that was capped.
    budgets.sort(key=lambda item: (item[0].images, item[0].count is not None, item[0].count or 0))
    notes = [note for budget, _ in budgets if (note := _shortage(budget, images, split))]
    subsets: dict[tuple[int, ...], Budget] = {}
    for budget, subset in budgets:
        if subset in subsets:
            same = amount_words(subsets[subset].labels)
            notes.append(f"{amount_words(budget.labels)} and {same} are the same images here: measured once")
        subsets.setdefault(subset, budget)
    return tuple(subsets.values()), notes


def _budget(count: int | None, fraction: float | None, images: Images, split: Split) -> tuple[Budget, tuple[int, ...]]:
    """Return a budget, and how many images of each class it gives: two with the same are the same subset."""
    subset = label_subset(images.labels, split.train, count=count, fraction=fraction)
    sizes = np.bincount(images.labels[subset], minlength=len(images.classes))
    labels = str(count) if count is not None else f"{100 * (fraction or 0):g}%"
    budget = Budget(labels, count, fraction, len(subset), len(subset) / int(np.count_nonzero(sizes)))
    return budget, tuple(sizes.tolist())


def _shortage(budget: Budget, images: Images, split: Split) -> str:
    """Say which classes have fewer training images than the budget asks for; "" where none has."""
    if budget.count is None:
        return ""
    there = np.bincount(images.labels[split.train], minlength=len(images.classes))
    short = np.flatnonzero((there > 0) & (there < budget.count))
    if not len(short):
        return ""
    amount = amount_words(budget.labels)
    if len(short) == np.count_nonzero(there):
        return f"{amount} is more than any class has: all {budget.images} training images are used"
    rarest = int(short[np.argmin(there[short])])
    others = f" and {len(short) - 1} more classes fewer than {budget.count}" if len(short) > 1 else ""
    return f"{amount} is more than '{images.classes[rarest]}' has ({there[rarest]}{others}): all of its images are used"

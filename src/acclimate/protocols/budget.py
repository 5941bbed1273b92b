"""The label budget of a protocol: a share or a number a class, or a number of images in all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from acclimate.images import Split, label_subset, parse_labels
from acclimate.storage.store import step_seed

Indices = npt.NDArray[np.int64]
TRAINING = 0.8  # share of a number of images in all that trains, as in VTAB's 800 of 1000


def budget(labels: Indices, split: Split, text: str | None, examples: int | None, *, seed: int) -> Split:
    """Return the split with only some labels: `text` of the training part, or `examples` of training and validation."""
    if examples is not None:
        return in_all(labels, split, examples, seed=seed)
    count, fraction = parse_labels(text or "all")
    return replace(split, train=label_subset(labels, split.train, count=count, fraction=fraction, seed=seed))


def in_all(labels: Indices, split: Split, examples: int, *, seed: int) -> Split:
    """Return the split with `examples` images in training and validation together, 4 in 5 of them to train on.

    They are drawn evenly from both parts, whatever their class, but the first of each class always trains: no class is
    left empty, even where that takes more than 4 in 5. Where there are fewer images, all of them are taken.
    """
    both = np.sort(np.concatenate([split.train, split.val]))
    order = both[np.random.default_rng(step_seed("examples", seed)).permutation(len(both))]
    first = np.sort(np.unique(labels[order], return_index=True)[1])
    rest = np.delete(order, first)
    chosen = np.concatenate([order[first], rest])[: max(examples, len(first))]
    training = max(len(first), round(TRAINING * len(chosen)))
    return replace(split, train=np.sort(chosen[:training]), val=np.sort(chosen[training:]))

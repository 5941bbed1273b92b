"""The label budget of a protocol: a share or a number a class, or a number of images in all."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator

from acclimate.errors import DataError, InputError
from acclimate.images import Split, label_subset, parse_labels
from acclimate.protocols.task import Task
from acclimate.storage.store import step_seed

Indices = npt.NDArray[np.int64]
TRAINING = 0.8  # share of a number of images in all that trains, as in VTAB's 800 of 1000


def _readable(text: str | None) -> str | None:
    try:
        parse_labels(text or "all")
    except DataError as error:
        raise ValueError(str(error)) from None
    return text


Labels = Annotated[str | None, AfterValidator(_readable)]


def budgeted(task: Task, name: str, labels: str | None, examples: int | None = None) -> Task:
    """Return the task with the label budget of the protocol of that name: `labels` a class, or `examples` in all.

    Raises `InputError` when the task has another budget already.
    """
    words = budget_words(labels, examples)
    if words in (None, task.labels):
        return task
    if task.labels is not None:
        raise InputError(
            f"got a label budget of {task.labels} for '{name}', which takes {words} of the labels by itself; "
            "leave one of them out"
        )
    y, split, seed = task.images.labels, task.split, task.seed
    if examples is not None:
        return replace(task, split=in_all(y, split, examples, seed=seed), labels=words)
    count, fraction = parse_labels(labels or "all")
    train = label_subset(y, split.train, count=count, fraction=fraction, seed=seed)
    return replace(task, split=replace(split, train=train), labels=words)


def budget_words(labels: str | None, examples: int | None = None) -> str | None:
    """Return a budget as rows have it; None for all labels."""
    return labels if examples is None else f"{examples} in all"


def in_all(labels: Indices, split: Split, examples: int, *, seed: int) -> Split:
    """Return the split with `examples` images in training and validation together, 4 in 5 of them to train on.

    They are drawn evenly from both parts, whatever their class, but the first of each class always trains: no class is
    left empty, even where that takes more than 4 in 5. Where there are fewer images, all of them are taken.
    """
    both = np.sort(np.concatenate([split.train, split.val]))
    order = both[np.random.default_rng(step_seed("examples", seed)).permutation(len(both))]
    first = np.sort(np.unique(labels[order], return_index=True)[1])
    rest = np.delete(order, first)
    subset = np.concatenate([order[first], rest])[: max(examples, len(first))]
    training = max(len(first), round(TRAINING * len(subset)))
    return replace(split, train=np.sort(subset[:training]), val=np.sort(subset[training:]))

"""Splits and label subsets: index arrays that are a stable function of the seed and the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError, some
from acclimate.images.dataset import Images

Indices = npt.NDArray[np.int64]

# First word of the seed of every generator here, so that two uses of one seed do not share random numbers.
_VAL, _SUBSET = 1, 2


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test images, as ascending indices into the data set.

    The first three are labelled and have no image in common. The pool is what may be looked at without labels: `train`
    and every unlabelled image that is not in the val or test part of the data set.
    """

    train: Indices
    val: Indices
    test: Indices
    pool: Indices


def make_split(images: Images, *, seed: int = 0, val_fraction: float = 0.2) -> Split:
    """Take the splits that the data set has; if it has no val, set a part of train aside for it.

    Labelled images that are not assigned count as train. The new val part is stratified, at least one image of a class
    that has two, and keeps groups whole; every class keeps an image in train, and a class that is a single group stays
    there. Test images are never touched; without a test part `Split.test` is empty.

    Of each class `val_fraction`, in (0, 1), is chosen by `seed`, if any have to be chosen.
    """
    if not 0 < val_fraction < 1:
        raise DataError(f"val_fraction must be between 0 and 1, got {val_fraction}")
    labelled = images.labelled
    learn = np.flatnonzero(labelled & np.isin(images.splits, ("train", ""))).astype(np.int64)
    val = np.flatnonzero(labelled & (images.splits == "val")).astype(np.int64)
    if not len(val) and len(learn):
        groups = None if images.groups is None else images.groups[learn]
        in_val = _carve(images.labels[learn], groups, seed=seed, fraction=val_fraction)
        learn, val = learn[~in_val], learn[in_val]
    free = np.flatnonzero(~labelled & np.isin(images.splits, ("train", ""))).astype(np.int64)
    return Split(
        train=learn,
        val=val,
        test=np.flatnonzero(labelled & (images.splits == "test")).astype(np.int64),
        pool=np.sort(np.concatenate([learn, free])),
    )


def _carve(labels: Indices, groups: Indices | None, *, seed: int, fraction: float) -> npt.NDArray[np.bool_]:
    """Choose about `fraction` of every class, whole groups only, leaving every class an image to learn."""
    counts = np.bincount(labels)
    targets = np.where(counts > 1, np.maximum(1, np.floor(counts * fraction + 0.5)), 0).astype(np.int64)
    targets = np.minimum(targets, np.maximum(counts - 1, 0))
    if groups is None:
        in_val = np.zeros(len(labels), bool)
        for label in np.flatnonzero(targets):
            in_val[_shuffled(labels, label, _VAL, seed)[: targets[label]]] = True
        return in_val
    return _carve_groups(labels, groups, targets, seed)


def _carve_groups(labels: Indices, groups: Indices, targets: Indices, seed: int) -> npt.NDArray[np.bool_]:
    """Go through the groups in random order and take each that brings the class counts nearer to `targets`."""
    _, group = np.unique(groups, return_inverse=True)
    table = np.zeros((int(group.max()) + 1, len(targets)), np.int64)  # (groups, classes) images
    np.add.at(table, (group, labels), 1)
    train, val = table.sum(axis=0), np.zeros(len(targets), np.int64)  # images of each class
    present = train > 0
    in_val = np.zeros(len(table), bool)
    for k in np.random.default_rng([_VAL, seed]).permutation(len(table)):
        nearer = np.abs(targets - val - table[k]).sum() < np.abs(targets - val).sum()
        if nearer and (train - table[k])[present].min() > 0:
            in_val[k] = True
            val, train = val + table[k], train - table[k]
    return in_val[group]


def label_subset(
    labels: Indices, indices: Indices, *, count: int | None = None, fraction: float | None = None, seed: int = 0
) -> Indices:
    """Return the images of `indices` that keep their label: `count` a class, or a `fraction` of each class.

    No class is left empty, and a class with fewer than `count` images gives all of them. Subsets are
    nested: for one seed and one `indices` the smaller is contained in the larger. The indices are ascending.

    Parameters
    ----------
    labels
        ``(n,)`` labels of the whole data set.
    indices
        The images to choose from; all labelled.
    count, fraction
        Exactly one of them: images a class, 1 or more; or a share in (0, 1].
    """
    if (count is None) == (fraction is None):
        raise DataError("give either a count of images a class or a fraction, not both and not neither")
    amount = fraction if count is None else count
    if (count is not None and count < 1) or (fraction is not None and not 0 < fraction <= 1):
        raise DataError(f"expected a count of 1 or more or a fraction in (0, 1], got {amount}")
    indices = np.sort(indices)
    classes = labels[indices]
    if len(classes) and classes.min() < 0:
        raise DataError(f"image {indices[np.argmin(classes)]} has no label; choose from labelled images only")
    subsets = []
    for label in np.unique(classes):
        order = _shuffled(classes, label, _SUBSET, seed)
        share = int(np.floor(len(order) * (fraction or 0) + 0.5))
        subsets.append(order[: count if count is not None else max(1, share)])
    return np.sort(indices[np.concatenate(subsets)]) if subsets else indices


def _shuffled(labels: Indices, label: np.int64, use: int, seed: int) -> Indices:
    """Return the positions of `label` in an order of its own, which other classes do not change."""
    return np.random.default_rng([use, seed, int(label)]).permutation(np.flatnonzero(labels == label))


def parse_labels(text: str) -> tuple[int | None, float | None]:
    """Read a number of labels: "5" a class -> (5, None), "10%" -> (None, 0.1), "all" -> (None, 1.0)."""
    plain = text.strip().lower()
    try:
        if plain == "all":
            return None, 1.0
        if plain.endswith("%") and 0 < float(plain[:-1]) <= 100:
            return None, float(plain[:-1]) / 100
        if not plain.endswith("%") and int(plain) > 0:
            return int(plain), None
    except ValueError:
        pass
    raise DataError(
        f"cannot read '{text}' as a number of labels; expected a count a class such as 5, a share such as 10%, or all"
    )


def require_classes(images: Images, split: Split) -> None:
    """Check that a classifier can be trained: two classes, and none in val or test that train never saw.

    Raises `DataError` otherwise; the text names the labels.
    """
    learned = np.unique(images.labels[split.train])
    if not len(learned):
        raise DataError(
            f"{images.name} has no labelled image to train on; give class folders or a manifest with labels"
        )
    if len(learned) == 1:
        raise DataError(
            f"{images.name} has one class only in train ('{images.classes[learned[0]]}'); a classifier needs at "
            "least two: add images of another class"
        )
    for name, part in (("val", split.val), ("test", split.test)):
        new = np.setdiff1d(images.labels[part], learned)
        if len(new):
            raise DataError(
                f"{images.name}: {name} has {len(new)} labels that train never saw: "
                f"{some([images.classes[label] for label in new], 10, quoted=True)}; add training images of them, or "
                f"remove them from {name}"
            )

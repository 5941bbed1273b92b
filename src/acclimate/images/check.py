"""``check``: what is wrong with a data set, in plain sentences, before anybody trains on it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from acclimate.errors import some
from acclimate.images.dataset import Images
from acclimate.images.twins import Looks, Pair, exact_groups, look, near_pairs

_LISTED = 20  # pairs, groups or files that are listed; the counts are always whole
_SPLIT_NAMES = {"": "not assigned"}
_FEW, _SKEWED = 5, 20


def check(images: Images, *, workers: int = 2) -> dict[str, Any]:
    """Decode everything once and look for damage, duplicates, leaks, shared groups and thin classes.

    Returns
    -------
    A JSON-able document:

    - ``images``: how many; ``ignored``: other files in the folder
    - ``classes``: name -> {split: number of images}
    - ``corrupt``: ``name (reason)`` of each unreadable file
    - ``duplicates``: ``{count, groups}``, images of one split whose pixels are identical
    - ``leaks``: ``{exact, near, pairs}``, images that two splits share; a near pair looks the same at 32 x 32
    - ``groups``: ``{shared, examples}``, groups that have images in two splits
    - ``problems``: sentences with the cure; empty for a good data set
    """
    looks = look(images, workers=workers)
    corrupt = list(images.skipped) + [f"{images.source.name(i)} ({why})" for i, why in looks.bad.items()]
    document: dict[str, Any] = {
        "images": len(images),
        "ignored": images.ignored,
        "classes": _class_counts(images),
        "corrupt": corrupt,
        **_twins(images, looks),
        "groups": _shared_groups(images),
    }
    damage = (
        [f"{len(corrupt)} files cannot be read; repair them, or leave them out with --skip-bad."] if corrupt else []
    )
    return document | {"problems": [*damage, *_label_problems(images), *_leak_problems(document)]}


def _class_counts(images: Images) -> dict[str, dict[str, int]]:
    pairs = Counter(zip(images.labels.tolist(), images.splits.tolist(), strict=True))
    names = [*enumerate(images.classes), *([(-1, "(no label)")] if not images.labelled.all() else [])]
    return {
        name: {_SPLIT_NAMES.get(split, split): n for (label, split), n in sorted(pairs.items()) if label == code}
        for code, name in names
    }


def _twins(images: Images, looks: Looks) -> dict[str, Any]:
    inside, across = [], []
    for group in exact_groups(looks):
        by_split: dict[str, list[int]] = {}
        for i in group:
            by_split.setdefault(str(images.splits[i]), []).append(i)
        inside += [same for same in by_split.values() if len(same) > 1]
        first = [same[0] for same in by_split.values()]
        across += [Pair(first[0], twin, True) for twin in first[1:]]
    near = near_pairs(looks, images.splits)
    pairs = [*across, *near][:_LISTED]
    return {
        "duplicates": {
            "count": sum(len(same) - 1 for same in inside),
            "groups": [[images.source.name(i) for i in same[:_LISTED]] for same in inside[:_LISTED]],
        },
        "leaks": {
            "exact": len(across),
            "near": len(near),
            "pairs": [{"a": _place(images, a), "b": _place(images, b), "exact": exact} for a, b, exact in pairs],
        },
    }


def _place(images: Images, i: int) -> dict[str, str]:
    return {"name": images.source.name(i), "split": str(images.splits[i])}


def _shared_groups(images: Images) -> dict[str, Any]:
    if images.groups is None:
        return {"shared": 0, "examples": []}
    splits: dict[int, dict[str, int]] = {}
    for i, (group, split) in enumerate(zip(images.groups.tolist(), images.splits.tolist(), strict=True)):
        splits.setdefault(group, {}).setdefault(split, i)
    shared = [list(by_split.values()) for by_split in splits.values() if len(by_split) > 1]
    return {"shared": len(shared), "examples": [[_place(images, i) for i in members] for members in shared[:_LISTED]]}


def _label_problems(images: Images) -> list[str]:
    learn = np.isin(images.splits, ("train", "")) & images.labelled
    if not images.labelled.any():
        return ["No image has a label; only adaptation and feature extraction are possible: add class folders."]
    counts = np.bincount(images.labels[learn], minlength=len(images.classes))
    problems = []
    if (counts > 0).sum() == 1:
        problems.append("Train has one class only; a classifier needs at least two: add images of another class.")
    held_out = np.unique(images.labels[images.labelled & ~learn])
    if unseen := [images.classes[label] for label in held_out if not counts[label]]:
        problems.append(
            f"Train never saw {some(unseen, 5, quoted=True, counted=True)} of val or test; "
            "add training images, or remove them."
        )
    if few := [images.classes[label] for label in np.flatnonzero((counts > 0) & (counts < _FEW))]:
        problems.append(
            f"Fewer than {_FEW} training images of {some(few, 5, quoted=True, counted=True)}; "
            "expect wide intervals, add images."
        )
    present = counts[counts > 0]
    if len(present) > 1 and present.max() >= _SKEWED * present.min():
        problems.append(
            f"The largest class has {present.max() / present.min():.0f} times the images of the smallest; "
            "look at balanced accuracy and macro F1, and tune with --set class_weights=balanced."
        )
    if not (images.splits == "test").any():
        problems.append("There is no test split, so no final number can be given; set a part of the images aside.")
    return problems


def _leak_problems(document: dict[str, Any]) -> list[str]:
    leaks, problems = document["leaks"], []
    if n := document["duplicates"]["count"]:
        problems.append(f"{n} images repeat another one of their split pixel by pixel; remove the copies.")
    if leaks["exact"]:
        problems.append(
            f"{leaks['exact']} images are in two splits pixel by pixel, so test numbers are too good; "
            "remove them from train."
        )
    if leaks["near"]:
        problems.append(
            f"{leaks['near']} pairs of images across splits look almost the same; look at them, and keep "
            "each kind in one split (a group column does it)."
        )
    if n := document["groups"]["shared"]:
        problems.append(f"{n} groups have images in two splits, so test numbers are too good; move each to one split.")
    return problems

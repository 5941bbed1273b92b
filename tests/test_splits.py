from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.errors import DataError
from acclimate.images import (
    ArraySource,
    Images,
    Split,
    label_subset,
    load_images,
    make_split,
    parse_labels,
    require_classes,
)


def data(labels: list[int], splits: list[str] | str = "", groups: list[int] | None = None, classes: int = 5) -> Images:
    n = len(labels)
    return Images(
        name="data",
        source=ArraySource(np.zeros((n, 2, 2), np.uint8), [str(k) for k in range(n)]),
        labels=np.array(labels, dtype=np.int64),
        classes=tuple("abcdefgh"[:classes]),
        splits=np.array([splits] * n if isinstance(splits, str) else splits, dtype="<U5"),
        groups=None if groups is None else np.array(groups, dtype=np.int64),
    )


LABELS = st.lists(st.integers(-1, 4), min_size=1, max_size=60)
SPLITS = ("train", "val", "test", "")


@st.composite
def any_data(draw: st.DrawFn) -> Images:
    labels = draw(LABELS)
    n = len(labels)
    splits = draw(st.one_of(st.just([""] * n), st.lists(st.sampled_from(SPLITS), min_size=n, max_size=n)))
    groups = draw(st.one_of(st.none(), st.lists(st.integers(0, 9), min_size=n, max_size=n)))
    return data(labels, splits, groups)


@settings(max_examples=150, deadline=None)
@given(images=any_data(), seed=st.integers(0, 5), fraction=st.floats(0.05, 0.9))
def test_laws_of_a_split(images: Images, seed: int, fraction: float) -> None:
    split = make_split(images, seed=seed, val_fraction=fraction)
    labels, splits = images.labels, images.splits
    for part in (split.train, split.val, split.test, split.pool):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
    parts = np.concatenate([split.train, split.val, split.test])
    assert sorted(parts) == np.flatnonzero(labels >= 0).tolist()  # every labelled image, once
    np.testing.assert_array_equal(split.test, np.flatnonzero((splits == "test") & (labels >= 0)))
    if ((splits == "val") & (labels >= 0)).any():
        np.testing.assert_array_equal(split.val, np.flatnonzero((splits == "val") & (labels >= 0)))
    elif images.groups is not None:
        assert not set(images.groups[split.train]) & set(images.groups[split.val])
    learn = np.isin(splits, ("train", "")) & (labels >= 0)
    assert set(labels[split.train]) == set(labels[learn])  # no class loses its last image
    free = np.isin(splits, ("train", "")) & (labels < 0)
    assert set(split.pool) == set(split.train) | set(np.flatnonzero(free))
    again = make_split(images, seed=seed, val_fraction=fraction)
    for name in ("train", "val", "test", "pool"):
        np.testing.assert_array_equal(getattr(again, name), getattr(split, name))


def test_val_is_stratified() -> None:
    labels = [0] * 100 + [1] * 10 + [2] * 2 + [3]
    split = make_split(data(labels), val_fraction=0.2)
    assert np.bincount(np.array(labels)[split.val], minlength=4).tolist() == [20, 2, 1, 0]
    assert len(split.test) == 0


def test_seeds_differ_and_other_classes_do_not_matter() -> None:
    labels = [0] * 50 + [1] * 50
    first, second = (make_split(data(labels), seed=seed).val for seed in (0, 1))
    assert first.tolist() != second.tolist()
    with_more = make_split(data([*labels, *[2] * 30]), seed=0).val
    assert with_more[with_more < 100].tolist() == first.tolist()


def test_groups_stay_whole_and_near_the_wanted_share() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    labels = rng.integers(0, 3, 40)[groups]
    split = make_split(data(labels.tolist(), groups=groups.tolist()), seed=3, val_fraction=0.25)
    assert not set(groups[split.train]) & set(groups[split.val])
    share = np.bincount(labels[split.val], minlength=3) / np.bincount(labels)
    assert (np.abs(share - 0.25) < 0.15).all()


def test_a_class_of_one_group_stays_in_train() -> None:
    images = data([0] * 6 + [1] * 6, groups=[0] * 6 + [1, 2, 3, 4, 5, 6])
    split = make_split(images, val_fraction=0.5)
    assert set(range(6)) <= set(split.train)
    assert len(split.val) == 3


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_val_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(DataError, match="val_fraction must be between 0 and 1, got"):
        make_split(data([0, 1]), val_fraction=fraction)


# --- label subsets


@settings(max_examples=100, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=80),
    seed=st.integers(0, 3),
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=4),
    fractions=st.lists(st.floats(0.001, 1.0), min_size=2, max_size=4),
)
def test_laws_of_a_label_subset(labels: list[int], seed: int, counts: list[int], fractions: list[float]) -> None:
    whole = np.array([-1, *labels, -1])  # indices need not be everything
    indices = np.arange(1, len(labels) + 1)
    sizes = np.bincount(labels)
    for name, values in (("count", sorted(counts)), ("fraction", sorted(fractions))):
        before: set[int] = set()
        for value in values:
            subset = label_subset(whole, indices, seed=seed, **{name: value})  # type: ignore[arg-type]  # by name
            assert (np.diff(subset) > 0).all()
            assert before <= set(subset) <= set(indices)
            before = set(subset)
            class_counts = np.bincount(whole[subset], minlength=len(sizes))
            if name == "count":
                np.testing.assert_array_equal(class_counts, np.minimum(sizes, value))
            else:
                assert (class_counts[sizes > 0] >= 1).all()
                assert (np.abs(class_counts - sizes * value) <= np.maximum(0.5, 1 - sizes * value) + 1e-9).all()


def test_subset_does_not_follow_the_split() -> None:
    """One seed for both must not give the images that the split would have put into val next."""
    labels = np.zeros(100, np.int64)
    val = make_split(data([0] * 100), seed=0, val_fraction=0.2).val
    assert label_subset(labels, np.arange(100), count=20, seed=0).tolist() != val.tolist()


def test_all_labels_are_all_labels() -> None:
    labels = np.array([0, 1, 1, 2])
    assert label_subset(labels, np.arange(4), fraction=1.0).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "give either a count of images a class or a fraction"),
        ({"count": 1, "fraction": 0.5}, "give either a count"),
        ({"count": 0}, r"expected a count of 1 or more or a fraction in \(0, 1\], got 0"),
        ({"fraction": 1.5}, r"got 1\.5"),
    ],
)
def test_subsets_that_make_no_sense(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        label_subset(np.array([0, 1]), np.array([0, 1]), **arguments)


def test_subset_of_unlabelled_images() -> None:
    with pytest.raises(DataError, match="image 2 has no label"):
        label_subset(np.array([0, 1, -1]), np.array([0, 2]), count=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", (5, None)),
        (" 10% ", (None, 0.1)),
        ("0.5%", (None, 0.005)),
        ("100%", (None, 1.0)),
        ("All", (None, 1.0)),
    ],
)
def test_parse_labels(text: str, expected: tuple[int | None, float | None]) -> None:
    assert parse_labels(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-3", "5.5", "0%", "101%", "nan%", "ten", "%", "1e3"])
def test_parse_labels_refuses(text: str) -> None:
    with pytest.raises(DataError, match=r"cannot read '.*' as a number of labels; expected a count .* 10%, or all"):
        parse_labels(text)


# --- what supervised training needs


def indices(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize(
    ("labels", "splits", "text"),
    [
        ([-1, -1], "", "data has no labelled image to train on; give class folders or a manifest"),
        (
            [2, 2, -1],
            "",
            r"data has one class only in train \('c'\); a classifier needs at least two: add images",
        ),
        (
            [0, 1, 3, 0],
            ["train", "train", "test", "test"],
            "test has 1 labels that train never saw: 'd'; add",
        ),
        (
            [0, 1, 3, 4],
            ["train", "train", "val", "val"],
            "val has 2 labels that train never saw: 'd', 'e'; add",
        ),
    ],
)
def test_data_that_cannot_be_learned(labels: list[int], splits: list[str] | str, text: str) -> None:
    images = data(labels, splits)
    with pytest.raises(DataError, match=text):
        require_classes(images, make_split(images))


def test_data_that_can_be_learned(digits_folder: Any) -> None:
    images = load_images(digits_folder)
    split = make_split(images)
    require_classes(images, split)
    assert len(split.test) == 36
    require_classes(data([0, 1]), Split(indices(0, 1), indices(), indices(), indices(0, 1)))

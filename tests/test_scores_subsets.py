"""Several label subsets at once: the answers are those of one after another, in any company."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest

from acclimate.errors import DataError
from acclimate.scores import Logistic, LogisticSettings, fit_draws, fit_many
from acclimate.scores.base import Features, Index
from acclimate.scores.probes import normalise
from acclimate.scores.probes.logistic import algebra, paths, subsets
from acclimate.scores.probes.logistic import probe as logistic
from acclimate.scores.probes.logistic.subsets import stacks

CLASSES = 4


@pytest.fixture(scope="module")
def cloud() -> tuple[Features, Index, Features, Index]:
    """Return 400 images of 60 skewed columns far from zero, and 150 for validation."""
    rng = np.random.default_rng(0)
    y = np.arange(550) % CLASSES
    mix = rng.normal(size=(60, 60)) * (1 + np.arange(60)) ** -0.7
    x = ((rng.normal(size=(CLASSES, 60))[y] + 3 * rng.normal(size=(550, 60))) @ mix + 7).astype(np.float32)
    return x[:400], y[:400], x[400:], y[400:]


def stratified(y: Index, counts: list[int], seeds: int) -> list[Index]:
    """Return subsets of so many images a class, seed by seed, so that equal sizes do not stand together."""
    rows = []
    for seed, count in itertools.product(range(seeds), counts):
        rng = np.random.default_rng(seed)
        rows.append(np.concatenate([rng.choice(np.flatnonzero(y == c), count, replace=False) for c in range(CLASSES)]))
    return rows


def alone(cloud: tuple[Features, Index, Features, Index], rows: Index, **options: object) -> Logistic:
    x, y, x_val, y_val = cloud
    return logistic.fit(
        x[rows], y[rows], x_val, y_val, n_classes=CLASSES, seed=0, settings=LogisticSettings.model_validate(options)
    )


def check_same(one: Logistic, other: Logistic, x: Features, *, within: float = 1e-6) -> None:
    assert one.settings["C"] == other.settings["C"]
    assert len(one.settings["path"]) == len(other.settings["path"])
    assert np.abs(one.predict_proba(x) - other.predict_proba(x)).max() <= within


@pytest.mark.parametrize("small", [0, 2**18], ids=["float32", "float64"])
def test_many_answer_as_each_alone(
    cloud: tuple[Features, Index, Features, Index], small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "SMALL", small)
    x, y, x_val, y_val = cloud
    rows = stratified(y, [3, 12, 40], 4)
    many = fit_many(x, rows, y, x_val, y_val, n_classes=CLASSES)
    assert len({one.settings["C"] for one in many}) > 1, "subsets that choose differently"
    assert len({len(one.settings["path"]) for one in many}) > 1, "and leave the path at different C"
    for own, one in zip(rows, many, strict=True):
        check_same(one, alone(cloud, own), x_val)


@pytest.mark.parametrize("name", normalise.NORMALISERS)
def test_every_normalisation_and_refit(cloud: tuple[Features, Index, Features, Index], name: str) -> None:
    x, y, x_val, y_val = cloud
    rows = stratified(y, [8, 20], 2)
    settings = LogisticSettings.model_validate({"normalise": name, "refit": True, "select": "accuracy"})
    many = fit_many(x, rows, y, x_val, y_val, n_classes=CLASSES, settings=settings)
    for own, one in zip(rows, many, strict=True):
        check_same(one, alone(cloud, own, normalise=name, refit=True, select="accuracy"), x_val)


def test_subsets_of_two_classes_and_of_missing_classes(cloud: tuple[Features, Index, Features, Index]) -> None:
    x, y, x_val, y_val = cloud
    pairs = [np.flatnonzero((y == a) | (y == b))[:30] for a, b in [(0, 1), (2, 3), (1, 3)]]
    threes = [np.flatnonzero(y != c)[:30] for c in range(2)]
    rows = [*pairs, *threes]
    many = fit_many(x, rows, y, x_val, y_val, n_classes=CLASSES)
    for own, one in zip(rows, many, strict=True):
        check_same(one, alone(cloud, own), x_val)
        missing = np.setdiff1d(np.arange(CLASSES), y[own])
        assert (one.predict_proba(x_val)[:, missing] == 0).all()


def test_draws_choose_on_validation_images_of_their_own(cloud: tuple[Features, Index, Features, Index]) -> None:
    x, y, x_val, _ = cloud
    rows = stratified(y, [5, 10], 3)
    draws = [(own, np.setdiff1d(np.arange(400), own)[: 20 + i]) for i, own in enumerate(rows)]
    for (train, val), one in zip(draws, fit_draws(x, y, draws, n_classes=CLASSES), strict=True):
        single = logistic.fit(x[train], y[train], x[val], y[val], n_classes=CLASSES, seed=0)
        check_same(one, single, x_val)


def test_stacks_have_one_shape_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [np.arange(n) % classes for n, classes in [(10, 2), (20, 2), (10, 2), (10, 3), (10, 2)]]
    assert list(stacks(labels, 5)) == [[0, 2, 4], [1], [3]]
    monkeypatch.setattr(subsets, "STACK_BYTES", 2 * 8 * 10 * 5)
    assert list(stacks(labels, 5)) == [[0, 2], [4], [1], [3]]


def test_the_span_is_that_of_the_axes(cloud: tuple[Features, Index, Features, Index]) -> None:
    """With n < d the features come back from their coordinates, twins and all; weights do the same on both sides."""
    x = cloud[0][:30].copy()
    x[7] = x[3]
    normaliser = normalise.ZScore.fit(x)
    axes, weights = algebra.span(x, normaliser, small=2**18), np.random.default_rng(1).normal(size=(3, 30))
    centred = normaliser.transform(x.astype(float)) - axes.mean
    assert np.allclose(axes.z @ axes.z.T, centred @ centred.T, atol=1e-9)
    assert np.count_nonzero(axes.eigenvalues) == 28, "30 images less one for the mean and one for the twin"
    assert np.allclose(centred @ axes.unfold(weights), axes.z @ weights.T, atol=1e-9)
    assert np.allclose(np.linalg.svd(centred)[1][::-1] ** 2, np.sort(axes.eigenvalues), atol=1e-9)
    wide = algebra.span(cloud[0], normalise.ZScore.fit(cloud[0]), small=2**18)
    centred = wide.normaliser.transform(cloud[0].astype(float)) - wide.mean
    assert len(centred) > centred.shape[1]
    assert np.allclose(np.linalg.svd(centred)[1][::-1] ** 2, np.sort(wide.eigenvalues), rtol=1e-3)
    assert np.allclose(wide.z, centred @ wide.back, atol=1e-9)


@pytest.mark.parametrize("name", normalise.NORMALISERS)
def test_one_product_gives_the_logits_of_normalised_features(
    cloud: tuple[Features, Index, Features, Index], name: normalise.Normalise
) -> None:
    x, _, x_val, y_val = cloud
    rng = np.random.default_rng(0)
    own = normalise.NORMALISERS[name].fit(x)
    one = paths.Linear(own, rng.normal(size=60), rng.normal(size=(60, 3)), rng.normal(size=3))
    ready = paths.ValidationSet.of(x_val, y_val, unit_length=name == "l2")
    direct = (own.of(x_val).transform(x_val.astype(float)) - one.mean) @ one.weights + one.bias
    for logits in ready.logits([one, one]):
        assert np.allclose(logits, direct, atol=1e-5 * np.abs(direct).max())


def test_no_subset_gives_no_classifier(cloud: tuple[Features, Index, Features, Index]) -> None:
    assert fit_many(cloud[0], [], *cloud[1:], n_classes=CLASSES) == []


@pytest.mark.parametrize(
    ("subset", "words"),
    [
        (np.array([0, 400]), "subset 1 has rows 0 to 400; expected 0 to 399"),
        (np.array([], np.intp), r"subset 1 has shape \(0,\).*expected \(m,\) row numbers"),
        (np.array([0.0, 1.0]), "subset 1 has .*type float64; expected"),
        (np.array([0, 4]), "all 2 labels of subset 1 are class 0; expected two classes"),
        (np.array([0, 5]), r"subset 1's label -1 of row 1 is outside 0\.\.3"),
    ],
)
def test_a_bad_subset_is_named(cloud: tuple[Features, Index, Features, Index], subset: Index, words: str) -> None:
    x, y, x_val, y_val = cloud
    y = np.where(np.arange(400) == 5, -1, y)
    with pytest.raises(DataError, match=words):
        fit_many(x, [np.array([0, 1, 2, 3]), subset], y, x_val, y_val, n_classes=CLASSES)


def test_the_examples_in_the_documentation() -> None:
    result = doctest.testmod(subsets, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0

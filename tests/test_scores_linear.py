"""Nearest class mean, ridge and the factor of probabilities against scikit-learn and against the long way."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler, normalize

from acclimate.scores import NcmSettings, RidgeSettings
from acclimate.scores.probes import ncm, ridge
from acclimate.scores.probes.ncm import class_means
from acclimate.scores.probes.normalise import Normaliser, ZScore
from acclimate.scores.probes.temper import factor, positions, softmax


def data(n: int = 120, d: int = 10, classes: int = 4, seed: int = 0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes).repeat(2), rng.integers(0, classes, 2 * n - 2 * classes)])
    x = rng.normal(size=(classes, d))[y] + rng.normal(size=(2 * n, d)) * (1 + np.arange(d)) ** -0.3 + 2
    order = rng.permutation(2 * n)
    order = np.concatenate([np.arange(2 * classes), order[order >= 2 * classes]])
    return x[order[:n]], y[order[:n]], x[order[n:]], y[order[n:]]


def test_ncm_predicts_as_scikit_learn() -> None:
    x, y, q, truth = data()
    fitted = ncm.fit(x, y, q, truth, n_classes=4, seed=0, settings=NcmSettings(metric=("euclidean",)))
    assert np.array_equal(fitted.predict_proba(q).argmax(axis=1), NearestCentroid().fit(x, y).predict(q))
    fitted = ncm.fit(x, y, q, truth, n_classes=4, seed=0, settings=NcmSettings(metric=("cosine",)))
    centres = normalize(NearestCentroid().fit(normalize(x), y).centroids_)
    assert np.array_equal(fitted.predict_proba(q).argmax(axis=1), (normalize(q) @ centres.T).argmax(axis=1))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_ncm_leaves_an_image_out_exactly(metric: str) -> None:
    x, y, _, _ = data(40)
    means = class_means(x, y, Normaliser(), metric)
    fast = means.values_without(x, y, Normaliser())
    for i in range(0, 40, 7):
        rest = np.arange(40) != i
        slow = class_means(x[rest], y[rest], Normaliser(), metric)
        gap = fast[i] - slow.values(x[i : i + 1], Normaliser())[0]
        assert np.allclose(gap - gap.mean(), 0, atol=1e-9)


@pytest.mark.parametrize(("n", "d"), [(120, 10), (30, 60)])
def test_ridge_is_that_of_scikit_learn_for_every_lambda(n: int, d: int) -> None:
    x, y, q, _ = data(n, d)
    scaler = StandardScaler().fit(x)
    solved = ridge.solve(x, y, ZScore.fit(x), None)
    for penalty in (1e-2, 1.0, 1e4):
        theirs = Ridge(alpha=penalty).fit(scaler.transform(x), ridge.targets(y, 4)).predict(scaler.transform(q))
        ((_, r),) = solved.design.rows(q)
        assert np.allclose(r @ solved.weights(penalty) + solved.intercept, theirs, atol=1e-6)


def test_ridge_with_a_constant_column_is_big_visions() -> None:
    x, y, q, truth = data()
    settings = RidgeSettings(lambdas=(2.0**10,), bias=100.0)
    fitted = ridge.fit(x, y, q, truth, n_classes=4, seed=0, settings=settings)
    scaler = StandardScaler().fit(x)
    a, b = (np.pad(scaler.transform(part), ((0, 0), (0, 1)), constant_values=100) for part in (x, q))
    w = np.linalg.solve(a.T @ a + 2.0**10 * np.eye(11), a.T @ (2.0 * np.eye(4)[y] - 1))
    assert np.allclose(fitted.weights, w, atol=1e-9)
    assert np.array_equal(fitted.predict_proba(q).argmax(axis=1), (b @ w).argmax(axis=1))


@pytest.mark.parametrize("bias", [None, 3.0])
@pytest.mark.parametrize(("n", "d"), [(40, 6), (24, 50)])
def test_leave_one_out_is_that_of_leaving_each_image_out(n: int, d: int, bias: float | None) -> None:
    x, y, _, _ = data(n, d)
    solved = ridge.solve(x, y, Normaliser(), bias)
    fast = ridge.leave_one_out(solved, x, y, 0.5)
    targets = ridge.targets(y, 4)
    for i in range(n):
        rest = np.arange(n) != i
        model = Ridge(alpha=0.5, fit_intercept=bias is None)
        a = x if bias is None else np.column_stack([x, np.full(n, bias)])
        assert np.allclose(fast[i], model.fit(a[rest], targets[rest]).predict(a[i : i + 1])[0], atol=1e-7)
    (error,) = ridge.squared_errors(solved, x, y, [0.5])
    assert error == pytest.approx(((fast - targets) ** 2).mean())


def test_ridge_chooses_what_it_says() -> None:
    x, y, q, truth = data(60, 40)
    fitted = ridge.fit(x, y, q, truth, n_classes=4, seed=0)
    assert not fitted.settings["at_edge"]
    best = min(fitted.settings["path"], key=lambda point: point["val_log_loss"])
    assert fitted.settings["lambda"] == best["lambda"]
    p = fitted.predict_proba(q)
    assert -np.log(p[np.arange(60), truth]).mean() == pytest.approx(best["val_log_loss"])
    without = ridge.fit(x, y, q[:1], truth[:1], n_classes=4, seed=0, settings=RidgeSettings(select="loo"))
    best = min(without.settings["path"], key=lambda point: point["loo_error"])
    assert without.settings["lambda"] == best["lambda"]
    again = ridge.fit(x, y, -q[:1], 3 - truth[:1], n_classes=4, seed=0, settings=RidgeSettings(select="loo"))
    assert np.array_equal(again.predict_proba(q), without.predict_proba(q))  # validation is not looked at


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_factor_minimises_the_log_loss(size: float) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    values = size * (np.eye(3)[y] + rng.normal(size=(200, 3)))
    target = (200 * np.eye(3)[y] + 1 / 3) / 201

    def loss(power: float) -> float:
        return float(-(target * np.log(softmax(np.exp(power) / size * values))).sum())

    minimum = factor(values, y)
    assert np.log(minimum * size) == pytest.approx(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x, abs=1e-3)
    assert factor(values + 7 * size, y) == pytest.approx(minimum)


def test_the_factor_of_extreme_values_is_finite() -> None:
    right = np.eye(3)[[0, 1, 2, 0]]
    assert 1 < factor(right, np.array([0, 1, 2, 0])) < 50
    assert factor(right, np.array([1, 2, 0, 1])) == 0
    assert factor(np.zeros((4, 3)), np.array([0, 1, 2, 0])) == 1
    assert factor(right, np.array([-1, -1, 3, 9])) == 1
    assert positions(np.array([2, 5]), np.array([5, 0, 2, 9])).tolist() == [1, -1, 0, -1]


@pytest.mark.parametrize("module", [ncm, ridge])
def test_the_examples_in_the_documentation(module) -> None:
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0

"""The shortcuts of the estimates against the long way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.cluster import kmeans_plusplus

from acclimate.scores.estimates import nleep, pactran, prepare, spectrum
from acclimate.scores.estimates.evidence import GRID, Evidence

SHAPES = [(n, d, small) for n, d in [(60, 20), (20, 50)] for small in (2**20, 0)]


@pytest.mark.parametrize(("n", "d", "small"), SHAPES)
def test_both_decompositions_say_what_a_dense_solver_says(
    n: int, d: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectrum, "SMALL", small)
    x, labels = np.random.default_rng(0).normal(size=(n, d)), np.arange(n) % 4
    spectrum_, y = prepare(x, labels).uncentred, np.eye(4)[labels]
    assert np.isclose(spectrum_.largest, np.linalg.svd(x)[1][0] ** 2, rtol=1e-12)
    for t in (1e-6, 1.0, 1e6):
        dense = x @ x.T + t * np.eye(n)
        expected = t * np.diag(y.T @ np.linalg.solve(dense, y))
        assert np.allclose(spectrum_.unexplained(t), expected, rtol=1e-7, atol=0)
        assert np.allclose(spectrum_.unexplained(t, np.array([2, 1])), expected[[2, 1]], rtol=1e-7, atol=0)
        assert np.isclose(spectrum_.log_determinant(t), np.linalg.slogdet(dense / t)[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("n", "d", "small"), SHAPES)
@pytest.mark.parametrize("signal", [0.0, 0.3, 5.0])
def test_the_evidence_is_largest_where_a_search_without_shortcuts_finds_it(
    n: int, d: int, small: int, signal: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectrum, "SMALL", small)
    rng = np.random.default_rng(3)
    labels = np.arange(n) % 4
    x = (rng.normal(size=(n, d)) + signal * rng.normal(size=(4, d))[labels]) * np.arange(1, d + 1) ** -1.5
    values, y = np.linalg.svd(x)[1] ** 2, np.eye(4)[labels]

    def loss(log_t: float, label: int) -> float:
        t = np.exp(log_t) * values[0]
        residual = t * y[:, label] @ np.linalg.solve(x @ x.T + t * np.eye(n), y[:, label])
        return float(0.5 * np.log1p(values / t).sum() + n / 2 * np.log(residual / n))

    for label, largest in enumerate(Evidence(prepare(x, labels).uncentred, n).largest()):
        coarse = [loss(s, label) for s in GRID]
        best = GRID[np.argmin(coarse)]
        bounds = (max(best - 1.2, GRID[0]), min(best + 1.2, GRID[-1]))
        finer = minimize_scalar(loss, bounds=bounds, args=(label,), method="bounded", options={"xatol": 1e-6})
        assert np.isclose(largest, -min(finer.fun, *coarse), rtol=0, atol=1e-6)


@pytest.mark.parametrize("small", [2**20, 0])
def test_a_fit_without_error_has_the_evidence_of_the_lower_end(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "SMALL", small)
    n, labels = 40, np.arange(40) % 4
    expected = -0.5 * 4 * np.log1p(np.exp(-GRID[0])) - n / 2 * np.log(10 / (1 + np.exp(-GRID[0])) / n)
    for scale in (1.0, 1e3):
        largest = Evidence(prepare(scale * np.eye(4)[labels], labels).uncentred, n).largest()
        assert np.allclose(largest, expected, rtol=1e-3 if small == 0 else 1e-9)


def test_the_grid_takes_a_third_of_its_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    y = np.arange(400) % 10
    spectrum_ = prepare(rng.normal(size=(10, 30))[y] + rng.normal(size=(400, 30)), y).uncentred
    calls: list[float] = []
    fit = type(spectrum_).log_determinant
    monkeypatch.setattr(type(spectrum_), "log_determinant", lambda self, t: calls.append(t) or fit(self, t))
    on_grid = Evidence(spectrum_, 400)._on_grid()
    assert np.isfinite(on_grid).any(axis=1).sum() == len(calls) <= len(GRID) / 3


def test_the_seeds_of_the_clusters_are_those_of_scikit_learn() -> None:
    x = np.random.default_rng(1).normal(size=(300, 8))
    for seed in (0, 5):
        expected, _ = kmeans_plusplus(x, 30, random_state=np.random.RandomState(seed))
        assert np.array_equal(nleep._seeds(x, 30, np.random.RandomState(seed)), expected)


def test_pactran_in_other_coordinates_is_the_same_loss() -> None:
    rng = np.random.default_rng(2)
    y = np.arange(90) % 3
    fit = pactran._Fit(prepare(2 * np.eye(12)[y] + rng.normal(size=(90, 12)), y), 90.0)
    flat = rng.normal(size=fit.size)
    spread, (loss, _) = fit.spread, fit.loss(flat)
    moved = fit.rounded(flat)
    assert fit.spread != spread
    assert not np.allclose(moved, flat)
    assert np.isclose(fit.loss(moved)[0], loss, rtol=1e-10)
    gradient, step = fit.loss(moved)[1], 1e-6 * rng.normal(size=fit.size)
    change = fit.loss(moved + step)[0] - fit.loss(moved - step)[0]
    assert np.isclose(change, 2 * gradient @ step, rtol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 37.0, 1000.0])
def test_pactran_is_converged_at_any_scale(scale: float) -> None:
    """Newton's method on the difference of two classes' weights, which carry half of it each."""
    rng = np.random.default_rng(5)
    d = 40
    x, y = rng.normal(size=(200, d)), np.arange(200) % 2
    x = scale * (x + 2 * y[:, None])
    n, ones = len(x), np.column_stack([x - x.mean(axis=0), np.ones(len(x))])
    penalty, v = np.append(np.full(d, 0.5), 0) / n, np.zeros(d + 1)

    def loss(v: np.ndarray) -> float:
        return float(np.logaddexp(0, -(2 * y - 1) * (ones @ v)).mean() + 0.5 * penalty @ v**2)

    for _ in range(200):
        p = expit(ones @ v)
        slope = ones.T @ (p - y) / n + penalty * v
        step = -np.linalg.solve((ones * (p * (1 - p))[:, None]).T @ ones / n + np.diag(penalty), slope)
        size = next((t for t in 0.5 ** np.arange(40) if loss(v + t * step) <= loss(v) + 1e-4 * t * slope @ step), 0.0)
        v = v + size * step
    p = expit(ones @ v)
    trace = (2 * p * (1 - p) * (ones**2).sum(axis=1)).sum() + 2 * d / n
    expected = loss(v) + 0.5 * 2 * 100 / n * np.log(trace * n / (2 * d))
    assert abs(slope @ step) < 1e-9 * loss(v)
    assert np.isclose(pactran.pactran(prepare(x, y)), expected, rtol=5e-6)

"""Logistic regression against scikit-learn, and the laws of its minimum."""

from __future__ import annotations

import doctest
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from acclimate.scores import LogisticSettings
from acclimate.scores.probes import temper
from acclimate.scores.probes.logistic import paths, softmax
from acclimate.scores.probes.logistic import probe as logistic
from acclimate.scores.probes.logistic.paths import GRID, Stack, advance, pose
from acclimate.scores.probes.logistic.softmax import Solutions, SolverState, start


def data(n: int, d: int, classes: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, 2 * n - classes)])
    mix = rng.normal(size=(d, d)) * (1 + np.arange(d)) ** -0.7
    x = ((rng.normal(size=(classes, d))[y] + 4 * rng.normal(size=(2 * n, d))) @ mix + 7).astype(np.float32)
    return x[:n], y[:n], x[n:], y[n:]


def path(x, y, grid, **options) -> Iterator[tuple[Stack, SolverState, Solutions]]:
    """Yield the problem, where the solver stands and how it got there for each C."""
    stack = pose([(x, y)], "zscore")
    state = start(stack.problem)
    for c in grid:
        yield stack, state, advance(stack.problem, state, np.array([c]), np.arange(1), LogisticSettings(**options))


def ours(x, y, x_val, grid, **options) -> list[np.ndarray]:
    probabilities = []
    for stack, state, _ in path(x, y, grid, **options):
        own = stack.classifier(0, state)
        z = own.normaliser.transform(x_val.astype(float)) - own.mean
        probabilities.append(temper.softmax(z @ own.weights + own.bias))
    return probabilities


@pytest.mark.parametrize(("n", "d", "classes"), [(500, 20, 5), (300, 10, 2), (60, 100, 4)])
def test_probabilities_are_those_of_scikit_learn(n: int, d: int, classes: int) -> None:
    x, y, x_val, _ = data(n, d, classes)
    grid = (1e-4, 1e-2, 1.0, 100.0)
    scaler = StandardScaler().fit(x.astype(float))
    for c, p in zip(grid, ours(x, y, x_val, grid, tolerance=1e-10), strict=True):
        theirs = LogisticRegression(C=c, tol=1e-8, max_iter=20000).fit(scaler.transform(x.astype(float)), y)
        assert np.abs(p - theirs.predict_proba(scaler.transform(x_val.astype(float)))).max() < 1e-3


def test_the_usual_tolerance_gives_the_same_loss_and_accuracy() -> None:
    x, y, x_val, y_val = data(500, 20, 5)
    exact = ours(x, y, x_val, GRID, tolerance=1e-10)
    for one, other in zip(exact, ours(x, y, x_val, GRID), strict=True):
        losses = [-np.log(p[np.arange(500), y_val]).mean() for p in (one, other)]
        assert losses[1] == pytest.approx(losses[0], rel=2e-3)
        assert abs((one.argmax(1) == y_val).mean() - (other.argmax(1) == y_val).mean()) <= 0.004


def test_gradient_vanishes_at_the_solution() -> None:
    x, y, _, _ = data(200, 8, 3)
    ((stack, state, _),) = path(x, y, [0.5], tolerance=1e-12)
    z = stack.spans[0].z

    def objective(flat: np.ndarray) -> float:
        weights = flat.reshape(3, 9)
        logits = z @ weights[:, :-1].T + weights[:, -1]
        loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(200), y]
        return 0.5 * loss.sum() + (weights[:, :-1] ** 2).sum() / 2

    flat = state.weights[0].ravel()
    assert np.abs(approx_fprime(flat, objective, 1e-6)).max() < 5e-3
    assert np.abs(approx_fprime(np.zeros(27), objective, 1e-6)).max() > 1
    rng = np.random.default_rng(0)
    assert all(objective(flat + 0.01 * rng.normal(size=27)) > objective(flat) for _ in range(20))


def test_strong_ridge_predicts_class_frequencies() -> None:
    x, y, x_val, _ = data(300, 6, 3)
    y = np.where(np.arange(300) < 200, 0, y)
    (p,) = ours(x, y, x_val, (1e-9,), tolerance=1e-12)
    assert np.allclose(p, np.bincount(y) / 300, atol=1e-3)


def test_rotation_scale_and_offset_of_columns() -> None:
    x, y, x_val, _ = data(200, 8, 3)
    (base,) = ours(x, y, x_val, (1.0,), tolerance=1e-10)
    scale, offset = 2.0 ** np.arange(-4, 4), np.linspace(-5, 5, 8)
    (moved,) = ours(x * scale + offset, y, x_val * scale + offset, (1.0,), tolerance=1e-10)
    assert np.allclose(moved, base, atol=1e-3)
    order = np.random.default_rng(0).permutation(8)
    (turned,) = ours(x[:, order], y, x_val[:, order], (1.0,), tolerance=1e-10)
    assert np.allclose(turned, base, atol=1e-3)


def test_the_start_does_not_matter() -> None:
    x, y, x_val, _ = data(300, 15, 4)
    (cold,) = ours(x, y, x_val, (1.0,), tolerance=1e-10)
    warm = ours(x, y, x_val, GRID[:7], tolerance=1e-10)[-1]
    assert np.allclose(cold, warm, atol=1e-3)


def test_warm_whitened_path_needs_few_iterations() -> None:
    x, y, _, _ = data(500, 40, 5)
    steps = [solutions for _, _, solutions in path(x, y, GRID, tolerance=1e-7)]
    iterations = [int(one.iterations[0]) for one in steps]
    assert all(one.converged[0] for one in steps)
    theirs = LogisticRegression(C=1.0, max_iter=5000).fit(x.astype(float), y).n_iter_[0]
    assert max(iterations) < 100
    assert iterations[6] < theirs


def test_the_lowest_validation_loss_is_chosen_and_the_edge_is_reported() -> None:
    x, y, x_val, y_val = data(120, 30, 3)
    fitted = logistic.fit(x, y, x_val, y_val, n_classes=3, seed=0)
    points = fitted.settings["path"]
    assert [point["C"] for point in points] == list(GRID[: len(points)])
    best = min(points, key=lambda point: point["val_log_loss"])
    assert fitted.settings["C"] == best["C"]
    assert not fitted.settings["at_edge"]
    p = fitted.predict_proba(x_val)
    assert -np.log(p[np.arange(120), y_val]).mean() == pytest.approx(best["val_log_loss"], rel=1e-4)
    assert (p.argmax(axis=1) == y_val).mean() == pytest.approx(best["val_accuracy"])
    same = logistic.fit(x, y, x, y, n_classes=3, seed=0)
    assert same.settings["at_edge"]


def test_the_path_ends_when_only_overfitting_is_left() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 20)), rng.integers(0, 3, 400)
    fitted = logistic.fit(x[:200], y[:200], x[200:], y[200:], n_classes=3, seed=0)
    results = [(point["val_accuracy"], point["val_log_loss"]) for point in fitted.settings["path"]]
    assert 3 <= len(results) < 13
    assert max(a for a, _ in results[:-2]) >= max(a for a, _ in results[-2:])
    assert min(loss for _, loss in results[:-2]) <= min(loss for _, loss in results[-2:])
    grows = [(0.1 * i, 1.0 + i) for i in range(9)]  # a rising accuracy goes on, whatever the loss
    assert not any(paths._hopeless(grows[:i], 2) for i in range(1, 10))


@pytest.mark.parametrize("large", [False, True])
def test_losses_do_not_overflow(large: bool) -> None:
    logits = np.array([[[1e4, 0.0], [0.0, 1e4], [-1e4, 3.0]]], np.float32)
    loss, residual = softmax.losses(logits, np.array([[0, 2]]), large=large)
    assert loss == pytest.approx([1e4 - 3 + 0], rel=1e-6)
    assert residual == pytest.approx(np.array([[[0, 0], [0, 1], [0, -1]]]))


def test_the_example_in_the_documentation() -> None:
    result = doctest.testmod(logistic, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0


def test_published_grids_can_be_said() -> None:
    x, y, x_val, y_val = data(150, 12, 3)
    dinov2 = LogisticSettings(c=tuple(10.0 ** np.linspace(-6, 5, 45)), refit=True, normalise="none", select="accuracy")
    kornblith = LogisticSettings(c=tuple(1 / c for c in dinov2.c), refit=True, normalise="none", select="accuracy")
    assert (min(kornblith.c), max(kornblith.c)) == pytest.approx((1e-5, 1e6))
    for settings in (dinov2, kornblith):
        fitted = logistic.fit(x, y, x_val, y_val, n_classes=3, seed=0, settings=settings)
        assert fitted.settings["C"] in settings.c
        best = max(point["val_accuracy"] for point in fitted.settings["path"])
        optimum = next(point for point in fitted.settings["path"] if point["C"] == fitted.settings["C"])
        assert optimum["val_accuracy"] >= best - 0.01  # polishing may move an image
    clip = LogisticSettings(c=(0.316,), normalise="none")
    fitted = logistic.fit(x, y, x_val, y_val, n_classes=3, seed=0, settings=clip)
    theirs = LogisticRegression(C=0.316, tol=1e-10, max_iter=20000).fit(x.astype(float), y)
    assert np.abs(fitted.predict_proba(x_val) - theirs.predict_proba(x_val.astype(float))).max() < 1e-5
    assert not fitted.settings["at_edge"]


def test_refit_is_a_fit_to_both_parts() -> None:
    x, y, x_val, y_val = data(150, 12, 3)
    settings = LogisticSettings(c=(0.01, 1.0), refit=True, patience=None)
    fitted = logistic.fit(x, y, x_val, y_val, n_classes=3, seed=0, settings=settings)
    assert len(fitted.settings["path"]) == 2
    both, labels = np.concatenate([x, x_val]), np.concatenate([y, y_val])
    alone = LogisticSettings(c=(fitted.settings["C"],))
    whole = logistic.fit(both, labels, x, y, n_classes=3, seed=0, settings=alone)
    assert np.allclose(whole.predict_proba(x_val), fitted.predict_proba(x_val), atol=1e-6)


def test_large_problems_are_solved_in_float32_and_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, x_val, y_val = data(500, 20, 5)
    precise = logistic.fit(x, y, x_val, y_val, n_classes=5, seed=0)
    monkeypatch.setattr(paths, "SMALL", 0)
    fast = logistic.fit(x, y, x_val, y_val, n_classes=5, seed=0)
    assert fast.settings["C"] == precise.settings["C"]
    assert np.abs(fast.predict_proba(x_val) - precise.predict_proba(x_val)).max() < 2e-3

"""The shortcuts of the estimates against the long way."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import kmeans_plusplus

from acclimate.scores import nleep, pactran, spectrum
from acclimate.scores.prepared import prepare


@pytest.mark.parametrize(("n", "d"), [(60, 20), (20, 50)])
@pytest.mark.parametrize("small", [2**20, 0])
def test_all_classes_at_once_are_each_class(n: int, d: int, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "SMALL", small)
    rng = np.random.default_rng(0)
    found = prepare(rng.normal(size=(n, d)), np.arange(n) % 4).uncentred
    for t in (1e-6, 1.0, 1e6):
        each = [found.unexplained(t, label) for label in range(4)]
        assert np.allclose(found.all_unexplained(t), each, rtol=1e-9, atol=0)
        assert len(set(np.round(each, 12))) > 1


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

"""Normalisers against scikit-learn, torch and their own laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler, normalize

from acclimate.scores.probes.normalise import NORMALISERS, shrunk_covariance


def data(n: int = 200, d: int = 7, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = np.linalg.qr(rng.normal(size=(d, d)))[0] * np.linspace(1, 3, d)
    return (rng.normal(size=(n, d)) @ mix + np.arange(d)).astype(np.float32)


def through(name: str, x: np.ndarray, other: np.ndarray) -> np.ndarray:
    return NORMALISERS[name].fit(x).of(other).transform(other)


def test_agree_with_the_libraries_they_are_named_after() -> None:
    x, other = data(), data(50, seed=1)
    norm = torch.nn.BatchNorm1d(7, eps=1e-6, affine=False, momentum=None, dtype=torch.float64)
    norm(torch.from_numpy(x.astype(float)))
    expected = {
        "none": other,
        "l2": normalize(other),
        "zscore": StandardScaler().fit(x).transform(other),
        "zscore-val": StandardScaler().fit_transform(other),
        "batchnorm": norm.eval()(torch.from_numpy(other.astype(float))).numpy(),
    }
    for name, reference in expected.items():
        assert np.allclose(through(name, x, other), reference, atol=1e-5), name


@pytest.mark.parametrize("n", [5, 30, 500])
def test_shrinkage_is_that_of_scikit_learn(n: int) -> None:
    x = data(n).astype(float)
    assert np.allclose(shrunk_covariance(x), ledoit_wolf(x)[0], rtol=1e-9)


def test_whitening_makes_the_covariance_the_identity() -> None:
    x = data(20_000)
    assert np.allclose(np.cov(through("whiten", x, x).T), np.eye(7), atol=0.02)
    few = data(6, 40)
    z = through("whiten", few, data(30, 40, seed=3))
    assert np.isfinite(z).all()
    assert z.std() < 20


@pytest.mark.parametrize("name", NORMALISERS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_contract(name: str, kind: type) -> None:
    x, other = data().astype(kind), data(50, seed=1).astype(kind)
    x[:, 2] = other[:, 2] = 0.1  # constant
    copies = x.copy(), other.copy()
    fitted = NORMALISERS[name].fit(x)
    z = fitted.of(other).transform(other)
    assert z.dtype == kind
    assert np.isfinite(z).all()
    assert np.array_equal(x, copies[0])
    assert np.array_equal(other, copies[1])
    if name not in ("none", "l2"):
        assert np.allclose(z[:, 2], 0, atol=1e-5)
    # Row by row.
    assert np.allclose(fitted.of(other).transform(other[7:9]), z[7:9], atol=1e-6)
    for degenerate in (x[:1], np.zeros_like(x), x[:3]):
        assert np.isfinite(NORMALISERS[name].fit(degenerate).of(degenerate).transform(degenerate)).all()


def test_rows_of_zeros_stay_and_only_zscore_val_looks_at_the_part() -> None:
    x = data()
    assert not through("l2", x, np.zeros((2, 7), np.float32)).any()
    for name in NORMALISERS:
        alone = NORMALISERS[name].fit(x).of(x[:5]).transform(x[:5])
        assert np.allclose(alone, through(name, x, x)[:5], atol=1e-5) == (name != "zscore-val")

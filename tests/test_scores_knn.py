"""k nearest neighbours against scikit-learn and against hand-made cases."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from acclimate.scores import KnnSettings
from acclimate.scores.probes import knn
from acclimate.scores.probes.knn import NEIGHBOURS, probabilities, shares
from acclimate.scores.probes.neighbours import METRICS, nearest, refer


def data(n: int = 400, m: int = 120, d: int = 20, classes: int = 5, seed: int = 0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n + m)
    x = (1 + 0.5 * rng.normal(size=(classes, d))[y] + rng.normal(size=(n + m, d))).astype(np.float32)
    return x[:n], y[:n], x[n:], y[n:]


def cosine_weights(distance: np.ndarray) -> np.ndarray:
    return np.exp(-distance / 0.07)


def euclidean_weights(distance: np.ndarray) -> np.ndarray:
    exact = (distance == 0).any(axis=1, keepdims=True)
    return np.where(exact, distance == 0, 1 / np.where(exact, 1, distance))


WEIGHTS = {"cosine": cosine_weights, "euclidean": euclidean_weights}


@pytest.mark.parametrize(("metric", "offset"), [("cosine", 0), ("cosine", 3), ("euclidean", 0), ("euclidean", 100)])
def test_agrees_with_scikit_learn(metric: str, offset: float) -> None:
    x, y, q, _ = data()
    x, q = x + np.float32(offset), q + np.float32(offset)
    q[:9] = x[:9]  # at distance zero
    for _, _, k, p in probabilities(refer(x, y, 5), q, KnnSettings(metric=(metric,), k=NEIGHBOURS)):
        theirs = KNeighborsClassifier(k, weights=WEIGHTS[metric], metric=metric, algorithm="brute")
        distance = theirs.fit(x.astype(float), y).kneighbors(q.astype(float))[0]
        w = WEIGHTS[metric](distance)
        effective = w.sum(axis=1, keepdims=True) ** 2 / (w**2).sum(axis=1, keepdims=True)
        expected = (effective * theirs.predict_proba(q.astype(float)) + 1 / 5) / (effective + 1)
        assert np.abs(p - expected).max() < 1e-4


def test_smoothing_is_one_vote_and_moves_no_prediction() -> None:
    labels, weights = np.array([[0, 1, 1]]), np.array([[3.0, 1.0, 1.0]])
    votes = {k: (share[0].tolist(), effective.item()) for k, share, effective in shares(labels, weights, (1, 3), 2)}
    assert votes[1] == ([1.0, 0.0], 1.0)
    assert votes[3] == (pytest.approx([0.6, 0.4]), pytest.approx(25 / 11))
    x = np.array([[1.0, 0.0], [0.0, 1.0]])
    ((_, _, _, p),) = probabilities(refer(x, np.array([0, 1]), 2), x, KnnSettings(metric=("cosine",), k=(1,)))
    assert p == pytest.approx(np.array([[0.75, 0.25], [0.25, 0.75]]))


def test_only_neighbours_at_distance_zero_vote() -> None:
    x = np.array([[5.0], [5.0], [5.0], [5.1], [9.0]])
    y = np.array([0, 0, 1, 1, 1])
    ((_, _, _, p),) = probabilities(refer(x, y, 2), np.array([[5.0]]), KnnSettings(metric=("euclidean",), k=(5,)))
    # Three equal votes, 2 to 1, and one pseudo-vote.
    assert p[0] == pytest.approx([(2 + 0.5) / 4, (1 + 0.5) / 4])


def test_a_row_of_zeros_is_similar_to_nothing() -> None:
    x = np.array([[0.0, 0.0], [3.0, 3.0], [-1.0, -2.0]])
    ((_, _, _, p),) = probabilities(
        refer(x, np.array([0, 1, 2]), 3), np.zeros((1, 2)), KnnSettings(metric=("cosine",), k=(3,))
    )
    assert p[0] == pytest.approx([1 / 3] * 3)
    ((_, _, _, p),) = probabilities(
        refer(x, np.array([0, 1, 2]), 3), np.array([[1.0, 1.0]]), KnnSettings(metric=("cosine",), k=(1,))
    )
    assert p[0].argmax() == 1


def test_scale_does_not_matter_and_cosine_ignores_lengths() -> None:
    x, y, q, _ = data()
    base = knn.fit(x, y, q, y[:120], n_classes=5, seed=0)
    large = knn.fit(1024 * x, y, 1024 * q, y[:120], n_classes=5, seed=0)
    assert large.settings == pytest.approx(base.settings)
    assert np.allclose(large.predict_proba(1024 * q), base.predict_proba(q), atol=1e-5)
    stretch = np.random.default_rng(0).uniform(0.1, 10, size=(120, 1))
    reference = refer(x, y, 5)
    ((_, _, _, one),) = probabilities(reference, q, KnnSettings(metric=("cosine",), k=(10,)))
    ((_, _, _, other),) = probabilities(reference, q * stretch, KnnSettings(metric=("cosine",), k=(10,)))
    assert np.allclose(one, other, atol=1e-4)


def test_validation_chooses_the_best_of_all_metrics_and_k() -> None:
    x, y, q, truth = data(n=60)
    fitted = knn.fit(x, y, q, truth, n_classes=5, seed=0)
    assert fitted.settings["k"] in [k for k in NEIGHBOURS if k <= 60]
    ks = tuple(k for k in NEIGHBOURS if k <= 60)
    results = {
        (metric, k): ((p.argmax(axis=1) == truth).mean(), -np.log(p[np.arange(120), truth]).mean())
        for _, metric, k, p in probabilities(refer(x, y, 5), q, KnnSettings(metric=METRICS, k=ks))
    }
    assert len(results) == 2 * len(ks)
    best = max(accuracy for accuracy, _ in results.values())
    lowest = min(loss for accuracy, loss in results.values() if accuracy == best)
    assert fitted.settings["val_accuracy"] == pytest.approx(best)
    assert fitted.settings["val_log_loss"] == pytest.approx(lowest)
    numbers = results[fitted.settings["metric"], fitted.settings["k"]]
    assert numbers == pytest.approx((best, lowest))


@pytest.mark.parametrize("kind", ["noise", "ties", "sorted"])
@pytest.mark.parametrize(("n", "k"), [(6400, 200), (3203, 7), (50, 50), (50, 3)])
def test_nearest_are_the_largest(kind: str, n: int, k: int) -> None:
    rng = np.random.default_rng(k)
    values = rng.normal(size=(8, n)).astype(np.float32)
    values = {"noise": values, "ties": np.round(values / 2), "sorted": np.sort(values, axis=1)}[kind]
    index = nearest(values, k)
    assert index.shape == (8, k)
    assert all(len(set(row)) == k for row in index.tolist())
    expected = np.sort(values, axis=1)[:, n - k :]
    assert np.array_equal(np.sort(np.take_along_axis(values, index, axis=1), axis=1), expected)


def test_the_example_in_the_documentation() -> None:
    result = doctest.testmod(knn, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0


def test_the_settings_of_marks_predict_as_scikit_learn() -> None:
    x, y, q, truth = data(classes=3)
    settings = KnnSettings(metric=("euclidean",), k=(20,), weights="distance", pseudo_votes=0)
    fitted = knn.fit(x, y, q, truth, n_classes=3, seed=0, settings=settings)
    theirs = KNeighborsClassifier(20, weights="distance", metric="euclidean", algorithm="brute").fit(x, y)
    assert np.array_equal(fitted.predict_proba(q).argmax(axis=1), theirs.predict(q))
    assert np.allclose(fitted.predict_proba(q), theirs.predict_proba(q), atol=1e-5)


def test_the_settings_of_dino_vote_as_its_formula() -> None:
    x, y, q, truth = data()
    settings = KnnSettings(metric=("cosine",), k=(10, 20, 100, 200), temperature=0.07, weights="exp", pseudo_votes=0)
    unit = [part / np.linalg.norm(part.astype(float), axis=1, keepdims=True) for part in (x, q)]
    similarity = unit[1] @ unit[0].T
    for _, _, k, p in probabilities(refer(x, y, 5), q, settings):
        top = np.argsort(-similarity, axis=1)[:, :k]
        weight = np.exp(np.take_along_axis(similarity, top, axis=1) / 0.07)
        votes = np.stack([(weight * (y[top] == c)).sum(axis=1) for c in range(5)], axis=1)
        assert np.allclose(p, votes / votes.sum(axis=1, keepdims=True), atol=1e-4)
    fitted = knn.fit(x, y, q, truth, n_classes=5, seed=0, settings=settings)
    assert fitted.settings["k"] in (10, 20, 100, 200)
    assert fitted.settings["temperature"] == 0.07


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_weights_are_those_of_scikit_learn(metric: str, weights: str) -> None:
    x, y, q, _ = data()
    q[:9] = x[:9]
    settings = KnnSettings(metric=(metric,), k=tuple(range(1, 201)), weights=weights, pseudo_votes=0)
    by_k = {k: p for _, _, k, p in probabilities(refer(x, y, 5), q, settings)}
    assert sorted(by_k) == list(range(1, 201))
    for k in (1, 7, 200):
        theirs = KNeighborsClassifier(k, weights=weights, metric=metric, algorithm="brute").fit(x.astype(float), y)
        # Cosine: scikit-learn's own distance of equal rows is not exactly zero.
        assert np.allclose(by_k[k][9:], theirs.predict_proba(q[9:].astype(float)), atol=1e-3)
    assert np.allclose(knn.weigh(np.array([[0.0, 0.0, 2.0]]), "distance", 1.0), [[1, 1, 0]])


def test_more_neighbours_than_images_is_every_image() -> None:
    x, y, q, truth = data(n=8)
    assert knn.fit(x, y, q, truth, n_classes=5, seed=0, settings=KnnSettings(k=(20, 50))).settings["k"] == 8
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        KnnSettings(k=(0,))

"""Few-shot episodes: what is drawn, what an episode is worth, and the interval."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from acclimate.errors import DataError
from acclimate.scores import EpisodeSettings, episodes
from acclimate.scores.probes import episodes as room
from acclimate.scores.probes.episodes import draw


def data(n: int = 400, classes: int = 8, noise: float = 1.5, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    return (rng.normal(size=(classes, d))[y] + noise * rng.normal(size=(n, d)) + 3).astype(np.float32), y


def test_every_episode_draws_different_images_of_different_classes() -> None:
    _, y = data()
    settings = EpisodeSettings(ways=3, shots=2, queries=4, episodes=50)
    images = draw(y, seed=0, settings=settings)
    assert images.shape == (50, 3, 6)
    for episode in images:
        assert len(set(episode.ravel().tolist())) == 18
        assert [len(set(y[way])) for way in episode] == [1, 1, 1]
        assert len({y[way[0]] for way in episode}) == 3
    assert set(y[images].ravel()) == set(range(8))
    assert np.array_equal(images, draw(y, seed=0, settings=settings))
    assert not np.array_equal(images, draw(y, seed=1, settings=settings))


def test_an_episode_is_a_nearest_centroid_classifier() -> None:
    x, y = data()
    settings = EpisodeSettings(ways=4, shots=3, queries=5, episodes=20)
    result = episodes(x, y, seed=3, settings=settings)
    for images, accuracy in zip(draw(y, seed=3, settings=settings), result.accuracies, strict=True):
        support, queries = images[:, :3].ravel(), images[:, 3:].ravel()
        theirs = NearestCentroid().fit(x[support].astype(float), y[support]).score(x[queries].astype(float), y[queries])
        assert accuracy == pytest.approx(theirs)
    assert result.mean == pytest.approx(result.accuracies.mean())
    assert result.interval == pytest.approx(1.96 * result.accuracies.std() / np.sqrt(20))


def test_defaults_are_those_of_ericsson_and_the_interval_covers() -> None:
    assert EpisodeSettings().model_dump() == {
        "ways": 5,
        "shots": 5,
        "queries": 15,
        "episodes": 600,
        "metric": "euclidean",
        "normalise": "none",
    }
    x, y = data(800)
    long = episodes(x, y, seed=99, settings=EpisodeSettings(episodes=3000)).mean
    inside = [abs((e := episodes(x, y, seed=s)).mean - long) < e.interval + 0.001 for s in range(20)]
    assert sum(inside) >= 16


def test_laws() -> None:
    x, y = data()
    base = episodes(x, y, seed=0).accuracies
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert np.allclose(episodes(100 * x @ rotation + 5, y, seed=0).accuracies, base, atol=0.014)
    assert np.array_equal(episodes(x.astype(float), y + 3, seed=0).accuracies, base)
    cosine = EpisodeSettings(metric="cosine")
    stretched = x * np.random.default_rng(2).uniform(0.1, 9, size=(400, 1)).astype(np.float32)
    accuracies = [episodes(part, y, seed=0, settings=cosine).accuracies for part in (x, stretched)]
    assert np.allclose(*accuracies, atol=0.014)
    noise = np.random.default_rng(3).normal(size=x.shape)
    chance = episodes(noise, y, seed=0)
    assert abs(chance.mean - 0.2) < 0.03


def test_more_shots_help_and_zscore_undoes_a_scale() -> None:
    x, y = data(noise=2.5)
    means = [episodes(x, y, seed=0, settings=EpisodeSettings(shots=s)).mean for s in (1, 5, 20)]
    assert means == sorted(means)
    wide = x * np.array([1000, 1, 1, 1, 1, 1])
    settings = EpisodeSettings(normalise="zscore")
    assert episodes(wide, y, seed=0, settings=settings).mean > episodes(wide, y, seed=0).mean + 0.05


def test_bad_input_is_named() -> None:
    x, y = data(100)
    with pytest.raises(DataError, match="0 of 8 classes have the 20 images an episode needs; expected at least 5"):
        episodes(x, y, seed=0)
    x[3, 2] = np.nan
    with pytest.raises(DataError, match="row 3 of the features has nan"):
        episodes(x, y, seed=0)


def test_the_example_in_the_documentation() -> None:
    result = doctest.testmod(room, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0

"""Few-shot episodes: how well new classes are told apart from a handful of images each (Snell et al. 2017).

An episode draws `ways` classes, and of each `shots` images that are known and `queries` others to classify. A class is
its prototype, the mean of its known images; a query belongs to the nearest. The number is the mean accuracy over many
episodes, with the interval 1.96 * standard deviation (over E) / sqrt(E) (Ericsson et al. 2021: 5 ways, 5 shots, 15
queries, 600 episodes). It says how sure the mean over episodes of *these* images is, not how another sample of images
would do.

The result is no classifier, so this function is no member of `PROBES`. Classes with fewer than `shots + queries` images
are never drawn. A normaliser is fitted on all features given, which know no label; `none` is the published protocol.

Cost: each episode gathers its (ways * (shots + queries), d) features and multiplies them by `ways` prototypes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from pydantic import Field

from acclimate.errors import DataError
from acclimate.scores.base import Features, Float64, Index, ProbeSettings, blocks, check_features, check_labels
from acclimate.scores.probes.neighbours import Metric
from acclimate.scores.probes.normalise import NORMALISERS, Normalise, inverse_lengths
from acclimate.stats.metrics import Labels

NORMAL: Final = 1.96


class EpisodeSettings(ProbeSettings):
    """Settings of `episodes`: counts per episode, the number of episodes, and how images are compared.

    With ``cosine`` images are divided by their length before they are averaged.
    """

    ways: int = Field(default=5, ge=2)
    shots: int = Field(default=5, ge=1)
    queries: int = Field(default=15, ge=1)
    episodes: int = Field(default=600, ge=1)
    metric: Metric = "euclidean"
    normalise: Normalise = "none"


@dataclass(frozen=True, eq=False)
class Episodes:
    """The result: mean accuracy, half the width of its 95% interval, and each episode's accuracy (E,)."""

    mean: float
    interval: float
    accuracies: Float64
    settings: EpisodeSettings


def episodes(x: Features, y: Labels, *, seed: int, settings: EpisodeSettings | None = None) -> Episodes:
    """Run few-shot episodes on finite features x (n, d) with labels y (n,) of 0 or more.

    `seed` decides which classes and images are drawn. Raises `DataError`: features or labels that cannot be used, or
    fewer than `ways` classes with enough images.

    Examples
    --------
    >>> x, y = np.arange(40.0)[:, None] // 20 * 10 + np.arange(40)[:, None] % 5, np.arange(40) // 20
    >>> result = episodes(x, y, seed=0, settings=EpisodeSettings(ways=2, episodes=10))
    >>> result.mean, result.interval, result.accuracies.shape
    (1.0, 0.0, (10,))
    """
    settings = settings or EpisodeSettings()
    check_features(x, "features")
    check_labels(y, len(x), int(y.max(initial=0)) + 1, "feature")
    images = draw(y, seed=seed, settings=settings)  # (E, ways, shots + queries)
    scaler = NORMALISERS[settings.normalise].fit(x).of(x)
    rows, place = np.unique(images, return_inverse=True)
    z, place = scaler.transform(x[rows]), place.reshape(images.shape)
    accuracies, centre = np.empty(settings.episodes), z.mean(axis=0, dtype=np.float64)
    for part in blocks(settings.episodes, 24 * x.shape[1] * images[0].size):
        features = z[place[part]].astype(np.float64)
        if settings.metric == "euclidean":
            features -= centre  # close to zero, where differences of squares keep their digits
        accuracies[part] = _accuracy(features, settings)
    interval = NORMAL * accuracies.std() / np.sqrt(settings.episodes)
    return Episodes(float(accuracies.mean()), float(interval), accuracies, settings)


def draw(y: Labels, *, seed: int, settings: EpisodeSettings) -> Index:
    """Return the images (E, ways, shots + queries) of every episode: known ones first, all different."""
    need = settings.shots + settings.queries
    classes, counts = np.unique(y, return_counts=True)
    enough = classes[counts >= need]
    if len(enough) < settings.ways:
        raise DataError(
            f"{len(enough)} of {len(classes)} classes have the {need} images an episode needs; expected at least "
            f"{settings.ways}: ask for fewer ways, shots or queries"
        )
    members = [np.flatnonzero(y == label) for label in enough]
    rng = np.random.default_rng(seed)
    return np.array(
        [
            [
                rng.choice(members[way], need, replace=False)
                for way in rng.choice(len(enough), settings.ways, replace=False)
            ]
            for _ in range(settings.episodes)
        ]
    )


def _accuracy(z: Float64, settings: EpisodeSettings) -> Float64:
    """Return the accuracies (e,), in [0, 1], of episodes with features (e, ways, shots + queries, d)."""
    e, ways, _, d = z.shape
    if settings.metric == "cosine":
        z = (z.reshape(-1, d) * inverse_lengths(z.reshape(-1, d))[:, None]).reshape(z.shape)
    prototypes = z[:, :, : settings.shots].mean(axis=2)  # (e, ways, d)
    product = z.reshape(e, -1, d) @ prototypes.transpose(0, 2, 1)  # of the known images too: cheaper than a copy
    product = product.reshape(e, ways, -1, ways)[:, :, settings.shots :]
    product = product.reshape(e, -1, ways)  # (e, ways * queries, ways)
    square = (prototypes**2).sum(axis=2)[:, None]
    if settings.metric == "euclidean":
        value = 2 * product - square
    else:
        value = product / np.sqrt(np.where(square > 0, square, 1))
    truth = np.repeat(np.arange(ways), settings.queries)
    return np.asarray((value.argmax(axis=2) == truth).mean(axis=1))

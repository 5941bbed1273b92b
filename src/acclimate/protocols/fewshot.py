"""Few-shot episodes on one backbone's cached features -> one row."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from acclimate.models import Backbone
from acclimate.protocols.row import result_row
from acclimate.protocols.task import Stated, Task
from acclimate.scores.probes.episodes import Episodes, EpisodeSettings, episodes
from acclimate.storage.results import Result, Results
from acclimate.storage.runtime import Runtime


def run_episodes(
    task: Task, backbone: Backbone, runtime: Runtime, settings: EpisodeSettings, results: Results | None, stated: Stated
) -> Result:
    """Run episodes and return their row: accuracy with its 95% interval, ``accuracy_low`` and ``accuracy_high``.

    Nothing is learned beyond an episode, so its images may be of any part: the row's validation numbers come from
    training and validation images together, its test numbers from all labelled images, as published. A row of episodes
    has no predictions: an image has as many as episodes drew it.

    Raises
    ------
    DataError
        For too few classes with enough images.
    """
    told = {**stated.settings, "features": str(task.tap.of(backbone.module)), "parts": list(task.evaluated())}
    key = task.key(backbone, stated.protocol, told)
    if results is not None and results.has(key):
        return results.get(key)
    started, drawn = time.perf_counter(), _drawn(task)
    features = task.features(backbone, runtime, np.unique(np.concatenate([*drawn.values()])))
    found = {
        part: episodes(features.x[images], features.y[images], seed=task.seed, settings=settings)
        for part, images in drawn.items()
    }
    row = result_row(
        task,
        backbone,
        runtime,
        stated.protocol,
        {part: _metrics(one) for part, one in found.items()},
        settings=told,
        chosen={},
        trainable=0,
        total=backbone.parameters,
        seconds=time.perf_counter() - started,
        images_per_second=None,
    )
    if results is not None:
        results.append(row)
    return row


def _drawn(task: Task) -> dict[str, npt.NDArray[np.int64]]:
    """Return which images the episodes of each measured part are drawn from."""
    split = task.split
    known = np.sort(np.concatenate([split.train, split.val]))
    every = np.sort(np.concatenate([known, split.test]))
    return {part: every if part == "test" else known for part in task.evaluated()}


def _metrics(found: Episodes) -> dict[str, float]:
    low, high = found.mean - found.interval, found.mean + found.interval
    return {"accuracy": found.mean, "accuracy_low": low, "accuracy_high": high}

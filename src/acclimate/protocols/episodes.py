"""Few-shot episodes on one backbone's cached features -> one row."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from acclimate.catalogue import ProtocolKind
from acclimate.models import Backbone
from acclimate.protocols.protocol import Protocol, kept_in, shortened
from acclimate.protocols.row import Outcome, result_row
from acclimate.protocols.task import Task
from acclimate.scores.probes.episodes import Episodes, EpisodeSettings, episodes
from acclimate.storage.results import Results
from acclimate.storage.runtime import Runtime


class EpisodesProtocol(Protocol):
    """Few-shot episodes; their settings stand in the table itself."""

    kind: ClassVar[ProtocolKind] = "episodes"
    episodes: EpisodeSettings

    def stated(self) -> dict[str, Any]:
        """See `Protocol.stated`."""
        return self.episodes.model_dump(mode="json")

    def as_run(self, backbone: Backbone) -> Self:
        """See `Protocol.as_run`."""
        fewer = {"episodes": shortened(self.episodes.episodes, self.scale)}
        return self.model_copy(update={"episodes": self.episodes.model_copy(update=fewer)})

    def run(
        self, task: Task, backbone: Backbone, runtime: Runtime, folder: Path | None, results: Results | None = None
    ) -> Outcome:
        """Run the episodes; the row has accuracy with its 95% interval, ``accuracy_low`` and ``accuracy_high``.

        Nothing is learned beyond an episode, so its images may be of any part: the row's validation numbers come from
        training and validation images together, its test numbers from all labelled images, as published. A row of
        episodes has no predictions: an image has as many as episodes drew it. See `Protocol.run`. Raises `DataError`
        for too few classes with enough images.
        """
        results, shorter = kept_in(folder, results), self.as_run(backbone)
        stated = shorter.statement().on(task, backbone)
        key = task.key(backbone, stated)
        if results is not None and results.has(key):
            return Outcome(results.get(key))
        started, images = time.perf_counter(), _images(task)
        features = task.features(backbone, runtime, np.unique(np.concatenate([*images.values()])))
        metrics = {
            part: _metrics(episodes(features.x[own], features.y[own], seed=task.seed, settings=shorter.episodes))
            for part, own in images.items()
        }
        row = result_row(
            task, backbone, runtime, stated, metrics, total=backbone.parameters, seconds=time.perf_counter() - started
        )
        if results is not None:
            results.append(row)
        return Outcome(row)


def _images(task: Task) -> dict[str, npt.NDArray[np.int64]]:
    """Return which images the episodes of each measured part are drawn from."""
    split = task.split
    sighted = np.sort(np.concatenate([split.train, split.val]))
    every = np.sort(np.concatenate([sighted, split.test]))
    return {part: every if part == "test" else sighted for part in task.evaluated()}


def _metrics(measured: Episodes) -> dict[str, float]:
    low, high = measured.mean - measured.interval, measured.mean + measured.interval
    return {"accuracy": measured.mean, "accuracy_low": low, "accuracy_high": high}

"""Images/s of adaptation, augmentation included, against the same step on views that are ready.

The floor of a step is the network: two views through the online and the target network and one backward pass. What
adaptation adds is gathering uint8 images from the decoded cache and making two augmented views of each. Both ways run
the program's own step; the second is given the same two tensors each time in the place of fresh views.

What was tried: see `benchmarks/views.py`, whose table says what each way of making the views costs.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import Options, Row
from torch import Tensor

from acclimate.images import load_images, make_split
from acclimate.models import load_backbone
from acclimate.storage.runtime import Runtime
from acclimate.training import Job, prepare_stage
from acclimate.training.batches import Indices, PixelBatches
from acclimate.training.recipe import Recipe, Stage
from acclimate.training.stage import StageRun

BATCH, SIZE, IMAGES = 256, 64, 1024
TARGET = 0.90
TURNS, STEPS = 5, 3


class Ready:
    """Batches that were made before the clock starts."""

    def __init__(self, views: list[Tensor]) -> None:
        self._views = views

    def views(self, indices: Indices, seed: int) -> list[Tensor]:
        """Return the same views each time."""
        return self._views

    def plain(self, indices: Indices) -> Tensor:
        """Return the first view."""
        return self._views[0]


def run(options: Options) -> list[Row]:
    """Take turns between the two ways; the median of the turns' ratios is the result."""
    with tempfile.TemporaryDirectory() as folder:
        step = noise_step(Path(folder))
        fresh = step.batches
        assert isinstance(fresh, PixelBatches)
        ready = Ready(fresh.views(step.images[:BATCH], 0))
        seconds: dict[str, list[float]] = {"fresh": [], "ready": []}
        for turn in range(TURNS + 1):
            for name, batches in (
                (("fresh", fresh), ("ready", ready)) if turn % 2 else (("ready", ready), ("fresh", fresh))
            ):
                step.batches = batches
                seconds[name].append(_seconds(step))
    ratios = [r / f for f, r in zip(seconds["fresh"][1:], seconds["ready"][1:], strict=True)]  # the first turn warms up
    speed = {name: BATCH / statistics.median(times[1:]) for name, times in seconds.items()}
    spread = f"ratios {min(ratios):.2f} to {max(ratios):.2f} over {TURNS} turns"
    notes = f"test_resnet, {SIZE} px, batch {BATCH}, {step.arithmetic.precision}; {spread}"
    return [Row("byol_step", statistics.median(ratios), TARGET, speed["fresh"], speed["ready"], "images/s", notes)]


def noise_step(folder: Path) -> StageRun:
    """Return a BYOL stage on noise, ready to run."""
    data = folder / "noise.npz"
    np.savez(data, x_train=np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8))
    images = load_images(data, cache=folder / "cache")
    stage = Stage(objective="byol", scope="all", steps=1000, batch=BATCH, lr=0.001)
    job = Job(
        load_backbone("random:test_resnet", image_size=SIZE),
        Recipe(name="byol", stages=(stage,)),
        images,
        make_split(images),
        runtime=Runtime(cache=folder / "cache"),
    )
    return prepare_stage(job, 0, folder)


def _seconds(step: StageRun) -> float:
    """Return the seconds of one step, the mean of a few."""
    started = time.perf_counter()
    for number in range(STEPS):
        step.do_step(number)
    return (time.perf_counter() - started) / STEPS

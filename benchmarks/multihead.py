"""Thirteen learning rates at once against one: the same probe, one forward pass for all.

``multihead`` is the usual case, a frozen trunk that sees augmented images, so that each step runs it: thirteen
classifiers should cost hardly more than one. ``multihead_cached`` is the hardest, features that were computed once,
where a step is the classifiers and nothing else. The ratio is the speed of thirteen over the speed of one: 0.5 is twice
the time of one, for thirteen answers.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import Options, Row

from acclimate.images import load_images, make_split
from acclimate.models import load_backbone
from acclimate.storage.runtime import Runtime
from acclimate.training import Job, prepare_stage
from acclimate.training.recipe import Recipe, Stage
from acclimate.training.stage import StageRun

BATCH, SIZE, IMAGES, CLASSES = 128, 32, 512, 10
TARGET = 0.5
TURNS = 7
RATES = (*(a * 10.0**b for b in (-5, -4, -3, -2) for a in (1, 2, 5)), 0.1)
STEPS = {"standard": 3, "none": 100}  # in a turn
NAMES = {"standard": "multihead", "none": "multihead_cached"}


def run(options: Options) -> list[Row]:
    """Take turns between thirteen and one, with and without a trunk to run."""
    return [_row(augment) for augment in NAMES]


def _row(augment: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        steps = {len(rates): _step(Path(folder), augment, rates) for rates in (RATES, RATES[:1])}
        seconds: dict[int, list[float]] = {count: [] for count in steps}
        for turn in range(TURNS + 1):
            for count in sorted(steps, reverse=bool(turn % 2)):
                seconds[count].append(_seconds(steps[count], STEPS[augment]))
    many, one = seconds[len(RATES)][1:], seconds[1][1:]  # the first turn warms up
    ratios = [b / a for a, b in zip(many, one, strict=True)]
    speed = [1 / statistics.median(times) for times in (many, one)]
    times = f"{len(RATES)} rates take {1 / max(ratios):.2f} to {1 / min(ratios):.2f} of the time of one"
    precision = steps[1].arithmetic.precision
    notes = f"test_vit, {SIZE} px, {CLASSES} classes, batch {BATCH}, {precision}; {times}, {TURNS} turns"
    return Row(NAMES[augment], statistics.median(ratios), TARGET, speed[0], speed[1], "steps/s", notes)


def _step(folder: Path, augment: str, rates: tuple[float, ...]) -> StageRun:
    data, rng = folder / "noise.npz", np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.arange(IMAGES) % CLASSES
    np.savez(data, x_train=pixels, y_train=labels, x_test=pixels[:CLASSES], y_test=labels[:CLASSES])
    images = load_images(data, cache=folder / "cache")
    stage = Stage(
        scope="head", augment=augment, steps=10_000, batch=BATCH, lr=0.5, optimizer="sgd", clip=0, rates=rates
    )
    backbone = load_backbone("random:test_vit", image_size=SIZE)
    job = Job(
        backbone,
        Recipe(name="probe", stages=(stage,)),
        images,
        make_split(images),
        runtime=Runtime(cache=folder / "cache"),
    )
    return prepare_stage(job, 0, folder)


def _seconds(step: StageRun, count: int) -> float:
    """Return the seconds of one step, the mean of some."""
    started = time.perf_counter()
    for number in range(count):
        step.do_step(number)
    return (time.perf_counter() - started) / count

"""A batch-norm finetuning step against a full finetuning step: ResNet-18 at 224 pixels, in seconds and in memory.

Both are the program's own step, views included. Where the convolutions are frozen, the gradient still has to pass
through them to the norms below, but the gradients of their weights, a third of a full step's arithmetic, are never
computed, and neither they nor the optimizer's moments are kept. Memory is the peak of a process that does nothing else,
above what it held before its first step.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
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

BATCH, SIZE, IMAGES = 16, 224, 64
TARGET = 1 / 0.75
TURNS = 7
BN, FULL = "head+norm:batch", "all"


def run(options: Options) -> list[Row]:
    """Take turns between the two; the median of the turns' ratios is the result."""
    with tempfile.TemporaryDirectory() as folder:
        steps = {scope: noise_step(Path(folder), scope) for scope in (BN, FULL)}
        seconds: dict[str, list[float]] = {scope: [] for scope in steps}
        for turn in range(TURNS + 1):
            for scope in (BN, FULL) if turn % 2 else (FULL, BN):
                seconds[scope].append(_seconds(steps[scope], turn))
    bn, full = seconds[BN][1:], seconds[FULL][1:]  # the first turn warms up
    ratios = [theirs / ours for ours, theirs in zip(bn, full, strict=True)]
    memory = {scope: peak_megabytes(scope) for scope in steps}
    notes = (
        f"resnet18, {SIZE} px, batch {BATCH}, {steps[BN].arithmetic.precision}; ratio full / bn {min(ratios):.2f} to "
        f"{max(ratios):.2f} over {TURNS} turns; peak memory of the steps {memory[BN]:.0f} against "
        f"{memory[FULL]:.0f} MB"
    )
    return [
        Row("bn_step", statistics.median(ratios), TARGET, statistics.median(bn), statistics.median(full), "s", notes)
    ]


def noise_step(folder: Path, scope: str) -> StageRun:
    """Return a supervised stage on noise, ready to run."""
    data, rng = folder / "noise.npz", np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    np.savez(data, x_train=pixels, y_train=np.arange(IMAGES) % 10, x_test=pixels[:10], y_test=np.arange(10))
    images = load_images(data, cache=folder / "cache")
    stage = Stage(scope=scope, steps=1000, batch=BATCH, lr=0.001)
    backbone = load_backbone("random:resnet18", image_size=SIZE)
    recipe = Recipe(name="step", stages=(stage,))
    job = Job(backbone, recipe, images, make_split(images), runtime=Runtime(cache=folder / "cache"))
    return prepare_stage(job, 0, folder)


def peak_megabytes(scope: str) -> float:
    """Return the peak memory of a few steps in a process of their own."""
    command = [sys.executable, __file__, "--scope", scope]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def _seconds(step: StageRun, number: int) -> float:
    started = time.perf_counter()
    step.do_step(number)
    return time.perf_counter() - started


def _peak_of_this_process(scope: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        step = noise_step(Path(folder), scope)
        _forget_peak()
        before = _peak()
        for number in range(3):
            step.do_step(number)
    return _peak() - before


def _forget_peak() -> None:
    """Begin to measure anew, which Linux can: a process inherits the peak of the one that started it."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """Return the most memory this process ever held, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if "VmHWM" in line)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the peak memory of a few steps, in MB.")
    parser.add_argument("--scope", required=True)
    print(_peak_of_this_process(parser.parse_args().scope))

"""A recipe on one backbone and one data set: build each stage, run it, hand its network to the next."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from acclimate.models.heads import settled
from acclimate.models.scope import Trainable, merge, parse_scope, prepare
from acclimate.storage.store import step_seed
from acclimate.training.arithmetic import shielded
from acclimate.training.batches import PixelBatches, logits
from acclimate.training.build import build_stage, decoded_pixels, prepare_network, seeded
from acclimate.training.checkpoint import Journal, Position, load_position
from acclimate.training.job import Job, StageReport, Trained, Watch
from acclimate.training.stage import StageRun


def train(job: Job, folder: Path, *, checkpoint_seconds: float = 30.0, watch: Watch | None = None) -> Trained:
    """Run a recipe, or go on with the one that was interrupted in this folder.

    Parameters
    ----------
    folder
        Where ``metrics.jsonl`` and the checkpoint live.
    checkpoint_seconds
        Time between checkpoints; how often they are written never changes the result.
    watch
        Looks on in every stage without labels.

    Raises
    ------
    DataError
        When a stage has no image to train on, or a pool smaller than its batch.
    TrainingError
        When the loss is not finite.
    Interrupted
        On Ctrl-C; the checkpoint is written first.
    """
    device, precision = job.resolved()
    folder.mkdir(parents=True, exist_ok=True)
    position = load_position(folder, job.identity())
    network = job.network().to(device).to(memory_format=torch.channels_last)
    if position.network:
        if position.step:
            prepare(network, parse_scope(job.recipe.stages[position.stage].scope))
        network.load_state_dict(position.network)  # before a stage is built: it may compute features of its trunk
    pixels = decoded_pixels(job)
    with (
        Journal(folder / "metrics.jsonl", position=position.journal, quiet=job.runtime.quiet) as journal,
        shielded(network, device, precision),
    ):
        for index in range(position.stage, len(job.recipe.stages)):
            with seeded(step_seed("prepare", job.seed, index)):
                trainable = prepare_network(network, job.recipe.stages[index])
            run = build_stage(job, index, network, pixels, folder, checkpoint_seconds)
            run.watch = None if job.recipe.stages[index].needs_labels else watch
            if position.step:
                run.restore(position)
            position = run.run(position, journal)
            last = position.last if run.watch is None else _merged(network, position.last)
            merge(network)
            position = _next(position, run, trainable, last)
            run.save(position, journal)
    reports = tuple(StageReport(**report) for report in position.finished)
    network, chosen = settled(network.to("cpu"))
    return Trained(network.requires_grad_(True).eval(), reports, device, precision, position.last, chosen)


def probabilities(network: nn.Module, job: Job, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return class probabilities ``(m, C)`` of some of a job's images under a trained network."""
    device, precision = job.resolved()
    precision = "32-true" if any(stage.exact for stage in job.recipe.stages) else precision
    batches = PixelBatches.of(decoded_pixels(job, indices), job.backbone.preprocess, device)
    scores = logits(network.to(device), batches, indices, precision=precision, device=device).astype(np.float64)
    exp = np.exp(scores - scores.max(1, keepdims=True))
    out: npt.NDArray[np.float64] = exp / exp.sum(1, keepdims=True)
    return out


def _merged(network: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state with its adapters merged into plain weights; the network is left as it is."""
    if not state:
        return state
    copied = copy.deepcopy(network)
    copied.load_state_dict(state)
    merge(copied)
    return copied.to("cpu").state_dict()


def _next(position: Position, run: StageRun, trainable: Trainable, last: dict[str, torch.Tensor]) -> Position:
    """Close a stage: its report, and the position at the start of the next."""
    report = StageReport(
        objective=run.stage.objective,
        scope=run.stage.scope,
        trainable=trainable.trainable,
        total=trainable.total,
        epochs=round(position.step / run.per_epoch, 3),
        steps=position.step,
        images=position.images,
        seconds=round(position.seconds, 3),
        images_per_second=round(position.images / max(position.seconds, 1e-9), 2),
        best_step=None if position.best.state is None else position.best.step,
        stopped=run.stopped,
        kept=run.kept,
    )
    finished = [*position.finished, asdict(report)]
    return Position(position.identity, position.stage + 1, finished=finished, last=last)

"""How long will it take: a few timed steps on noise, scaled to the whole run. Touches no file."""

from __future__ import annotations

import time

import torch
from torch import nn

from acclimate.models import autocast
from acclimate.models.network import pooled
from acclimate.models.scope import freeze, merge, parse_scope, prepare, select, set_mode
from acclimate.training import Job
from acclimate.training.recipe import Stage
from acclimate.training.schedule import steps_per_epoch

TIMED_BATCH = 8


def forecast(job: Job) -> list[float]:
    """Return the expected seconds of each stage, without decoding, early stopping and small crops: a rough guess."""
    device, precision = job.resolved()
    network = job.network().to(device).to(memory_format=torch.channels_last)
    out = []
    for stage in job.recipe.stages:
        scope = parse_scope(stage.scope)
        prepare(network, scope)
        freeze(network, select(network, scope))
        set_mode(network, bn_stats=stage.bn_stats, statistics=scope.statistics)
        x = torch.randn(TIMED_BATCH, 3, *job.backbone.preprocess.size, device=device)
        with autocast(precision, device):
            per_image = _seconds_per_image(network, x.to(memory_format=torch.channels_last), stage)
        out.append(round(per_image * _images(job, stage), 4))
        merge(network)
    return out


def _images(job: Job, stage: Stage) -> float:
    """Images through the network in a stage: views count each, a frozen trunk without augmentation is run once."""
    available = len(job.split.train if stage.needs_labels else job.split.pool)
    if parse_scope(stage.scope).head_only and stage.augment == "none":
        return available + len(job.split.val)
    seen = min(stage.batch, available) * stage.accumulate
    steps = stage.steps or (stage.epochs or 0) * steps_per_epoch(available, stage.batch * stage.accumulate)
    views = 1 if stage.needs_labels else 2
    target = 1 if stage.needs_labels else 4 / 3  # the target network's forward pass is a third of a training step
    return steps * seen * views * target


def _seconds_per_image(network: nn.Module, x: torch.Tensor, stage: Stage) -> float:
    times = []
    for _ in range(2):  # the first one warms up
        started = time.perf_counter()
        out = pooled(network, x) if not stage.needs_labels else network(x)
        if out.requires_grad:
            out.square().mean().backward()
        network.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - started)
    return times[-1] / len(x)

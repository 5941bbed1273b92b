"""One stage of a job, built and ready to run: images, views, objective, anchor, optimizer.

How long it will take is told by a few timed steps on noise, scaled to the whole run, which touch no file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from acclimate.errors import DataError
from acclimate.images import decoded
from acclimate.models import Precision, autocast
from acclimate.models.heads import own_head
from acclimate.models.network import classifiers, feature_width, pooled
from acclimate.models.scope import Trainable, freeze, merge, parse_scope, prepare, select, set_mode
from acclimate.objectives import Objective
from acclimate.storage.store import step_seed
from acclimate.training.arithmetic import Arithmetic
from acclimate.training.batches import Batches, FeatureBatches, PixelBatches, can_cache_trunk, embed, trunk_features
from acclimate.training.job import Job
from acclimate.training.optimizer import Anchor, build_optimizer, set_depth
from acclimate.training.recipe import Stage
from acclimate.training.stage import StageRun
from acclimate.views import AUGMENTS, Augment, for_domain, scaled


def plan(job: Job) -> list[Trainable]:
    """Return what each stage of a job trains, without training: for dry runs, and to fail early.

    Raises DataError, ScopeError, RecipeError when a stage has too few images, its scope selects nothing, or its
    objective cannot work on this architecture.
    """
    network, out = job.network(), []
    width = feature_width(network, job.backbone.preprocess.size)
    for index, stage in enumerate(job.recipe.stages):
        images_of(job, index)
        with seeded(0):
            out.append(prepare_network(network, stage))
            stage.build().setup(network, features=width, class_counts=[1] * job.classes if stage.needs_labels else [])
        merge(network)
    return out


def prepare_stage(job: Job, index: int, folder: Path) -> StageRun:
    """Return one stage of a job on the pretrained weights, ready to run: for benchmarks and for looking inside."""
    device, _ = job.resolved()
    network = job.network().to(device).to(memory_format=torch.channels_last)
    with seeded(step_seed("prepare", job.seed, index)):
        prepare_network(network, job.recipe.stages[index])
    return build_stage(job, index, network, decoded_pixels(job), folder, math.inf)


def decoded_pixels(job: Job, indices: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.uint8]:
    """Return decoded pixels of the whole data set, of which those that the job needs are there."""
    if indices is None:
        parts = [job.split.train, job.split.val]
        parts += [] if all(stage.needs_labels for stage in job.recipe.stages) else [job.split.pool]
        indices = np.unique(np.concatenate(parts))
    store = decoded(
        job.images,
        job.backbone.preprocess.geometry,
        cache=job.runtime.cache,
        indices=indices,
        progress=job.runtime.progress,
    )
    return store.array


def prepare_network(network: nn.Module, stage: Stage) -> Trainable:
    """Put a network into the shape, the gradients and the modes of a stage; return what trains."""
    scope = parse_scope(stage.scope)
    prepare(network, scope)
    trainable = select(network, scope)
    trainable = trainable if stage.needs_labels else trainable.below(network)
    freeze(network, trainable)
    set_depth(network, stage.drop_path)
    set_mode(network, bn_stats=stage.bn_stats, statistics=scope.statistics)
    return trainable


def images_of(job: Job, index: int) -> npt.NDArray[np.int64]:
    """Return the images a stage trains on."""
    stage = job.recipe.stages[index]
    images = job.split.train if stage.needs_labels else job.split.pool
    if not len(images):
        raise DataError(f"stage {index + 1} ({stage.objective}) has no images to train on; expected at least one")
    if stage.classifier.several and not len(job.split.val):
        raise DataError(
            f"stage {index + 1} trains several classifiers at once and has no validation image to choose one by; "
            "expected a validation part, or one rate and one of layers"
        )
    if not stage.needs_labels and len(images) < stage.batch:
        raise DataError(
            f"stage {index + 1} ({stage.objective}) has a pool of {len(images)} images and batches of {stage.batch}; "
            f"expected a batch no larger than the pool, such as {len(images)}"
        )
    return images


def _measure_head(
    job: Job, index: int, network: nn.Module, batches: Batches, images: npt.NDArray[np.int64], precision: Precision
) -> None:
    """Measure the features that a head normalises by, before the first stage that trains it."""
    head, stages = own_head(network), job.recipe.stages
    first = next((place for place, stage in enumerate(stages) if stage.needs_labels), None)
    if head is None or head.normalize != "zscore" or index != first:
        return
    if isinstance(batches, FeatureBatches):
        head.measure(batches.plain(images))
    else:
        device = next(network.parameters()).device
        features = embed(network, batches, images, precision=precision, device=device.type)
        head.measure(torch.from_numpy(features).to(device))


def _augments(objective: Objective, stage: Stage) -> list[Augment]:
    views = list(objective.views) or [AUGMENTS[stage.augment]]
    return [for_domain(scaled(view, stage.strength), stage.domain) for view in views]


def build_stage(
    job: Job,
    index: int,
    network: nn.Module,
    pixels: npt.NDArray[np.uint8],
    folder: Path,
    checkpoint_seconds: float,
) -> StageRun:
    """Return a stage, ready to run, on a network that ``prepare_network`` has prepared."""
    stage, (device, precision) = job.recipe.stages[index], job.resolved()
    images = images_of(job, index)
    objective, labels = stage.build(), torch.from_numpy(job.images.labels)
    counts = np.bincount(job.images.labels[images], minlength=job.classes).tolist() if stage.needs_labels else []
    from_pixels = PixelBatches.of(pixels, job.backbone.preprocess, device)
    batches: Batches = from_pixels
    module = network
    if parse_scope(stage.scope).head_only and stage.augment == "none" and can_cache_trunk(network):
        needed = np.unique(np.concatenate([images, job.split.val]))
        exactly = "32-true" if stage.exact else precision
        batches, module = (trunk_features(network, from_pixels, needed, precision=exactly), classifiers(network)[0])
        set_mode(network, bn_stats=stage.bn_stats)
    _measure_head(job, index, network, batches, images, precision)
    width = feature_width(network, job.backbone.preprocess.size)
    with seeded(step_seed("setup", job.seed, index)):
        extra = objective.setup(module, features=width, class_counts=counts).to(device)
    from_pixels.augments = _augments(objective, stage)
    anchor = None
    if stage.l2_sp or stage.distill:
        anchor = Anchor(network, l2_sp=stage.l2_sp, distill=stage.distill)
        extra["anchor"] = anchor.start
    return StageRun(
        stage=stage,
        index=index,
        module=module,
        network=network,
        objective=objective,
        extra=extra,
        optimizer=build_optimizer(network, extra, stage),
        batches=batches,
        images=images,
        labels=labels,
        n_classes=job.classes,
        val=job.split.val if stage.needs_labels else images[:0],
        arithmetic=Arithmetic(device, precision),
        seed=job.seed,
        folder=folder,
        checkpoint_seconds=checkpoint_seconds,
        anchor=anchor,
    )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Lend torch's global generator a seed: layers draw their first weights from it and take no generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


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
    steps = stage.length(available)
    views = 1 if stage.needs_labels else 2
    target = 1 if stage.needs_labels else 4 / 3  # the target network's forward pass is a third of a training step
    probe = available + len(job.split.val) if stage.probe != "none" else 0
    return steps * seen * views * target + probe


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

"""A recipe on one backbone and one data set: build each stage, run it, hand its network to the next."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import nn

from acclimate.backbones import Backbone, Precision, choose_device, choose_precision
from acclimate.errors import DataError
from acclimate.images import Images, Split, decoded
from acclimate.network import classifiers, feature_width
from acclimate.recipe import Recipe, Stage
from acclimate.schedule import step_seed
from acclimate.scope import Trainable, freeze, parse_scope, select, set_mode
from acclimate.store import digest
from acclimate.train.batches import Batches, PixelBatches, can_cache_trunk, logits, trunk_features
from acclimate.train.checkpoint import Best, Position, load_position
from acclimate.train.journal import Journal
from acclimate.train.optimizer import build_optimizer
from acclimate.train.stage import StageRun
from acclimate.views import AUGMENTS, Augment, Normalize

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """Everything that decides the result of a recipe.

    Attributes
    ----------
    split
        Training, validation and pool indices; the test part is never read in training.
    """

    backbone: Backbone
    recipe: Recipe
    images: Images
    split: Split
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    cache: Path | None = None

    @property
    def classes(self) -> int:
        """Number of classes of the classifier; 0 where the recipe ends without one."""
        return len(self.images.classes) if self.recipe.supervised else 0

    def resolved(self) -> tuple[str, Precision]:
        """Return device and precision as they will be used."""
        device = choose_device(self.device)
        return device, choose_precision(self.precision, device)

    def identity(self) -> str:
        """Return a digest of all that decides the resulting weights, for safe resuming."""
        parts = (self.split.train, self.split.val, self.split.pool)
        split = [hash_indices(part) for part in parts]
        return digest(
            self.backbone.digest,
            asdict(self.backbone.preprocess),
            self.recipe.model_dump(),
            self.images.fingerprint,
            split,
            self.seed,
            self.resolved(),
        )


@dataclass(frozen=True)
class StageReport:
    """What one stage was and did; ``epochs`` and ``steps`` as they were done, not as they were planned."""

    objective: str
    scope: str
    trainable: int
    total: int
    epochs: float
    steps: int
    images: int
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Trained:
    """The outcome of a recipe.

    Attributes
    ----------
    network
        On the CPU, in eval mode; with a classifier unless the recipe has no supervised stage.
    reports
        One for each stage.
    """

    network: nn.Module
    reports: tuple[StageReport, ...]
    device: str
    precision: Precision


def hash_indices(indices: npt.NDArray[np.int64]) -> str:
    """Return a digest of an index array."""
    return digest(indices.tolist())


def plan(job: Job) -> list[Trainable]:
    """Return what each stage of a job trains, without doing anything: for dry runs, and to fail early."""
    network = job.backbone.network(job.classes)
    return [_select(network, stage) for stage in job.recipe.stages]


def train(
    job: Job,
    folder: Path,
    *,
    checkpoint_seconds: float = 30.0,
    quiet: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Run a recipe, or go on with the one that was interrupted in this folder.

    Parameters
    ----------
    folder
        Where ``metrics.jsonl`` and the checkpoint live.
    checkpoint_seconds
        Time between checkpoints; how often they are written never changes the result.
    progress
        Called with (done, total) while images are decoded.

    Raises
    ------
    DataError
        When a stage has no image to train on.
    TrainingError
        When the loss is not finite.
    Interrupted
        On Ctrl-C; the checkpoint is written first.
    """
    device, precision = job.resolved()
    folder.mkdir(parents=True, exist_ok=True)
    position = load_position(folder, job.identity())
    fabric = _fabric(device, precision)
    network = job.backbone.network(job.classes).to(device).to(memory_format=torch.channels_last)
    if position.network:
        network.load_state_dict(position.network)  # before a stage is built: it may compute features of its trunk
    pixels = _pixels(job, progress)
    with Journal(folder / "metrics.jsonl", position=position.journal, quiet=quiet) as journal:
        for index in range(position.stage, len(job.recipe.stages)):
            trainable = _prepare(network, job.recipe.stages[index])
            run = _build(job, index, network, pixels, fabric, precision, folder, checkpoint_seconds)
            if position.step:
                run.restore(position)
            position = run.run(position, journal)
            position = _next(position, run, trainable)
            run.save(position, journal)
    reports = tuple(StageReport(**report) for report in position.finished)
    return Trained(network.to("cpu").requires_grad_(True).eval(), reports, device, precision)


def prepare_stage(job: Job, index: int, folder: Path) -> StageRun:
    """Return one stage of a job on the pretrained weights, ready to run: for benchmarks and for looking inside."""
    device, precision = job.resolved()
    network = job.backbone.network(job.classes).to(device).to(memory_format=torch.channels_last)
    _prepare(network, job.recipe.stages[index])
    return _build(job, index, network, _pixels(job, None), _fabric(device, precision), precision, folder, math.inf)


def probabilities(network: nn.Module, job: Job, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return class probabilities ``(m, C)`` of some of a job's images under a trained network."""
    device, precision = job.resolved()
    batches = _pixel_batches(job, _pixels(job, None, indices), [AUGMENTS["none"]], device)
    scores = logits(network.to(device), batches, indices, precision=precision, device=device).astype(np.float64)
    exp = np.exp(scores - scores.max(1, keepdims=True))
    out: npt.NDArray[np.float64] = exp / exp.sum(1, keepdims=True)
    return out


def _fabric(device: str, precision: Precision) -> Fabric:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Fabric warns of hardware that was deliberately not chosen
        return Fabric(accelerator=device, devices=1, precision=precision)


def _pixels(job: Job, progress: Progress | None, indices: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.uint8]:
    if indices is None:
        parts = [job.split.train, job.split.val]
        parts += [] if all(stage.needs_labels for stage in job.recipe.stages) else [job.split.pool]
        indices = np.unique(np.concatenate(parts))
    store = decoded(job.images, job.backbone.preprocess.geometry, cache=job.cache, indices=indices, progress=progress)
    return store.array


def _select(network: nn.Module, stage: Stage) -> Trainable:
    trainable = select(network, parse_scope(stage.scope))
    if stage.needs_labels:
        return trainable
    return trainable.below(network)


def _prepare(network: nn.Module, stage: Stage) -> Trainable:
    trainable = _select(network, stage)
    freeze(network, trainable)
    set_mode(network, bn_stats=stage.bn_stats)
    return trainable


def _pixel_batches(job: Job, pixels: npt.NDArray[np.uint8], augments: Sequence[Augment], device: str) -> PixelBatches:
    preprocess = job.backbone.preprocess
    normalize = Normalize(preprocess.mean, preprocess.std)
    return PixelBatches(pixels, size=preprocess.size, normalize=normalize, augments=augments, device=device)


def _build(
    job: Job,
    index: int,
    network: nn.Module,
    pixels: npt.NDArray[np.uint8],
    fabric: Fabric,
    precision: Precision,
    folder: Path,
    checkpoint_seconds: float,
) -> StageRun:
    stage, device = job.recipe.stages[index], fabric.device.type
    images = job.split.train if stage.needs_labels else job.split.pool
    if not len(images):
        raise DataError(f"stage {index + 1} ({stage.objective}) has no images to train on; expected at least one")
    objective, labels = stage.build(), torch.from_numpy(job.images.labels)
    counts = np.bincount(job.images.labels[images], minlength=job.classes).tolist() if stage.needs_labels else []
    augments = list(objective.views) or [AUGMENTS[stage.augment]]
    from_pixels = _pixel_batches(job, pixels, augments, device)
    batches: Batches = from_pixels
    module = network
    if parse_scope(stage.scope).head_only and stage.augment == "none" and can_cache_trunk(network):
        needed = np.unique(np.concatenate([images, job.split.val]))
        batches, module = (
            trunk_features(network, from_pixels, needed, precision=precision),
            classifiers(network)[0],
        )
        set_mode(network, bn_stats=stage.bn_stats)
    with _seeded(step_seed("setup", job.seed, index)):
        width = feature_width(network, job.backbone.preprocess.size)
        extra = objective.setup(module, features=width, class_counts=counts).to(device)
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
        val=job.split.val if stage.needs_labels else images[:0],
        fabric=fabric,
        precision=precision,
        seed=job.seed,
        folder=folder,
        checkpoint_seconds=checkpoint_seconds,
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Lend torch's global generator a seed: layers draw their first weights from it and take no generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _next(position: Position, run: StageRun, trainable: Trainable) -> Position:
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
    )
    return Position(
        identity=position.identity,
        stage=position.stage + 1,
        finished=[*position.finished, asdict(report)],
        best=Best(),
    )

"""What is written of a protocol that ran: its row, its predictions and ``run.json``."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from acclimate.models import Backbone, choose_device, choose_precision
from acclimate.protocols.task import Stated, Task
from acclimate.stats.metrics import measure
from acclimate.storage.results import Predictions, Result, part_codes, plain, versions
from acclimate.storage.runtime import Runtime
from acclimate.storage.version import VERSION

if TYPE_CHECKING:
    from acclimate.training import Trained
    from acclimate.training.recipe import Recipe

Probabilities = Mapping[str, npt.NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Outcome:
    """What came of a protocol."""

    row: Result
    # of a training that was found or left in the run's folder: what each stage did, as ``run.json`` has it
    stages: tuple[Mapping[str, Any], ...] = ()


def run_facts(task: Task, backbone: Backbone, recipe: Recipe, trained: Trained) -> dict[str, Any]:
    """Return what ``run.json`` says of every training: on what, from which start, and what its stages did."""
    return {
        "version": VERSION,
        "seed": task.seed,
        "device": trained.device,
        "precision": trained.precision,
        "model": backbone.name,
        "random_start": backbone.random_start,
        "weights": backbone.digest,
        "data": task.images.name,
        "origin": task.origin,
        "fingerprint": task.images.fingerprint,
        "recipe": recipe.name,
        "stages": [asdict(report) for report in trained.reports],
    }


def run_document(
    task: Task, backbone: Backbone, recipe: Recipe, trained: Trained, row: Result, identity: str
) -> dict[str, Any]:
    """Return what ``run.json`` says of a finetuning; the keys are those of the command's JSON document."""
    return {
        "command": "tune",
        "identity": identity,
        **run_facts(task, backbone, recipe, trained),
        "images": {part: len(getattr(task.split, part)) for part in ("train", "val", "test", "pool")},
        "labels": task.labels,
        "classes": list(task.images.classes),
        **{part: plain(row.metrics).get(part) for part in ("val", "test")},
        "seconds": row.seconds,
        "versions": dict(row.versions),
    }


def measured(task: Task, by_part: Probabilities) -> dict[str, dict[str, float]]:
    """Return the metrics of each part from its probabilities ``(m, C)``."""
    labels, n_classes, parts = task.images.labels, len(task.images.classes), task.evaluated()
    return {part: measure(p, labels[parts[part]], n_classes=n_classes) for part, p in by_part.items()}


def result_row(
    task: Task,
    backbone: Backbone,
    runtime: Runtime,
    stated: Stated,
    metrics: Mapping[str, Mapping[str, float]],
    *,
    total: int,
    seconds: float,
    trainable: int = 0,
    chosen: Mapping[str, Any] | None = None,
    images_per_second: float | None = None,
) -> Result:
    """Return the row of what was measured, by part, and what it took. Every row of the program is made here."""
    device = choose_device(runtime.device)
    return Result(
        model=backbone.name,
        dataset=task.images.name,
        protocol=stated.protocol,
        seed=task.seed,
        metrics=metrics,
        settings=stated.settings,
        labels=task.labels,
        trainable=trainable,
        total=total,
        random_start=backbone.random_start,
        fingerprint=task.images.fingerprint,
        weights=backbone.digest,
        versions=versions(),
        seconds=round(seconds, 4),
        images_per_second=None if images_per_second is None else round(images_per_second, 2),
        peak_memory_mb=round(peak_memory_mb(device), 1),
        device=device,
        precision=choose_precision(runtime.precision, device),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        chosen=chosen or {},
    )


def stored_predictions(task: Task, by_part: Probabilities) -> Predictions:
    """Return the probabilities of every measured image, the parts one after the other."""
    parts = task.evaluated()
    index = np.concatenate([parts[part] for part in by_part])
    return Predictions(
        probabilities=np.concatenate([by_part[part] for part in by_part]).astype(np.float32),
        labels=task.images.labels[index],
        index=index,
        part=np.concatenate([part_codes(part, len(p)) for part, p in by_part.items()]),
    )


def peak_memory_mb(device: str) -> float:
    """Return the peak memory in MB: of the accelerator where there is one, else of this process since it began."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20

"""What is written of a protocol that ran: its row, its predictions and ``run.json``.

The training of one recipe in a folder of its own comes down to one such row.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.errors import InputError, RecipeError
from acclimate.images import clean_pool, require_classes
from acclimate.models import Backbone, choose_device, choose_precision
from acclimate.protocols.task import OUTPUT, Stated, Task, job_of
from acclimate.stats.metrics import measure
from acclimate.storage.results import Predictions, Result, Results, part_codes, plain, versions
from acclimate.storage.runtime import VERSION, Runtime
from acclimate.storage.store import write_atomic
from acclimate.training.recipe import Recipe

if TYPE_CHECKING:
    from acclimate.training import Trained

RUN: Final = "run.json"
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


def run_recipe(
    task: Task,
    backbone: Backbone,
    runtime: Runtime,
    recipe: Recipe,
    folder: Path,
    results: Results | None = None,
    *,
    stated: Stated | None = None,
) -> Outcome:
    """Train a recipe in ``folder``, leave the finished classifier there and return its row and its stages.

    A stage without labels sees the pool without its near-duplicates of validation and test images. Raises `RecipeError`
    when the recipe has no supervised stage, so that there is no classifier to measure; `InputError` when the folder
    holds another run.

    Parameters
    ----------
    results
        Where the row goes; default the run's own folder. A run that is finished already, with its row there, is
        returned as it is; one that was interrupted goes on.
    stated
        What the row says was run; default the recipe.
    """
    results = results or Results(folder)
    if task.tap != OUTPUT:
        raise InputError(
            f"got features '{task.tap}' for a recipe; layer and pooling are choices of scores: leave them out"
        )
    if not recipe.supervised:
        raise RecipeError(
            f"recipe '{recipe.name}' ends without a classifier; expected a supervised last stage, or 'acclimate adapt'"
        )
    require_classes(task.images, task.split)
    if not all(stage.needs_labels for stage in recipe.stages):
        task = replace(task, split=clean_pool(task.images, task.split, cache=runtime.cache).split)
    job = job_of(task, backbone, runtime, recipe)
    stated = (stated or Stated(recipe.name, recipe.model_dump(mode="json"))).on(task)
    key, identity = task.key(backbone, stated), job.identity()
    if is_finished(folder, identity) and results.has(key):
        return Outcome(results.get(key), stages_of(folder))

    from acclimate.models.classifier import Classifier
    from acclimate.training import probabilities, remember_stages, train

    trained = train(job, folder)
    remember_stages(job, trained.reports)
    Classifier.of(trained.network, task.images.classes, backbone).save(folder)
    recipe.save(folder / "recipe.toml")
    by_part = {part: probabilities(trained.network, job, indices) for part, indices in task.evaluated().items()}
    seconds = sum(report.seconds for report in trained.reports)
    row = result_row(
        task,
        backbone,
        runtime,
        stated,
        measured(task, by_part),
        chosen=trained.chosen,
        trainable=trained.reports[-1].trainable,
        total=trained.reports[-1].total,
        seconds=seconds,
        images_per_second=sum(report.images for report in trained.reports) / max(seconds, 1e-9),
    )
    results.append(row, stored_predictions(task, by_part))
    document = run_document(task, backbone, recipe, trained, row, identity)
    close_run(folder, document)
    return Outcome(row, tuple(document["stages"]))


def is_finished(folder: Path, identity: str) -> bool:
    """Whether this very run is done in the folder. Raises `InputError` when another run is done there."""
    document = _document(folder)
    if not document:
        return False
    if document.get("identity") == identity:
        return True
    raise InputError(
        f"'{folder}' holds a finished run with another recipe, data, model or seed; choose another --out, or delete it"
    )


def stages_of(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """Return what the stages of the run in a folder did; nothing where none is finished."""
    return tuple(_document(folder).get("stages", ()))


def _document(folder: Path) -> dict[str, Any]:
    path = folder / RUN
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return document


def close_run(folder: Path, document: Mapping[str, Any]) -> None:
    """Write ``run.json``, then drop the checkpoint: until the former is there, a killed run needs the latter."""
    from acclimate.training import CHECKPOINT

    write_atomic(folder / RUN, json.dumps(document, indent=1))
    (folder / CHECKPOINT).unlink(missing_ok=True)

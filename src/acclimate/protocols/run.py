"""A score or a recipe on (model, data, seed) -> one result row, with the same numbers for both."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from acclimate import __version__
from acclimate.backbones import Backbone, Tap, choose_device, choose_precision, extract
from acclimate.classifier import Classifier
from acclimate.errors import InputError, RecipeError, unknown
from acclimate.features import Features
from acclimate.images import Images, Split, clean_pool, require_classes
from acclimate.metrics import measure
from acclimate.recipe import Recipe, load_recipe
from acclimate.results import Predictions, Result, Results, plain, row_key, versions
from acclimate.scores import SCORES, Fitted, Settings
from acclimate.store import write_atomic
from acclimate.train import CHECKPOINT, Job, Progress, Trained, probabilities, train

Probabilities = Mapping[str, npt.NDArray[np.float64]]
RUN = "run.json"
OUTPUT: Final = Tap()  # the network's own pooled output


@dataclass(frozen=True)
class Setting:
    """What every protocol of one comparison shares.

    Attributes
    ----------
    split
        One split for all models and protocols, so that their predictions can be paired image by image.
    labels
        The label budget in words, such as ``10`` (a class) or ``25%``; None for all labels.
    use_test
        Whether rows are measured on the test part as well. Selection leaves it sealed.
    origin
        How to open the images again, for ``run.json``; None where nobody said.
    tap
        Layer and pooling that scores take features from; recipes train on the network's own output.
    """

    images: Images
    split: Split
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    cache: Path | None = None
    labels: str | None = None
    use_test: bool = True
    quiet: bool = False
    progress: Progress | None = None
    origin: str | None = None
    tap: Tap = OUTPUT

    def evaluated(self) -> dict[str, npt.NDArray[np.int64]]:
        """Return the labelled parts that rows are measured on, by name."""
        parts = {"val": self.split.val}
        if self.use_test:
            parts["test"] = self.split.test
        return {name: indices for name, indices in parts.items() if len(indices)}

    def features(
        self, backbone: Backbone, indices: npt.NDArray[np.int64] | None = None, *, hflip: bool = False
    ) -> Features:
        """Return features of some images or their mirror images, or of all, from the cache where they are there."""
        return extract(
            backbone,
            self.images,
            tap=self.tap,
            indices=indices,
            hflip=hflip,
            cache=self.cache,
            device=self.device,
            precision=self.precision,
            progress=self.progress,
        )

    def key(self, backbone: Backbone, protocol: str, settings: Mapping[str, Any]) -> str:
        """Return the key that a row of this setting will have."""
        return row_key(
            weights=backbone.digest,
            fingerprint=self.images.fingerprint,
            protocol=protocol,
            settings=settings,
            seed=self.seed,
            labels=self.labels,
        )


@dataclass(frozen=True)
class Stated:
    """How a row names what was run, where that is more than a score or a recipe: its protocol and its settings."""

    protocol: str
    settings: Mapping[str, Any]


def run_score(
    setting: Setting,
    backbone: Backbone,
    name: str,
    results: Results | None = None,
    *,
    settings: Settings | None = None,
    stated: Stated | None = None,
) -> Result:
    """Fit a score on cached features of the training part and return its row.

    Parameters
    ----------
    results
        Where the row is kept. A row that is there already is returned and nothing is done.
    settings
        Of the score; default its own. With ``refit`` the validation numbers are those before it.
    stated
        What the row says was run; default the score with these settings.

    Raises
    ------
    RecipeError
        For an unknown score; the nearest one is named.
    """
    if name not in SCORES:
        raise RecipeError(unknown("score", name, SCORES))
    require_classes(setting.images, setting.split)
    settings = settings or SCORES[name].settings()
    stated = stated or Stated(name, {"settings": settings.model_dump(mode="json")})
    told = {**stated.settings, "features": str(setting.tap.of(backbone.module)), "parts": list(setting.evaluated())}
    key = setting.key(backbone, stated.protocol, told)
    if results is not None and results.has(key):
        return results.get(key)
    started = time.perf_counter()
    by_part, chosen, images = _fit_score(setting, backbone, name, settings)
    seconds = time.perf_counter() - started
    row = result_row(
        setting,
        backbone,
        stated.protocol,
        measured(setting, by_part),
        settings=told,
        chosen=chosen,
        trainable=0,
        total=backbone.parameters,
        seconds=seconds,
        images_per_second=images / max(seconds, 1e-9),
    )
    if results is not None:
        results.append(row, kept_predictions(setting, by_part))
    return row


def _fit_score(
    setting: Setting, backbone: Backbone, name: str, settings: Settings
) -> tuple[Probabilities, dict[str, Any], int]:
    """Return probabilities of each measured part, what validation chose, and the number of images used."""
    parts, split = setting.evaluated(), setting.split
    needed = np.concatenate([split.train, *parts.values()])
    features = setting.features(backbone, needed)
    x, y = features.x, features.y

    def fit(settings: Settings) -> Fitted:
        train, val = split.train, split.val
        n_classes = len(setting.images.classes)
        return SCORES[name].fit(
            x[train], y[train], x[val], y[val], n_classes=n_classes, seed=setting.seed, settings=settings
        )

    fitted = fit(settings)
    by_part = {part: fitted.predict_proba(x[indices]) for part, indices in parts.items()}
    if getattr(settings, "refit", False):  # it has learned the validation images by now
        by_part["val"] = fit(settings.model_copy(update={"refit": False})).predict_proba(x[split.val])
    return by_part, dict(fitted.settings), len(needed)


def run_recipe(
    setting: Setting,
    backbone: Backbone,
    recipe: Recipe | str,
    folder: Path,
    results: Results | None = None,
    *,
    stated: Stated | None = None,
) -> Result:
    """Train a recipe in ``folder``, leave the finished classifier there and return its row.

    A stage without labels sees the pool without its near-duplicates of validation and test images.

    Parameters
    ----------
    results
        Where the row goes; default the run's own folder. A run that is finished already, with its row there, is
        returned as it is; one that was interrupted goes on.
    stated
        What the row says was run; default the recipe.

    Raises
    ------
    RecipeError
        When the recipe has no supervised stage, so that there is no classifier to measure.
    InputError
        When the folder holds another run.
    """
    recipe, results = load_recipe(recipe), results or Results(folder)
    if setting.tap != OUTPUT:
        raise InputError(
            f"got features '{setting.tap}' for a recipe; layer and pooling are choices of scores: leave them out"
        )
    if not recipe.supervised:
        raise RecipeError(
            f"recipe '{recipe.name}' ends without a classifier; expected a supervised last stage, or 'acclimate adapt'"
        )
    require_classes(setting.images, setting.split)
    if not all(stage.needs_labels for stage in recipe.stages):
        setting = replace(setting, split=clean_pool(setting.images, setting.split, cache=setting.cache).split)
    job = job_of(setting, backbone, recipe)
    stated = stated or Stated(recipe.name, recipe.model_dump(mode="json"))
    settings = {**stated.settings, "parts": list(setting.evaluated())}
    key = setting.key(backbone, stated.protocol, settings)
    if is_finished(folder, job.identity()) and results.has(key):
        return results.get(key)
    trained = train(job, folder, quiet=setting.quiet, progress=setting.progress)
    Classifier.of(trained.network, setting.images.classes, backbone).save(folder)
    recipe.save(folder / "recipe.toml")
    by_part = {part: probabilities(trained.network, job, indices) for part, indices in setting.evaluated().items()}
    seconds = sum(report.seconds for report in trained.reports)
    row = result_row(
        setting,
        backbone,
        stated.protocol,
        measured(setting, by_part),
        settings=settings,
        chosen=trained.chosen,
        trainable=trained.reports[-1].trainable,
        total=trained.reports[-1].total,
        seconds=seconds,
        images_per_second=sum(report.images for report in trained.reports) / max(seconds, 1e-9),
    )
    results.append(row, kept_predictions(setting, by_part))
    document = run_document(setting, backbone, recipe, trained, row, job.identity())
    close_run(folder, document)
    return row


def is_finished(folder: Path, identity: str) -> bool:
    """Whether this very run is done in the folder.

    Raises
    ------
    InputError
        When another run is done there.
    """
    path = folder / RUN
    if not path.is_file():
        return False
    if json.loads(path.read_text(encoding="utf-8")).get("identity") == identity:
        return True
    raise InputError(
        f"'{folder}' holds a finished run with another recipe, data, model or seed; choose another --out, or delete it"
    )


def close_run(folder: Path, document: Mapping[str, Any]) -> None:
    """Write ``run.json``, then drop the checkpoint: until the former is there, a killed run needs the latter."""
    write_atomic(folder / RUN, json.dumps(document, indent=1))
    (folder / CHECKPOINT).unlink(missing_ok=True)


def job_of(setting: Setting, backbone: Backbone, recipe: Recipe) -> Job:
    """Return the training job of a setting."""
    return Job(
        backbone,
        recipe,
        setting.images,
        setting.split,
        seed=setting.seed,
        device=setting.device,
        precision=setting.precision,
        cache=setting.cache,
    )


def run_document(
    setting: Setting, backbone: Backbone, recipe: Recipe, trained: Trained, row: Result, identity: str
) -> dict[str, Any]:
    """Return what ``run.json`` says of a finetuning; the keys are those of the command's JSON document."""
    split = setting.split
    return {
        "command": "tune",
        "version": __version__,
        "identity": identity,
        "seed": setting.seed,
        "device": trained.device,
        "precision": trained.precision,
        "model": backbone.name,
        "random_start": backbone.random_start,
        "weights": backbone.digest,
        "data": setting.images.name,
        "origin": setting.origin,
        "fingerprint": setting.images.fingerprint,
        "images": {
            "train": len(split.train),
            "val": len(split.val),
            "test": len(split.test),
            "pool": len(split.pool),
        },
        "labels": setting.labels,
        "classes": list(setting.images.classes),
        "recipe": recipe.name,
        "stages": [asdict(report) for report in trained.reports],
        **{part: plain(row.metrics).get(part) for part in ("val", "test")},
        "seconds": row.seconds,
        "versions": dict(row.versions),
    }


def measured(setting: Setting, by_part: Probabilities) -> dict[str, dict[str, float]]:
    """Return the metrics of each part from its probabilities ``(m, C)``."""
    labels, n_classes, parts = setting.images.labels, len(setting.images.classes), setting.evaluated()
    return {part: measure(p, labels[parts[part]], n_classes=n_classes) for part, p in by_part.items()}


def result_row(
    setting: Setting,
    backbone: Backbone,
    protocol: str,
    metrics: Mapping[str, Mapping[str, float]],
    *,
    settings: Mapping[str, Any],
    chosen: Mapping[str, Any],
    trainable: int,
    total: int,
    seconds: float,
    images_per_second: float | None,
) -> Result:
    """Return the row of what was measured, by part, and what it took."""
    device = choose_device(setting.device)
    return Result(
        model=backbone.name,
        dataset=setting.images.name,
        protocol=protocol,
        seed=setting.seed,
        metrics=metrics,
        settings=settings,
        labels=setting.labels,
        trainable=trainable,
        total=total,
        random_start=backbone.random_start,
        fingerprint=setting.images.fingerprint,
        weights=backbone.digest,
        versions=versions(),
        seconds=round(seconds, 4),
        images_per_second=None if images_per_second is None else round(images_per_second, 2),
        peak_memory_mb=round(peak_memory_mb(device), 1),
        device=device,
        precision=choose_precision(setting.precision, device),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        chosen=chosen,
    )


def kept_predictions(setting: Setting, by_part: Probabilities) -> Predictions:
    """Return the probabilities of every measured image, the parts one after the other."""
    parts = setting.evaluated()
    index = np.concatenate([parts[part] for part in by_part])
    joined = np.concatenate([by_part[part] for part in by_part]).astype(np.float32)
    return Predictions(probabilities=joined, labels=setting.images.labels[index], index=index)


def peak_memory_mb(device: str) -> float:
    """Return the peak memory in MB: of the accelerator where there is one, else of this process since it began."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20

"""Adaptation without labels, and whether it helped: look before and after, and keep the better one."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate import __version__
from acclimate.backbones import Backbone, digest, load_backbone, save_weights
from acclimate.errors import DataError
from acclimate.metrics import measure
from acclimate.network import reset_classifier
from acclimate.protocols import RUN, Setting, close_run, is_finished, job_of
from acclimate.recipe import Recipe
from acclimate.scores import SCORES
from acclimate.train import train

PROBED = 1000  # pool images the label-free monitors look at
NEIGHBOURS = 10
COLLAPSED = 0.1  # share of the start model's feature spread below which features count as collapsed


@dataclass(frozen=True)
class Look:
    """A look at the features of one model.

    Attributes
    ----------
    feature_std
        Standard deviation of unit-length features times sqrt(d): about 1 when they spread evenly, 0 when collapsed
        (Chen and He 2021, section 4.1).
    rankme
        Effective rank exp(H(p)), p = singular values over their sum (Garrido et al. 2023, eq. 3), in [1, min(n, d)].
    knn_accuracy, knn_log_loss
        Of a kNN classifier on held-out labelled images; None without labels.
    """

    feature_std: float
    rankme: float
    knn_accuracy: float | None
    knn_log_loss: float | None


@dataclass(frozen=True)
class Adapted:
    """The outcome of an adaptation.

    Attributes
    ----------
    kept
        What ``weights.safetensors`` holds: the adapted model, or the start model where adaptation did harm.
    adapted
        The adapted model, kept or not.
    document
        What ``run.json`` holds.
    """

    kept: Backbone
    adapted: Backbone
    document: dict[str, Any]


def adapt(setting: Setting, backbone: Backbone, recipe: Recipe, folder: Path) -> Adapted:
    """Run an unsupervised recipe on the pool, look at the features before and after, and keep the better model.

    The start model comes back when the features collapsed, or a kNN probe on held-out labelled images became worse.

    Raises
    ------
    DataError
        When the pool has fewer than two images.
    """
    if len(setting.split.pool) < 2:
        raise DataError(f"got {len(setting.split.pool)} images to adapt to; expected at least 2 outside val and test")
    job = job_of(setting, backbone, recipe)
    if is_finished(folder, job.identity()):
        return _finished(backbone, folder)
    started = time.perf_counter()
    before, start_features = _look(setting, backbone)
    trained = train(job, folder, quiet=setting.quiet, progress=setting.progress)
    adapted = _adapted(backbone, trained.network, folder)
    after, end_features = _look(setting, adapted)
    overlap = neighbour_overlap(start_features, end_features)
    kept, reason = verdict(before, after)
    chosen = adapted if kept == "adapted" else backbone
    save_weights(folder / "adapted.safetensors", adapted.module, adapted.card())
    save_weights(folder / "weights.safetensors", chosen.module, chosen.card())
    recipe.save(folder / "recipe.toml")
    report = trained.reports[-1]
    document = {
        "command": "adapt",
        "version": __version__,
        "identity": job.identity(),
        "seed": setting.seed,
        "device": trained.device,
        "precision": trained.precision,
        "run": str(folder),
        "model": backbone.name,
        "random_start": backbone.random_start,
        "data": setting.images.name,
        "fingerprint": setting.images.fingerprint,
        "recipe": recipe.name,
        "method": recipe.stages[0].objective,
        "scope": recipe.stages[0].scope,
        "stages": [dataclasses.asdict(r) for r in trained.reports],
        "images": {"pool": len(setting.split.pool)},
        "steps": sum(r.steps for r in trained.reports),
        "images_per_second": report.images_per_second,
        "monitors": {
            "start": dataclasses.asdict(before),
            "adapted": dataclasses.asdict(after),
            "neighbour_overlap": overlap,
        },
        "kept": kept,
        "reason": reason,
        "seconds": round(time.perf_counter() - started, 3),
    }
    close_run(folder, document)
    return Adapted(chosen, adapted, document)


def _finished(backbone: Backbone, folder: Path) -> Adapted:
    """Return what an earlier, finished run left."""
    document = json.loads((folder / RUN).read_text(encoding="utf-8"))
    adapted = dataclasses.replace(load_backbone(folder / "adapted.safetensors"), name=str(folder))
    return Adapted(adapted if document["kept"] == "adapted" else backbone, adapted, document)


def _adapted(backbone: Backbone, network: Any, folder: Path) -> Backbone:
    reset_classifier(network, 0)
    module = network.eval()
    key = digest(backbone.architecture, backbone.arguments, module)
    return dataclasses.replace(backbone, name=str(folder), module=module, digest=key)


def _look(setting: Setting, backbone: Backbone) -> tuple[Look, npt.NDArray[np.float32]]:
    split, rng = setting.split, np.random.default_rng(setting.seed)
    probed = np.sort(rng.permutation(split.pool)[:PROBED])
    probe = bool(len(split.train) and len(split.val))
    needed = np.concatenate([probed, split.train, split.val]) if probe else probed
    features = setting.features(backbone, needed)
    x = np.asarray(features.x[probed])
    scores = _probe(setting, features.x, features.y) if probe else {}
    look = Look(feature_std(x), rankme(x), scores.get("accuracy"), scores.get("log_loss"))
    return look, x


def _probe(setting: Setting, x: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> dict[str, float]:
    split, n_classes = setting.split, len(setting.images.classes)
    fitted = SCORES["knn"](
        x[split.train], y[split.train], x[split.val], y[split.val], n_classes=n_classes, seed=setting.seed
    )
    return measure(fitted.predict_proba(x[split.val]), y[split.val], n_classes=n_classes)


def feature_std(x: npt.NDArray[np.float32]) -> float:
    """Return the mean per-dimension standard deviation of unit-length features ``(n, d)``, times sqrt(d)."""
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return float(unit.std(0).mean() * np.sqrt(x.shape[1]))


def rankme(x: npt.NDArray[np.float32]) -> float:
    """Return RankMe of features ``(n, d)``: exp of the entropy of the singular values' shares, uncentred."""
    values = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    shares = values / max(values.sum(), 1e-12) + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


def neighbour_overlap(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], k: int = NEIGHBOURS) -> float:
    """Return the mean share of each image's k nearest neighbours (cosine) that two models have in common, in [0, 1]."""
    k = min(k, len(a) - 1)
    ours, theirs = _neighbours(a, k), _neighbours(b, k)
    shared = [len(np.intersect1d(p, q)) for p, q in zip(ours, theirs, strict=True)]
    return float(np.mean(shared) / k)


def _neighbours(x: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argpartition(-similarity, k - 1, axis=1)[:, :k]


def verdict(before: Look, after: Look) -> tuple[str, str]:
    """Return which model is kept, ``adapted`` or ``start``, and why in one sentence."""
    if after.feature_std < COLLAPSED * before.feature_std:
        return (
            "start",
            f"features collapsed: their spread fell from {before.feature_std:.3f} to {after.feature_std:.3f}",
        )
    if before.knn_log_loss is None or after.knn_log_loss is None:
        return "adapted", "there are no labels to probe with, and the features did not collapse"
    accuracy = f"accuracy {before.knn_accuracy:.3f} -> {after.knn_accuracy:.3f}"
    change = f"kNN on held-out images: {accuracy}, log loss {before.knn_log_loss:.3f} -> {after.knn_log_loss:.3f}"
    if (after.knn_accuracy, -after.knn_log_loss) < (before.knn_accuracy, -before.knn_log_loss):
        return "start", f"adaptation did not help; {change}"
    return "adapted", change

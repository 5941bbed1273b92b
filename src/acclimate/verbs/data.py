"""Verbs about the features of one model: embed, score."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.backbones import choose_device, extract, load_backbone
from acclimate.errors import ModelError
from acclimate.features import save_features
from acclimate.network import feature_width
from acclimate.protocols import run_score
from acclimate.verbs.common import open_data, setting_for, writable_file
from acclimate.verbs.feature_file import is_feature_file
from acclimate.verbs.options import Options, document
from acclimate.verbs.scoring import estimates_of, joined, names_of, notes_of, score_file


def embed(
    data: str | Path, *, model: str, out: str | Path = "features.npz", options: Options | None = None
) -> dict[str, Any]:
    """Write the features of all images to a ``.npz`` with keys x (n, d), y (n,), classes, split and name."""
    started, options = time.perf_counter(), options or Options()
    target = writable_file(out, ".npz")
    images = open_data(data, options)
    backbone = load_backbone(model)
    features = extract(backbone, images, cache=options.cache, device=options.device, precision=options.precision)
    names = [images.source.name(i) for i in range(len(images))]
    save_features(features, target, classes=images.classes, names=names, splits=images.splits)
    seconds = time.perf_counter() - started
    return {
        **document("embed", options, seconds, choose_device(options.device)),
        "data": images.name,
        "model": backbone.name,
        "random_start": backbone.random_start,
        "n": len(images),
        "d": int(features.x.shape[1]),
        "images_per_second": round(len(images) / seconds, 2),
        "out": str(out),
    }


def score(
    data: str | Path, *, model: str | None = None, score: str = "knn", options: Options | None = None
) -> dict[str, Any]:
    """Measure one score, or ``all``, of one model, or of a features file with keys x, y and optionally p.

    A classifier's is the accuracy on held-out validation images; an estimate's comes from the training images alone.

    Raises
    ------
    ModelError
        When images are given without a model.
    RecipeError
        For an unknown score; the nearest one is named.
    """
    started, options = time.perf_counter(), options or Options()
    if is_feature_file(data):
        return score_file(Path(data), model=model, score=score, options=options)
    if model is None:
        raise ModelError(f"got '{data}' without a model; expected --model, or an .npz of features with x and y")
    classifiers, names = names_of(score)
    images = open_data(data, options)
    backbone = load_backbone(model)
    setting = replace(setting_for(images, options), use_test=False)
    rows = {name: run_score(setting, backbone, name) for name in classifiers}
    estimates = estimates_of(setting, backbone, names)
    values: dict[str, float | None] = {name: row.metrics["val"]["accuracy"] for name, row in rows.items()}
    n, d = len(setting.split.train), feature_width(backbone.module, backbone.preprocess.size)
    return {
        **document("score", options, time.perf_counter() - started, choose_device(options.device)),
        "model": backbone.name,
        "random_start": backbone.random_start,
        "score": score,
        **joined(score, values, estimates),
        "metrics": {name: dict(row.metrics) for name, row in rows.items()},
        "settings": {name: dict(row.settings) for name, row in rows.items()},
        "n": n,
        "d": d,
        "warnings": [
            *_warnings(n, d, len(setting.split.val), backbone.random_start),
            *notes_of(estimates, score),
        ],
    }


def _warnings(n: int, d: int, n_val: int, random_start: bool) -> list[str]:
    found = []
    if n_val < 100:
        half = 1.645 * np.sqrt(0.25 / max(n_val, 1))
        found.append(f"only {n_val} validation images: an accuracy is uncertain by up to {100 * half:.0f} points")
    if n < d:
        found.append(
            f"fewer training images than feature dimensions ({n} < {d}): scores of the training part mean little"
        )
    if random_start:
        found.append("the model is randomly initialised, not pretrained")
    return found

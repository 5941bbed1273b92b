"""Verbs about the features of one model: embed, score."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.backbones import choose_device, extract, load_backbone
from acclimate.features import save_features
from acclimate.network import feature_width
from acclimate.protocols import run_score
from acclimate.scores import SCORES
from acclimate.verbs.common import open_data, setting_for, writable_file
from acclimate.verbs.options import Options, document


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


def score(data: str | Path, *, model: str, score: str = "knn", options: Options | None = None) -> dict[str, Any]:
    """Measure one score, or ``all``, of one model: the accuracy on held-out validation images.

    Raises
    ------
    RecipeError
        For an unknown score; the nearest one is named.
    """
    started, options = time.perf_counter(), options or Options()
    images = open_data(data, options)
    backbone = load_backbone(model)
    setting = replace(setting_for(images, options), use_test=False)
    names = tuple(SCORES) if score == "all" else (score,)
    rows = {name: run_score(setting, backbone, name) for name in names}
    values = {name: row.metrics["val"]["accuracy"] for name, row in rows.items()}
    n, d = len(setting.split.train), feature_width(backbone.module, backbone.preprocess.size)
    return {
        **document("score", options, time.perf_counter() - started, choose_device(options.device)),
        "model": backbone.name,
        "random_start": backbone.random_start,
        "score": score,
        **({"values": values} if score == "all" else {"value": values[score]}),
        "metrics": {name: dict(row.metrics) for name, row in rows.items()},
        "settings": {name: dict(row.settings) for name, row in rows.items()},
        "n": n,
        "d": d,
        "warnings": _warnings(n, d, len(setting.split.val), backbone.random_start),
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

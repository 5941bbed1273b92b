"""Verbs about the features of one model: embed, score."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.errors import InputError, ModelError
from acclimate.models import DEFAULT, LAST, choose_device, extract, load_backbone
from acclimate.storage.features import save_features
from acclimate.verbs.common import open_data, setting_for, writable_file
from acclimate.verbs.feature_file import is_feature_file
from acclimate.verbs.measuring import Named, score_layers, score_once, taps_of
from acclimate.verbs.options import Options, document
from acclimate.verbs.scoring import notes_of, score_file


def embed(
    data: str | Path, *, model: str, out: str | Path = "features.npz", options: Options | None = None
) -> dict[str, Any]:
    """Write the features of all images to a ``.npz`` with keys x (n, d), y (n,), classes, split and name."""
    started, options = time.perf_counter(), options or Options()
    target = writable_file(out, ".npz")
    images = open_data(data, options)
    backbone = load_backbone(model)
    features = extract(backbone, images, options.runtime)
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
    data: str | Path,
    *,
    model: str | None = None,
    score: str = "knn",
    settings: Mapping[str, bool | int | float | str] | None = None,
    scale: float = 1.0,
    layers: str = LAST,
    pooling: str = DEFAULT,
    options: Options | None = None,
) -> dict[str, Any]:
    """Measure a score, a preset, or ``all``, of one model, or of a features file with keys x, y and optionally p.

    A classifier's number is the accuracy on held-out validation images; an estimate's comes from the training images
    alone.

    Parameters
    ----------
    score
        A name in ``PROBES`` or ``ESTIMATES``, ``all`` of them, or a preset of a score or of episodes (``knn/dino``).
    settings
        Settings of a plain score, such as ``{"normalise": "l2"}``.
    scale
        In (0, 1]: shortens a preset.
    layers
        ``last``; a layer by name or number; ``last:K``; several with commas; ``all``. Several are measured on features
        from one forward pass, and the document says which is the best.
    pooling
        ``default``, ``cls``, ``mean`` or ``cls+mean``.

    Raises
    ------
    ModelError
        When images are given without a model.
    RecipeError
        For an unknown score or setting (the nearest one is named), or a scale that cannot be.
    ModelError
        For a layer or a pooling that the model does not have.
    """
    started, options = time.perf_counter(), options or Options()
    if is_feature_file(data):
        if settings or (scale, layers, pooling) != (1.0, LAST, DEFAULT):
            raise InputError(
                f"got settings, scale, layers or pooling for the features file '{data}'; expected these with images "
                "and a model"
            )
        return score_file(Path(data), model=model, score=score, options=options)
    if model is None:
        raise ModelError(f"got '{data}' without a model; expected --model, or an .npz of features with x and y")
    named = Named.of(score, settings or {}, scale)
    images = open_data(data, options)
    backbone = load_backbone(model)
    task = replace(setting_for(images, options), use_test=False)
    taps = taps_of(backbone, layers, pooling)
    if len(taps) > 1:
        found = score_layers(task, backbone, options.runtime, named, taps)
    else:
        found = score_once(replace(task, tap=taps[0]), backbone, options.runtime, named)
    n, n_val = len(task.split.train), len(task.split.val)
    notes = [*found.pop("warnings", ()), *notes_of(found.get("estimates", []), score)]
    warnings = [*_warnings(n, found["d"], n_val, backbone.random_start), *notes]
    return {
        **document("score", options, time.perf_counter() - started, choose_device(options.device)),
        "model": backbone.name,
        "random_start": backbone.random_start,
        "score": score,
        **found,
        "n": n,
        "warnings": warnings,
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

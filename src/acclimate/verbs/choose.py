"""Verbs about many models: rank."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.catalogue import zoo_names
from acclimate.errors import InputError
from acclimate.experiments.ranking import PROXIES
from acclimate.experiments.ranking import rank as rank_backbones
from acclimate.images import require_classes
from acclimate.models import choose_device, load_backbone
from acclimate.protocols import find_training, job_of
from acclimate.training import plan
from acclimate.training.forecast import forecast
from acclimate.verbs.common import counts, fresh_folder, open_data, setting_for
from acclimate.verbs.options import Options, document


def rank(
    data: str | Path,
    *,
    models: Sequence[str] = (),
    zoo: bool = False,
    top: int = 3,
    final: str = "bn",
    labels: str | None = None,
    out: str | Path | None = None,
    dry_run: bool = False,
    options: Options | None = None,
) -> dict[str, Any]:
    """Rank models on one data set: kNN and logistic regression for all, a short finetuning for the ``top`` ones.

    Parameters
    ----------
    models
        Model names; with ``zoo`` the embedded ones come as well.
    final
        The recipe of the finetuning, or a preset that trains.
    """
    started, options = time.perf_counter(), options or Options()
    names = [*models, *(zoo_names() if zoo else ())]
    if len(names) < 2:
        raise InputError(f"got {len(names)} model to rank; expected --models A,B,... with at least two, or --zoo")
    protocol = find_training(final)
    images = open_data(data, options, dry_run=dry_run)
    task = setting_for(images, options, labels, origin=data)
    require_classes(images, task.split)
    backbones = [load_backbone(name) for name in names]
    if dry_run:
        own = protocol.budgeted(task)
        trainings = [protocol.recipes(backbone) for backbone in backbones]
        jobs = [
            job_of(own, backbone, options.runtime, recipes[0])
            for backbone, recipes in zip(backbones, trainings, strict=True)
        ]
        lines = [
            {
                "model": b.name,
                "trainable": plan(job)[-1].trainable,
                "total": plan(job)[-1].total,
                "expected_seconds": sum(forecast(job)) * (len(recipes) + (len(recipes) > 1)),  # the chosen one again
            }
            for b, job, recipes in zip(backbones, jobs, trainings, strict=True)
        ]
        return {
            **document("rank", options, time.perf_counter() - started, choose_device(options.device)),
            "dry_run": True,
            "images": counts(images, task.split),
            "proxies": list(PROXIES),
            "final": protocol.name,
            "top": top,
            "models": lines,
            "expected_seconds": round(
                sum(sorted((float(line["expected_seconds"]) for line in lines), reverse=True)[:top]), 4
            ),
        }
    folder = fresh_folder(Path(out) if out else None, f"runs/rank-{Path(images.name).name}")
    return {**rank_backbones(task, backbones, options.runtime, folder, final=protocol, top=top), "out": str(folder)}

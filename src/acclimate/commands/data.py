"""Data as the user writes them: images, their split with a label budget, and what documents say of both.

Names that a user gave are looked up here before torch is imported, so that a wrong one is answered at once; and a dry
run's plan of a training is made here.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from acclimate.commands.shared import Document

if TYPE_CHECKING:
    from acclimate.images import Images, Split
    from acclimate.models import Backbone
    from acclimate.protocols import Task
    from acclimate.storage.runtime import Runtime
    from acclimate.training.recipe import Recipe


def open_data(data: str | Path, runtime: Runtime, *, dry_run: bool = False) -> Images:
    """Load images and say on stderr what was left out; a dry run remembers nothing of the files it looked at."""
    from acclimate.images import load_images

    fetched = str(data).startswith("torchvision:") or (str(data).startswith("data:") and "@" not in str(data))
    if dry_run and not fetched:  # those lie in the cache themselves
        with tempfile.TemporaryDirectory() as folder:
            images = load_images(data, skip_bad=runtime.skip_bad, cache=Path(folder))
    else:
        images = load_images(data, skip_bad=runtime.skip_bad, cache=runtime.cache)
    if images.skipped and not runtime.quiet:
        print(f"left out {len(images.skipped)} unreadable files, the first: {images.skipped[0]}", file=sys.stderr)
    return images


def lasting(data: str | Path) -> str:
    """Return the name of data that still means the same from another folder: paths in it become absolute."""
    prefix, at, folder = str(data).partition("@")
    if prefix.startswith("data:") and at:
        return f"{prefix}@{Path(folder).expanduser().resolve()}"
    path = Path(data).expanduser()
    return str(path.resolve()) if path.exists() else str(data)


def task_for(images: Images, data: str | Path, *, seed: int, labels: str | None = None) -> Task:
    """Return the task of a supervised comparison: split, and the label budget if one is given.

    Parameters
    ----------
    data
        What the user wrote for the images.
    labels
        A number of images a class (``10``) or a share (``25%``) of the training part that keeps its labels. What loses
        its label goes to the pool, where it is already.
    """
    from acclimate.images import make_split
    from acclimate.protocols import Task

    split = make_split(images, seed=seed)
    if labels is not None:
        split = _with_fewer_labels(images, split, labels, seed)
    return Task(images, split, seed=seed, labels=labels, origin=lasting(data))


def _with_fewer_labels(images: Images, split: Split, labels: str, seed: int) -> Split:
    from acclimate.images import label_subset, parse_labels

    count, fraction = parse_labels(labels)
    return replace(split, train=label_subset(images.labels, split.train, count=count, fraction=fraction, seed=seed))


def counts(images: Images, split: Split) -> dict[str, int]:
    """Return the number of images and classes, and the size of each part."""
    sizes = {name: len(getattr(split, name)) for name in ("train", "val", "test", "pool")}
    return {"images": len(images), "classes": len(images.classes), **sizes}


def check_data(data: str | Path) -> None:
    """Refuse data that are nowhere; see `acclimate.catalogue.lookup.require_data`."""
    from acclimate.catalogue.lookup import require_data

    require_data(data)


def check_model(*models: str) -> None:
    """Refuse names that no model can have; see `acclimate.catalogue.lookup.require_model`."""
    from acclimate.catalogue.lookup import require_model

    for model in models:
        require_model(model)


def check_training(recipe: str, scale: float = 1.0) -> None:
    """Refuse what is no protocol that trains.

    A name is looked up. A user's own file is read whole, and a scale is tried, so that their mistakes come before those
    of images; this imports torch.

    Raises
    ------
    RecipeError
        For an unknown name (the nearest one is named), or a file or a scale that cannot be.
    InputError
        For a protocol that trains nothing.
    """
    from acclimate.catalogue import ALIASES, check_protocol_name, names

    check_protocol_name(recipe, "training")
    name = ALIASES.get(recipe, recipe)
    if scale != 1 or name not in names("protocols"):
        from acclimate.protocols import find_training

        find_training(name).at_scale(scale)


def check_score(score: str) -> None:
    """Refuse what is no score.

    Raises
    ------
    RecipeError
        For an unknown name; the nearest one is named.
    InputError
        For a protocol that trains the model.
    """
    from acclimate.catalogue import check_protocol_name
    from acclimate.scores import PROBES
    from acclimate.scores.estimates import ESTIMATES

    check_protocol_name(score, "features", probes=PROBES, others=(*ESTIMATES, "all"))


def training_plan(
    task: Task, backbone: Backbone, runtime: Runtime, recipe: Recipe, *, trainings: float = 1
) -> Document:
    """Return the part of the document that plans so many trainings of a recipe; short ones are parts of one."""
    from acclimate.protocols import job_of
    from acclimate.training import expected_stages

    parts = expected_stages(job_of(task, backbone, runtime, recipe))
    stages = [
        {
            **stage.model_dump(exclude_none=True),
            "trainable": part.trainable,
            "total": part.total,
            "expected_seconds": part.seconds * trainings,
        }
        for stage, part in zip(recipe.stages, parts, strict=True)
    ]
    return {
        "dry_run": True,
        "model": backbone.name,
        "random_start": backbone.random_start,
        "recipe": recipe.name,
        "images": counts(task.images, task.split),
        "stages": stages,
        "expected_seconds": round(round(sum(part.seconds for part in parts), 4) * trainings, 4),
    }

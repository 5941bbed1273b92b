"""A finished run and the model it began with: both networks, and the images on which both are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError, InputError, ModelError, some
from acclimate.experiments.adaptation.run import ADAPTED
from acclimate.experiments.explanation.compare import changes, compare, draws, sentences
from acclimate.experiments.explanation.measures import FEWEST
from acclimate.experiments.explanation.record import record
from acclimate.images import Images, decoded, make_split
from acclimate.models import Backbone, choose_device, load_backbone
from acclimate.models.classifier import WEIGHTS
from acclimate.protocols import RUN
from acclimate.storage.runtime import Runtime

_CHOICE = 8  # first word of the seed that chooses the images
_KINDS = ("tune", "adapt")
_OTHERS = ("rank", "curve", "demo", "study")  # commands that leave several runs

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """The images on which both networks are compared."""

    images: Images
    indices: Indices  # ascending
    labels: Indices  # ``(n,)`` of these, -1 for none
    # ``val``, ``pool`` (an adaptation without labels) or ``all but test`` (other data without a validation part)
    part: str


def finished_run(folder: Path) -> dict[str, Any]:
    """Return the run's own document. Raises `InputError` when the folder holds no finished run of this kind."""
    path, expected = folder / RUN, "expected the folder of a finished 'acclimate tune' or 'acclimate adapt'"
    if not path.is_file():
        if (folder / "checkpoint.pt").is_file():
            raise InputError(f"the run in '{folder}' is not finished; give its command again to go on, then explain it")
        other = next((name for name in _OTHERS if (folder / f"{name}.json").is_file()), None)
        what = f"what '{other}' wrote, not one run" if other else "no run"
        raise InputError(f"'{folder}' holds {what}; {expected}")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"cannot read '{path}': {error}; {expected}") from None
    if not isinstance(facts, dict) or facts.get("command") not in _KINDS:
        got = facts.get("command") if isinstance(facts, dict) else type(facts).__name__
        raise InputError(f"'{folder}' holds a run of '{got}'; {expected}")
    return facts


def start_model(facts: Mapping[str, Any], start: str | None) -> Backbone:
    """Return the model that the run began with; its weights are checked.

    Raises `ModelError` when it cannot be found, or is another one.

    ``start`` says where it is now; None: where the run has it from.
    """
    name, expected = start or str(facts.get("model")), facts.get("weights")
    try:
        backbone = load_backbone(name)
    except ModelError as error:
        if start:
            raise
        raise ModelError(f"cannot load the start model '{name}' again: {error}; or pass --start MODEL") from None
    if expected is None:
        raise ModelError(
            f"the run does not say what weights it began with, so '{name}' cannot be checked; run it again"
        )
    if backbone.digest != expected:
        raise ModelError(
            f"'{name}' is not what the run began with: expected weights digest {str(expected)[:12]}, got "
            f"{backbone.digest[:12]}; pass --start MODEL with the start model as it was"
        )
    return backbone


def trained_model(folder: Path, facts: Mapping[str, Any]) -> tuple[Backbone, list[str]]:
    """Return the network that the run left, and what must be said of it."""
    if facts.get("kept") != "start":
        return load_backbone(folder / WEIGHTS), []
    note = f"The run kept its start model; compared is its last step, {ADAPTED}."
    return load_backbone(folder / ADAPTED), [note]


def own_data(facts: Mapping[str, Any]) -> str:
    """Return where the run found its images. Raises `DataError` when it does not say so."""
    origin = facts.get("origin")
    if not origin:
        raise DataError(f"the run does not say where its data '{facts.get('data')}' is; pass --data DATA")
    return str(origin)


def require_unchanged(images: Images, facts: Mapping[str, Any]) -> None:
    """Refuse the run's own data where they have changed since."""
    origin, before = facts["origin"], facts.get("fingerprint")
    if images.fingerprint != before:
        raise DataError(
            f"'{origin}' has changed since the run: expected fingerprint {str(before)[:12]}, got "
            f"{images.fingerprint[:12]}; pass --data {origin} to compare on it as it is"
        )


def sample(images: Images, facts: Mapping[str, Any], *, most: int, seed: int) -> Sample:
    """Choose the images: of the run's own data the validation part of the run's own split, never a test image.

    Raises `DataError` when there are too few, or when they do not have the run's classes.
    """
    part, indices = _part(images, facts)
    _require_classes(images, facts)
    labels = images.labels[indices]
    if len(indices) < FEWEST:
        raise DataError(
            f"{images.name} has {len(indices)} images to compare on (part: {part}); expected at least {FEWEST}, "
            "pass other images with --data DATA"
        )
    if len(indices) > most:
        subset = np.sort(np.random.default_rng([_CHOICE, seed]).permutation(len(indices))[:most])
        indices, labels = indices[subset], labels[subset]
    return Sample(images, indices, labels, part)


def _part(images: Images, facts: Mapping[str, Any]) -> tuple[str, Indices]:
    own = images.fingerprint == facts.get("fingerprint")
    split = make_split(images, seed=int(facts.get("seed", 0)))
    if len(split.val) and (own or (images.splits == "val").any()):
        return "val", split.val
    if own:  # no image has a label, so none was set aside
        return "pool", split.pool
    return "all but test", np.flatnonzero(images.splits != "test").astype(np.int64)


def _require_classes(images: Images, facts: Mapping[str, Any]) -> None:
    classes = facts.get("classes")
    if classes is None:  # an adaptation: any labels will do to see whether classes come apart
        return
    if not images.labelled.any():
        raise DataError(
            f"{images.name} has no labels; expected images of the run's classes: {some(classes, 10, quoted=True)}. "
            "Give class folders or a manifest with labels"
        )
    if new := sorted(set(images.classes) - set(classes)):
        raise DataError(
            f"{images.name} has classes that the run does not know: {some(new, 10, quoted=True)}; expected some of: "
            f"{some(classes, 10, quoted=True)}"
        )


def compare_models(before: Backbone, after: Backbone, images: Sample, runtime: Runtime, *, seed: int) -> dict[str, Any]:
    """Return ``layers``, ``affine`` and ``summary``: what changed from one model to the other."""
    device, preprocess = choose_device(runtime.device), after.preprocess
    pixels = decoded(images.images, preprocess.geometry, indices=images.indices, cache=runtime.cache).array
    first, second = (
        record(model.module, preprocess, pixels, images.indices, device=device) for model in (before, after)
    )
    layers = compare(first, second, images.labels, draws(images.labels, seed=seed))
    affine_changes = changes(before.module, after.module)
    affine = [{**asdict(change), "group": change.group, "relative": change.relative} for change in affine_changes]
    return {"layers": layers, "affine": affine, "summary": sentences(layers, affine_changes)}

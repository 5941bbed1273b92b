"""The verb ``explain``: what finetuning or adapting changed inside a network."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError, InputError, ModelError, some
from acclimate.experiments import explanation as shifts
from acclimate.experiments.adaptation.run import ADAPTED
from acclimate.images import Images, decoded, make_split
from acclimate.models import Backbone, choose_device, load_backbone
from acclimate.models.classifier import WEIGHTS
from acclimate.protocols import RUN
from acclimate.storage.store import write_atomic
from acclimate.verbs.common import open_data
from acclimate.verbs.options import Options, document

EXPLAIN = "explain.json"
IMAGES = 512
_CHOICE = 8  # first word of the seed that chooses the images
_KINDS = ("tune", "adapt")
_OTHERS = ("rank", "curve", "demo", "study")  # commands that leave several runs

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """The images that both networks are asked.

    Attributes
    ----------
    indices
        Ascending.
    labels
        ``(n,)`` of these, -1 for none.
    part
        ``val``, ``pool`` (an adaptation without labels) or ``all but test`` (other data without a validation part).
    """

    images: Images
    indices: Indices
    labels: Indices
    part: str


def explain(
    run: str | Path,
    *,
    data: str | Path | None = None,
    start: str | None = None,
    images: int = IMAGES,
    options: Options | None = None,
) -> dict[str, Any]:
    """Compare a finished run with the model it started from, layer by layer, and write ``RUN/explain.json``.

    Shift of feature means and variances, sparsity, effective rank, CKA, class separation, and how the norms' scales,
    shifts and running statistics changed; see docs/explain.md. Test images are never looked at.

    Parameters
    ----------
    run
        The folder of a finished ``tune`` or ``adapt``.
    data
        Images to compare on; default the run's own validation part.
    start
        Where the start model is now; it must be the very one that the run began with.
    images
        At most so many images, chosen by the seed.

    Raises
    ------
    InputError
        When the folder holds no finished run of this kind, or fewer than 4 images are asked for.
    ModelError
        When the start model cannot be found, or is another one.
    DataError
        When the data cannot be opened, changed, or does not have the run's classes.
    """
    started, options = time.perf_counter(), options or Options()
    if images < shifts.FEWEST:
        raise InputError(f"got --images {images}; expected at least {shifts.FEWEST}, which unbiased CKA needs")
    folder = Path(run)
    facts = _finished(folder)
    before = _start(facts, start)
    after, notes = _trained(folder, facts)
    asked = _asked(facts, data, images, options)
    said = _compared(before, after, asked, options)
    written = {
        **document("explain", options, time.perf_counter() - started, choose_device(options.device)),
        "run": str(run),
        "of": facts["command"],
        "recipe": facts.get("recipe"),
        "start": before.name,
        "random_start": before.random_start,
        "weights": {"before": before.digest, "after": after.digest},
        "data": asked.images.name,
        "fingerprint": asked.images.fingerprint,
        "part": asked.part,
        "images": len(asked.indices),
        "labelled": int((asked.labels >= 0).sum()),
        "level": shifts.LEVEL,
        "resamples": shifts.RESAMPLES,
        **said,
        "notes": notes,
    }
    write_atomic(folder / EXPLAIN, json.dumps(written, indent=1))
    return written


def _finished(folder: Path) -> dict[str, Any]:
    """Return the run's own document."""
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


def _start(facts: Mapping[str, Any], given: str | None) -> Backbone:
    """Return the model that the run began with; its weights are checked."""
    name, expected = given or str(facts.get("model")), facts.get("weights")
    try:
        found = load_backbone(name)
    except ModelError as error:
        if given:
            raise
        raise ModelError(f"cannot load the start model '{name}' again: {error}; or pass --start MODEL") from None
    if expected is None:
        raise ModelError(
            f"the run does not say what weights it began with, so '{name}' cannot be checked; run it again"
        )
    if found.digest != expected:
        raise ModelError(
            f"'{name}' is not what the run began with: expected weights digest {str(expected)[:12]}, got "
            f"{found.digest[:12]}; pass --start MODEL with the start model as it was"
        )
    return found


def _trained(folder: Path, facts: Mapping[str, Any]) -> tuple[Backbone, list[str]]:
    """Return the network that the run left, and what must be said of it."""
    if facts.get("kept") != "start":
        return load_backbone(folder / WEIGHTS), []
    note = f"The run kept its start model; compared is its last step, {ADAPTED}."
    return load_backbone(folder / ADAPTED), [note]


def _asked(facts: Mapping[str, Any], data: str | Path | None, limit: int, options: Options) -> Asked:
    """Choose the images: of the run's own data the validation part of the run's own split, never a test image."""
    images = _own_data(facts, options) if data is None else open_data(data, options)
    part, indices = _part(images, facts)
    labels = _labels(images, facts)[indices]
    if len(indices) < shifts.FEWEST:
        raise DataError(
            f"{images.name} has {len(indices)} images to compare on (part: {part}); expected at least {shifts.FEWEST}, "
            "pass other images with --data DATA"
        )
    if len(indices) > limit:
        kept = np.sort(np.random.default_rng([_CHOICE, options.seed]).permutation(len(indices))[:limit])
        indices, labels = indices[kept], labels[kept]
    return Asked(images, indices, labels, part)


def _own_data(facts: Mapping[str, Any], options: Options) -> Images:
    origin = facts.get("origin")
    if not origin:
        raise DataError(f"the run does not say where its data '{facts.get('data')}' is; pass --data DATA")
    try:
        images = open_data(origin, options)
    except DataError as error:
        raise DataError(f"cannot open the run's own data again: {error}; or pass --data DATA") from None
    if images.fingerprint != facts.get("fingerprint"):
        raise DataError(
            f"'{origin}' has changed since the run: expected fingerprint {str(facts.get('fingerprint'))[:12]}, got "
            f"{images.fingerprint[:12]}; pass --data {origin} to compare on it as it is"
        )
    return images


def _part(images: Images, facts: Mapping[str, Any]) -> tuple[str, Indices]:
    own = images.fingerprint == facts.get("fingerprint")
    split = make_split(images, seed=int(facts.get("seed", 0)))
    if len(split.val) and (own or (images.splits == "val").any()):
        return "val", split.val
    if own:  # no image has a label, so none was set aside
        return "pool", split.pool
    return "all but test", np.flatnonzero(images.splits != "test").astype(np.int64)


def _labels(images: Images, facts: Mapping[str, Any]) -> Indices:
    """Return the labels, where the run has classes in the numbers of these."""
    classes = facts.get("classes")
    if classes is None:  # an adaptation: any labels will do to see whether classes come apart
        return images.labels
    if not images.labelled.any():
        raise DataError(
            f"{images.name} has no labels; expected images of the run's classes: {some(classes, 10, quoted=True)}. "
            "Give class folders or a manifest with labels"
        )
    new = sorted(set(images.classes) - set(classes))
    if new:
        raise DataError(
            f"{images.name} has classes that the run does not know: {some(new, 10, quoted=True)}; expected some of: "
            f"{some(classes, 10, quoted=True)}"
        )
    return images.labels


def _compared(before: Backbone, after: Backbone, asked: Asked, options: Options) -> dict[str, Any]:
    """Return ``layers``, ``affine`` and ``summary``."""
    device, preprocess = choose_device(options.device), after.preprocess
    pixels = decoded(asked.images, preprocess.geometry, indices=asked.indices, cache=options.cache).array
    first, second = (
        shifts.record(model.module, preprocess, pixels, asked.indices, device=device) for model in (before, after)
    )
    layers = shifts.compare(first, second, asked.labels, shifts.draws(asked.labels, seed=options.seed))
    changed = shifts.changes(before.module, after.module)
    affine = [{**asdict(change), "group": change.group, "relative": change.relative} for change in changed]
    return {"layers": layers, "affine": affine, "summary": shifts.sentences(layers, changed)}

"""A study of one model on one data set, 8 score protocols x 5 seeds, against one bare extraction of its features.

Classes are tenths of the photos by how red they are, so that features know something of them, as features of a real
data set do. The sweeps over 45 values of C (logreg/dinov2, logreg/kornblith) are left out: they would measure the sweep
and not the sharing.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from measure import Options, Row
from photos import write_photos
from PIL import Image

from acclimate.experiments.study import parse_study, plan_study, run_study
from acclimate.images import load_images
from acclimate.models import extract, load_backbone
from acclimate.storage.runtime import Runtime

MODEL = "random:resnet18"
PROTOCOLS = (
    "knn",
    "knn/dino",
    "knn/marks",
    "knn/marks-zscore",
    "logistic",
    "ridge/big_vision",
    "ncm/mensink",
    "episodes/ericsson",
)
SEEDS = 5
CLASSES = 10
TURNS = 2
LIMIT = 1.3  # extractions that the whole study may take


def run(options: Options) -> list[Row]:
    """Return one row: seconds of the extraction divided by those of the study, each on an empty cache, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_photos(root / "all", options.images)
        _sort_into_classes(root)
        _warm_up(root)
        once, whole = [], []
        for turn in range(TURNS):
            for way in ("extract", "study") if turn % 2 == 0 else ("study", "extract"):
                seconds = (_extract if way == "extract" else _study)(root, f"{way}-{turn}")
                (once if way == "extract" else whole).append(seconds)
        cells = len(PROTOCOLS) * SEEDS
        spread = ", ".join(f"{a:.1f} and {b:.1f}" for a, b in zip(once, whole, strict=True))
        notes = f"{options.images} JPEG files, {cells} cells; extraction and study in {TURNS} turns: {spread} s"
        ours, theirs = sum(once) / TURNS, sum(whole) / TURNS
        return [Row("study_sharing", ours / theirs, 1 / LIMIT, theirs, ours, "s", notes)]


def _sort_into_classes(root: Path) -> None:
    """Move photos into ten class folders, the least red tenth first; a fifth of each is test part."""
    files = sorted((root / "all").rglob("*.jpg"), key=_redness)
    for at, file in enumerate(files):
        part = "test" if at % 5 == 0 else "train"
        place = root / "photos" / part / f"class{at * CLASSES // len(files)}"
        place.mkdir(parents=True, exist_ok=True)
        file.rename(place / file.name)


def _redness(file: Path) -> float:
    with Image.open(file) as photo:
        red, _, blue = np.asarray(photo.resize((8, 8)), np.float64).mean((0, 1))
    return float(red - blue)


def _warm_up(root: Path) -> None:
    """Let the kernels of the network be chosen; nothing of it is kept for the turns."""
    images = load_images(root / "photos", cache=root / "warm")
    extract(
        load_backbone(MODEL),
        images,
        indices=images.indices("test")[:32],
        runtime=Runtime(cache=root / "warm", device="cpu"),
    )


def _extract(root: Path, name: str) -> float:
    started = time.perf_counter()
    extract(
        load_backbone(MODEL),
        load_images(root / "photos", cache=root / name),
        runtime=Runtime(cache=root / name, device="cpu"),
    )
    return time.perf_counter() - started


def _study(root: Path, name: str) -> float:
    study = {
        "name": name,
        "models": [MODEL],
        "data": ["photos"],
        "protocols": list(PROTOCOLS),
        "seeds": SEEDS,
        "labels": ["100%"],
    }
    started = time.perf_counter()
    plan = plan_study(parse_study(study, where="of the benchmark"), root)
    document = run_study(plan, root / f"out-{name}", runtime=Runtime(device="cpu", cache=root / name))
    seconds = time.perf_counter() - started
    if document["done"] != len(PROTOCOLS) * SEEDS:
        raise RuntimeError(f"the study failed: {document['failed'][0]['reason']}")
    return seconds

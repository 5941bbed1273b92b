"""Is a model that was adapted in bfloat16 worse than one adapted in float32? Only then would its speed not count.

    python studies/precision.py --data FOLDER --out DIR [--domain eurosat] [--steps 200] [--seeds 3]

Both precisions adapt the same model by BYOL with the same settings, images and random numbers, once for each seed;
what is compared is the kNN probe on the test images, with all training labels and the features of both extracted in
float32. The difference is paired over seeds and test images, with a 90 % interval. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from adaptation import DOMAINS, load_domain

from acclimate.experiments.adaptation import adapt
from acclimate.experiments.adaptation.settings import choose, situation
from acclimate.images import clean_pool
from acclimate.models import Backbone, load_backbone
from acclimate.protocols import Task, find_protocol
from acclimate.stats.intervals import paired_over
from acclimate.storage.results import Results
from acclimate.storage.runtime import Runtime

PRECISIONS = ("bf16", "32")


def main() -> int:
    """Adapt in both precisions with every seed and print the paired difference of the probe."""
    parser = argparse.ArgumentParser(description="Does bfloat16 cost anything in adaptation?")
    parser.add_argument("--data", type=Path, required=True, help="folder of the domains")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and rows")
    parser.add_argument("--cache", type=Path, default=None, help="folder of decoded pixels and features")
    parser.add_argument("--domain", choices=list(DOMAINS), default="eurosat")
    parser.add_argument("--model", default="zoo:resnet-supervised")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    images, split = load_domain(arguments.data, DOMAINS[arguments.domain], arguments.cache)
    task = Task(images, split)
    start = load_backbone(arguments.model)
    found = {
        precision: np.stack([_probe(task, start, precision, seed, arguments) for seed in range(arguments.seeds)])
        for precision in PRECISIONS
    }
    change = paired_over(found["bf16"] - found["32"], seed=0)
    document = {
        "domain": arguments.domain,
        "model": arguments.model,
        "steps": arguments.steps,
        "seeds": arguments.seeds,
        "start": float(_right(task, start, arguments.out / "start", arguments.cache).mean()),
        "knn": {precision: [float(row.mean()) for row in rows] for precision, rows in found.items()},
        "bf16 - 32": {"mean": change.mean, "low": change.low, "high": change.high},
    }
    json.dump(document, sys.stdout, indent=1)
    print()
    return 0


def _probe(
    task: Task, start: Backbone, precision: str, seed: int, arguments: argparse.Namespace
) -> npt.NDArray[np.float64]:
    """Return for each test image whether kNN is right on it after an adaptation in this precision."""
    drawn, runtime = (
        dataclasses.replace(task, seed=seed),
        Runtime(precision=precision, cache=arguments.cache, quiet=True),
    )
    pool = len(clean_pool(task.images, task.split, cache=arguments.cache).split.pool)
    seen = situation(start.module, start.preprocess.size, pool=pool, device="cpu")
    preset = DOMAINS[arguments.domain].preset
    choice = choose("byol", seen, domain=preset, fixed={"steps": arguments.steps})
    folder = arguments.out / f"{precision}-{seed}"
    ended = adapt(drawn, start, runtime, choice.recipe, folder, probe=False).adapted
    return _right(task, ended, folder, arguments.cache)


def _right(task: Task, backbone: Backbone, folder: Path, cache: Path | None) -> npt.NDArray[np.float64]:
    """Return (m,) 1 where kNN on float32 features is right about a test image, else 0."""
    results = Results(folder)
    row = find_protocol("knn").run(task, backbone, Runtime(precision="32", cache=cache, quiet=True), None, results).row
    kept = results.predictions(row.key)
    tested = np.isin(kept.index, task.split.test)
    return (kept.probabilities.argmax(1) == kept.labels)[tested].astype(np.float64)


if __name__ == "__main__":
    sys.exit(main())

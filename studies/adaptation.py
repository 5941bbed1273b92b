"""Does adaptation help, where, and can it harm? Zoo models x real domains x methods, with the guard and without.

    python studies/adaptation.py --data FOLDER --out DIR          run what is missing, then fill docs/adaptation.md
    python studies/adaptation.py --data FOLDER --out DIR --only eurosat --model zoo:resnet-byol

FOLDER holds the domains below. Every finished run and row in DIR is kept, so that the same command goes on where it was
stopped. Settings are the automatic ones; ``--steps`` shortens the runs that have steps. The guard sees 20 labels a
class. Measured is logistic regression on features of test images that were never in the pool, from 5 and 20 labels a
class, drawn anew for each of five seeds; differences to the start model are paired over seeds and test images.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.errors import InputError
from acclimate.experiments.adaptation import adapt
from acclimate.experiments.adaptation.settings import choose, situation
from acclimate.experiments.curve import measure_curve, plan_curve
from acclimate.images import Images, Split, clean_pool, load_images, make_split
from acclimate.models import Backbone, choose_device, load_backbone
from acclimate.protocols import Task
from acclimate.storage.runtime import Runtime
from acclimate.storage.store import safe_name, write_atomic

PAGE = Path(__file__).resolve().parents[1] / "docs" / "adaptation.md"
MARKS = ("<!-- results: begin -->", "<!-- results: end -->")
MODELS = ("zoo:resnet-supervised", "zoo:resnet-byol", "zoo:convnext-byol")
LABELS, SEEDS = ("5", "20"), 5


@dataclass(frozen=True)
class Domain:
    """One target domain: where it lies below FOLDER, and the preset of its symmetries."""

    path: str
    preset: str
    what: str


DOMAINS: dict[str, Domain] = {
    "eurosat": Domain("eurosat", "aerial", "satellite images, 10 classes"),
    "wbc": Domain("wbc", "microscopy", "blood cells, 4 classes, split by photograph"),
    "sketch": Domain("pacs/sketch", "natural", "drawings, 7 classes"),
    "mnist": Domain("mnist.npz", "document", "handwritten digits, 10 classes"),
}
METHODS: dict[str, tuple[str, str | None]] = {
    "BYOL": ("byol", None),
    "norm only": ("byol", "norm"),
    "statistics": ("norm-stats", None),
}


def main() -> int:
    """Run the study, or the part of it that the command line names."""
    arguments = _arguments()
    lines = []
    for name in arguments.only or DOMAINS:
        images, split = load_domain(arguments.data, DOMAINS[name], arguments.cache)
        for model in arguments.model or MODELS:
            lines += _study(name, images, split, model, arguments)
            cell = _cell(name, model, arguments)
            write_atomic(arguments.out / f"{cell}.json", json.dumps(lines[-1], indent=1))
    if arguments.preset is None:  # the page is about each domain's own
        _write_page(arguments.out)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Does adaptation help, where, and can it harm?")
    parser.add_argument("--data", type=Path, required=True, help="folder of the domains")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs, rows and results")
    parser.add_argument("--cache", type=Path, default=None, help="folder of decoded pixels and features")
    parser.add_argument("--only", nargs="*", choices=list(DOMAINS), help="some domains")
    parser.add_argument("--model", nargs="*", help=f"some models; default {', '.join(MODELS)}")
    parser.add_argument("--method", nargs="*", choices=list(METHODS), help="some ways of adapting")
    parser.add_argument("--steps", type=int, default=None, help="steps of BYOL in the place of the automatic ones")
    parser.add_argument("--preset", help="a domain of `acclimate adapt --domain` in the place of each data set's own")
    parser.add_argument("--draws", type=int, default=SEEDS, help="how often labels are drawn, default 5")
    parser.add_argument("--size", type=int, default=None, help="side of the input in pixels; default the model's own")
    return parser.parse_args()


def _cell(name: str, model: str, arguments: argparse.Namespace) -> str:
    given = [f"{arguments.size}px" if arguments.size else "", arguments.preset or ""]
    return safe_name("-".join([name, model, *filter(None, given)]))


def load_domain(folder: Path, domain: Domain, cache: Path | None) -> tuple[Images, Split]:
    """Load a domain; without a test part of its own, a quarter of each class becomes one."""
    images = load_images(folder / domain.path, cache=cache)
    if not (images.splits == "test").any():
        splits = images.splits.astype("<U5")
        for label in range(len(images.classes)):
            members = np.random.default_rng(0).permutation(np.flatnonzero(images.labels == label))
            splits[members[: len(members) // 4]] = "test"
        images = dataclasses.replace(images, splits=splits)
    return images, make_split(images)


def _study(name: str, images: Images, split: Split, model: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Adapt one model to one domain in every way, and measure start, end and what the guard kept."""
    folder = arguments.out / _cell(name, model, arguments)
    start = load_backbone(model, image_size=arguments.size)
    task, runtime = Task(images, split), Runtime(cache=arguments.cache, quiet=True)
    plan = plan_curve(task, runtime, labels=LABELS, seeds=arguments.draws, tta="none")
    watched = dataclasses.replace(task, split=plan.budgets[-1].draw(images, split, 0))
    models, runs = [start], {}
    for title in arguments.method or METHODS:
        method, scope = METHODS[title]
        try:
            preset = arguments.preset or DOMAINS[name].preset
            runs[title] = _adapt(
                watched, start, runtime, preset, method, scope, folder / safe_name(title), arguments.steps
            )
        except InputError as error:
            runs[title] = {"cannot": str(error)}
            continue
        ended, kept = runs[title].pop("backbones")
        models.append(dataclasses.replace(ended, name=f"{title}, ended"))
        if kept.digest != start.digest:
            models.append(dataclasses.replace(kept, name=f"{title}, kept"))
    curve = measure_curve(plan, models, folder)
    print(f"{name} {model}: {curve.verdict}", file=sys.stderr, flush=True)
    size, points = start.preprocess.size[0], dataclasses.asdict(curve)
    return [{"domain": name, "model": model, "size": size, "runs": runs, "curve": points}]


def _adapt(
    task: Task,
    start: Backbone,
    runtime: Runtime,
    preset: str,
    method: str,
    scope: str | None,
    folder: Path,
    steps: int | None,
) -> dict[str, Any]:
    size, clean = start.preprocess.size, clean_pool(task.images, task.split, cache=runtime.cache)
    seen = situation(start.module, size, pool=len(clean.split.pool), device=choose_device("auto"))
    given = {"steps": steps // 3 if scope == "norm" else steps} if steps and method != "norm-stats" else {}
    choice = choose(method, seen, scope=scope, domain=preset, fixed=given)
    print(f"{folder}: {choice.recipe.stages[0]}", file=sys.stderr, flush=True)
    outcome = adapt(task, start, runtime, choice.recipe, folder)
    keys = ("kept", "reason", "steps", "looks", "images", "seconds", "images_per_second", "monitors")
    return {**{key: outcome.document[key] for key in keys}, "backbones": (outcome.adapted, outcome.kept)}


def _write_page(out: Path) -> None:
    """Write the page from every result that is there."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*.json"))]
    rows = [row for result in found for row in _rows(result)]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    write_atomic(PAGE, f"{before}{MARKS[0]}\n{_page(found, rows)}{MARKS[1]}{after}")
    print(f"{PAGE}: {len(rows)} rows", file=sys.stderr)


def _rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    changes = {(c["model"], c["labels"]): c["accuracy"] for c in result["curve"]["comparisons"]}
    rows = []
    for title, run in result["runs"].items():
        row: dict[str, Any] = {key: result[key] for key in ("domain", "model", "size")} | {"method": title}
        if "cannot" in run:
            rows.append({**row, "cannot": run["cannot"]})
            continue
        for state in ("ended", "kept"):
            for labels in LABELS:
                row[f"{state} {labels}"] = changes.get((f"{title}, {state}", labels))
        rows.append({**row, "steps": run["steps"], "kept": run["kept"], "reason": run["reason"]})
    return rows


def _page(found: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    measured = [row for row in rows if "cannot" not in row]
    worst = {state: _worst(measured, state) for state in ("ended", "kept")}
    lines = [
        "Written by `python studies/adaptation.py --data FOLDER --out DIR`; do not edit between the marks.",
        "",
        "Change of test accuracy against the start model, in points: logistic regression on features, from 5 and 20",
        "labels a class, five draws, 90 % intervals over draws and test images. *Ended* is the model of the last step,",
        "*kept* the model that the guard returned (the best step that it measured, or the start model: then the change",
        "is 0). The guard had 20 labels a class, also in the columns of 5. Each row is one adaptation: the intervals",
        "leave out what another seed of it would do.",
        f"{len(found)} of {len(DOMAINS) * len(MODELS)} pairs of domain and model are measured so far.",
        "",
        "| domain | model | pixels | method | steps | ended, 5 | ended, 20 | kept, 5 | kept, 20 | guard |",
        "|---|---|--:|---|--:|--:|--:|--:|--:|---|",
        *(_line(row) for row in rows),
        "",
        f"Worst change of a mean: {worst['ended']} as it ended, {worst['kept']} as the guard kept it.",
        "",
        "Start models, accuracy from 5 and 20 labels a class:",
        "",
        "| domain | model | pixels | 5 | 20 |",
        "|---|---|--:|--:|--:|",
        *(_start(result) for result in found),
    ]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    head = f"| {row['domain']} | {row['model']} | {row['size']} | {row['method']} |"
    if "cannot" in row:
        return f"{head} | | | | | cannot: {row['cannot'].partition(';')[0]} |"
    cells = " | ".join(_change(row, state, labels) for state in ("ended", "kept") for labels in LABELS)
    return f"{head} {row['steps']} | {cells} | {'adapted' if row['kept'] == 'adapted' else 'start'} |"


def _change(row: dict[str, Any], state: str, labels: str) -> str:
    change = row[f"{state} {labels}"]
    if change is None:
        return "0" if state == "kept" else "?"
    return f"{100 * change['mean']:+.1f} ({100 * change['low']:+.1f} to {100 * change['high']:+.1f})"


def _worst(rows: list[dict[str, Any]], state: str) -> str:
    means = [0.0 if (c := row[f"{state} {labels}"]) is None else c["mean"] for row in rows for labels in LABELS]
    return f"{100 * min(means):+.1f} points" if means else "nothing was measured"


def _start(result: dict[str, Any]) -> str:
    points = [p for p in result["curve"]["points"] if p["model"] == result["model"]]
    means = [float(np.mean([p["accuracy"] for p in points if p["labels"] == labels])) for labels in LABELS]
    head = f"| {result['domain']} | {result['model']} | {result['size']} |"
    return f"{head} {' | '.join(f'{100 * mean:.1f}' for mean in means)} |"


if __name__ == "__main__":
    sys.exit(main())

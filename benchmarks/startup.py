"""Seconds of commands that have next to nothing to compute, the whole process, and whether torch was imported."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import Options, Row
from photos import write_photos

REPEATS = 5
WITH_TORCH = 3  # repeats of what takes ten seconds
HELP, LIGHT, WRONG = 0.5, 2.0, 0.7  # seconds
SHARE = 1.05  # of `import torch, timm`, for commands that train
IMAGES = 120
MODEL, OTHER = "zoo:resnet-byol", "zoo:gn-leaves"
RECIPE = 'name = "short"\n[[stages]]\nscope = "head"\nsteps = 2\nbatch = 8\nlr = 0.01\naugment = "none"\n'
PROGRAM = """
import sys
from acclimate.commands import main
code = main(sys.argv[1:])
print("torch" in sys.modules, code, file=sys.stderr)
"""


@dataclass(frozen=True)
class Case:
    """A command line, its limit, and how it has to end.

    Attributes
    ----------
    limit
        Seconds; None for a command that trains, whose limit is a multiple of torch's and timm's import.
    """

    name: str
    line: tuple[str, ...]
    limit: float | None
    code: int = 0


def run(options: Options) -> list[Row]:
    """Return a row a command: its limit divided by its best time, since other processes only ever add time."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        photos, recipe, table = place / "photos", place / "short.toml", place / "table.csv"
        write_photos(photos, IMAGES)
        recipe.write_text(RECIPE)
        table.write_text(_table())
        _prepare(photos, recipe, place)
        imports = min(_seconds([sys.executable, "-c", "import torch, timm"])[0] for _ in range(WITH_TORCH))
        return [_row(case, imports, place) for case in _cases(photos, recipe, table)]


def _cases(photos: Path, recipe: Path, table: Path) -> list[Case]:
    data, two, model = str(photos), ("--models", f"{MODEL},{OTHER}"), ("--model", MODEL)
    quick = ("--final", str(recipe))
    return [
        Case("help", ("--help",), HELP),
        Case("models", ("models",), LIGHT),
        Case("protocols", ("protocols",), LIGHT),
        Case("check", ("check", data), LIGHT),
        Case("compare", ("compare", str(table), "--proxy", "knn", "--target", "finetune"), LIGHT),
        Case("report", ("report", str(table)), LIGHT),
        Case("score", ("score", data, *model), LIGHT),
        Case("rank_plan", ("rank", data, *two, *quick, "--dry-run"), LIGHT),
        Case("wrong_option", ("tune", data, "--modle", MODEL), WRONG, 2),
        Case("wrong_model", ("tune", data, "--model", "resnet5O"), WRONG, 2),
        Case("wrong_recipe", ("tune", data, *model, "--recipe", "liner"), WRONG, 2),
        Case("wrong_data", ("tune", "nowhere", *model), WRONG, 2),
        Case("tune", ("tune", data, *model, "--dry-run"), None),
        Case("adapt", ("adapt", data, *model, "--dry-run"), None),
    ]


def _prepare(photos: Path, recipe: Path, place: Path) -> None:
    """Do once what fills the cache: the features of a model, and a ranking whose plan is known afterwards."""
    _called(("score", str(photos), "--model", MODEL), place)
    line = ("rank", str(photos), "--models", f"{MODEL},{OTHER}", "--final", str(recipe), "--out", str(place / "rank"))
    _called(line, place)


def _row(case: Case, imports: float, place: Path) -> Row:
    limit = imports * SHARE if case.limit is None else case.limit
    calls = [_called(case.line, place, case.code) for _ in range(WITH_TORCH if case.limit is None else REPEATS)]
    best, torch = min(seconds for seconds, _ in calls), any(imported for _, imported in calls)
    notes = f"best of {len(calls)}, slowest {max(seconds for seconds, _ in calls):.2f} s; torch imported: "
    notes += "yes" if torch else "no"
    if case.limit is None:
        notes += f"; import torch, timm: {imports:.2f} s"
    ratio = 0.0 if torch and case.limit is not None else limit / best
    name = "startup" if case.name == "help" else f"startup_{case.name}"
    return Row(name, ratio, 1.0, best, limit, "seconds", notes)


def _called(line: Sequence[str], place: Path, code: int = 0) -> tuple[float, bool]:
    """Run a command with a cache of the benchmark's own; return its seconds, and whether it imported torch."""
    seconds, text = _seconds([sys.executable, "-c", PROGRAM, *line], place)
    imported, ended = text.splitlines()[-1].split()
    assert int(ended) == code, text
    return seconds, imported == "True"


def _seconds(command: Sequence[str], place: Path | None = None) -> tuple[float, str]:
    environment = None if place is None else {**os.environ, "ACCLIMATE_CACHE": str(place / "cache")}
    started = time.perf_counter()
    done = subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, cwd=place
    )
    return time.perf_counter() - started, done.stderr


def _table() -> str:
    """Return a table of four models with two protocols."""
    rows = [f"{m},d,{p},accuracy,{0.5 + 0.1 * i}" for i, m in enumerate("abcd") for p in ("knn", "finetune")]
    return "\n".join(["model,dataset,protocol,metric,value", *rows])

"""Seconds of commands that have next to nothing to compute, the whole process, and whether torch was imported."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import Options, Row
from photos import write_photos

REPEATS = 5
WITH_TORCH = 3  # repeats of what takes ten seconds
HELP, LIGHT, WRONG = 0.5, 2.0, 0.7  # seconds
SHARE = 1.05  # of `import torch, timm`, for commands that train
TABLES = 2.0  # of `import pandas`, for commands that read tables: no torch, and little beside it
IMAGES = 120
TRAINING = "torch, timm"
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
        Seconds, or a multiple of the seconds that the libraries named in ``floor`` take to be imported.
    floor
        None for a limit in seconds.
    """

    name: str
    line: tuple[str, ...]
    limit: float
    code: int = 0
    floor: str | None = None


def run(options: Options) -> list[Row]:
    """Return a row a command: its limit divided by its best time, since other processes only ever add time."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        photos, recipe, table = place / "photos", place / "short.toml", place / "table.csv"
        write_photos(photos, IMAGES)
        recipe.write_text(RECIPE)
        table.write_text(_table())
        _prepare(photos, recipe, place)
        floors = {names: _import(names) for names in (TRAINING, "pandas")}
        return [_row(case, floors, place) for case in _cases(photos, recipe, table)]


def _import(names: str) -> float:
    """Return the seconds that a process takes to import libraries."""
    return min(_seconds([sys.executable, "-c", f"import {names}"])[0] for _ in range(WITH_TORCH))


def _cases(photos: Path, recipe: Path, table: Path) -> list[Case]:
    data, two, model = str(photos), ("--models", f"{MODEL},{OTHER}"), ("--model", MODEL)
    quick = ("--final", str(recipe))
    return [
        Case("help", ("--help",), HELP),
        Case("models", ("models",), LIGHT),
        Case("protocols", ("protocols",), LIGHT),
        Case("check", ("check", data), LIGHT),
        Case("compare", ("compare", str(table), "--proxy", "knn", "--target", "finetune"), TABLES, floor="pandas"),
        Case("report", ("report", str(table)), TABLES, floor="pandas"),
        Case("score", ("score", data, *model), LIGHT),
        Case("rank_plan", ("rank", data, *two, *quick, "--dry-run"), LIGHT),
        Case("wrong_option", ("tune", data, "--modle", MODEL), WRONG, 2),
        Case("wrong_model", ("tune", data, "--model", "resnet5O"), WRONG, 2),
        Case("wrong_recipe", ("tune", data, *model, "--recipe", "liner"), WRONG, 2),
        Case("wrong_data", ("tune", "nowhere", *model), WRONG, 2),
        Case("tune", ("tune", data, *model, "--dry-run"), SHARE, floor=TRAINING),
        Case("adapt", ("adapt", data, *model, "--dry-run"), SHARE, floor=TRAINING),
    ]


def _prepare(photos: Path, recipe: Path, place: Path) -> None:
    """Do once what fills the cache: the features of a model, and a ranking whose plan is known afterwards."""
    _called(("score", str(photos), "--model", MODEL), place)
    line = ("rank", str(photos), "--models", f"{MODEL},{OTHER}", "--final", str(recipe), "--out", str(place / "rank"))
    _called(line, place)


def _row(case: Case, floors: Mapping[str, float], place: Path) -> Row:
    limit, trains = case.limit * floors.get(case.floor or "", 1.0), case.floor == TRAINING
    calls = [_called(case.line, place, case.code) for _ in range(WITH_TORCH if trains else REPEATS)]
    best, torch = min(seconds for seconds, _ in calls), any(imported for _, imported in calls)
    notes = f"best of {len(calls)}, slowest {max(seconds for seconds, _ in calls):.2f} s; torch imported: "
    notes += "yes" if torch else "no"
    if case.floor:
        notes += f"; import {case.floor}: {floors[case.floor]:.2f} s"
    ratio = 0.0 if torch and not trains else limit / best
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

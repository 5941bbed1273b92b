"""Run the study of transfer, write its table and its page, or check rows of the table.

    python -m studies.transfer --data FOLDER --out DIR [--workers 2]     run what is missing, then table and page
    python -m studies.transfer --page                                    the page from the committed table alone
    python -m studies.transfer --data FOLDER --check eurosat zoo:resnet-byol

FOLDER holds the domains' images. Every finished cell in DIR is kept, so that the same command goes on where it was
stopped, and a second one beside it shares the work. The first seed is measured whole before the second. ``--check``
measures the committed rows of one domain and model again, in a folder of its own, and says whether they come out the
same.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import torch
from studies.transfer import design, table
from studies.transfer.domains import DOMAINS, prepare
from studies.transfer.page import PAGE, fill

from acclimate.errors import AcclimateError, InputError, Interrupted, unknown
from acclimate.experiments.study import run_study
from acclimate.experiments.study.ledger import Ledger
from acclimate.experiments.study.plan import Cell
from acclimate.storage.results import Result
from acclimate.storage.runtime import Runtime

DECODED = 64  # side of the images in the domains' files: room for crops at the networks' 32


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says, and return the exit code."""
    asked = _arguments(arguments)
    _one_thread()
    try:
        if asked.check:
            domain, model = asked.check
            return check(domain, model, asked.data, asked.seeds, table.TABLE)
        if not asked.page:
            measure(asked.data, asked.out, asked.seeds, asked.workers, asked.model or design.model_names())
        fill(PAGE, table.TABLE)
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return 130
    except AcclimateError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="studies.transfer", description="Which cheap protocol predicts finetuning?")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the domains' images")
    parser.add_argument("--out", type=Path, default=Path("runs/transfer"), help="folder of files and rows")
    parser.add_argument("--workers", type=int, default=1, help="processes, with one thread each")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(design.SEEDS)), help="some seeds")
    parser.add_argument("--model", nargs="+", help="some models")
    parser.add_argument("--page", action="store_true", help="write the page from the table, and measure nothing")
    parser.add_argument("--check", nargs=2, metavar=("DOMAIN", "MODEL"), help="measure rows of the table again")
    return parser.parse_args(given)


def _one_thread() -> None:
    """Numbers must not depend on how many cores there are: sums over threads are rounded otherwise."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


def measure(data: Path, out: Path, seeds: list[int], workers: int, names: tuple[str, ...] | list[str]) -> None:
    """Measure what has no row yet, one seed after the other; write the table, stopped or not."""
    models = {name: design.describe(name) for name in dict.fromkeys((*design.model_names(), *names))}
    try:
        for seed in seeds:
            _measured(seed, data, out, {name: models[name] for name in names}, tuple(DOMAINS), workers)
    finally:
        write_table(out, models, table.TABLE)


def _measured(
    seed: int, data: Path, out: Path, models: dict[str, design.Model], domains: tuple[str, ...], workers: int
) -> list[tuple[Cell, Result]]:
    files = out / "domains"
    for domain in domains:
        prepare(domain, seed, data, files, DECODED)
    plan = design.plan(seed, files, models, domains)
    run_study(plan, out, runtime=Runtime(cache=out / "cache"), workers=workers)
    return Ledger(out).rows(plan)


def write_table(out: Path, models: dict[str, design.Model], path: Path) -> None:
    """Write the table from every finished cell of the study in ``out``."""
    lines, ledger = [], Ledger(out)
    for seed in range(design.SEEDS):
        plan = design.plan(seed, out / "domains", models, DOMAINS)
        lines += table.lines_of(ledger.rows(plan), models)
    table.write(path, lines)


def check(domain: str, model: str, data: Path, seeds: list[int], path: Path) -> int:
    """Measure the rows of one domain and model again; print them, and return 1 if one differs."""
    if domain not in DOMAINS:
        raise InputError(unknown("domain", domain, DOMAINS))
    committed = {line for line in table.read(path) if line[:2] == (model, domain) and int(line[5]) in seeds}
    if not committed:
        raise InputError(f"the table has no rows of '{model}' on '{domain}'; expected a model and domain that it has")
    models, again = {model: design.describe(model)}, set()
    with tempfile.TemporaryDirectory() as folder:
        for seed in sorted({int(line[5]) for line in committed}):
            rows = _measured(seed, data, Path(folder), models, (domain,), 1)
            again |= set(table.lines_of(rows, models))
    for line in sorted(committed | again):
        said = (
            "same" if line in committed & again else "only in the table" if line in committed else "only measured now"
        )
        print(" ".join((*line[:3], f"seed {line[5]}", line[6], line[4], said)))
    print(f"{len(committed & again)} of {len(committed)} rows came out the same")
    return int(committed != again)


if __name__ == "__main__":
    sys.exit(main())

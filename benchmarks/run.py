"""Measure what the README claims, each number side by side with what it is compared with, on this machine.

Examples
--------
python benchmarks/run.py                          all of them
python benchmarks/run.py extract --images 200     one of them, quick and noisy
python benchmarks/run.py --json                   one JSON document on stdout
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapt_vs_lightly
import bn_step
import bootstrap
import byol_step
import extract
import knn
import label_subsets
import linear_path
import logme
import multihead
import report
import startup
import study_sharing
import tune_vs_lines
from measure import Options, Row, machine

BENCHMARKS: dict[str, Callable[[Options], list[Row]]] = {
    "startup": startup.run,
    "extract": extract.run,
    "logme": logme.run,
    "byol_step": byol_step.run,
    "adapt_vs_lightly": adapt_vs_lightly.run,
    "bootstrap": bootstrap.run,
    "study_sharing": study_sharing.run,
    "knn": knn.run,
    "label_subsets": label_subsets.run,
    "linear_path": linear_path.run,
    "linear_path_large": linear_path.run_large,
    "bn_step": bn_step.run,
    "multihead": multihead.run,
    "report": report.run,
    "tune_vs_lines": tune_vs_lines.run,
}
LONG = ("linear_path_large", "tune_vs_lines")  # only when named


def main() -> int:
    """Run the benchmarks named on the command line; exit with 1 where a target was missed."""
    arguments = _arguments()
    options = Options(images=arguments.images, quick=arguments.quick, data=arguments.data)
    before = machine()  # now, as its load is that of the other programs
    rows = [row.document() for name in arguments.names or _usual() for row in _measured(name, options)]
    document = {"benchmarks": rows, "machine": before}
    if arguments.json:
        print(json.dumps(document, indent=1))
    else:
        _print_table(document)
    return 0 if all(row["passed"] for row in rows) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what the README claims, on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default all but the long: {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--images", type=int, default=Options().images, help="in a folder, default 2000")
    parser.add_argument("--quick", action="store_true", help="a tenth of tune_vs_lines")
    parser.add_argument("--data", type=Path, help="folder of the data sets of tune_vs_lines")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in BENCHMARKS:
            parser.error(f"got benchmark '{name}'; expected one of: {', '.join(BENCHMARKS)}")
    return arguments


def _usual() -> list[str]:
    return [name for name in BENCHMARKS if name not in LONG]


def _measured(name: str, options: Options) -> list[Row]:
    print(f"measuring {name} ...", file=sys.stderr, flush=True)
    return BENCHMARKS[name](options)


def _print_table(document: dict[str, Any]) -> None:
    for row in document["benchmarks"]:
        verdict = "reached" if row["passed"] else "MISSED"
        print(f"{row['name']:14} ratio {row['ratio']:.2f}, target {row['target']:.2f}: {verdict}")
        print(f"{'':14} {row['ours']:.2f} against {row['theirs']:.2f} {row['unit']}; {row['notes']}")
    print(" | ".join(f"{key} {value}" for key, value in document["machine"].items()))


if __name__ == "__main__":
    sys.exit(main())

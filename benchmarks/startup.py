"""``acclimate --help``: seconds of the whole process, and that torch stays outside."""

from __future__ import annotations

import subprocess
import sys
import time

from measure import Options, Row

LIMIT = 0.5  # seconds
REPEATS = 7
HELP = [sys.executable, "-m", "acclimate", "--help"]
IMPORTS = [sys.executable, "-X", "importtime", *HELP[1:]]


def run(options: Options) -> list[Row]:
    """Return the limit divided by the best of seven runs: other processes only ever add time."""
    seconds = [_seconds() for _ in range(REPEATS)]
    best, imported = min(seconds), _imports_torch()
    notes = f"best of {REPEATS}, slowest {max(seconds):.2f} s; torch imported: {'yes' if imported else 'no'}"
    ratio = 0.0 if imported else LIMIT / best
    return [Row("startup", ratio, 1.0, best, LIMIT, "seconds", notes)]


def _seconds() -> float:
    started = time.perf_counter()
    subprocess.run(HELP, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _imports_torch() -> bool:
    trace = subprocess.run(IMPORTS, check=True, capture_output=True, text=True).stderr
    modules = {line.rpartition("|")[2].strip() for line in trace.splitlines()}
    assert "typer" in modules, "the trace of imports could not be read"
    return "torch" in modules

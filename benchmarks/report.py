"""Time a report of a results table of 100,000 rows: writing the page, its size, and how soon it answers in Chromium.

Two tables, of which the worse one counts: a study (50 models x 20 data sets x 10 protocols x 10 seeds), whose seeds the
page averages, and a survey (500 models, one seed), whose 100,000 numbers are all on the page.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import Options, Row

TESTS = Path(__file__).parents[1] / "tests"
SECONDS, MEGABYTES, USABLE = 15.0, 10.0, 3.0
FAMILIES = ("resnet", "vit", "convnext", "swin")
PROTOCOLS = ("knn", "linear", "logistic", "fewshot", "ncm", "ridge", "bn", "norm", "staged", "finetune")
DATASETS = 20
HEAD = ("model", "dataset", "protocol", "metric", "value", "seed", "family", "parameters", "seconds")
TABLES = {"study": (50, 10), "survey": (500, 1)}  # models, seeds

# Presses the first group of the filters and waits until all that is in sight was drawn again.
ANSWER = """
const done = arguments[0], root = document.documentElement;
const wait = (then) => (root.dataset.drawn === undefined ? setTimeout(() => wait(then), 5) : then());
wait(() => {
  const drawn = performance.now();
  document.querySelector("#filters .legend button").click();
  setTimeout(() => wait(() => done([drawn, performance.now()])), 0);
});
"""


def write_table(path: Path, models: int, seeds: int) -> None:
    """Write a table of 100,000 rows: a model's skill, what a data set adds, noise that dear protocols have less of."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(models, 1)) + 0.5 * rng.normal(size=(models, DATASETS))
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(HEAD)
        for p, protocol in enumerate(PROTOCOLS):
            level = own + (1 - 0.09 * p) * rng.normal(size=own.shape)
            value = 1 / (1 + np.exp(-0.8 - 0.6 * level[..., None] + 0.05 * rng.normal(size=(*own.shape, seeds))))
            for m, d, s in np.ndindex(value.shape):
                name, family = f"{FAMILIES[m % 4]}-{m}", FAMILIES[m % 4]
                took = round((1 + m) * (p + 1) ** 2 * (0.1 + 0.01 * rng.random()), 3)
                number = round(float(value[m, d, s]), 5)
                table.writerow([name, f"data-{d}", protocol, "accuracy", number, s, family, (m + 1) * 10**6, took])


def write_page(path: Path) -> tuple[Path, float]:
    """Return the page of a table, and the seconds of the whole command, its start included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "acclimate", "report", str(path)], check=True, stdout=subprocess.DEVNULL)
    return path.with_name(f"{path.stem}-report.html"), time.perf_counter() - start


def answers(pages: list[Path]) -> list[float] | None:
    """Return for each page the seconds until it had drawn what is in sight and answered a filter; None if no browser.

    They count from the start of the navigation, in a window of 1280 x 900 that showed another page before.
    """
    sys.path.append(str(TESTS))
    from browser import chromium, missing

    if missing():
        return None
    found = []
    with chromium() as driver:
        for page in pages:
            driver.get("about:blank")
            driver.get(page.as_uri())
            found.append(driver.execute_async_script(ANSWER)[1] / 1000)
    return found


def run(options: Options) -> list[Row]:
    """Return the seconds, the size and the time to an answer, each of the worse table against its limit."""
    with tempfile.TemporaryDirectory(prefix="acclimate-bench-") as folder:
        made = {}
        for name, (models, seeds) in TABLES.items():
            path = Path(folder) / f"{name}.csv"
            write_table(path, models, seeds)
            made[name] = write_page(path)
        took = {name: seconds for name, (_, seconds) in made.items()}
        sizes = {name: page.stat().st_size / 1e6 for name, (page, _) in made.items()}
        usable = answers([page for page, _ in made.values()])
    rows = [_row("report", took, SECONDS, "s"), _row("report_size", sizes, MEGABYTES, "MB")]
    if usable is None:
        print("report_usable was left out: no chromium with chromedriver and selenium", file=sys.stderr)
        return rows
    return [*rows, _row("report_usable", dict(zip(made, usable, strict=True)), USABLE, "s")]


def _row(name: str, found: dict[str, float], limit: float, unit: str) -> Row:
    worst = max(found.values())
    told = ", ".join(f"{table} {value:.2f}" for table, value in found.items())
    return Row(name, limit / worst, 1.0, worst, limit, unit, f"the limit; {told} {unit}")

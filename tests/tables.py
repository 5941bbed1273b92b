"""Results tables for the tests of the report: small, seeded, with families, costs and several data sets."""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path
from typing import Any

from acclimate.reports.read.grid import Grid, RankColumn

FAMILIES = ("resnet", "vit", "swin")
DATASETS = ("birds", "cells", "roads")
PROTOCOLS = ("knn", "linear", "finetune")


def lines(models: int = 12, seeds: int = 3, names: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Return rows of every model on every data set; `names` puts others in the place of any of them."""
    rng = random.Random(0)
    called = names or {}
    found = []
    for m in range(models):
        family, skill = FAMILIES[m % 3], rng.gauss(0, 1)
        for d, dataset in enumerate(DATASETS):
            own = skill + rng.gauss(0, 0.5) - 0.4 * d
            for p, protocol in enumerate(PROTOCOLS):
                level = own + rng.gauss(0, 0.8 - 0.35 * p)
                for seed in range(seeds):
                    value = 1 / (1 + math.exp(-0.6 * level - 0.8 + rng.gauss(0, 0.08)))
                    model = f"{family}-{m}"
                    found.append(
                        {
                            "model": called.get(model, model),
                            "dataset": called.get(dataset, dataset),
                            "protocol": called.get(protocol, protocol),
                            "metric": called.get("accuracy", "accuracy"),
                            "value": round(value, 5),
                            "seed": seed,
                            "family": called.get(family, family),
                            "parameters": (m + 1) * 10**6,
                            "seconds": round((1 + m) * 4**p * (1 + 0.1 * rng.random()), 3),
                        }
                    )
    return found


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as CSV and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def column_of(grid: Grid, measure: int, dataset: int) -> RankColumn | None:
    """Return a column of a grid, or None where nothing was measured."""
    return next((c for c in grid.columns if c.measure == measure and c.dataset == dataset), None)

"""Ranking: cheap proxies for every model, a short finetuning for the best of them, and ties said as ties.

Nothing here looks at the test split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acclimate.errors import InputError
from acclimate.models import Backbone
from acclimate.protocols import Protocol, Task, find_protocol, find_training
from acclimate.protocols.choice import merit
from acclimate.stats import model_set
from acclimate.storage.results import Result, Results
from acclimate.storage.runtime import Runtime
from acclimate.storage.store import safe_name

PROXIES = ("knn", "logistic")


@dataclass(frozen=True)
class Ranked:
    """One model's line of a ranking."""

    model: str
    rank: int  # 1 is best; models of the confidence set share rank 1
    proxies: dict[str, float]  # validation accuracy of each proxy by name
    final: float | None  # validation accuracy after the final protocol; None for models that the proxies left out
    # low, high: 90% interval of ``final``, from a bootstrap over validation images
    low: float | None
    high: float | None
    in_set: bool  # whether the model cannot be told apart from the best one
    seconds: float
    random_start: bool


@dataclass(frozen=True)
class Ranking:
    """Models of one data set, the best first."""

    final: str  # name of the final protocol
    models: tuple[Ranked, ...]

    @property
    def best(self) -> str:
        """Name of the model of the first rank with the highest final accuracy."""
        return self.models[0].model

    @property
    def confidence_set(self) -> list[str]:
        """Names of the models that cannot be told apart from the best, itself included."""
        return [line.model for line in self.models if line.in_set]

    @property
    def seconds(self) -> float:
        """What proxies and finetunings took when they were run."""
        return round(sum(line.seconds for line in self.models), 3)


def rank_models(
    task: Task,
    backbones: Sequence[Backbone],
    runtime: Runtime,
    folder: Path,
    *,
    final: str | Protocol = "bn",
    top: int = 3,
) -> Ranking:
    """Rank backbones on one data set; leave rows and runs in ``folder``.

    Every model gets the proxies. The ``top`` ones by the logistic score's validation accuracy (log loss breaks ties)
    are finetuned with ``final``, a protocol that trains. The confidence set holds the finetuned models that a max-t
    test over paired validation images cannot separate from the best. Raises `InputError` for fewer than two models, or
    the same model twice.
    """
    _check(backbones, top)
    trains = find_training(final)
    sealed = dataclasses.replace(task, use_test=False)
    results = Results(folder)
    proxies = {name: find_protocol(name) for name in PROXIES}
    rows = {
        b.name: {name: proxy.run(sealed, b, runtime, None, results).row for name, proxy in proxies.items()}
        for b in backbones
    }
    order = sorted(backbones, key=lambda b: merit(rows[b.name]["logistic"]), reverse=True)
    finals = {}
    for backbone in order[:top]:
        run_folder = folder / "runs" / f"{safe_name(backbone.name)}-{safe_name(trains.name)}"
        finals[backbone.name] = trains.run(sealed, backbone, runtime, run_folder, results).row
    return Ranking(trains.name, tuple(_lines(order, rows, finals, results, task)))


def _check(backbones: Sequence[Backbone], top: int) -> None:
    names = [backbone.name for backbone in backbones]
    if len(names) < 2:
        raise InputError(f"got {len(names)} model to rank; expected at least two, such as --zoo")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"got model '{twice[0]}' twice; expected each model once")
    if top < 1:
        raise InputError(f"got top {top}; expected at least 1")


def _lines(
    order: Sequence[Backbone],
    rows: dict[str, dict[str, Result]],
    finals: dict[str, Result],
    results: Results,
    task: Task,
) -> Iterator[Ranked]:
    """Yield finalists by final accuracy, then the others by their proxy; the confidence set shares the first rank."""
    finalists = sorted((b for b in order if b.name in finals), key=lambda b: merit(finals[b.name]), reverse=True)
    stored = [results.predictions(finals[b.name].key) for b in finalists]
    correct = np.stack([one.probabilities.argmax(1) == one.labels for one in stored]).astype(np.float64)
    best = model_set(correct, seed=task.seed)
    for place, backbone in enumerate((*finalists, *(b for b in order if b.name not in finals))):
        proxies, final = rows[backbone.name], finals.get(backbone.name)
        in_set = final is not None and bool(best.in_set[place])
        yield Ranked(
            model=backbone.name,
            rank=1 if in_set else place + 1,
            proxies={name: row.metrics["val"]["accuracy"] for name, row in proxies.items()},
            final=final.metrics["val"]["accuracy"] if final else None,
            low=float(best.low[place]) if final else None,
            high=float(best.high[place]) if final else None,
            in_set=in_set,
            seconds=sum(row.seconds for row in (*proxies.values(), *([final] if final else []))),
            random_start=backbone.random_start,
        )

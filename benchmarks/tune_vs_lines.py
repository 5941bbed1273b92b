"""Our recipes on few labels against the simplest things that could work, cell by cell; the table is kept as it grows.

A cell is a data set, a label budget, a start model and a draw of the labels. Opponents on the same split, labels and
network: (a) scikit-learn's StandardScaler and LogisticRegression on the features, C by cross-validation inside the
training part; (b) thirty lines of torch: a zero head, everything trained by AdamW at 1e-3 and at 3e-3 (the better on
validation), one cycle, 700 steps of 32 images or 40 epochs, whichever is longer, photographs' views.

Each finished cell is a line of ``tune_vs_lines.csv``, so that a run that was stopped goes on where it was. It needs the
data sets laid out in a folder, given as ``--data``: ``eurosat/``, ``wbc/manifest.csv``, ``pacs/sketch/``,
``cifar100.npz``, ``omniglot.npz``. ``--quick`` is every tenth cell.
"""

from __future__ import annotations

import itertools
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from measure import Options, Row
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.functional import cross_entropy

from acclimate.images import Images, decoded, label_subset, load_images, make_split
from acclimate.models import Backbone, load_backbone
from acclimate.models.network import classifiers
from acclimate.protocols import Task, find_training
from acclimate.protocols.row import Outcome
from acclimate.stats.metrics import measure
from acclimate.storage.runtime import Runtime
from acclimate.training.batches import PixelBatches, logits
from acclimate.views import AUGMENTS, Normalize

TABLE = Path(__file__).with_name("tune_vs_lines.csv")
RECIPES = ("linear", "bn", "finetune")
DATA = {
    "eurosat": "eurosat",
    "wbc": "wbc/manifest.csv",
    "sketch": "pacs/sketch",
    "cifar20": "cifar100.npz",
    "omniglot20": "omniglot.npz",
    "digits": "",
}
CLASSES = 20  # of those with more
METRICS = ("accuracy", "balanced_accuracy", "log_loss", "ece")
STEPS, EPOCHS, BATCH, RATES = 700, 40, 32, (1e-3, 3e-3)
TENTH = 10

Line = dict[str, str | int | float]


@dataclass(frozen=True)
class Cell:
    """One comparison."""

    data: str
    labels: int  # a class
    model: str
    draw: int


def cells() -> list[Cell]:
    """Return every cell; the start models that carry the claim have two draws."""
    two = itertools.product(("zoo:resnet-supervised", "zoo:convnext-byol"), (0, 1), (5, 25), DATA)
    one = itertools.product(("zoo:gn-supervised",), (0,), (5, 25), DATA)
    return [Cell(data, labels, model, draw) for model, draw, labels, data in (*two, *one)]


def run(options: Options) -> list[Row]:
    """Finish the cells that the table lacks, then compare; without ``--data`` only compare what the table has."""
    wanted = quick() if options.quick else cells()
    if options.data is not None:
        table = pd.read_csv(TABLE) if TABLE.is_file() else pd.DataFrame()
        with tempfile.TemporaryDirectory() as work:
            for cell in wanted:
                if table.empty or not _lines_of(table, cell).shape[0]:
                    table = pd.concat([table, pd.DataFrame(measured(cell, options.data, Path(work)))])
                    table.to_csv(TABLE, index=False)
    return list(rows(pd.read_csv(TABLE)))


def quick() -> list[Cell]:
    """Return a tenth of the cells: each data set once, models and budgets in turn."""
    models, budgets = ("zoo:resnet-supervised", "zoo:convnext-byol"), (5, 25)
    return [Cell(data, budgets[i // 2 % 2], models[i % 2], 0) for i, data in enumerate(DATA)]


def _lines_of(table: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    return table[np.logical_and.reduce([table[key] == value for key, value in asdict(cell).items()])]


# measuring ----------------------------------------------------------------------------------------------------------


def measured(cell: Cell, folder: Path, work: Path) -> list[Line]:
    """Return a line of the table for each method."""
    images = load_images(_source(cell.data, folder, work), cache=work)
    task, backbone = _task(images, cell), load_backbone(cell.model, cache=work)
    runtime = Runtime(device="cpu", quiet=True, cache=work)
    lines = [{"method": "scikit-learn", **_scikit_learn(task, backbone, runtime)}]
    lines.append({"method": "torch", **_torch(task, backbone, runtime)})
    for name in RECIPES:
        place = work / "run"
        outcome = find_training(name).run(task, backbone, runtime, place)
        row = outcome.row
        values = {metric: row.metrics["test"][metric] for metric in METRICS}
        kept = str(outcome.stages[-1]["kept"])
        lines.append({"method": name, **values, "seconds": row.seconds, "steps": _steps(name, outcome), "kept": kept})
        shutil.rmtree(place)
    print(asdict(cell), {line["method"]: round(float(line["accuracy"]), 3) for line in lines}, flush=True)
    return [{**asdict(cell), **line} for line in lines]


def _steps(name: str, outcome: Outcome) -> int:
    """Return all steps of a recipe, those of its search included."""
    protocol, steps = find_training(name), outcome.stages[-1]["steps"]
    return round(steps * protocol.trainings())


def _source(name: str, folder: Path, work: Path) -> str:
    if not DATA[name]:
        return f"builtin:{name}"
    place = folder / DATA[name]
    return str(place if place.suffix != ".npz" else _some_classes(place, work))


def _some_classes(file: Path, work: Path) -> Path:
    """Write the images of some classes, drawn once for all cells, and return the file."""
    with np.load(file) as arrays:
        keep = np.sort(np.random.default_rng(0).choice(len(arrays["classes"]), CLASSES, replace=False))
        chosen = {"classes": arrays["classes"][keep]}
        for part in ("train", "test"):
            of = np.isin(arrays[f"y_{part}"], keep)
            chosen[f"x_{part}"] = arrays[f"x_{part}"][of]
            chosen[f"y_{part}"] = np.searchsorted(keep, arrays[f"y_{part}"][of]).astype(np.int64)
    np.savez(work / file.name, **chosen)
    return work / file.name


def _task(images: Images, cell: Cell) -> Task:
    """Return the task of a cell; data without a test part give half of their validation part for it."""
    split = make_split(images, seed=cell.draw)
    if not len(split.test):
        order = np.random.default_rng(cell.draw).permutation(split.val)
        split = replace(split, val=np.sort(order[::2]), test=np.sort(order[1::2]))
    train = label_subset(images.labels, split.train, count=cell.labels, fraction=None, seed=cell.draw)
    return Task(images, replace(split, train=train), seed=cell.draw, labels=str(cell.labels))


def _numbers(probabilities: npt.NDArray[np.float64], task: Task) -> Line:
    labels = task.images.labels[task.split.test]
    values = measure(probabilities, labels, n_classes=len(task.images.classes))
    return {metric: values[metric] for metric in METRICS}


def _scikit_learn(task: Task, backbone: Backbone, runtime: Runtime) -> Line:
    started, split, labels = time.perf_counter(), task.split, task.images.labels
    x = np.asarray(task.features(backbone, runtime, np.concatenate([split.train, split.test])).x)
    folds = max(2, min(5, np.bincount(labels[split.train]).min()))
    classifier = LogisticRegressionCV(Cs=10, cv=folds, max_iter=1000, scoring="neg_log_loss")
    line = make_pipeline(StandardScaler(), classifier).fit(x[split.train], labels[split.train])
    numbers = _numbers(line.predict_proba(x[split.test]), task)
    return {**numbers, "seconds": time.perf_counter() - started, "steps": 0, "kept": ""}


def _torch(task: Task, backbone: Backbone, runtime: Runtime) -> Line:
    started, split = time.perf_counter(), task.split
    geometry = backbone.preprocess.geometry
    pixels = decoded(task.images, geometry, cache=runtime.cache, indices=np.arange(len(task.images))).array
    steps = max(STEPS, EPOCHS * (len(split.train) // BATCH))
    trained = [_trained(task, backbone, pixels, rate, steps) for rate in RATES]
    best = min(trained, key=lambda pair: pair[0])
    return {
        **_numbers(best[1], task),
        "seconds": time.perf_counter() - started,
        "steps": steps * len(RATES),
        "kept": "",
    }


def _trained(
    task: Task, backbone: Backbone, pixels: npt.NDArray[np.uint8], rate: float, steps: int
) -> tuple[float, npt.NDArray[np.float64]]:
    """Return the validation error and the test probabilities of one training: the thirty lines."""
    torch.manual_seed(task.seed)
    split, labels = task.split, torch.from_numpy(task.images.labels)
    network = backbone.network(len(task.images.classes)).to(memory_format=torch.channels_last).train()
    (head,) = classifiers(network)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    normalize = Normalize(backbone.preprocess.mean, backbone.preprocess.std)
    size = backbone.preprocess.size
    batches = PixelBatches(pixels, size=size, normalize=normalize, augments=[AUGMENTS["light"]], device="cpu")
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for step, images in enumerate(_batches(split.train, steps, task.seed)):
        (x,) = batches.views(images, task.seed * 10**6 + step)
        optimizer.zero_grad()
        cross_entropy(network(x), labels[torch.from_numpy(images)]).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    probabilities = {
        part: torch.from_numpy(logits(network, batches, getattr(split, part), precision="32-true", device="cpu"))
        .double()
        .softmax(1)
        .numpy()
        for part in ("val", "test")
    }
    wrong = probabilities["val"].argmax(1) != task.images.labels[split.val]
    return float(wrong.mean()), probabilities["test"]


def _batches(images: npt.NDArray[np.int64], steps: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield shuffled batches, one epoch after the other."""
    rng, size = np.random.default_rng(seed), min(BATCH, len(images))
    epochs = math.ceil(steps / (len(images) // size))
    whole = [rng.permutation(images)[: len(images) // size * size].reshape(-1, size) for _ in range(epochs)]
    yield from np.concatenate(whole)[:steps]


# comparing ----------------------------------------------------------------------------------------------------------


def rows(table: pd.DataFrame) -> Iterator[Row]:
    """Yield a row for each claim; ratios are 1 where the claim just holds."""
    keys = [*Cell.__dataclass_fields__]
    accuracy, loss, seconds, steps = (
        table.pivot(index=keys, columns="method", values=value)
        for value in ("accuracy", "log_loss", "seconds", "steps")
    )
    both = accuracy[["scikit-learn", "torch"]].max(axis=1)
    sides = [("linear", accuracy["scikit-learn"], -0.003), ("bn", accuracy["linear"], 0.0), ("finetune", both, 0.01)]
    for name, theirs, margin in sides:
        gain = accuracy[name] - theirs
        draws = gain.groupby(level=["data", "labels", "model"]).mean()
        notes = f"{len(gain)} cells; mean gain {_interval(gain)}; worst mean over draws {draws.min():+.3f}"
        ours, other = float(accuracy[name].mean()), float(theirs.mean())
        yield Row(f"tune_{name}", ours / (other + margin), 1.0, ours, other, "accuracy", notes)
    for name in ("linear", "finetune"):
        ours, other = float(loss[name].mean()), float(loss["scikit-learn"].mean())
        allowed = 1.02 if name == "linear" else 1.0
        difference = _interval(loss[name] - loss["scikit-learn"])
        notes = f"nats an image; torch {loss['torch'].mean():.3f}; difference {difference}"
        yield Row(f"tune_{name}_loss", allowed * other / ours, 1.0, ours, other, "log loss", notes)
    cost, lines = seconds["finetune"] / steps["finetune"], seconds["torch"] / steps["torch"]
    ours, other = 1000 * float(cost.mean()), 1000 * float(lines.mean())
    yield Row(
        "tune_cost", 2.5 * other / ours, 1.0, ours, other, "ms a step", "search included; at most 2.5 times theirs"
    )


def _interval(differences: pd.Series[float]) -> str:
    """Say a mean with the 90% interval of paired differences."""
    from acclimate.stats import mean_interval

    interval = mean_interval(differences.to_list())
    if interval.low is None or interval.high is None:
        return f"{interval.mean:+.3f}"
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"

"""What is written down about an embedded model: the card's text, and what a probe measures."""

from __future__ import annotations

import json
import time
from pathlib import Path

from acclimate.images import load_images, make_split
from acclimate.models import Backbone, load_backbone
from acclimate.protocols import Task, run_score
from acclimate.storage.runtime import Runtime
from zoo.models import ARCHITECTURES, Model

PROBES = ("builtin:digits", "eurosat")


def probe(backbone: Backbone, data: Path) -> dict[str, float]:
    """Return the validation accuracy of logistic regression on features of each data set in ``PROBES``."""
    found = {}
    for dataset in PROBES:
        images = load_images(dataset if ":" in dataset else data / dataset)
        task = Task(images, make_split(images), use_test=False)
        found[dataset] = round(run_score(task, backbone, Runtime(quiet=True), "logistic").metrics["val"]["accuracy"], 4)
    return found


def card(
    name: str,
    model: Model,
    backbone: Backbone,
    steps: int,
    seconds: float,
    epochs: int | None,
    probes: dict[str, float],
) -> str:
    """Return the card of a trained model, TOML: what it is, how it was made and what its probes gave."""
    command = f"python -m zoo.train {name} --data FOLDER" + (f" --epochs {epochs}" if epochs else "")
    lines = [
        "[model]",
        f"source = {json.dumps(model.source)}",
        f"architecture = {json.dumps(model.architecture)}",
        f"parameters = {backbone.parameters}",
        f"licence = {json.dumps(model.licence)}",
        "",
        "[made]",
        f"command = {json.dumps(command)}",
        f"objective = {json.dumps(model.stage.objective)}",
        f"steps = {steps}",
        f"batch = {model.stage.batch}",
        f"seconds = {seconds:.0f}",
        "",
        "[probes]  # validation accuracy of logistic regression on its features",
        *(f"{json.dumps(dataset)} = {value}" for dataset, value in probes.items()),
    ]
    return "\n".join(lines) + "\n"


def random_cards(data: Path) -> str:
    """Return the cards of the random starts, TOML, one table for each architecture of the embedded models."""
    tables = [_random_card(architecture, size, data) for architecture, size in ARCHITECTURES.items()]
    return "# Made by `python -m zoo.train random --data FOLDER`.\n" + "".join(tables)


def _random_card(architecture: str, size: int, data: Path) -> str:
    started = time.perf_counter()
    backbone = load_backbone(f"random:{architecture}", image_size=size)
    seconds = time.perf_counter() - started
    probes = probe(backbone, data)
    lines = [
        "",
        f"[{architecture}]",
        'family = "random"',
        'source = "random start, the one that this program draws; no image was seen"',
        f'architecture = "{architecture}"',
        f"parameters = {backbone.parameters}",
        'licence = "none needed"',
        "",
        f"[{architecture}.made]",
        'command = "python -m zoo.train random --data FOLDER"',
        f"size = {size}",
        f"seconds = {seconds:.2f}",
        "",
        f"[{architecture}.probes]  # validation accuracy of logistic regression on its features at that size",
        *(f"{json.dumps(dataset)} = {value}" for dataset, value in probes.items()),
    ]
    return "\n".join(lines) + "\n"

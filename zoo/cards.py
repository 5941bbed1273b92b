"""What is written down about an embedded model: the card's text, and what a probe measures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import tomli_w

from acclimate.images import load_images, make_split
from acclimate.models import Backbone, load_backbone
from acclimate.protocols import Task, find_protocol
from acclimate.storage.runtime import Runtime
from zoo.models import ARCHITECTURES, Model

PROBES = ("builtin:digits", "eurosat")
RANDOM_COMMAND = "python -m zoo.train random --data FOLDER"


def probe(backbone: Backbone, data: Path) -> dict[str, float]:
    """Return the validation accuracy of logistic regression on features of each data set in ``PROBES``."""
    accuracies = {}
    for dataset in PROBES:
        images = load_images(dataset if ":" in dataset else data / dataset)
        task = Task(images, make_split(images), use_test=False)
        row = find_protocol("logistic").run(task, backbone, Runtime(quiet=True), None).row
        accuracies[dataset] = round(row.metrics["val"]["accuracy"], 4)
    return accuracies


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
    values = {
        "model": {
            "source": model.source,
            "architecture": model.architecture,
            "parameters": backbone.parameters,
            "licence": model.licence,
        },
        "made": {
            "command": command,
            "objective": model.stage.objective,
            "steps": steps,
            "batch": model.stage.batch,
            "seconds": round(seconds),
        },
        "probes": probes,  # validation accuracy of logistic regression on its features
    }
    return tomli_w.dumps(values)


def random_cards(data: Path) -> str:
    """Return the cards of the random starts, TOML, one table for each architecture of the embedded models."""
    cards = {architecture: _random_card(architecture, size, data) for architecture, size in ARCHITECTURES.items()}
    return f"# Made by `{RANDOM_COMMAND}`.\n\n{tomli_w.dumps(cards)}"


def _random_card(architecture: str, size: int, data: Path) -> dict[str, Any]:
    started = time.perf_counter()
    backbone = load_backbone(f"random:{architecture}", image_size=size)
    seconds = time.perf_counter() - started
    return {
        "family": "random",
        "source": "random start, the one that this program draws; no image was seen",
        "architecture": architecture,
        "parameters": backbone.parameters,
        "licence": "none needed",
        "made": {"command": RANDOM_COMMAND, "size": size, "seconds": round(seconds, 2)},
        "probes": probe(backbone, data),  # at that size
    }

"""Make an embedded model again, with this program's own loop: ``python -m zoo.train NAME --data FOLDER``.

FOLDER holds ``tiny_imagenet/train`` (natural photographs, 64 px) and ``eurosat`` for the probe. Training data never
enters the package: what does is a float16 safetensors file and a card that names the command, the data, the seconds and
what a probe measured. ``random`` in the place of NAME probes the random starts, which need no file.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from acclimate.images import Images, load_images, make_split
from acclimate.models import load_backbone, save_weights
from acclimate.models.network import reset_classifier
from acclimate.protocols import Task, job_of
from acclimate.storage.runtime import AUTO
from acclimate.training import train
from acclimate.training.recipe import Recipe
from zoo.cards import card, probe, random_cards
from zoo.leaves import dead_leaves
from zoo.models import MODELS, SIZE, Model

SOURCES = Path(__file__).resolve().parents[1] / "src" / "acclimate"
PACKAGE = SOURCES / "catalogue" / "zoo"


def make(
    name: str,
    data: Path,
    *,
    epochs: int | None = None,
    seed: int = 0,
    work: Path | None = None,
    out: Path = PACKAGE,
) -> None:
    """Train one model and write its weights and card into ``out``."""
    model = MODELS[name]
    stage = model.stage if epochs is None else model.stage.model_copy(update={"epochs": epochs})
    images = _images(model, data, work)
    backbone = load_backbone(f"random:{model.architecture}", image_size=model.size)
    task = Task(images, make_split(images, seed=seed, val_fraction=0.05), seed=seed)
    folder = (work or Path(tempfile.mkdtemp())) / name
    trained = train(job_of(task, backbone, AUTO, Recipe(name=name, stages=(stage,))), folder)
    steps, seconds = trained.reports[0].steps, trained.reports[0].seconds
    reset_classifier(trained.network, 0)
    out.mkdir(parents=True, exist_ok=True)
    weights = out / f"{name}.safetensors"
    save_weights(weights, trained.network, {**backbone.card(), "random_start": False}, half=True)
    text = card(name, model, backbone, steps, seconds, epochs, probe(load_backbone(weights), data))
    (out / f"{name}.toml").write_text(text, "utf-8")
    print(text)


def _images(model: Model, data: Path, work: Path | None) -> Images:
    if model.data != "leaves":
        return load_images(data / model.data)
    path = (work or Path(tempfile.mkdtemp())) / "leaves.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, x_train=dead_leaves(12_000, SIZE, seed=0))
    return load_images(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*MODELS, "random", "all"])
    parser.add_argument("--data", type=Path, required=True, help="folder with tiny_imagenet/ and eurosat/")
    parser.add_argument("--epochs", type=int, help="another length than the model's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="where the run lives, to go on after an interruption")
    parser.add_argument("--out", type=Path, default=PACKAGE, help="folder of weights and card; default the package")
    given = parser.parse_args()
    if given.name in ("random", "all"):
        (SOURCES / "catalogue" / "models" / "random.toml").write_text(random_cards(given.data), "utf-8")
    for each in MODELS if given.name == "all" else {given.name} - {"random"}:
        make(each, given.data, epochs=given.epochs, seed=given.seed, work=given.work, out=given.out)

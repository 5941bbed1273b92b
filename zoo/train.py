"""Make an embedded model again, with this program's own loop: ``python -m zoo.train NAME --data FOLDER``.

FOLDER holds ``tiny_imagenet/train`` (natural photographs, 64 px). Training data never enters the package: what does is
a float16 safetensors file and a card that names the command, the data, the seconds and what a probe measured.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from acclimate.backbones import Backbone, load_backbone, save_weights
from acclimate.images import Images, load_images, make_split
from acclimate.network import reset_classifier
from acclimate.protocols import Setting, job_of, run_score
from acclimate.recipe import Recipe
from acclimate.train import train
from zoo.leaves import dead_leaves
from zoo.models import MODELS, SIZE, Model

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "acclimate" / "zoo"
PROBES = ("builtin:digits", "eurosat")


def make(name: str, data: Path, *, epochs: int | None = None, seed: int = 0, work: Path | None = None) -> None:
    """Train one model and write its weights and card into the package."""
    model = MODELS[name]
    stage = model.stage if epochs is None else model.stage.model_copy(update={"epochs": epochs})
    images = _images(model, data, work)
    backbone = load_backbone(f"random:{model.architecture}", image_size=model.size)
    setting = Setting(images, make_split(images, seed=seed, val_fraction=0.05), seed=seed)
    folder = (work or Path(tempfile.mkdtemp())) / name
    trained = train(job_of(setting, backbone, Recipe(name=name, stages=(stage,))), folder)
    seconds = trained.reports[0].seconds
    reset_classifier(trained.network, 0)
    card = {**backbone.card(), "random_start": False}
    save_weights(PACKAGE / f"{name}.safetensors", trained.network, card, half=True)
    # a card without probes first: a model is known to the program, and so can be probed, once it has one
    (PACKAGE / f"{name}.toml").write_text(
        _card(name, model, backbone, trained.reports[0].steps, seconds, epochs, {}), "utf-8"
    )
    probes = _probe(name, data)
    text = _card(name, model, backbone, trained.reports[0].steps, seconds, epochs, probes)
    (PACKAGE / f"{name}.toml").write_text(text, "utf-8")
    print(text)


def _images(model: Model, data: Path, work: Path | None) -> Images:
    if model.data != "leaves":
        return load_images(data / model.data)
    path = (work or Path(tempfile.mkdtemp())) / "leaves.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, x_train=dead_leaves(12_000, SIZE, seed=0))
    return load_images(path)


def _probe(name: str, data: Path) -> dict[str, float]:
    """Return the validation accuracy of logistic regression on what the finished file gives."""
    found = {}
    for dataset in PROBES:
        images = load_images(dataset if ":" in dataset else data / dataset)
        setting = Setting(images, make_split(images), use_test=False, quiet=True)
        row = run_score(setting, load_backbone(f"zoo:{name}"), "logistic")
        found[dataset] = round(row.metrics["val"]["accuracy"], 4)
    return found


def _card(
    name: str,
    model: Model,
    backbone: Backbone,
    steps: int,
    seconds: float,
    epochs: int | None,
    probes: dict[str, float],
) -> str:
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*MODELS, "all"])
    parser.add_argument("--data", type=Path, required=True, help="folder with tiny_imagenet/ and eurosat/")
    parser.add_argument("--epochs", type=int, help="another length than the model's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="where the run lives, to go on after an interruption")
    given = parser.parse_args()
    for each in MODELS if given.name == "all" else [given.name]:
        make(each, given.data, epochs=given.epochs, seed=given.seed, work=given.work)

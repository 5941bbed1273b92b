"""The design: which models, protocols and seeds, as studies that the program runs; and what is known of a model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from studies.transfer.domains import file_of
from torch import nn

from acclimate.catalogue import entries, read, zoo_names
from acclimate.experiments.study import parse_study
from acclimate.experiments.study.plan import StudyPlan, plan_study
from acclimate.models import load_backbone

HERE: Final = Path(__file__).resolve().parent
NAME: Final = "transfer"
SIDE: Final = 32  # of every model's input, in pixels
SEEDS: Final = 3
TARGET: Final = "finetune"


@dataclass(frozen=True)
class Protocol:
    """One protocol of the study.

    Attributes
    ----------
    file
        Its settings, below ``studies/transfer/protocols``.
    what
        For the page.
    networks
        Kind of normalisation that a network needs for it; "" for any.
    """

    file: str
    what: str
    networks: str = ""


PROTOCOLS: Final[dict[str, Protocol]] = {
    "knn": Protocol("knn.toml", "k nearest neighbours on features as they are; validation chooses k"),
    "knn-zscore": Protocol("knn-zscore.toml", "the same on features of mean 0 and deviation 1"),
    "linear": Protocol("linear.toml", "logistic regression on features as they are; validation chooses C"),
    "linear-zscore": Protocol("linear-zscore.toml", "the same on features of mean 0 and deviation 1"),
    "head": Protocol("head.toml", "a classifier trained as `norm` and `finetune` are, on a frozen network"),
    "norm": Protocol("norm.toml", "a classifier, and scale and shift of every norm, trained (`norm/all`, shortened)"),
    "bn-paper": Protocol("bn-paper.toml", "the same with the batch norms of `bn/paper` alone; ResNets only", "batch"),
    "few-shot": Protocol("few-shot.toml", "everything trained, on 5 labelled images a class"),
    TARGET: Protocol("finetune.toml", "everything trained, on all training images: what is to be predicted"),
}


@dataclass(frozen=True)
class Model:
    """What the table says of a model.

    Attributes
    ----------
    family
        How it was pretrained: an objective, with ``, procedural`` where no photograph was seen; or ``random``.
    backbone
        ``resnet``, ``convnext``, ``vit``, ...: the architecture without timm's prefix.
    norm
        ``batch``, ``group`` or ``layer``: the kind most of its normalisation layers are of.
    """

    name: str
    family: str
    backbone: str
    norm: str
    parameters: int


def model_names() -> tuple[str, ...]:
    """Return every embedded model, and a random start of each architecture that these have."""
    known = {entry.name: entry.architecture for entry in entries()}
    starts = sorted({f"random:{known[name]}" for name in zoo_names()})
    return (*zoo_names(), *starts)


def describe(name: str) -> Model:
    """Return what is known of a model: from its card, and from the network itself."""
    backbone = load_backbone(name, image_size=SIDE)
    return Model(
        name,
        _family(name),
        backbone.architecture.removeprefix("test_").partition("_")[0],
        _norm(backbone.module),
        backbone.parameters,
    )


def _family(name: str) -> str:
    if not name.startswith("zoo:"):
        return "random"
    card = read("zoo", name.removeprefix("zoo:")).values
    objective = str(card["made"]["objective"])
    return objective if "Tiny ImageNet" in card["model"]["source"] else f"{objective}, procedural"


def _norm(network: nn.Module) -> str:
    kinds = {"batch": nn.modules.batchnorm._BatchNorm, "group": nn.GroupNorm, "layer": nn.LayerNorm}
    counts = {kind: sum(isinstance(m, of) for m in network.modules()) for kind, of in kinds.items()}
    return max(counts, key=lambda kind: counts[kind])


def plan(seed: int, folder: Path, models: dict[str, Model], domains: Iterable[str]) -> StudyPlan:
    """Return the cells of one seed as a study of the program.

    Parameters
    ----------
    folder
        Holds the domains' files.
    """
    unfit = {
        protocol.file: [m.name for m in models.values() if m.norm != protocol.networks or m.backbone != "resnet"]
        for protocol in PROTOCOLS.values()
        if protocol.networks
    }
    study = {
        "name": NAME,
        "models": list(models),
        "data": [file_of(name, seed) for name in domains],
        "protocols": [protocol.file for protocol in PROTOCOLS.values()],
        "seeds": 1,
        "image_size": SIDE,
        "exclude": [{"protocols": [file], "models": names} for file, names in unfit.items() if names],
    }
    return plan_study(parse_study(study, where=json.dumps(NAME)), HERE / "protocols", data_root=folder, seed=seed)

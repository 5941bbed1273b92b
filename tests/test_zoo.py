"""The embedded models: small, pretrained, true to their cards, and made by commands that exist."""

from __future__ import annotations

import functools
import importlib.util
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from zoo.leaves import dead_leaves
from zoo.models import ARCHITECTURES, MODELS
from zoo.train import PACKAGE

from acclimate import list_models as models
from acclimate.catalogue import entries, read, tables, zoo_names, zoo_weights
from acclimate.commands import demo
from acclimate.models import load_backbone

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 12_000_000  # of the whole zoo in the package
METHODS = {"byol", "simclr", "moco-v2", "barlow", "vicreg", "swav", "dino", "mae", "rotation", "supervised"}
EARLIER = {"resnet-supervised", "resnet-byol", "resnet-leaves"}  # of other lengths
PROBES = {"builtin:digits", "eurosat"}


@functools.cache
def card_of(name: str) -> dict[str, Any]:
    return read("zoo", name.removeprefix("zoo:")).values


@functools.cache
def starts() -> dict[str, Any]:
    return tables("random")


def test_every_model_that_can_be_made_is_embedded() -> None:
    assert len(MODELS) >= 12
    assert {name.removeprefix("zoo:") for name in zoo_names()} == set(MODELS)


def test_the_zoo_is_small_and_has_every_method_and_kind_of_image() -> None:
    assert sum(file.stat().st_size for file in PACKAGE.iterdir()) <= MOST_BYTES
    assert {model.stage.objective for model in MODELS.values()} == METHODS
    assert {model.data for model in MODELS.values()} == {"tiny_imagenet", "leaves"}


def test_the_architectures_have_all_kinds_of_norm() -> None:
    backbones = [load_backbone(f"random:{name}", image_size=size) for name, size in ARCHITECTURES.items()]
    norms = {type(module).__name__ for backbone in backbones for module in backbone.module.modules()}
    assert norms >= {"BatchNorm2d", "GroupNormAct", "LayerNorm"}


@pytest.mark.parametrize("name", zoo_names())
def test_card(name: str) -> None:
    short = name.removeprefix("zoo:")
    card, model = card_of(name), MODELS[short]
    entry = next(entry for entry in entries() if entry.name == name)
    assert (entry.architecture, entry.source, entry.licence) == (model.architecture, model.source, model.licence)
    assert len(zoo_weights(name).read_bytes()) <= 2**20
    assert shlex.split(card["made"]["command"])[:4] == ["python", "-m", "zoo.train", short]
    assert card["made"]["objective"] == model.stage.objective
    assert card["made"]["batch"] == model.stage.batch
    assert card["made"]["seconds"] > 0
    assert set(card["probes"]) == PROBES
    assert all(0 < value <= 1 for value in card["probes"].values())


@pytest.mark.parametrize("name", zoo_names())
def test_a_probe_gains_on_the_random_start(name: str) -> None:
    card = card_of(name)
    start = starts()[card["model"]["architecture"]]["probes"]
    assert any(value > start[probe] for probe, value in card["probes"].items())


@pytest.mark.parametrize("name", zoo_names())
def test_model_loads_as_its_card_says_and_gives_finite_features(name: str) -> None:
    backbone, model = load_backbone(name), MODELS[name.removeprefix("zoo:")]
    assert not backbone.random_start
    assert backbone.digest != load_backbone(f"random:{model.architecture}", image_size=model.size).digest
    assert backbone.parameters == card_of(name)["model"]["parameters"]
    assert backbone.preprocess.size == (model.size, model.size)
    features = backbone.embed(torch.rand(2, 3, model.size, model.size, generator=torch.Generator().manual_seed(0)))
    assert torch.isfinite(features).all()
    assert (features[0] - features[1]).norm() > 1e-4 * features[0].norm(), "two images have the same features"


def test_self_supervised_networks_that_are_compared_saw_as_many_images() -> None:
    compared = [card_of(name)["made"] for name in MODELS if name.startswith("resnet-") and name not in EARLIER]
    assert len(compared) == 7
    assert len({made["steps"] * made["batch"] for made in compared}) == 1


def test_random_starts_have_cards_and_are_listed() -> None:
    assert set(starts()) == set(ARCHITECTURES)
    listed = {entry["name"]: entry for entry in models(family="random")["models"]}
    assert set(listed) == {f"random:{architecture}" for architecture in ARCHITECTURES}
    assert {entry["weights"] for entry in listed.values()} == {"none"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_random_start_is_as_its_card_says(architecture: str) -> None:
    card = starts()[architecture]
    backbone = load_backbone(f"random:{architecture}", image_size=card["made"]["size"])
    assert backbone.random_start
    assert backbone.parameters == card["parameters"]
    assert card["made"]["size"] == ARCHITECTURES[architecture]
    assert shlex.split(card["made"]["command"])[:4] == ["python", "-m", "zoo.train", "random"]
    assert set(card["probes"]) == PROBES


def test_the_demo_ranks_few_of_them() -> None:
    assert set(demo.MODELS) < set(zoo_names())
    assert len(demo.MODELS) == 4


def test_page_is_not_stale() -> None:
    spec = importlib.util.spec_from_file_location("make_zoo", ROOT / "docs" / "make_zoo.py")
    assert spec
    assert spec.loader
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.PAGE.read_text("utf-8") == maker.page(), "run: python docs/make_zoo.py"


def test_dead_leaves_depend_on_seed_and_number_alone() -> None:
    images = dead_leaves(3, 32, seed=0)
    assert images.shape == (3, 32, 32, 3)
    assert np.array_equal(images[:2], dead_leaves(2, 32, seed=0))
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images, dead_leaves(3, 32, seed=1))

"""The embedded models: small, pretrained, true to their cards, and made by commands that exist."""

from __future__ import annotations

import shlex
import tomllib

import numpy as np
import pytest
from zoo.leaves import dead_leaves
from zoo.train import MODELS, PACKAGE

from acclimate.backbones import load_backbone
from acclimate.catalogue import entries, zoo_names, zoo_weights


def test_every_model_that_can_be_made_is_embedded() -> None:
    assert len(MODELS) >= 4
    assert {name.removeprefix("zoo:") for name in zoo_names()} == set(MODELS)


@pytest.mark.parametrize("name", zoo_names())
def test_card(name: str) -> None:
    short = name.removeprefix("zoo:")
    card = tomllib.loads((PACKAGE / f"{short}.toml").read_text("utf-8"))
    backbone = load_backbone(name)
    entry = next(entry for entry in entries() if entry.name == name)
    assert not backbone.random_start
    assert backbone.digest != load_backbone(f"random:{entry.architecture}", image_size=64).digest
    assert backbone.parameters == entry.parameters
    assert len(zoo_weights(name).read_bytes()) <= 2**20
    assert shlex.split(card["made"]["command"])[:4] == ["python", "-m", "zoo.train", short]
    assert card["made"]["objective"] == MODELS[short].stage.objective
    assert set(card["probes"]) == {"builtin:digits", "eurosat"}


def test_dead_leaves_depend_on_seed_and_number_alone() -> None:
    images = dead_leaves(3, 32, seed=0)
    assert images.shape == (3, 32, 32, 3)
    assert np.array_equal(images[:2], dead_leaves(2, 32, seed=0))
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images, dead_leaves(3, 32, seed=1))

"""The automatic settings: as measured where they were, within memory and patience elsewhere, and what they refuse."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from acclimate.errors import RecipeError
from acclimate.experiments.adaptation.settings import Situation, choose, situation
from acclimate.models.network import family_of
from acclimate.objectives import OBJECTIVES

SMALL = Situation(2400, 64, "batch-norm", 3.3e7, "cpu", 370_000, 9.6e5, 16e9)
LARGE = Situation(3000, 224, "batch-norm", 8.2e9, "cuda", 23_500_000, 86e6, 24e9)
METHODS = [name for name, (kind, _) in OBJECTIVES.items() if not kind.needs_labels]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pool", [2, 17, 200, 3000, 100_000])
def test_every_method_gets_a_recipe_and_a_reason_for_each_setting(method: str, pool: int) -> None:
    for seen in (SMALL, LARGE):
        choice = choose(method, dataclasses.replace(seen, pool=pool), fixed={})
        stage = choice.recipe.stages[0]
        assert stage.objective == method
        assert 1 <= stage.batch <= pool
        assert all(choice.reasons.values())
        assert set(choice.reasons) >= {"batch", "lr"}
        assert set(stage.options) <= set(choice.reasons)


def test_where_it_was_measured() -> None:
    stage = choose("byol", SMALL, fixed={}).recipe.stages[0]
    assert (stage.batch, stage.steps, stage.lr, stage.backbone_lr, stage.head_steps) == (128, 1800, 0.001, 1.0, 60)
    assert stage.options["ema"] == 0.99
    assert choose("byol", SMALL, scope="norm", fixed={}).recipe.stages[0].steps == 600


def test_a_large_network_gets_a_smaller_rate_and_a_batch_that_fits() -> None:
    choice = choose("byol", LARGE, fixed={})
    stage = choice.recipe.stages[0]
    assert stage.backbone_lr == 0.3
    assert stage.batch * stage.accumulate == 256
    assert 2 * stage.batch * LARGE.image_bytes < 0.6 * LARGE.memory < 4 * stage.batch * LARGE.image_bytes
    assert "fit into 22.4 GiB" in choice.reasons["batch"]
    assert choose("byol", dataclasses.replace(LARGE, memory=math.inf), fixed={}).recipe.stages[0].accumulate == 1


def test_a_cpu_is_told_what_it_cannot_do() -> None:
    choice = choose("byol", dataclasses.replace(LARGE, device="cpu"), fixed={})
    assert choice.recipe.stages[0].batch == 32
    assert "expect little; take a GPU, norm-stats or smaller images" in choice.reasons["steps"]


def test_statistics_are_of_nearly_the_whole_pool() -> None:
    for pool in range(2, 700):
        stage = choose("norm-stats", dataclasses.replace(SMALL, pool=pool), fixed={}).recipe.stages[0]
        assert pool - (pool // stage.batch) * stage.batch < math.ceil(pool / 128)


def test_what_is_given_is_kept_and_counted_on() -> None:
    choice = choose("byol", SMALL, fixed={"steps": 90, "batch": 64, "ema": 0.5, "l2_sp": 0.1})
    stage = choice.recipe.stages[0]
    assert (stage.steps, stage.batch, stage.head_steps, stage.l2_sp) == (90, 64, 9, 0.1)
    assert stage.options["ema"] == 0.5
    assert {name for name, why in choice.reasons.items() if why == "given"} == {"steps", "batch", "ema", "l2_sp"}
    by_epochs = choose("byol", SMALL, fixed={"epochs": 2}).recipe.stages[0]
    assert (by_epochs.epochs, by_epochs.steps, by_epochs.head_steps) == (2, None, 3)


def test_refusals() -> None:
    with pytest.raises(RecipeError, match=r"unknown method 'simclrr'.*did you mean 'simclr'"):
        choose("simclrr", SMALL, fixed={})
    with pytest.raises(RecipeError, match="unknown setting of 'byol' 'queue'"):
        choose("byol", SMALL, fixed={"queue": 3})


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("test_resnet", "batch-norm"),
        ("test_vit", "transformer"),
        ("test_convnext", "other"),
        ("swin_s3_tiny_224", "transformer"),
        ("resnetv2_50x1_bit", "other"),
    ],
)
def test_families(name: str, family: str) -> None:
    assert family_of(timm.create_model(name, num_classes=0)) == family


def test_situation_measures_the_network() -> None:
    network = timm.create_model("test_resnet", num_classes=0).eval()
    seen = situation(network, (64, 64), pool=10, device="cpu")
    assert seen.flops == pytest.approx(3.28e7, rel=0.01)
    assert 4e5 < seen.image_bytes < 4e6
    assert seen.parameters == 372_688
    assert seen.memory > 2**28


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_operations_are_those_of_torchs_own_counter(name: str) -> None:
    network = timm.create_model(name, num_classes=0).eval()
    size = network.pretrained_cfg["input_size"][-2:]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, *size))
    assert situation(network, size, pool=10, device="cpu").flops == counter.get_total_flops() > 0


def test_counting_operations_imports_no_compiler() -> None:
    program = (
        "import sys, torch; from acclimate.experiments.adaptation.settings import situation; "
        "situation(torch.nn.Conv2d(3, 8, 3).eval(), (8, 8), pool=1, device='cpu'); "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

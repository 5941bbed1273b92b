"""Recipes: TOML in and out, and every mistake found before any work."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from acclimate.catalogue import plain_names
from acclimate.errors import RecipeError
from acclimate.protocols import find_training
from acclimate.training.recipe import parse_recipe

STAGE = {"scope": "head", "epochs": 1, "lr": 0.1}


def test_the_promised_recipes_ship() -> None:
    assert {"linear", "bn", "finetune", "staged"} == set(plain_names())


@pytest.mark.parametrize("name", plain_names())
def test_round_trip(name: str, tmp_path: Path) -> None:
    recipe = find_training(name).fixed_recipe()
    assert recipe.name == name
    assert recipe.source
    recipe.save(tmp_path / "recipe.toml")
    assert find_training(tmp_path / "recipe.toml").fixed_recipe() == recipe
    assert parse_recipe(tomllib.loads(recipe.to_toml()), where="again") == recipe


def test_ssda_is_byol_then_head_then_all() -> None:
    stages = find_training("ssda").stages
    assert [(s.objective, s.scope) for s in stages] == [("byol", "all"), ("supervised", "head"), ("supervised", "all")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lerning_rate": 1}, "unknown key 'lerning_rate'"),
        ({"epoch": 3}, "unknown key 'epoch'; did you mean 'epochs'"),
        ({"objective": "byool"}, "unknown objective 'byool'; did you mean 'byol'"),
        ({"scope": "hed"}, "unknown scope term 'hed'; did you mean 'head'"),
        ({"augment": "lihgt"}, "unknown augmentation 'lihgt'; did you mean 'light'"),
        ({"lr": -1.0}, r"stages.0.lr: .*greater than 0, got -1.0"),
        ({"lr": "fast"}, r"stages.0.lr: .*got 'fast'"),
        ({"steps": 5}, "exactly one of 'epochs' and 'steps'"),
        ({"options": {"label_smoothing": 2.0}}, "label_smoothing: .*less than 1, got 2.0"),
        ({"options": {"smoothing": 0.1}}, "unknown key 'smoothing'; did you mean 'label_smoothing'"),
        ({"objective": "byol"}, "scope 'head' leaves it nothing"),
    ],
)
def test_mistakes_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe({"name": "x", "stages": [{**STAGE, **change}]}, where="'x'")


def test_unknown_name_and_bad_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown recipe 'liner'; did you mean 'linear'"):
        find_training("liner")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(RecipeError, match="is not valid TOML"):
        find_training(broken)
    broken.write_text("name = 'x'\nstages = []")
    with pytest.raises(RecipeError, match=r"stages: .*at least 1 item"):
        find_training(broken)

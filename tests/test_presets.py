"""Presets: every one runs and its row states its settings; bad ones are refused; a scale shortens and is recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.backbones import Backbone, load_backbone
from acclimate.errors import InputError, RecipeError
from acclimate.images import Images, load_images, make_split
from acclimate.metrics import measure
from acclimate.presets import load_preset, preset_names, scaled
from acclimate.presets.load import read_preset
from acclimate.protocols import Setting, protocol_names, run_protocol
from acclimate.recipe import recipe_names
from acclimate.results import Results
from acclimate.scores import SCORES

CHOOSING = """
name = "own/choosing"
source = "this test"
deviations = []

[recipe]
refit = true

[[recipe.stages]]
scope = "head"
augment = "none"
epochs = 4
batch = 16
lr = 0.01

[recipe.choose]
lr = [1e-6, 0.01]
weight_decay = [0.0, 1e-4]
"""


@pytest.fixture(scope="module")
def images(digits_folder: Path) -> Images:
    return load_images(digits_folder)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("random:test_resnet", image_size=32)


@pytest.fixture
def setting(images: Images) -> Setting:
    return Setting(images, make_split(images), device="cpu", quiet=True)


def written(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def with_stage(**more: Any) -> str:
    values = {"scope": "head", "augment": "none", "epochs": 4, "lr": 0.01, **more}
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(['name = "own"', 'source = "test"', "deviations = []", "[[recipe.stages]]", *lines])


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_whole(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert len(preset.source) > 20
    assert all(len(text) > 10 for text in preset.deviations)
    assert scaled(preset, 1) is preset
    assert scaled(preset, 0.01).kind == preset.kind


def test_protocols_are_named_once() -> None:
    names = protocol_names()
    assert len(set(names)) == len(names)
    assert {*preset_names(), *SCORES, *recipe_names()} == set(names)


def test_a_choice_is_made_on_validation_and_trained_again_with_it(
    setting: Setting, backbone: Backbone, tmp_path: Path
) -> None:
    name, results = written(tmp_path, CHOOSING), Results(tmp_path / "rows")
    row = run_protocol(setting, backbone, name, tmp_path / "run", results)
    assert [r.key for r in results.rows()] == [row.key]
    points = row.chosen["points"]
    assert [(p["lr"], p["weight_decay"]) for p in points] == [(1e-6, 0), (1e-6, 1e-4), (0.01, 0), (0.01, 1e-4)]
    best = max(points, key=lambda p: (p["val_accuracy"], -p["val_log_loss"]))
    assert row.chosen["lr"] == best["lr"] == 0.01
    assert row.metrics["val"]["accuracy"] == best["val_accuracy"]
    kept = results.predictions(row.key)
    assert set(kept.index) == {*setting.split.val, *setting.split.test}
    held = np.isin(kept.index, setting.split.test)
    again = measure(kept.probabilities[held].astype(np.float64), kept.labels[held], n_classes=3)
    assert again == pytest.approx(dict(row.metrics["test"]), abs=1e-5)
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert told["images"]["train"] == len(setting.split.train) + len(setting.split.val)
    for file in (tmp_path / "run" / "points").glob("0*/rows/*.json"):
        assert set(json.loads(file.read_text())["metrics"]) == {"val"}
    assert run_protocol(setting, backbone, name, tmp_path / "run", results) == row


def test_without_a_test_part_nothing_is_trained_on_validation(
    setting: Setting, backbone: Backbone, tmp_path: Path
) -> None:
    row = run_protocol(
        replace(setting, use_test=False), backbone, written(tmp_path, CHOOSING), tmp_path / "run", scale=0.5
    )
    assert set(row.metrics) == {"val"}
    assert row.chosen["refit"] is False
    assert len(row.chosen["points"]) == 2
    assert row.settings["scale"] == 0.5
    assert row.settings["stages"][0]["epochs"] == 2


def test_a_preset_s_label_budget(setting: Setting, backbone: Backbone, tmp_path: Path) -> None:
    text = with_stage().replace("[[recipe", '[recipe]\nlabels = "10%"\n[[recipe', 1)
    row = run_protocol(setting, backbone, written(tmp_path, text), tmp_path / "run")
    assert row.labels == "10%"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["images"]["train"] == 3 * 2
    with pytest.raises(InputError, match="got a label budget of 5 for 'own', which takes 10% of the labels by itself"):
        run_protocol(replace(setting, labels="5"), backbone, written(tmp_path, text), tmp_path / "run")


def test_bad_names_and_scales(setting: Setting, backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown protocol 'finetun'; did you mean 'finetune"):
        run_protocol(setting, backbone, "finetun", tmp_path)
    with pytest.raises(RecipeError, match="unknown preset 'knn/dina'"):
        load_preset("knn/dina")
    for scale in (0.0, 1.5, float("nan")):
        with pytest.raises(RecipeError, match=f"got scale {scale}; expected more than 0 and at most 1"):
            run_protocol(setting, backbone, "knn", tmp_path, scale=scale)
    with pytest.raises(RecipeError, match=r"got scale 0\.5 for 'knn', which is no preset"):
        run_protocol(setting, backbone, "knn", tmp_path, scale=0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "is not valid TOML"),
        ('name = "a"\nsource = "b"\ndeviations = []', "got none; expected exactly one of"),
        (with_stage() + '\n[score]\nname = "knn"', r"got score and recipe; expected exactly one of \[score\]"),
        (with_stage().replace("source", "sourc"), "unknown key 'sourc'; did you mean 'source'"),
        (with_stage(weigth_decay=0), "unknown key 'weigth_decay'; did you mean 'weight_decay'"),
        (with_stage(lr=-1), "recipe.stages.0.lr: .* greater than 0, got -1"),
        (with_stage(objective="byol", scope="all"), "the last stage trains no classifier"),
        (with_stage() + "\n[recipe.choose]\nlearning = [1]", "choose: unknown key 'learning'"),
        (with_stage() + "\n[recipe.choose]\nlr = [0]", "choose: lr: .* greater than 0"),
        (with_stage().replace("[[recipe", "[recipe]\nrefit = true\n[[recipe"), "'refit' trains a chosen point again"),
        (with_stage().replace("[[recipe", '[recipe]\nlabels = "few"\n[[recipe'), "recipe.labels: cannot read 'few'"),
        ('name = "a"\nsource = "b"\ndeviations = []\n[score]\nname = "knm"', "score.name: unknown score 'knm'; did"),
    ],
)
def test_bad_presets(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=f"preset here.*{message}"):
        read_preset(text, where="here")


def test_a_file_has_the_name_it_says() -> None:
    with pytest.raises(RecipeError, match="says name 'own'; expected the name of its file, 'other'"):
        read_preset(with_stage(), where="here", name="other")

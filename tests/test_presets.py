"""Presets: every one runs and its row states its settings; bad ones are refused; a scale shortens and is recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RUNTIME
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from acclimate.errors import DataError, InputError, RecipeError
from acclimate.images import Images, load_images, make_split
from acclimate.models import Backbone, load_backbone
from acclimate.protocols import Task, for_network, load_preset, preset_names, protocol_names, run_protocol, scaled
from acclimate.protocols.load import read_preset
from acclimate.scores import PROBES
from acclimate.stats.metrics import measure
from acclimate.storage.results import Results
from acclimate.training.recipe import recipe_names

SMALL = {"score": 0.02, "episodes": 0.02, "recipe": 0.0004}  # of the length
WIDE = ("staged/ssda",)  # needs a pool of a whole batch

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
def task(images: Images) -> Task:
    return Task(images, make_split(images))


def written(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def with_stage(**more: Any) -> str:
    values = {"scope": "head", "augment": "none", "epochs": 4, "lr": 0.01, **more}
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(['name = "own"', 'source = "test"', "deviations = []", "[[recipe.stages]]", *lines])


def of_kind(part: str) -> str:
    return f'name = "a"\nsource = "b"\ndeviations = []\n{part}'


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_whole(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert len(preset.source) > 20
    assert all(len(text) > 10 for text in preset.deviations)
    assert scaled(preset, 1) is preset
    assert scaled(preset, 0.01).kind == preset.kind


@pytest.fixture(scope="module")
def embedded() -> Backbone:
    return load_backbone("zoo:resnet-byol")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Return a task of six digits with enough images for episodes of 5 ways, 50 shots and 15 queries."""
    bunch = load_digits()
    y = np.concatenate([np.flatnonzero(bunch.target == label)[:100] for label in range(6)])
    scans, labels = np.round(bunch.images[y] * (255 / 16)).astype(np.uint8), bunch.target[y]
    test = np.arange(len(y)) % 5 == 0
    file = tmp_path_factory.mktemp("wide") / "digits.npz"
    np.savez(file, x_train=scans[~test], y_train=labels[~test], x_test=scans[test], y_test=labels[test])
    images = load_images(file)
    return Task(images, make_split(images))


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_runs_on_the_embedded_zoo_and_its_row_states_its_settings(
    task: Task, wide: Task, embedded: Backbone, name: str, tmp_path: Path
) -> None:
    preset = for_network(load_preset(name), embedded)
    small = SMALL[preset.kind]
    shorter = scaled(preset, small)
    task = wide if name in WIDE or preset.kind == "episodes" else task
    row = run_protocol(task, embedded, RUNTIME, name, tmp_path / "run", Results(tmp_path), scale=small)
    assert (row.protocol, row.settings["kind"], row.settings["scale"]) == (name, shorter.kind, small)
    stated = {key: value for key, value in row.settings.items() if key not in ("kind", "scale", "parts", "features")}
    assert stated == shorter.stated()
    assert set(row.metrics) == {"val", "test"}
    assert all(0 <= row.metrics[part]["accuracy"] <= 1 for part in row.metrics)
    assert row.key == Results(tmp_path).rows()[0].key
    assert run_protocol(task, embedded, RUNTIME, name, tmp_path / "run", Results(tmp_path), scale=small) == row


def test_protocols_are_named_once() -> None:
    names = protocol_names()
    assert len(set(names)) == len(names) > len(PROBES) + len(recipe_names())
    assert {*preset_names(), *PROBES, *recipe_names()} == set(names)
    assert not {*PROBES} & {*preset_names()}


@pytest.mark.parametrize(("name", "normaliser"), [("knn/marks", None), ("knn/marks-zscore", StandardScaler())])
def test_marks_is_scikit_learn_s_classifier(
    task: Task, backbone: Backbone, tmp_path: Path, name: str, normaliser: StandardScaler | None
) -> None:
    row = run_protocol(task, backbone, RUNTIME, name, tmp_path)
    kept = Results(tmp_path).predictions(row.key)
    features = task.features(backbone, RUNTIME)
    x = features.x.astype(float)
    if normaliser is not None:
        x = normaliser.fit(x[task.split.train]).transform(x)
    theirs = KNeighborsClassifier(20, weights="distance", algorithm="brute")
    theirs.fit(x[task.split.train], features.y[task.split.train])
    np.testing.assert_allclose(kept.probabilities, theirs.predict_proba(x[kept.index]), atol=2e-4)


def test_validation_numbers_are_those_before_the_fit_on_validation(
    task: Task, backbone: Backbone, tmp_path: Path
) -> None:
    row = run_protocol(task, backbone, RUNTIME, "logreg/dinov2", tmp_path, scale=0.2)
    path = {point["C"]: point["val_accuracy"] for point in row.chosen["path"]}
    assert next(iter(path)) == pytest.approx(1e-6)
    assert list(path)[-1] == pytest.approx(1e5)
    assert len(path) == 9
    assert row.metrics["val"]["accuracy"] == pytest.approx(path[row.chosen["C"]]) == max(path.values())


def test_episodes_leave_the_test_part_sealed(wide: Task, embedded: Backbone, tmp_path: Path) -> None:
    both = run_protocol(wide, embedded, RUNTIME, "episodes/ericsson", tmp_path / "a", scale=0.05)
    sealed = run_protocol(
        replace(wide, use_test=False), embedded, RUNTIME, "episodes/ericsson", tmp_path / "b", scale=0.05
    )
    assert both.settings["episodes"] == 30
    assert sealed.metrics["val"] == both.metrics["val"]
    assert both.metrics["test"] != both.metrics["val"]
    assert all(m["accuracy_low"] < m["accuracy"] < m["accuracy_high"] for m in both.metrics.values())


def test_an_episode_needs_images(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3 of 3 classes have the 20 images .* at least 5: ask for fewer ways"):
        run_protocol(task, backbone, RUNTIME, "episodes/ericsson", tmp_path)


def test_a_class_with_one_image_keeps_it_at_any_budget(images: Images, backbone: Backbone, tmp_path: Path) -> None:
    whole = make_split(images)
    ones = whole.train[images.labels[whole.train] == 2][:1]
    train = np.sort(np.concatenate([whole.train[images.labels[whole.train] != 2], ones]))
    task = Task(images, replace(whole, train=train))
    text = with_stage().replace("[[recipe", '[recipe]\nlabels = "1%"\n[[recipe', 1)
    row = run_protocol(task, backbone, RUNTIME, written(tmp_path, text), tmp_path / "run")
    assert (row.labels, json.loads((tmp_path / "run" / "run.json").read_text())["images"]["train"]) == ("1%", 3)


def test_a_choice_is_made_on_validation_and_trained_again_with_it(
    task: Task, backbone: Backbone, tmp_path: Path
) -> None:
    name, results = written(tmp_path, CHOOSING), Results(tmp_path / "rows")
    row = run_protocol(task, backbone, RUNTIME, name, tmp_path / "run", results)
    assert [r.key for r in results.rows()] == [row.key]
    points = row.chosen["points"]
    assert [(p["lr"], p["weight_decay"]) for p in points] == [(1e-6, 0), (1e-6, 1e-4), (0.01, 0), (0.01, 1e-4)]
    best = max(points, key=lambda p: (p["val_accuracy"], -p["val_log_loss"]))
    assert row.chosen["lr"] == best["lr"] == 0.01
    assert row.metrics["val"]["accuracy"] == best["val_accuracy"]
    kept = results.predictions(row.key)
    assert set(kept.index) == {*task.split.val, *task.split.test}
    held = np.isin(kept.index, task.split.test)
    again = measure(kept.probabilities[held].astype(np.float64), kept.labels[held], n_classes=3)
    assert again == pytest.approx(dict(row.metrics["test"]), abs=1e-5)
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert told["images"]["train"] == len(task.split.train) + len(task.split.val)
    for file in (tmp_path / "run" / "points").glob("0*/rows/*.json"):
        assert set(json.loads(file.read_text())["metrics"]) == {"val"}
    assert run_protocol(task, backbone, RUNTIME, name, tmp_path / "run", results) == row


def test_without_a_test_part_nothing_is_trained_on_validation(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    row = run_protocol(
        replace(task, use_test=False), backbone, RUNTIME, written(tmp_path, CHOOSING), tmp_path / "run", scale=0.5
    )
    assert set(row.metrics) == {"val"}
    assert row.chosen["refit"] is False
    assert len(row.chosen["points"]) == 2
    assert row.settings["scale"] == 0.5
    assert row.settings["stages"][0]["epochs"] == 2


def test_a_preset_s_label_budget(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    text = with_stage().replace("[[recipe", '[recipe]\nlabels = "10%"\n[[recipe', 1)
    row = run_protocol(task, backbone, RUNTIME, written(tmp_path, text), tmp_path / "run")
    assert row.labels == "10%"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["images"]["train"] == 3 * 2
    with pytest.raises(InputError, match="got a label budget of 5 for 'own', which takes 10% of the labels by itself"):
        run_protocol(replace(task, labels="5"), backbone, RUNTIME, written(tmp_path, text), tmp_path / "run")


def test_bad_names_and_scales(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown protocol 'finetun'; did you mean 'finetune"):
        run_protocol(task, backbone, RUNTIME, "finetun", tmp_path)
    with pytest.raises(RecipeError, match="unknown preset 'knn/dina'"):
        load_preset("knn/dina")
    for scale in (0.0, 1.5, float("nan")):
        with pytest.raises(RecipeError, match=f"got scale {scale}; expected more than 0 and at most 1"):
            run_protocol(task, backbone, RUNTIME, "knn", tmp_path, scale=scale)
    with pytest.raises(RecipeError, match=r"got scale 0\.5 for 'knn', which is no preset"):
        run_protocol(task, backbone, RUNTIME, "knn", tmp_path, scale=0.5)


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
        (of_kind('[score]\nname = "knm"'), "score.name: unknown score 'knm'; did"),
        (of_kind('[score]\nname = "knn"\nsettings = {kk = 3}'), "score: unknown setting 'kk'; did you mean 'k'"),
        (of_kind('[score]\nname = "knn"\nsettings = {k = [0]}'), "score: k.0: .* greater than or equal to 1, got 0"),
        (of_kind('[score]\nname = "knn"\nsettings = {normalise = "l3"}'), "score: normalise: .*'whiten'.* got 'l3'"),
        (of_kind("[episodes]\nway = 3"), "unknown key 'way'; did you mean 'ways'"),
    ],
)
def test_bad_presets(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=f"preset here.*{message}"):
        read_preset(text, where="here")


def test_a_file_has_the_name_it_says() -> None:
    with pytest.raises(RecipeError, match="says name 'own'; expected the name of its file, 'other'"):
        read_preset(with_stage(), where="here", name="other")

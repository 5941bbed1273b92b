"""Protocols of papers: each runs and its row states its settings; bad files are refused; a scale shortens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from conftest import RUNTIME
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from acclimate.catalogue import ALIASES, ROW_KINDS, names, plain_names, read
from acclimate.errors import DataError, InputError, RecipeError
from acclimate.images import Images, load_images, make_split
from acclimate.models import Backbone, load_backbone
from acclimate.protocols import Task, find_protocol, protocol_names
from acclimate.scores import PROBES
from acclimate.stats.metrics import measure
from acclimate.storage.results import Result, Results

CITED = tuple(name for name in names("protocols") if "/" in name or name == "vtab1k")
SMALL = {"probe": 0.02, "episodes": 0.02, "recipe": 0.0004}  # of the length
UNSHORTENED = ("knn/marks", "knn/marks-l2", "knn/marks-zscore", "knn/marks-zscore-val", "logreg/clip", "ncm/mensink")
UNSHORTENED += tuple(f"ridge/big_vision{images}" for images in ("", "-1", "-5", "-25"))  # one value of each setting
WIDE = ("staged/ssda",)  # needs a pool of a whole batch

CHOOSING = """
name = "own/choosing"
source = "this test"
deviations = []
refit = true

[[stages]]
scope = "head"
augment = "none"
epochs = 4
batch = 16
lr = 0.01

[choose]
lr = [1e-6, 0.01]
weight_decay = [0.0, 1e-4]
"""


def written(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def with_stage(**more: Any) -> str:
    values = {"scope": "head", "augment": "none", "epochs": 4, "lr": 0.01, **more}
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(['name = "own"', 'source = "test"', "deviations = []", "[[stages]]", *lines])


def of_kind(part: str) -> str:
    return f'name = "a"\nsource = "b"\ndeviations = []\n{part}'


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_is_whole(name: str, embedded: Backbone, capsys: pytest.CaptureFixture[str]) -> None:
    protocol = find_protocol(name)
    assert protocol.name == ALIASES.get(name, name)
    assert len(protocol.source) > 20
    assert protocol.cited == (name not in plain_names() and name not in PROBES)
    assert protocol.cited or "/" not in name
    assert all(len(text) > 10 for text in protocol.deviations or ())
    assert protocol.at_scale(1) == protocol
    assert protocol.trains == (protocol.kind == "recipe")
    assert find_protocol(protocol) is protocol
    assert (capsys.readouterr().err == "") == (name not in ALIASES)
    if not protocol.scalable:
        with pytest.raises(RecipeError, match=f"got scale 0.01 for '{name}', which is no preset; expected a preset"):
            protocol.at_scale(0.01)
        return
    shorter = protocol.at_scale(0.01).as_run(embedded)
    assert (shorter.kind, shorter.scale, shorter.statement().settings["scale"]) == (protocol.kind, 0.01, 0.01)
    assert shorter.stated() != protocol.stated() or name in UNSHORTENED


@pytest.mark.parametrize("name", names("protocols"))
def test_every_file_reads_back_and_has_the_name_that_it_says(name: str, tmp_path: Path) -> None:
    values = read("protocols", name).values
    assert values["name"] == name
    file = tmp_path / "again.toml"
    file.write_text(tomli_w.dumps(values), encoding="utf-8")
    assert find_protocol(file) == find_protocol(name)


def old_form(values: dict[str, Any]) -> dict[str, Any]:
    """Return a cited protocol's table in the form of the first program."""
    head = {key: values[key] for key in ("name", "source", "deviations")}
    own = {key: value for key, value in values.items() if key not in head}
    if "probe" in own:
        return head | {"score": {**own.pop("probe"), **own}}
    return head | (own if "episodes" in own else {"recipe": own})


@pytest.mark.parametrize("name", CITED)
def test_the_older_form_of_a_file_is_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / "old.toml"
    file.write_text(tomli_w.dumps(old_form(read("protocols", name).values)), encoding="utf-8")
    assert find_protocol(file) == find_protocol(name)


def test_a_file_without_deviations_is_a_recipe_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    plain = {"name": "own", "stages": [{"scope": "head", "epochs": 1, "lr": 0.1}]}
    file.write_text(tomli_w.dumps(plain), encoding="utf-8")
    assert not find_protocol(file).scalable
    for more in ({"deviations": []}, {"labels": "5"}, {"choose": {"lr": [0.1]}}):
        file.write_text(tomli_w.dumps(plain | more), encoding="utf-8")
        assert find_protocol(file).scalable
    file.write_text(tomli_w.dumps({"name": "own", "recipe": {"stages": plain["stages"]}}), encoding="utf-8")
    assert find_protocol(file).scalable


def test_a_deprecated_name_runs_what_stands_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    for old, new in ALIASES.items():
        protocol = find_protocol(old)
        assert capsys.readouterr().err == f"acclimate: '{old}' is a deprecated name of '{new}', which is run\n"
        assert protocol == find_protocol(new)
    assert capsys.readouterr().err == ""
    assert old not in names("protocols")


def measured(
    task: Task, backbone: Backbone, name: str, folder: Path, results: Results | None = None, *, scale: float = 1.0
) -> Result:
    """Run the protocol of a name and return its row."""
    return find_protocol(name).at_scale(scale).run(task, backbone, RUNTIME, folder, results).row


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


@pytest.mark.parametrize("name", CITED)
def test_every_one_runs_on_the_embedded_zoo_and_its_row_states_its_settings(
    task: Task, wide: Task, embedded: Backbone, name: str, tmp_path: Path
) -> None:
    protocol = find_protocol(name)
    small = SMALL[protocol.kind]
    shorter = protocol.at_scale(small).as_run(embedded)
    task = wide if name in WIDE or protocol.kind == "episodes" else task
    row = measured(task, embedded, name, tmp_path / "run", Results(tmp_path), scale=small)
    assert (row.protocol, row.settings["kind"], row.settings["scale"]) == (name, ROW_KINDS[shorter.kind], small)
    stated = {key: value for key, value in row.settings.items() if key not in ("kind", "scale", "parts", "features")}
    assert stated == shorter.stated()
    assert set(row.metrics) == {"val", "test"}
    assert all(0 <= row.metrics[part]["accuracy"] <= 1 for part in row.metrics)
    assert row.key == Results(tmp_path).rows()[0].key
    assert measured(task, embedded, name, tmp_path / "run", Results(tmp_path), scale=small) == row


def test_protocols_are_named_once() -> None:
    every = protocol_names()
    assert len(set(every)) == len(every) > len(PROBES) + len(plain_names())
    assert {*names("protocols"), *PROBES, *ALIASES} == set(every)
    assert set(every) == {*CITED, *plain_names(), *PROBES, *ALIASES}


@pytest.mark.parametrize(("name", "normaliser"), [("knn/marks", None), ("knn/marks-zscore", StandardScaler())])
def test_marks_is_scikit_learn_s_classifier(
    task: Task, backbone: Backbone, tmp_path: Path, name: str, normaliser: StandardScaler | None
) -> None:
    row = measured(task, backbone, name, tmp_path)
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
    row = measured(task, backbone, "logreg/dinov2", tmp_path, scale=0.2)
    path = {point["C"]: point["val_accuracy"] for point in row.chosen["path"]}
    assert next(iter(path)) == pytest.approx(1e-6)
    assert list(path)[-1] == pytest.approx(1e5)
    assert len(path) == 9
    assert row.metrics["val"]["accuracy"] == pytest.approx(path[row.chosen["C"]]) == max(path.values())


def test_episodes_leave_the_test_part_sealed(wide: Task, embedded: Backbone, tmp_path: Path) -> None:
    both = measured(wide, embedded, "episodes/ericsson", tmp_path / "a", scale=0.05)
    sealed = measured(replace(wide, use_test=False), embedded, "episodes/ericsson", tmp_path / "b", scale=0.05)
    assert both.settings["episodes"] == 30
    assert sealed.metrics["val"] == both.metrics["val"]
    assert both.metrics["test"] != both.metrics["val"]
    assert all(m["accuracy_low"] < m["accuracy"] < m["accuracy_high"] for m in both.metrics.values())


def test_an_episode_needs_images(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3 of 3 classes have the 20 images .* at least 5: ask for fewer ways"):
        measured(task, backbone, "episodes/ericsson", tmp_path)


def test_a_class_with_one_image_keeps_it_at_any_budget(images: Images, backbone: Backbone, tmp_path: Path) -> None:
    whole = make_split(images)
    ones = whole.train[images.labels[whole.train] == 2][:1]
    train = np.sort(np.concatenate([whole.train[images.labels[whole.train] != 2], ones]))
    task = Task(images, replace(whole, train=train))
    text = with_stage().replace("[[stages", 'labels = "1%"\n[[stages', 1)
    row = measured(task, backbone, written(tmp_path, text), tmp_path / "run")
    assert (row.labels, json.loads((tmp_path / "run" / "run.json").read_text())["images"]["train"]) == ("1%", 3)


def test_a_choice_is_made_on_validation_and_trained_again_with_it(
    task: Task, backbone: Backbone, tmp_path: Path
) -> None:
    name, results = written(tmp_path, CHOOSING), Results(tmp_path / "rows")
    row = measured(task, backbone, name, tmp_path / "run", results)
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
    assert measured(task, backbone, name, tmp_path / "run", results) == row


def test_without_a_test_part_nothing_is_trained_on_validation(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    row = measured(replace(task, use_test=False), backbone, written(tmp_path, CHOOSING), tmp_path / "run", scale=0.5)
    assert set(row.metrics) == {"val"}
    assert row.chosen["refit"] is False
    assert len(row.chosen["points"]) == 2
    assert row.settings["scale"] == 0.5
    assert row.settings["stages"][0]["epochs"] == 2


def test_a_label_budget_of_its_own(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    text = with_stage().replace("[[stages", 'labels = "10%"\n[[stages', 1)
    row = measured(task, backbone, written(tmp_path, text), tmp_path / "run")
    assert row.labels == "10%"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["images"]["train"] == 3 * 2
    with pytest.raises(InputError, match="got a label budget of 5 for 'own', which takes 10% of the labels by itself"):
        measured(replace(task, labels="5"), backbone, written(tmp_path, text), tmp_path / "run")


def test_bad_names_and_scales(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown protocol 'finetun'; did you mean 'finetune"):
        measured(task, backbone, "finetun", tmp_path)
    with pytest.raises(RecipeError, match="unknown protocol 'knn/dina'; did you mean 'knn/dino'"):
        find_protocol("knn/dina")
    with pytest.raises(RecipeError, match="unknown recipe 'finetune/mark'; did you mean 'finetune/marks'"):
        find_protocol("finetune/mark", "training")
    with pytest.raises(InputError, match="'knn' trains nothing; expected a recipe"):
        find_protocol("knn", "training")
    with pytest.raises(InputError, match="got no folder for 'linear', which trains"):
        find_protocol("linear").run(task, backbone, RUNTIME, None)
    for scale in (0.0, 1.5, float("nan")):
        with pytest.raises(RecipeError, match=f"got scale {scale}; expected more than 0 and at most 1"):
            measured(task, backbone, "knn", tmp_path, scale=scale)
    with pytest.raises(RecipeError, match=r"got scale 0\.5 for 'knn', which is no preset"):
        measured(task, backbone, "knn", tmp_path, scale=0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "a"', "stages: Field required"),
        ('name = "a"\nrecipe = 3', "unknown key 'recipe'"),
        (with_stage() + '\n[score]\nname = "knn"', "got stages and score; expected exactly one of .*stages.*, .probe."),
        (with_stage() + "\n[episodes]\nways = 3", "got stages and episodes; expected exactly one of"),
        (with_stage().replace("source", "sourc"), "unknown key 'sourc'; did you mean 'source'"),
        (with_stage() + "\nscale = 0.5", "unknown key 'scale'"),
        ("scale = 0.5\n" + with_stage(), "unknown key 'scale'"),
        (with_stage().replace('"own"', '""'), "name: String should have at least 1 character, got ''"),
        (with_stage(weigth_decay=0), "unknown key 'weigth_decay'; did you mean 'weight_decay'"),
        (with_stage(lr=-1), "stages.0.lr: .* greater than 0, got -1"),
        (with_stage(objective="byol", scope="all"), "the last stage trains no classifier"),
        (with_stage() + "\n[choose]\nlearning = [1]", "choose: unknown key 'learning'"),
        (with_stage() + "\n[choose]\nlr = [0]", "choose: lr: .* greater than 0"),
        (with_stage().replace("[[stages", "refit = true\n[[stages"), "'refit' trains a chosen point again"),
        (with_stage().replace("[[stages", 'labels = "few"\n[[stages'), "labels: cannot read 'few'"),
        (of_kind('[probe]\nname = "knm"'), "probe.name: unknown score 'knm'; did"),
        (of_kind('[score]\nname = "knm"'), "probe.name: unknown score 'knm'; did"),
        (of_kind('labels = "few"\n[probe]\nname = "knn"'), "labels: cannot read 'few'"),
        (of_kind('[probe]\nname = "knn"\nsettings = {kk = 3}'), "probe: unknown setting 'kk'; did you mean 'k'"),
        (of_kind('[probe]\nname = "knn"\nsettings = {k = [0]}'), "probe: k.0: .* greater than or equal to 1, got 0"),
        (of_kind('[probe]\nname = "knn"\nsettings = {normalise = "l3"}'), "probe: normalise: .*'whiten'.* got 'l3'"),
        (of_kind("[episodes]\nway = 3"), "unknown key 'way'; did you mean 'ways'"),
    ],
)
def test_bad_files(text: str, message: str, tmp_path: Path) -> None:
    file = written(tmp_path, text)
    with pytest.raises(RecipeError, match=f"protocol '{file}': .*{message}") as caught:
        find_protocol(file)
    assert "\n" not in str(caught.value)

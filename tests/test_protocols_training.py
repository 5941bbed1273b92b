"""Protocols of papers that train: each runs, at a tiny scale, on both families of networks; its source's numbers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RUNTIME
from sklearn.datasets import load_digits

import acclimate
from acclimate.catalogue import names
from acclimate.errors import InputError, RecipeError, ScopeError
from acclimate.images import Images, label_subset, load_images, make_split
from acclimate.models import Backbone
from acclimate.models.classifier import Classifier
from acclimate.models.scope import parse_scope, select
from acclimate.protocols import Task, find_protocol, find_training
from acclimate.protocols.protocol import in_all
from acclimate.storage.results import Result, Results
from acclimate.training import stage as loop
from acclimate.training.recipe import Stage

TINY = 0.0004  # of the length: a step or an epoch, five of linear/dinov2
TRAINING = tuple(name for name in names("protocols") if (one := find_protocol(name)).cited and one.trains)
BATCH_NORM = ("bn/paper", "bn/all")


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Return a task whose pool holds a whole batch of ``staged/ssda``: 100 scans of each of three digits."""
    bunch = load_digits()
    y = np.concatenate([np.flatnonzero(bunch.target == label)[:100] for label in range(3)])
    scans, test = np.round(bunch.images[y] * (255 / 16)).astype(np.uint8), np.arange(len(y)) % 5 == 0
    file, labels = tmp_path_factory.mktemp("larger") / "digits.npz", bunch.target[y]
    np.savez(file, x_train=scans[~test], y_train=labels[~test], x_test=scans[test], y_test=labels[test])
    images = load_images(file)
    return Task(images, make_split(images))


def measured(
    task: Task, backbone: Backbone, name: str, folder: Path, results: Results | None = None, *, scale: float = 1.0
) -> Result:
    """Run the protocol of a name and return its row."""
    return find_protocol(name).at_scale(scale).run(task, backbone, RUNTIME, folder, results).row


def stage_of(name: str, backbone: Backbone | None = None) -> Stage:
    protocol = find_training(name)
    return (protocol if backbone is None else protocol.as_run(backbone)).stages[-1]


def test_the_issue_s_protocols_are_there() -> None:
    wanted = {"linear/marks", "linear/mae", "linear/dinov2", "linear/eva", "bn/paper", "bn/all", "norm/all"}
    wanted |= {"fewshot-1/marks", "fewshot-10/marks", "finetune/marks", "finetune/ericsson", "vtab1k", "staged/ssda"}
    assert wanted == set(TRAINING)


@pytest.mark.parametrize("family", ["resnet", "vit"])
@pytest.mark.parametrize("name", TRAINING)
def test_every_one_runs_and_its_row_states_its_settings(
    name: str, family: str, task: Task, larger: Task, resnet: Backbone, vit: Backbone, tmp_path: Path
) -> None:
    backbone = resnet if family == "resnet" else vit
    task = larger if name == "staged/ssda" else task
    if family == "vit" and name in BATCH_NORM:
        with pytest.raises(ScopeError, match=r"VisionTransformer has none.* Its analogue here is .*'norm/all'"):
            measured(task, backbone, name, tmp_path, scale=TINY)
        return
    row = measured(task, backbone, name, tmp_path / "run", Results(tmp_path), scale=TINY)
    expected = find_protocol(name).at_scale(TINY).as_run(backbone).statement().settings
    assert {key: value for key, value in row.settings.items() if key != "parts"} == expected
    assert row.protocol == name
    assert set(row.metrics) == {"val", "test"}
    assert all(math.isfinite(row.metrics[part]["log_loss"]) for part in row.metrics)
    kept = Results(tmp_path).predictions(row.key)
    test = np.isin(kept.index, task.split.test)
    loaded = Classifier.load(tmp_path / "run").predict_views(task.images, indices=kept.index[test], runtime=RUNTIME)
    np.testing.assert_allclose(loaded[0], kept.probabilities[test], atol=1e-5)
    assert measured(task, backbone, name, tmp_path / "run", Results(tmp_path), scale=TINY) == row


def test_numbers_are_those_of_the_papers() -> None:
    dinov2 = stage_of("linear/dinov2")
    grid = [a * 10.0**b for b in (-5, -4, -3, -2) for a in (1, 2, 5)]
    assert dinov2.rates == pytest.approx((*grid, 0.1))
    assert dinov2.lr == dinov2.batch * dinov2.accumulate / 256
    assert (dinov2.layers, dinov2.steps) == (("1", "1+avg", "4", "4+avg"), 10 * 1250)
    for name, rate in (("linear/marks", 0.1), ("linear/mae", 0.1), ("fewshot-1/marks", 0.1), ("finetune/marks", 0.1)):
        stage = stage_of(name)
        assert stage.lr == pytest.approx(rate * stage.batch * stage.accumulate / 256), name
    mae = stage_of("linear/mae")
    assert (mae.head, mae.optimizer, mae.epochs) == ("bn+linear", "lars", 90)
    assert round(mae.warmup * 90) == 10
    for name, scope in (("bn/paper", "head+norm:paper"), ("bn/all", "head+norm:batch"), ("norm/all", "head+norm")):
        stage = stage_of(name)
        assert (stage.scope, stage.epochs, stage.batch, stage.lr) == (scope, 70, 16, 0.01)
        assert (stage.momentum, stage.nesterov, stage.weight_decay, stage.schedule) == (0.9, False, 1e-6, "cosine")
    vtab = stage_of("vtab1k")
    assert [round(share * 1000) for share in vtab.drops] == [300, 600, 900]
    assert (vtab.steps, vtab.batch, round(vtab.warmup * 1000)) == (1000, 64, 80)


def test_ericsson_s_grid_is_weight_decay_over_rate() -> None:
    part = find_training("finetune/ericsson")
    found = [(float(point["lr"]), float(point["weight_decay"])) for point in part.points()]
    rates, decays = np.logspace(-4, -1, 4), [0.0, *np.logspace(-6, -3, 4)]
    np.testing.assert_allclose(sorted(found), sorted((lr, wd / lr) for lr in rates for wd in decays), rtol=1e-9)
    assert part.refit


def test_finetune_marks_serves_both_families(resnet: Backbone, vit: Backbone) -> None:
    convolutional, transformer = (stage_of("finetune/marks", backbone) for backbone in (resnet, vit))
    assert (transformer.layer_decay, transformer.drop_path) == (0.65, 0.2)
    assert transformer.options == {"label_smoothing": 0.1}
    assert (convolutional.layer_decay, convolutional.drop_path, convolutional.options) == (1.0, 0.0, {})
    assert transformer.lr == convolutional.lr == 0.1


def test_norm_all_is_the_analogue(resnet: Backbone, vit: Backbone) -> None:
    layer_norms = {name for name in select(vit.network(3), parse_scope("norm")).names if "norm" in name}
    assert layer_norms == set(select(vit.network(3), parse_scope("norm")).names)
    assert layer_norms
    batch, every = (set(select(resnet.network(3), parse_scope(text)).names) for text in ("norm:batch", "norm"))
    assert batch == every


@pytest.mark.parametrize("fraction", ["1%", "10%"])
def test_a_class_with_one_image_keeps_it(fraction: str, images: Images, resnet: Backbone, tmp_path: Path) -> None:
    split = make_split(images)
    single = split.train[images.labels[split.train] == 2][:1]
    train = np.sort(np.concatenate([split.train[images.labels[split.train] != 2], single]))
    task = Task(images, replace(split, train=train))
    name = f"fewshot-{fraction[:-1]}/marks"
    row = measured(task, resnet, name, tmp_path, scale=TINY)
    assert row.labels == fraction
    told = json.loads((tmp_path / "run.json").read_text())
    kept = label_subset(images.labels, train, fraction=float(fraction[:-1]) / 100)
    assert told["images"]["train"] == len(kept)
    assert single[0] in kept
    assert set(images.labels[kept]) == {0, 1, 2}


def test_a_number_of_images_in_all(images: Images) -> None:
    split = make_split(images)
    both = np.concatenate([split.train, split.val])
    found = in_all(images.labels, split, 20, seed=0)
    assert (len(found.train), len(found.val)) == (16, 4)
    assert {*found.train, *found.val} < {*both}
    assert not {*found.train} & {*found.val}
    np.testing.assert_array_equal(found.test, split.test)
    other = in_all(images.labels, split, 20, seed=1)
    assert {*other.train} != {*found.train}
    whole = in_all(images.labels, split, 1000, seed=0)
    assert {*whole.train, *whole.val} == {*both}
    rare = images.labels.copy()
    rare[split.train[0]] = 3
    for seed in range(20):
        assert split.train[0] in in_all(rare, split, 5, seed=seed).train


def test_vtab_measures_its_choice_and_its_second_training(task: Task, resnet: Backbone, tmp_path: Path) -> None:
    row = measured(task, resnet, "vtab1k", tmp_path, scale=TINY)
    n = len(task.split.train) + len(task.split.val)
    assert row.labels == "1000 in all"
    assert json.loads((tmp_path / "run.json").read_text())["images"]["train"] == n
    first = json.loads((tmp_path / "points" / "000" / "run.json").read_text())
    assert first["images"]["train"] == round(0.8 * n)
    assert [point["lr"] for point in row.chosen["points"]] == [0.1, 0.01]
    assert row.chosen["refit"]


def test_its_own_number_of_images_and_the_user_s(task: Task, resnet: Backbone, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got a label budget of 5 for 'vtab1k', which takes 1000 in all"):
        measured(replace(task, labels="5"), resnet, "vtab1k", tmp_path, scale=TINY)


def test_rank_takes_a_protocol_for_its_last_round(digits_folder: Path, tmp_path: Path) -> None:
    """On a grid: the choice alone, as the test part is sealed; and the dry run knows what it would cost."""
    own = tmp_path / "own.toml"
    text = """
        name = "own/grid"
        source = "this test"
        deviations = []
        [[stages]]
        scope = "head"
        augment = "none"
        steps = 2
        lr = 0.1
        [choose]
        lr = [1e-6, 0.1]
    """
    own.write_text(text, encoding="utf-8")
    names = ("random:test_resnet", "random:resnet10t")
    options: dict[str, Any] = {"quiet": True, "device": "cpu"}
    plan = acclimate.rank(digits_folder, models=names, final=str(own), top=1, dry_run=True, **options)
    assert plan["final"] == "own/grid"
    found = acclimate.rank(digits_folder, models=names, final=str(own), top=1, out=tmp_path / "out", **options)
    assert found["final"] == "own/grid"
    row = next(row for row in Results(tmp_path / "out").rows() if row.protocol == "own/grid")
    assert set(row.metrics) == {"val"}
    points = row.chosen["points"]
    assert [point["lr"] for point in points] == [1e-6, 0.1]
    best = max(points, key=lambda point: (point["val_accuracy"], -point["val_log_loss"]))
    assert row.chosen["lr"] == best["lr"]
    with pytest.raises(InputError, match="'knn/dino' trains nothing; expected a recipe"):
        acclimate.rank(digits_folder, models=names, final="knn/dino", **options)


def test_tune_takes_a_protocol_and_leaves_a_classifier(digits_folder: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"quiet": True, "device": "cpu"}
    found = acclimate.tune(
        digits_folder,
        model="random:test_vit",
        recipe="linear/dinov2",
        scale=TINY,
        out=tmp_path / "run",
        **options,
    )
    assert set(found["chosen"]) == {"rate", "layers"}
    assert found["stages"][0]["trainable"] > 13 * 4 * 3 * 64  # 52 classifiers of 3 classes train
    predicted = acclimate.predict(tmp_path / "run", digits_folder / "test", out=tmp_path / "predictions.csv", **options)
    assert predicted["n"] == 36
    with pytest.raises(ScopeError, match=r"VisionTransformer has none.*'norm/all'"):
        acclimate.tune(digits_folder, model="random:test_vit", recipe="bn/all", **options)


class Killed(Exception):
    """Stands for a power cut."""


@pytest.mark.parametrize("after", [1, 3, 4, 6])
def test_a_grid_that_was_killed_goes_on(
    after: int, task: Task, resnet: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in the first, the second and the last training (of 2 steps each); no training is done twice."""
    steps: list[Any] = []
    real = loop.StageRun.do_step

    def counted(run: loop.StageRun, step: int) -> loop.Done:
        steps.append((run.folder.name, step))
        if len(steps) == after and stop:
            raise Killed
        return real(run, step)

    monkeypatch.setattr(loop.StageRun, "do_step", counted)
    stop, scale = False, 0.002
    whole = measured(task, resnet, "vtab1k", tmp_path / "whole", scale=scale)
    unbroken, stop = len(steps), True
    steps.clear()
    with pytest.raises(Killed):
        measured(task, resnet, "vtab1k", tmp_path / "cut", scale=scale)
    stop = False
    row = measured(task, resnet, "vtab1k", tmp_path / "cut", scale=scale)
    assert (row.metrics, row.chosen) == (whole.metrics, whole.chosen)
    assert unbroken == 6
    assert len(steps) <= unbroken + 1 + (after - 1) % 2  # what the interrupted training had done since its checkpoint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('labels = "1%"\nexamples = 10\n', "got 'labels' and 'examples'; expected one label budget"),
        ("examples = 3\n", "examples: Input should be greater than or equal to 5"),
        ("[transformers]\nlayer_deca = 0.5\n", "unknown key 'layer_deca'; did you mean 'layer_decay'"),
        ("[transformers]\ndrop_path = 2.0\n", "drop_path: Input should be less than 1"),
    ],
)
def test_bad_parts(text: str, message: str, tmp_path: Path) -> None:
    head, stages = 'name = "own"\nsource = "test"\ndeviations = []\n', "[[stages]]\nscope='all'\nsteps = 2\nlr = 0.1\n"
    (tmp_path / "own.toml").write_text(f"{head}{stages}{text}" if "[" in text else f"{head}{text}{stages}")
    with pytest.raises(RecipeError, match=message):
        find_protocol(tmp_path / "own.toml")

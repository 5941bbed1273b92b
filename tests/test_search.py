"""The search of a recipe: short trainings, one list after the other, the test part sealed; resumed, and off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import RUNTIME

from acclimate.errors import AcclimateError, InputError
from acclimate.models import Backbone
from acclimate.protocols import Task, find_training
from acclimate.protocols.choice import POINTS, merit
from acclimate.protocols.recipe import TRIED, RecipeProtocol
from acclimate.storage.results import Results
from acclimate.training.recipe import Stage

SHORT = Stage(scope="head", augment="light", steps=8, batch=16, lr=0.01)
SEARCH = ({"domain": ("natural", "document")}, {"lr": (0.01, 0.1, 1e-6)})


def protocol(**changes: object) -> RecipeProtocol:
    return RecipeProtocol.model_validate({"name": "mine", "stages": (SHORT,), "search": SEARCH, **changes})


def test_the_best_short_training_is_trained_in_full(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    outcome = protocol().run(task, backbone, RUNTIME, tmp_path)
    points = outcome.row.chosen["points"]
    assert len(points) == 4  # of two domains and three rates one point is both lists' and is tried once
    assert [(p["domain"], p["lr"]) for p in points[:2]] == [("natural", 0.01), ("document", 0.01)]
    domain = min(points[:2], key=lambda p: p["val_log_loss"])["domain"]
    tried = [p for p in points if p["domain"] == domain]
    best = min(tried, key=lambda p: p["val_log_loss"])
    assert {name: outcome.row.chosen[name] for name in ("domain", "lr")} == {"domain": domain, "lr": best["lr"]}
    assert outcome.row.chosen["lr"] != 1e-6
    assert [stage["steps"] for stage in outcome.stages] == [8]
    rows = [Results(folder).rows()[0] for folder in sorted((tmp_path / POINTS).glob("0*"))]
    assert [row.settings["stages"][0]["steps"] for row in rows] == [2, 2, 2, 2]
    assert [-merit(row)[1] for row in rows] == [p["val_log_loss"] for p in points]


def test_the_test_part_is_sealed_while_searching(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    row = protocol().run(task, backbone, RUNTIME, tmp_path).row
    assert set(row.metrics) == {"val", "test"}
    assert all(set(Results(folder).rows()[0].metrics) == {"val"} for folder in (tmp_path / POINTS).glob("0*"))


def test_a_search_goes_on_where_it_was(
    task: Task, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = protocol().run(task, backbone, RUNTIME, tmp_path / "whole").row
    from acclimate.protocols import choice as module

    trained, real = [], module.run_recipe

    def once(*arguments: object, **more: object) -> object:
        trained.append(arguments)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(module, "run_recipe", once)
        with pytest.raises(KeyboardInterrupt):
            protocol().run(task, backbone, RUNTIME, tmp_path / "cut")
    row = protocol().run(task, backbone, RUNTIME, tmp_path / "cut").row
    assert (row.metrics, row.chosen, row.key) == (whole.metrics, whole.chosen, whole.key)
    again = protocol().run(task, backbone, RUNTIME, tmp_path / "cut").row
    assert again == row


def test_without_validation_nothing_is_searched(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    alone = replace(task, split=replace(task.split, val=task.split.val[:0]))
    row = protocol().run(alone, backbone, RUNTIME, tmp_path).row
    assert row.chosen == {}
    assert not (tmp_path / POINTS).exists()


@pytest.mark.parametrize(("how", "points", "trainings"), [("off", 0, 1.0), ("fast", 5, 2.0), ("full", 6, 4.0)])
def test_how_much_is_searched(how: str, points: int, trainings: float) -> None:
    searching = protocol().searching(how)
    assert sum(len(grid.get("domain", "1")) * len(grid.get("lr", "1")) for grid in searching.search) == points
    assert searching.trainings() == trainings


def test_another_word_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown search 'fats'.*fast"):
        protocol().searching("fats")


def test_a_grid_is_checked_before_any_work() -> None:
    with pytest.raises(ValueError, match="lr"):
        protocol(search=({"lr": (0.1, -1.0)},))
    with pytest.raises(ValueError, match="got 'search' and 'choose'"):
        protocol(choose=({"lr": (0.1, 0.2)},))


def test_ours_searches_and_curves_take_its_plain_recipe() -> None:
    finetune = find_training("finetune")
    assert finetune.search
    assert finetune.fixed_recipe().stages == finetune.stages
    assert finetune.shorter(0.1).stages[0].length(100) == 70


# settings from the shell --------------------------------------------------------------------------------------------


def test_a_setting_replaces_the_stages_and_is_not_searched() -> None:
    changed = protocol().with_stage({"lr": 0.5, "class_weights": "balanced"})
    assert (changed.stages[-1].lr, changed.stages[-1].options) == (0.5, {"class_weights": "balanced"})
    assert changed.search == ({"domain": ("natural", "document")},)
    assert protocol().with_stage({}) == protocol()
    finetune = find_training("finetune").with_stage({"steps": 9})
    assert (finetune.stages[-1].length(100), finetune.stages[-1].epochs) == (9, None)


def test_a_domain_is_given_searched_or_left() -> None:
    bn = find_training("bn")
    assert bn.with_domain(None) == bn
    assert bn.with_domain("document").stages[-1].domain == "document"
    assert bn.with_domain("auto").search == ({"domain": TRIED},)
    assert find_training("finetune").with_domain("auto") == find_training("finetune")
    assert [*find_training("finetune").with_domain("xray").search] == [{"lr": (0.001, 0.003)}]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("bn/paper", {"lr": 1.0}, "got --set for 'bn/paper', which keeps its source's numbers"),
        ("bn", {"lrr": 1.0}, "unknown setting of 'bn' 'lrr'; did you mean 'lr'"),
        ("bn", {"lr": -1.0}, "'bn' with --set: .*lr: Input should be greater than 0"),
        ("bn", {"class_weights": "even"}, "'bn' with --set: .*class_weights"),
        ("bn", {"domain": "xrays"}, "unknown domain 'xrays'; did you mean 'xray'"),
    ],
)
def test_a_setting_that_cannot_be(name: str, values: dict[str, float | str], message: str) -> None:
    with pytest.raises(AcclimateError, match=message):
        find_training(name).with_stage(values)

"""Protocols, selection and adaptation: one row each, sealed test parts, honest ties, and harm undone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import RUNTIME

from acclimate import protocols
from acclimate.errors import InputError, RecipeError
from acclimate.experiments.adaptation import adapt
from acclimate.experiments.ranking import Ranking, rank_models
from acclimate.models import Backbone, load_backbone
from acclimate.protocols import Task, find_protocol, run_recipe
from acclimate.stats.metrics import measure
from acclimate.storage.results import PARTS, Results
from acclimate.training.recipe import Recipe, Stage

QUICK = Recipe(name="quick", stages=(Stage(scope="head+norm", epochs=3, batch=16, lr=0.01),))
BYOL = Recipe(
    name="adapt-byol",
    stages=(Stage(objective="byol", scope="all", steps=3, batch=16, lr=0.001, options={"hidden": 32, "out": 16}),),
)


def test_a_score_and_a_recipe_give_rows_with_the_same_keys(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    results = Results(tmp_path)
    score = find_protocol("knn").run(task, backbone, RUNTIME, None, results).row
    recipe = run_recipe(task, backbone, RUNTIME, QUICK, tmp_path / "run", results).row
    for row in (score, recipe):
        assert set(row.metrics) == {"val", "test"}
        assert set(row.metrics["val"]) == {"accuracy", "balanced_accuracy", "log_loss", "macro_f1", "auc", "ece"}
        assert row.random_start
        assert row.fingerprint == task.images.fingerprint
        assert row.seconds > 0
        assert row.peak_memory_mb > 1
    assert (score.trainable, recipe.trainable) == (0, 2080 + 96 * 3 + 3)
    assert [r.key for r in results.rows()] == [r.key for r in sorted((score, recipe), key=lambda r: r.protocol)]


def test_metrics_come_from_the_kept_predictions(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    results = Results(tmp_path)
    row = find_protocol("logistic").run(task, backbone, RUNTIME, None, results).row
    kept = results.predictions(row.key)
    n_val = len(task.split.val)
    assert np.array_equal(kept.index, np.concatenate([task.split.val, task.split.test]))
    assert np.array_equal(kept.labels, task.images.labels[kept.index])
    assert kept.part is not None
    assert [PARTS[code] for code in kept.part] == ["val"] * n_val + ["test"] * len(task.split.test)
    again = measure(kept.probabilities[:n_val].astype(np.float64), kept.labels[:n_val], n_classes=3)
    assert again == pytest.approx(dict(row.metrics["val"]), abs=1e-5)


def test_the_run_s_weights_give_the_row_s_predictions(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    from acclimate.models.classifier import Classifier

    row = run_recipe(task, backbone, RUNTIME, QUICK, tmp_path).row
    kept = Results(tmp_path).predictions(row.key)
    p = Classifier.load(tmp_path).predict_proba(task.images, runtime=RUNTIME)
    np.testing.assert_allclose(p[kept.index], kept.probabilities, atol=1e-6)


def test_a_row_that_is_there_is_not_done_again(
    task: Task, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(tmp_path)
    first = (
        find_protocol("knn").run(task, backbone, RUNTIME, None, results).row,
        run_recipe(task, backbone, RUNTIME, QUICK, tmp_path / "run", results).row,
    )
    monkeypatch.setattr(protocols.task, "extract", None)
    monkeypatch.setattr("acclimate.training.run.train", None)
    again = (
        find_protocol("knn").run(task, backbone, RUNTIME, None, results).row,
        run_recipe(task, backbone, RUNTIME, QUICK, tmp_path / "run", results).row,
    )
    assert again == first


def test_another_run_in_a_finished_folder_is_refused(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    run_recipe(task, backbone, RUNTIME, QUICK, tmp_path)
    with pytest.raises(InputError, match="holds a finished run with another recipe, data, model or seed"):
        run_recipe(dataclasses.replace(task, seed=1), backbone, RUNTIME, QUICK, tmp_path)


def test_unknown_score_and_a_recipe_without_classifier(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown score 'knnn'; did you mean 'knn'"):
        find_protocol("knnn", "features")
    with pytest.raises(RecipeError, match="recipe 'adapt-byol' ends without a classifier"):
        run_recipe(task, backbone, RUNTIME, BYOL, tmp_path)


@pytest.fixture
def ranking(task: Task, backbone: Backbone, tmp_path: Path) -> Ranking:
    others = [load_backbone(f"random:{name}", image_size=32) for name in ("test_efficientnet", "test_convnext")]
    QUICK.save(tmp_path / "quick.toml")
    return rank_models(task, [backbone, *others], RUNTIME, tmp_path, final=str(tmp_path / "quick.toml"), top=2)


def test_rank(ranking: Ranking) -> None:
    first, second, last = ranking.models
    assert last.final is None
    for line in (first, second):
        assert line.low is not None
        assert line.final is not None
        assert line.high is not None
        assert line.low <= line.final <= line.high
    assert ranking.best == first.model
    assert ranking.confidence_set == [line.model for line in (first, second) if line.in_set]
    assert first.in_set
    assert (first.rank, last.rank) == (1, 3)
    assert all(line.random_start for line in ranking.models)
    if second.in_set:
        assert second.rank == 1
    assert min(line.proxies["logistic"] for line in (first, second)) >= last.proxies["logistic"]


def test_rank_never_reads_the_test_part(ranking: Ranking, task: Task, tmp_path: Path) -> None:
    rows = Results(tmp_path).rows()
    assert len(rows) == 3 * 2 + 2
    for row in rows:
        assert set(row.metrics) == {"val"}
        assert not set(Results(tmp_path).predictions(row.key).index) & set(task.split.test)


def test_rank_refuses(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got 1 model to rank; expected at least two"):
        rank_models(task, [backbone], RUNTIME, tmp_path)
    with pytest.raises(InputError, match="got model 'random:test_resnet' twice"):
        rank_models(task, [backbone, backbone], RUNTIME, tmp_path)


def test_adaptation_never_sees_val_or_test(task: Task, backbone: Backbone, tmp_path: Path) -> None:
    assert not set(task.split.pool) & (set(task.split.val) | set(task.split.test))
    outcome = adapt(task, backbone, RUNTIME, BYOL, tmp_path)
    document = outcome.document
    assert json.loads((tmp_path / "run.json").read_text())["kept"] == document["kept"]
    assert document["steps"] == 3
    assert set(document["monitors"]) == {"start", "adapted", "neighbour_overlap"}
    loaded = load_backbone(tmp_path)
    assert loaded.digest == outcome.kept.digest
    assert loaded.random_start
    again = adapt(task, backbone, RUNTIME, BYOL, tmp_path)
    assert again.document == document
    assert (again.kept.digest, again.adapted.digest) == (outcome.kept.digest, outcome.adapted.digest)

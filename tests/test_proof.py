"""The proof: a curve shifted by hand is worth its shift, and a real one is measured once, on the test part."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import RUNTIME
from scipy.stats import rankdata

import acclimate
from acclimate.commands import main
from acclimate.errors import InputError
from acclimate.experiments.curve import (
    Compared,
    LossChange,
    Worth,
    average_change,
    change,
    conclude,
    labels_worth,
    plan_budgets,
)
from acclimate.experiments.curve.points import numbers
from acclimate.images import Images, Split, load_images
from acclimate.models import extract, load_backbone
from acclimate.models.classifier import Classifier
from acclimate.reports import report
from acclimate.scores.probes.logistic import subsets
from acclimate.stats.intervals import paired_over

AMOUNTS = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
QUIET: dict[str, Any] = {"quiet": True}


def curves(shift: float, *, seeds: int = 5, noise: float = 0.0, offset: float = 0.0) -> npt.NDArray[np.float64]:
    """Return losses (budgets, seeds, images) that fall with ln(labels), as if there were `shift` times the labels."""
    rng = np.random.default_rng(1)  # the same draws for every model, as seeds and images are shared
    level = 3.0 - 0.8 * np.log(shift * AMOUNTS)
    spread = rng.normal(size=(len(AMOUNTS), seeds, 1)) + rng.normal(size=(1, 1, 200))
    return level[:, None, None] + offset + noise * spread


# how many times the labels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [2.0, 3.0])
def test_a_shifted_curve_is_worth_its_shift(shift: float) -> None:
    found = labels_worth(curves(1.0), curves(shift), AMOUNTS, seed=0)
    inside = [one for one in found if one.side == "inside"]
    assert len(inside) == 3 if shift == 3 else 4
    assert [one.times for one in inside] == pytest.approx([shift] * len(inside))
    assert inside[0].words == f"about {shift:.1f}x"
    assert all(one.low == pytest.approx(shift) == one.high for one in inside), "no spread, yet an interval"


def test_equal_curves_are_worth_one_also_where_they_stand_still() -> None:
    flat = curves(1.0)
    flat[2:] = flat[2]
    wavy = curves(1.0)
    wavy[3] += 1.0
    for one in (curves(1.0, noise=0.3), flat, wavy):
        assert [worth.times for worth in labels_worth(one, one, AMOUNTS, seed=0)] == pytest.approx([1.0] * 5)


def test_beyond_the_base_there_is_a_bound_and_no_number() -> None:
    found = labels_worth(curves(1.0), curves(1.0, offset=-9.0), AMOUNTS, seed=0)
    assert [(one.side, one.times, one.high) for one in found] == [("above", None, None)] * 5
    assert [one.bound for one in found] == pytest.approx([16, 8, 4, 2, 1])
    assert found[0].words == "more than 16x"
    worse = labels_worth(curves(1.0), curves(1.0, offset=9.0), AMOUNTS, seed=0)
    assert [(one.side, one.times, one.low) for one in worse] == [("below", None, None)] * 5
    assert worse[2].words == "less than 0.25x"


def test_the_interval_of_a_worth_holds_the_truth_and_grows_with_noise() -> None:
    small, large = (
        labels_worth(curves(1.0, noise=noise), _again(curves(2.0), noise), AMOUNTS, seed=0)[2] for noise in (0.02, 0.1)
    )
    for one in (small, large):
        assert one.low is not None
        assert one.low < 2.0
        assert one.high is None or one.high > 2.0
    assert small.low is not None
    assert large.low is not None
    assert small.low > large.low
    assert labels_worth(curves(1.0, seeds=1), curves(2.0, seeds=1), AMOUNTS, seed=0)[1].interval == ""


def _again(values: npt.NDArray[np.float64], noise: float) -> npt.NDArray[np.float64]:
    return values + noise * np.random.default_rng(7).normal(size=(*values.shape[:2], 1))


def test_words_of_an_interval_say_which_end_is_open() -> None:
    assert Worth(3.1, 2.2, 4.5, "inside", 3.1).interval == "2.2x to 4.5x"
    assert Worth(3.1, 2.2, None, "inside", 3.1).interval == "2.2x or more"
    assert Worth(0.5, None, 0.8, "inside", 0.5).interval == "0.80x or less"
    assert Worth(31.0, None, None, "inside", 31.0).words == "about 31x"


# verdicts -----------------------------------------------------------------------------------------------------------


def judged(base: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> tuple[str, str]:
    """Return kind and words of the verdict, as a curve makes it."""
    worths = labels_worth(base, other, AMOUNTS, seed=0)
    found = [
        Compared(f"{amount:g}", change(theirs - ours, seed=0), LossChange(0.0, None, None), worth)
        for amount, ours, theirs, worth in zip(AMOUNTS, base, other, worths, strict=True)
    ]
    verdict = conclude(found, average_change(base, other, seed=0), seeds=base.shape[1])
    assert verdict.words.startswith(verdict.short)
    return verdict.kind, verdict.words


def test_a_better_start_is_worth_labels_at_the_middle_budget() -> None:
    kind, words = judged(curves(1.0, noise=0.05), _again(curves(2.0, noise=0.05), 0.02))
    assert kind == "helped"
    pattern = r"worth about (1\.9|2\.0|2\.1)x the labels at [24] per class \(90% interval \d.*x; log loss -\d.*%\)"
    assert re.fullmatch(pattern, words), words


def test_equal_starts_show_no_difference() -> None:
    same = curves(1.0, noise=0.2)
    assert judged(same, same) == (
        "same",
        "no difference that 5 seeds can show (log loss +0.0% on average over the budgets, 90% interval +0.0% to +0.0%)",
    )
    luck = np.array([-2, -1, 0, 1, 2])[None, :, None] * 0.05  # a spread over seeds whose mean is zero
    kind, words = judged(same, same + luck)
    assert kind == "same"
    assert words.startswith("no difference that 5 seeds can show")


def test_a_worse_start_hurt() -> None:
    kind, words = judged(curves(2.0, noise=0.05), curves(1.0, noise=0.05))
    assert kind == "hurt"
    assert words.startswith("it hurt (log loss +")


def test_a_budget_that_says_the_opposite_is_named() -> None:
    mixed = curves(2.0)
    mixed[-1] = curves(1.0)[-1] + 0.1
    kind, words = judged(curves(1.0), mixed)
    assert kind == "helped"
    assert words.endswith("; by itself worse at 16 per class")


def test_one_seed_gives_no_verdict() -> None:
    kind, words = judged(curves(1.0, seeds=1), curves(2.0, seeds=1))
    assert kind == "unknown"
    assert words.startswith("no verdict from 1 seed, which shows no spread")
    assert words.endswith("give --seeds 5")


def test_a_curve_beyond_the_base_is_said_with_its_bound() -> None:
    assert "worth more than 16x the labels at 1 per class" in judged(curves(1.0), curves(1.0, offset=-5.0))[1]


def test_chance_is_called_a_difference_about_as_often_as_it_says() -> None:
    """Law of the test: of curves without a difference at most about a tenth may be called one."""
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(100):
        base = 1.0 + rng.normal(size=(3, 5, 60))
        other = base + 0.3 * rng.normal(size=(3, 5, 1)) + 0.3 * rng.normal(size=(1, 1, 60))
        called += average_change(base, other, seed=0).said() != "same"
    assert called <= 16


def test_the_average_weighs_budgets_alike_and_is_paired() -> None:
    base = np.stack([np.full((2, 4), 2.0), np.full((2, 4), 0.2)])
    assert average_change(base, 0.9 * base, seed=0).mean == pytest.approx(-0.1)
    differences = np.random.default_rng(0).normal(size=(5, 50))
    assert change(differences, seed=3) == LossChange(*paired_over(differences, level=0.9, seed=3))
    assert change(differences[:1], seed=3) == LossChange(pytest.approx(differences[0].mean()), None, None)
    assert LossChange(0.1, 0.05, 0.2).said(larger_is_better=True) == "better"
    assert LossChange(0.1, 0.05, 0.2).said() == "worse"


# the numbers of a point ---------------------------------------------------------------------------------------------


def test_positive_against_negative_is_a_rank_sum() -> None:
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.ones(4), size=60).astype(np.float32)
    labels = rng.integers(0, 4, 60)
    positive = np.isin(labels, (1, 3))
    ranks = rankdata(p[:, [1, 3]].sum(axis=1, dtype=np.float64))
    n, m = positive.sum(), (~positive).sum()
    oracle = (ranks[positive].sum() - n * (n + 1) / 2) / (n * m)  # Mann & Whitney
    assert numbers(p, labels, (0, 2))["auc_positive"] == pytest.approx(oracle)
    assert "auc_positive" not in numbers(p, labels)
    assert numbers(p, np.zeros(60, np.int64), (0,))["auc_positive"] is None


# budgets ------------------------------------------------------------------------------------------------------------


def test_budgets_are_sorted_and_unique(images: Images, split: Split) -> None:
    found, notes = plan_budgets(["100%", "5", "1", "5", "05"], images, split)
    assert [(one.labels, one.images, one.per_class) for one in found] == [
        ("1", 3, 1.0),
        ("5", 15, 5.0),
        ("100%", 57, 19.0),
    ]
    assert notes == []


def test_what_the_training_part_cannot_give_is_capped_and_said(images: Images, split: Split) -> None:
    found, notes = plan_budgets(["100%", "25", "19", "2"], images, split)
    assert [one.labels for one in found] == ["2", "100%"]
    assert "25 per class is more than any class has: all 57 training images are used" in notes
    assert "25 per class and all labels are the same images here: measured once" in notes
    assert "19 per class and all labels are the same images here: measured once" in notes
    rare = Split(split.train[8:], split.val, split.test, split.pool)
    found, notes = plan_budgets(["12"], images, rare)
    assert found[0].images == 11 + 12 + 12
    assert notes == ["12 per class is more than 'one' has (11): all of its images are used"]


def test_a_draw_takes_from_train_and_no_more_from_val(images: Images, split: Split) -> None:
    (budget, whole), _ = plan_budgets(["2", "100%"], images, split)
    first, second = (budget.draw(images, split, seed) for seed in (0, 1))
    for drawn in (first, second, whole.draw(images, split, 0)):
        assert set(drawn.train) <= set(split.train)
        assert set(drawn.val) <= set(split.val)
        assert drawn.test is split.test
    assert (
        np.bincount(images.labels[first.train]).tolist() == np.bincount(images.labels[first.val]).tolist() == [2, 2, 2]
    )
    assert first.train.tolist() != second.train.tolist()
    assert whole.draw(images, split, 0).val.tolist() == split.val.tolist()


# mirror images ------------------------------------------------------------------------------------------------------


def test_features_of_mirror_images_are_those_of_flipped_files(digits_folder: Path, tmp_path: Path, model: str) -> None:
    from PIL import Image, ImageOps

    folder = tmp_path / "flipped" / "one"
    folder.mkdir(parents=True)
    for file in sorted((digits_folder / "test" / "one").iterdir()):
        ImageOps.mirror(Image.open(file)).save(folder / file.name)
    backbone = load_backbone(model)
    straight, flipped = load_images(digits_folder / "test" / "one"), load_images(folder)
    plain, mirrored = (extract(backbone, straight, hflip=hflip, runtime=RUNTIME).x for hflip in (False, True))
    assert not np.allclose(plain, mirrored, atol=1e-3)
    np.testing.assert_allclose(mirrored, extract(backbone, flipped, runtime=RUNTIME).x, atol=1e-5)


def test_views_are_the_parts_of_a_prediction(images: Images, split: Split, model: str) -> None:
    backbone = load_backbone(model)
    classifier = Classifier.of(backbone.network(3), images.classes, backbone)
    views = classifier.predict_views(images, indices=split.test[:7], tta="hflip", runtime=RUNTIME)
    assert views.shape == (2, 7, 3)
    whole = classifier.predict_proba(images, tta="hflip", runtime=RUNTIME)
    np.testing.assert_allclose(views.mean(axis=0), whole[split.test[:7]], atol=1e-6)


# end to end ---------------------------------------------------------------------------------------------------------


RECIPE = 'name = "short"\n[[stages]]\nscope = "head+norm"\nsteps = 2\nbatch = 8\nlr = 0.01\n'
ASKED: dict[str, Any] = {"labels": "5,2,5", "seeds": 2, "training": "head,full", "negative": "zero"}


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path, model: str) -> tuple[Path, dict[str, Any]]:
    """Return the folder and the document of a curve of a zoo model and a random one, head and full."""
    folder = tmp_path_factory.mktemp("proved")
    (folder / "short.toml").write_text(RECIPE)
    document = acclimate.curve(
        digits_folder,
        models=[model, "zoo:resnet-supervised"],
        recipe=str(folder / "short.toml"),
        out=folder / "curve",
        **QUIET,
        **ASKED,
    )
    return folder, document


def test_every_point_has_its_numbers_with_and_without_mirror(proved: tuple[Path, dict[str, Any]], model: str) -> None:
    document = proved[1]
    named = [(p["model"], p["training"], p["labels"], p["seed"]) for p in document["points"]]
    assert named == [
        (name, training, labels, seed)
        for name in (model, "zoo:resnet-supervised")
        for training in ("head", "full")
        for labels in ("2", "5")
        for seed in (0, 1)
    ]
    keys = {"log_loss", "macro_f1", "auc", "auc_positive", "accuracy"}
    for point in document["points"]:
        assert point.keys() >= keys
        assert point["plain"].keys() == keys
        assert point["images"] == 3 * int(point["labels"])
    assert any(point["log_loss"] != point["plain"]["log_loss"] for point in document["points"])


def test_the_document_is_the_file_and_json(proved: tuple[Path, dict[str, Any]], model: str) -> None:
    folder, document = proved
    written = json.loads((folder / "curve" / "curve.json").read_text(), parse_constant=pytest.fail)
    assert written == {key: value for key, value in document.items() if key != "out"}
    assert document.keys() >= {"command", "version", "seconds", "seed", "device", "points", "verdict"}
    assert (document["labels"], document["base"], document["negative"]) == (["2", "5"], model, ["zero"])
    assert [one["random_start"] for one in document["models"]] == [True, False]
    assert len(document["comparisons"]) == 4
    assert len(document["verdicts"]) == 2
    assert document["verdict"].startswith(f"zoo:resnet-supervised against {model}: ")
    assert document["verdict"].endswith("(full finetuning).")


def test_a_comparison_is_the_mean_of_its_points(proved: tuple[Path, dict[str, Any]], model: str) -> None:
    document = proved[1]
    for one in document["comparisons"]:
        means = [
            np.mean(
                [
                    point[metric]
                    for point in document["points"]
                    if (point["model"], point["training"], point["labels"]) == (name, one["training"], one["labels"])
                ]
            )
            for name in (one["model"], model)
            for metric in ("log_loss", "accuracy")
        ]
        assert one["log_loss"]["mean"] == pytest.approx(means[0] - means[2])
        assert one["accuracy"]["mean"] == pytest.approx(means[1] - means[3])
        assert one["log_loss"]["low"] <= one["log_loss"]["mean"] <= one["log_loss"]["high"]


def test_runs_keep_no_weights_and_never_saw_the_test_part(proved: tuple[Path, dict[str, Any]]) -> None:
    runs = sorted((proved[0] / "curve" / "runs").iterdir())
    assert len(runs) == 8
    assert "zoo-resnet-supervised-5-1" in {run.name for run in runs}
    for run in runs:
        document = json.loads((run / "run.json").read_text())
        assert document["test"] is None
        assert not (run / "weights.safetensors").exists()


def test_the_same_curve_again_measures_nothing(
    proved: tuple[Path, dict[str, Any]],
    digits_folder: Path,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, document = proved
    place = shutil.copytree(folder / "curve", tmp_path / "curve")

    def never(*_: Any, **__: Any) -> None:
        pytest.fail("it was measured again")

    for name in ("head", "full"):
        monkeypatch.setattr(f"acclimate.experiments.curve.points.{name}", never)
    asked = {**ASKED, "recipe": str(folder / "short.toml"), "out": place, **QUIET}
    again = acclimate.curve(digits_folder, models=[model, "zoo:resnet-supervised"], **asked)
    assert _timeless(again) == _timeless(document)
    fewer = acclimate.curve(digits_folder, models="zoo:resnet-supervised", **{**asked, "labels": ["2"], "tta": "none"})
    assert fewer["verdict"] is None
    assert [p["log_loss"] for p in fewer["points"]] == [
        p["plain"]["log_loss"] for p in document["points"] if p["model"].startswith("zoo") and p["labels"] == "2"
    ]
    with pytest.raises(pytest.fail.Exception, match="measured again"):  # and more seeds would be more work
        acclimate.curve(digits_folder, models=model, **{**asked, "seeds": 3})


def _timeless(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("seconds", "out")}


def test_the_report_shows_both_trainings_and_the_worth(proved: tuple[Path, dict[str, Any]]) -> None:
    report(proved[0] / "curve")
    page = (proved[0] / "curve" / "report.md").read_text()
    assert "Accuracy by labels, head only" in page
    assert "Log loss by labels, full finetuning" in page
    assert "Worth" in page
    assert "## Recipes compared" not in page, "every run of a curve is a point already"
    assert "## Leaderboard" not in page
    assert proved[1]["verdicts"][1]["words"].split(" (")[0] in page


def test_a_dry_run_counts_and_touches_nothing(
    digits_folder: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["--models", model, "--labels", "2,30", "--seeds", "3", "--training", "head,full", "--recipe", "linear"]
    assert main(["curve", str(digits_folder), *asked, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["fits"], plan["finetunings"]) == (6, 6)
    assert plan["labels"] == [{"labels": "2", "images": 6}, {"labels": "30", "images": 57}]
    assert plan["expected_seconds"] > 0
    assert main(["curve", str(digits_folder), *asked, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "6 fits and 6 finetunings with 2 (6 images), 30 (57 images)" in shown
    assert "30 per class is more than any class has" in shown
    assert list(tmp_path.iterdir()) == []


def test_people_see_the_table_and_the_verdict(
    proved: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from acclimate.commands.shell import find_command, print_document

    monkeypatch.setenv("COLUMNS", "300")
    print_document(proved[1], find_command("curve"), as_json=False)
    shown = capsys.readouterr().out
    assert "RANDOMLY INITIALISED" in shown
    assert "AUC pos/neg" in shown
    assert proved[1]["verdict"] in shown


def test_one_seed_has_no_interval_and_equal_weights_are_said(
    digits_folder: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = tmp_path / "same.safetensors"
    same.write_bytes(Path(model).read_bytes())
    found = acclimate.curve(
        digits_folder, models=[model, str(same)], labels="3", seeds=1, tta="none", out=tmp_path / "c", **QUIET
    )
    assert found["notes"] == [
        "one seed shows no spread: no intervals and no verdict; give --seeds 5",
        f"{same} has the same weights as {model}",
    ]
    assert found["verdict"] == f"{same} against {model}: no verdict from 1 seed (head only)."
    assert found["comparisons"][0]["log_loss"] == {"mean": 0.0, "low": None, "high": None}
    assert "plain" not in found["points"][0]


def test_the_draws_of_a_budget_are_fitted_at_once_and_in_any_company(
    digits_folder: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"models": model, "labels": "2,4", "tta": "none", **QUIET}
    calls = []

    def spied(x: Any, y: Any, draws: Any, **rest: Any) -> Any:
        calls.append([len(train) for train, _ in draws])
        return subsets.fit_draws(x, y, draws, **rest)

    monkeypatch.setattr("acclimate.experiments.curve.points.fit_draws", spied)
    whole = acclimate.curve(digits_folder, seeds=3, out=tmp_path / "whole", **asked)
    assert [len(call) for call in calls] == [3, 3]
    assert all(len(set(call)) == 1 for call in calls)
    acclimate.curve(digits_folder, seeds=2, out=tmp_path / "parts", **asked)
    calls.clear()
    parts = acclimate.curve(digits_folder, seeds=3, out=tmp_path / "parts", **asked)
    assert [len(call) for call in calls] == [1, 1], "what was kept is not fitted again"
    assert [p["log_loss"] for p in parts["points"]] == pytest.approx([p["log_loss"] for p in whole["points"]], rel=1e-6)


def test_two_classes_have_a_negative_one(flower_folder: Path, tmp_path: Path, model: str) -> None:
    for part in ("train", "test"):
        shutil.copytree(flower_folder, tmp_path / "data" / part)
    found = acclimate.curve(
        tmp_path / "data", models=model, labels="4", seeds=2, tta="none", out=tmp_path / "c", **QUIET
    )
    assert found["negative"] == ["china"]
    assert all(point["auc_positive"] == pytest.approx(point["auc"]) for point in found["points"])


# bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"training": "haed"}, "unknown training 'haed'; did you mean 'head'"),
        ({"training": ","}, "got no training; expected head, full or head,full"),
        ({"tta": "vflip"}, "unknown test-time augmentation 'vflip'; did you mean 'hflip'"),
        ({"recipe": "stagd"}, "did you mean 'staged'"),
        ({"negative": "zeero"}, "unknown negative class 'zeero'; did you mean 'zero'"),
        ({"negative": "zero,one,two"}, "got all 3 classes as negative; expected at least one to be positive"),
        ({"labels": "0"}, "cannot read '0' as a number of labels"),
        ({"labels": ""}, "got no number of labels; expected --labels"),
        ({"seeds": 0}, "got 0 seeds; expected at least 1"),
        ({"models": ""}, "got no model; expected --models BASE,OTHER"),
        ({"models": "zoo:resnet-byol,zoo:resnet-byol"}, "got model 'zoo:resnet-byol' twice; expected each model once"),
        ({"models": "zoo:resnet-bylo"}, "did you mean 'zoo:resnet-byol'"),
    ],
)
def test_bad_input_is_one_clear_line(digits_folder: Path, tmp_path: Path, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        acclimate.curve(digits_folder, **{"models": "zoo:resnet-byol", "out": tmp_path / "c", **asked})
    assert not (tmp_path / "c").exists()


def test_a_curve_needs_labels_and_a_test_part(digits_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train has 0 labelled test images; expected at least two: .* under test/"):
        acclimate.curve(digits_folder / "train", models="zoo:resnet-byol", out=tmp_path)
    with pytest.raises(InputError, match="has no labelled image to train on"):
        acclimate.curve(digits_folder / "train" / "one", models="zoo:resnet-byol", out=tmp_path)

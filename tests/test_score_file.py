"""`acclimate score` on features files from anywhere, and estimates by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from acclimate.commands import main
from acclimate.experiments.scoring.files import is_feature_file, read_feature_file
from acclimate.scores.estimates import ESTIMATES, estimate, prepare


def arrays(n: int = 60, d: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    x = rng.normal(size=(3, d))[y] + rng.normal(size=(n, d))
    p = np.exp(x[:, :5]) / np.exp(x[:, :5]).sum(axis=1, keepdims=True)
    return {"x": x, "y": y, "p": p}


def write(folder: Path, **changed: np.ndarray | None) -> Path:
    file = folder / "f.npz"
    np.savez(file, **{key: value for key, value in {**arrays(), **changed}.items() if value is not None})
    return file


def test_all_scores_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path)
    assert main(["score", str(file), "--score", "all", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"knn", "logistic", *ESTIMATES} <= found["values"].keys()
    given = arrays()
    prepared = prepare(given["x"], given["y"], p=given["p"])
    for name in ("logme", "hscore", "leep", "sfda", "gbc"):
        assert found["values"][name] == pytest.approx(estimate(name, prepared), rel=1e-9)
    assert len(found["values"]["ncti"]) == 3
    assert found["values"]["lidar"] is None
    assert (found["n"], found["d"]) == (60, 12)
    assert found["split"] == "classifiers: 12 rows held out, a fifth of each class, seed 0; estimates: all 60 rows"


def test_one_estimate_of_a_file_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, x=np.random.default_rng(0).normal(size=(60, 100)), p=None)
    assert main(["score", str(file), "--score", "hscore"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "worthless here: with n <= d (60 <= 100)" in shown
    assert "0 to C - 1" in shown


def test_a_split_is_kept_and_test_rows_are_not_seen(tmp_path: Path) -> None:
    split = np.array(["train"] * 30 + ["val"] * 15 + ["test"] * 15)
    found = read_feature_file(write(tmp_path, split=split), 0)
    assert (found.train.tolist(), found.val.tolist()) == (list(range(30)), list(range(30, 45)))
    named = read_feature_file(write(tmp_path, y=np.array(["a", "b", ""])[np.arange(60) % 3]), 0)
    assert len(named.train) == 40
    assert set(named.y.tolist()) == {-1, 0, 1}


def test_images_are_still_images(tmp_path: Path, tiny_npz: Path) -> None:
    assert not is_feature_file(tiny_npz)
    assert not is_feature_file(tmp_path / "none.npz")
    assert is_feature_file(write(tmp_path))


@pytest.mark.parametrize(
    ("changed", "score", "message"),
    [
        ({"y": None}, "all", "has the arrays p, x; expected x (n, d) and y (n,)"),
        ({"y": np.arange(59)}, "all", "y has shape (59,); expected (60,), one label per row of x"),
        ({"x": np.array([{}] * 60)}, "all", "without Python objects"),
        ({"x": np.full((60, 3), np.nan)}, "logme", "row 0 of the features has nan in column 0"),
        ({"p": np.ones((59, 2))}, "leep", "p has shape (59, 2); expected (60, z)"),
        ({"p": None}, "leep", "leep: needs source predictions p (n, z)"),
        ({"y": np.full(60, -1)}, "all", "has no labelled row to learn from"),
        ({"y": np.arange(60)}, "knn", "no held-out rows for classifiers: label two or more images of each class"),
        ({}, "logmee", "unknown score 'logmee'; did you mean 'logme'?"),
    ],
)
def test_a_bad_file_is_answered_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, np.ndarray | None], score: str, message: str
) -> None:
    assert main(["score", str(write(tmp_path, **changed)), "--score", score]) == 2
    printed = capsys.readouterr().err.strip()
    assert message in printed
    assert len(printed.splitlines()) == 1


def test_images_need_a_model(tiny_npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(tiny_npz)]) == 2
    assert "without a model; expected --model" in capsys.readouterr().err

"""Folders that the program of commit 5c6ac09 left: the same command lines go on with them and reckon nothing again."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from goldens import TEST, TRAIN, call, listed, read_golden, settled
from make_first_house import COMMANDS, arguments, unpack, write_inputs

FIXTURES = Path(__file__).with_name("fixtures") / "first_house"
DONE = sorted(set(COMMANDS) - {"unfinished"})
# What may be written again by a command that finds all its work done: its own document, and a table of the same rows.
REWRITTEN = {"rank/rank.json", "curve/curve.json", "study/study.json", "study/results.csv"}
TIMES = {"seconds", "seconds_spent", "version"}
SHOWN = {
    "tune": ["zoo:gn-leaves", "short"],
    "adapt": ["zoo:gn-leaves", "byol"],
    "rank": ["zoo:gn-leaves", "zoo:gn-supervised", "zoo:resnet-byol", "zoo:convnext-byol"],
    "curve": ["zoo:gn-leaves", "zoo:gn-supervised"],
    "study": ["zoo:gn-leaves", "zoo:gn-supervised", "zoo:resnet-byol", "zoo:convnext-byol", "knn/dino"],
}
COMPARED = {
    "study": ["compare", "study/results.csv", "--proxy", "knn,knn/dino", "--target", "logistic", "--json"],
    "rank": ["compare", "rank", "--proxy", "knn", "--target", "logistic", "--where", "split=val", "--json"],
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Path]:
    """Work in a copy of the old folders, with an empty cache."""
    folder = tmp_path / "first-house"
    unpack(FIXTURES, folder)
    with settled(folder):
        yield folder


def _files(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in listed(folder).items() if name not in REWRITTEN}


def _untimed(value: Any) -> Any:
    """Return a document without what differs from run to run."""
    if isinstance(value, dict):
        return {name: _untimed(inner) for name, inner in value.items() if name not in TIMES}
    return [_untimed(inner) for inner in value] if isinstance(value, list) else value


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_data_can_be_made_again(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    old, new = (np.load(folder / "digits.npz") for folder in (FIXTURES, tmp_path))
    assert old.files == new.files
    assert all(np.array_equal(old[name], new[name]) for name in old.files)
    assert all((tmp_path / f.name).read_text() == f.read_text() for f in FIXTURES.glob("*.toml"))


@pytest.mark.parametrize("name", DONE)
def test_what_is_done_is_not_done_again(name: str, house: Path) -> None:
    """No file is written anew, so no row was measured again, and there is none with another key."""
    before = _files(house)
    called = call(*arguments(name))
    assert called.code == 0, called.err
    after = _files(house)
    assert sorted(after) == sorted(before)
    assert [file for file in before if after[file] != before[file]] == []


@pytest.mark.parametrize("name", ["tune", "adapt"])
def test_a_finished_run_answers_from_its_document(name: str, house: Path) -> None:
    kept, said = _read(house / name / "run.json"), call(*arguments(name)).document
    told = {"tune": ("model", "recipe", "stages", "val", "test"), "adapt": ("looks", "monitors", "kept", "reason")}
    assert {key: said[key] for key in told[name]} == {key: kept[key] for key in told[name]}


@pytest.mark.parametrize("name", ["rank", "curve", "study"])
def test_the_answer_is_the_one_of_old(name: str, house: Path) -> None:
    old = _untimed(_read(FIXTURES / name / f"{name}.json"))
    said = _untimed(call(*arguments(name)).document)
    assert said == old | {"out": name}
    assert _untimed(_read(house / name / f"{name}.json")) == old


def test_every_cell_of_the_study_counts_as_done(house: Path) -> None:
    table = (FIXTURES / "study" / "results.csv").read_text(encoding="utf-8")
    dry = call(*arguments("study"), "--dry-run").document
    assert [cell["state"] for cell in dry["cells"]] == ["done"] * 24
    said = call(*arguments("study")).document
    assert (said["cells"], said["done"], said["failed"], said["missing"]) == (24, 24, [], [])
    assert (house / "study" / "results.csv").read_text(encoding="utf-8") == table


def test_an_unfinished_run_goes_on_where_it_stopped(house: Path) -> None:
    run = house / "unfinished"
    began = (run / "metrics.jsonl").read_bytes()
    assert (run / "checkpoint.pt").is_file()
    document = call(*arguments("unfinished")).document
    journal = (run / "metrics.jsonl").read_bytes()
    assert journal.startswith(began), "it began anew"
    assert len(journal) > len(began)
    assert document["stages"][0]["steps"] == 24
    assert {"run.json", "weights.safetensors", "recipe.toml"} <= {file.name for file in run.iterdir()}
    assert not (run / "checkpoint.pt").exists()
    assert len(list((run / "rows").iterdir())) == len(list((run / "predictions").iterdir())) == 1
    before = listed(run)
    assert call(*arguments("unfinished")).code == 0
    assert listed(run) == before


@pytest.mark.parametrize("name", ["tune", "unfinished", "adapt"])
def test_another_seed_is_refused(name: str, house: Path) -> None:
    before = listed(house)
    called = call(*arguments(name), "--seed", "1")
    assert called.code == 2
    assert "with another recipe, data, model or seed" in called.err
    assert listed(house) == before


@pytest.mark.parametrize("name", DONE)
def test_old_folders_are_reported_on(name: str, house: Path) -> None:
    page = Path(call("report", name, "--json").document["out"]).read_text(encoding="utf-8")
    assert [word for word in SHOWN[name] if word not in page] == []


def compared(name: str) -> Any:
    """Return what ``compare`` says of an old folder, without its times; the current folder is the house."""
    return _untimed(call(*COMPARED[name]).document)


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize("name", COMPARED)
def test_comparing_gives_the_numbers_of_old(name: str) -> None:
    _same(compared(name), read_golden("compared")[name], name)


def _same(new: Any, old: Any, where: str) -> None:
    """Fail unless both are equal, but for the last digits of numbers."""
    if isinstance(old, dict):
        assert list(new) == list(old), where
        for key, value in old.items():
            _same(new[key], value, f"{where}.{key}")
    elif isinstance(old, list):
        assert len(new) == len(old), where
        for i, value in enumerate(old):
            _same(new[i], value, f"{where}.{i}")
    elif isinstance(old, float):
        assert new == pytest.approx(old, rel=1e-6, abs=1e-9), where
    else:
        assert new == old, where


def test_an_old_classifier_predicts_as_it_did(house: Path) -> None:
    """Its probabilities are those that were kept with its row."""
    assert call("predict", "tune", "digits.npz", "--device", "cpu", "--precision", "32", "--out", "p.csv").code == 0
    with (house / "p.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 5 * (TRAIN + TEST)
    p = np.array([[float(line[f"p_{name}"]) for name in range(5)] for line in lines])
    with np.load(next((house / "tune" / "predictions").glob("*.npz"))) as kept:
        assert np.abs(p[kept["index"]] - kept["probabilities"]).max() < 1e-3


def test_old_runs_are_models(house: Path) -> None:
    for name in ("tune", "adapt"):
        found = call("score", "digits.npz", "--model", name, "--score", "knn", "--json").document
        assert found["random_start"] is False
        assert found["d"] == 256

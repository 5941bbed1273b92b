"""The studies that ship with the program: every name in them is known, and each has a miniature that runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acclimate.catalogue import names, paper_models
from acclimate.commands import main
from acclimate.experiments.study import dry_run, load_study, plan_study
from acclimate.images.layouts.datasets import dataset_entries

FULL = ("marks2025", "sirotkin2024", "ssda2020")


def test_each_study_has_its_miniature() -> None:
    assert sorted(names("studies")) == sorted([*FULL, *(f"{name}-mini" for name in FULL)])
    for name in names("studies"):
        study, _ = load_study(name)
        assert study.name == name
        assert study.source
        assert study.deviations
    for name in FULL:
        full, mini = load_study(name)[0], load_study(f"{name}-mini")[0]
        assert set(mini.protocols) <= set(full.protocols)


def test_a_study_takes_the_models_and_data_of_its_paper() -> None:
    marks, sirotkin = (set(load_study(name)[0].models) for name in FULL[:2])
    assert marks == {f"paper:{model.name}" for model in paper_models() if "marks2025" in model.studies}
    assert len(marks) == 26
    drawn = {f"paper:{model.name}" for model in paper_models() if "ericsson2021" in model.studies}
    assert sirotkin == drawn | {"timm:resnet50.tv_in1k"}
    for name, letter in (("marks2025", "M"), ("sirotkin2024", "S")):
        named = {f"data:{entry.name}" for entry in dataset_entries().values() if letter in entry.papers}
        assert set(load_study(name)[0].data) == named


@pytest.mark.parametrize(("name", "cells"), [("marks2025", 26 * 13 * 6 * 3), ("sirotkin2024", 14 * 12 * 4 * 3)])
def test_a_dry_run_lists_cells_and_what_is_missing(
    name: str, cells: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", name, "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["cells"]) == cells
    missing = {one["name"]: one["said"] for one in document["missing"]}
    assert missing
    assert all("get it " in said and "put it at " in said for said in missing.values())
    assert main(["study", name, "--dry-run"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "to download: " in shown
    assert "missing: " in shown
    assert main(["study", name]) == 2
    assert "is not on this machine: get it" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_the_name_of_a_data_set_is_found(tmp_path: Path) -> None:
    (tmp_path / "mhist").mkdir()
    study, folder = load_study("sirotkin2024")
    plan = plan_study(study, folder, data_root=tmp_path)
    states = {one["name"]: one["state"] for one in dry_run(plan)["data"]}
    assert states["data:mhist"] == "here"
    assert states["data:chestx"] == "missing"
    assert states["data:cifar10"] == "download"


@pytest.mark.parametrize("name", FULL)
def test_a_miniature_runs_whole(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", f"{name}-mini", "--out", str(tmp_path / "out"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["failed"] == []
    assert document["done"] == document["cells"] == len(list((tmp_path / "out" / "rows").glob("*.json")))
    assert {line["protocol"] for line in document["summary"]} == set(load_study(f"{name}-mini")[0].protocols)

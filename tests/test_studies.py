"""Studies: checked before any work, each cell once whatever is killed, failures that stop nothing, workers."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import acclimate
from acclimate.commands import main
from acclimate.errors import AcclimateError, Interrupted, StudyError
from acclimate.experiments.study import dry_run, load_study, parse_study, plan_study, run_study
from acclimate.experiments.study.ledger import Ledger
from acclimate.experiments.study.plan import StudyPlan
from acclimate.experiments.study.progress import Clock
from acclimate.experiments.study.work import Claims, Event, draw
from acclimate.experiments.study.workers import Crew
from acclimate.models.network import feature_width
from acclimate.protocols import ProbeProtocol, Task
from acclimate.storage.results import COLUMNS, Results
from acclimate.storage.runtime import Runtime

RECIPE = 'name = "short"\n[[stages]]\nscope = "head+norm"\nsteps = 3\nbatch = 16\nlr = 0.01\n'
TINY: dict[str, Any] = {
    "name": "tiny",
    "models": ["random:test_resnet"],
    "data": ["three.npz"],
    "protocols": ["knn", "logistic", "short.toml"],
    "seeds": 2,
    "labels": ["100%", "4"],
}


@pytest.fixture
def home(tmp_path: Path, tiny_npz: Path) -> Path:
    """Return the folder of a study's file, with two data sets of three digits and a recipe."""
    for name in ("three.npz", "again.npz"):
        shutil.copy(tiny_npz, tmp_path / name)
    (tmp_path / "short.toml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def planned(home: Path, **changes: Any) -> StudyPlan:
    return plan_study(parse_study({**TINY, **changes}, where="here"), home)


def told(folder: Path) -> dict[str, Any]:
    """Return the metrics of every row by its key."""
    return {row.key: row.metrics for row in Results(folder).rows()}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# before any work ----------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"protocol": ["knn"]}, "unknown key 'protocol'; did you mean 'protocols'?"),
    "key of an exclusion": ({"exclude": [{"model": ["x"]}]}, "unknown key 'model'; did you mean 'models'?"),
    "empty axis": ({"models": []}, r"models: got \[\]; expected a list with at least one name"),
    "empty name": ({"data": ["three.npz", " "]}, "data: got .* none of them empty"),
    "twice": ({"protocols": ["knn", "knn"]}, "protocols: got 'knn' twice, which makes the same cells twice"),
    "twice in other words": ({"labels": ["all", "100%"]}, r"labels: got '100%' twice \(as 'all' and '100%'\)"),
    "labels": ({"labels": ["some"]}, "cannot read 'some' as a number of labels"),
    "seeds": ({"seeds": 0}, "seeds: Input should be greater than or equal to 1, got 0"),
    "scale": ({"scale": 1.5}, "scale: Input should be less than or equal to 1, got 1.5"),
    "excluded value": ({"exclude": [{"protocols": ["knm"]}]}, "unknown value of protocols 'knm'; did you mean 'knn'?"),
    "excluded seed": ({"exclude": [{"seeds": [2]}]}, "exclude: got seed 2; expected 0 to 1"),
    "excluded nothing": ({"exclude": [{"why": "so"}]}, "an exclusion names nothing"),
    "excluded all": ({"exclude": [{"data": ["three.npz"]}]}, "excludes every one of its cells"),
    "protocol": ({"protocols": ["knn/marcs"]}, "unknown protocol 'knn/marcs'; did you mean 'knn/marks'?"),
    "embedded model": ({"models": ["zoo:resnet-byl"]}, "did you mean 'zoo:resnet-byol'?"),
    "model of a paper": ({"models": ["paper:simclir"]}, "did you mean 'paper:simclr'?"),
    "timm model": ({"models": ["resnet81"]}, "got model 'resnet81', which is neither .* did you mean resnet"),
    "random model": ({"models": ["random:resnet81"]}, "did you mean resnet"),
    "kind of model": ({"models": ["papr:simclr"]}, "unknown kind of model 'papr'; did you mean 'paper'?"),
    "built-in data": ({"data": ["builtin:digit"]}, "did you mean 'builtin:digits'?"),
    "data of a paper": ({"data": ["data:cifar"]}, "did you mean 'cifar10'"),
    "data without a kind": ({"data": ["dtd"]}, "there is no folder 'dtd'; did you mean 'data:dtd'?"),
    "kind of data": ({"data": ["dat:dtd"]}, "unknown kind of data 'dat'; did you mean 'data'?"),
    "torchvision": ({"data": ["torchvision:DTDD"]}, "unknown torchvision data set 'DTDD'; did you mean 'DTD'?"),
    "a way out": ({"data": ["../three.npz"]}, "outside of .* name the folder that holds it with --data-root"),
    "an absolute way out": ({"data": ["/"]}, "outside of"),
    "a recipe outside": ({"protocols": ["../short.toml"]}, "outside of"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_typo_is_found_before_any_work(what: str, home: Path) -> None:
    changes, message = BAD[what]
    with pytest.raises(AcclimateError, match=message):
        planned(home, **changes)


def test_a_missing_axis_and_broken_toml_are_said(home: Path) -> None:
    with pytest.raises(StudyError, match=r"study here: has no 'data'; expected data = \[...\]"):
        parse_study({"name": "x", "models": ["m"], "protocols": ["knn"]}, where="here")
    (home / "study.toml").write_text("name = ")
    with pytest.raises(StudyError, match="is not valid TOML"):
        load_study(home / "study.toml")
    with pytest.raises(StudyError, match="unknown study 'marks2024'; did you mean 'marks2025'"):
        load_study("marks2024")


def test_a_link_that_leads_out_needs_the_data_root(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.move(home / "three.npz", elsewhere / "three.npz")
    (home / "three.npz").symlink_to(elsewhere / "three.npz")
    with pytest.raises(StudyError, match="outside of"):
        planned(home)
    study = parse_study(TINY, where="here")
    assert plan_study(study, home, data_root=elsewhere).data[0].given == str(elsewhere / "three.npz")
    with pytest.raises(StudyError, match=r"got --data-root .* which is no folder"):
        plan_study(study, home, data_root=elsewhere / "three.npz")


def test_a_budget_on_top_of_a_protocols_own_is_refused(home: Path) -> None:
    (home / "few.toml").write_text(
        'name = "few"\nsource = "here"\ndeviations = []\n[recipe]\nlabels = "10%"\n'
        '[[recipe.stages]]\nscope = "head"\nsteps = 2\nlr = 0.1\n'
    )
    with pytest.raises(StudyError, match=r"'few.toml' takes 10% of the labels by itself, got it with labels '4'"):
        planned(home, protocols=["few.toml"])
    assert len(planned(home, protocols=["few.toml"], labels=["100%"]).cells) == 2


def test_cells_are_the_product_less_what_is_excluded(home: Path) -> None:
    plan = planned(home, exclude=[{"protocols": ["short.toml"], "labels": ["4"], "seeds": [1]}])
    assert len(plan.cells) == 3 * 2 * 2 - 1
    assert len({cell.id for cell in plan.cells}) == len(plan.cells)
    assert StudyPlan.of(json.loads(json.dumps(plan.document()))) == plan
    (home / "short.toml").write_text(RECIPE.replace("3", "4"))
    other = {cell.id for cell in planned(home).cells}
    assert len(other & {cell.id for cell in plan.cells}) == 8, "a changed recipe makes other cells"


def test_a_dry_run_names_what_is_missing_and_touches_nothing(home: Path, cache: Path) -> None:
    plan = planned(home, models=["random:test_resnet", "paper:milan", "gone.pth"], data=["three.npz", "data:cub"])
    before = sorted(home.rglob("*"))
    document = dry_run(plan, Ledger(home / "out"))
    assert sorted(home.rglob("*")) == before
    assert not list(cache.rglob("*"))
    assert {one["name"] for one in document["missing"]} == {"paper:milan", "gone.pth", "data:cub"}
    assert Counter(cell["state"] for cell in document["cells"]) == {"missing": 60, "open": 12}
    with pytest.raises(StudyError, match="'paper:milan' and 2 more of study 'tiny' is not on this machine: get it"):
        run_study(plan, home / "out")
    assert not (home / "out").exists()


def test_the_size_of_the_input_is_one_for_all_models_and_one_for_a_folder(home: Path) -> None:
    changes: dict[str, Any] = {"protocols": ["knn"], "labels": ["100%"], "seeds": 1}
    own, small = planned(home, **changes), planned(home, image_size=32, **changes)
    assert own.cells[0].id != small.cells[0].id
    document = run_study(small, home / "small")
    assert document["image_size"] == 32
    run_study(own, home / "own")
    numbers = [next(iter(told(home / folder).values()))["test"]["log_loss"] for folder in ("small", "own")]
    assert numbers[0] != numbers[1]
    with pytest.raises(StudyError, match=r"'tiny' at image_size 32; choose another --out for the models' own sizes"):
        run_study(own, home / "small")
    with pytest.raises(StudyError, match=r"'tiny' at the models' own sizes; choose another --out for image_size 32"):
        run_study(small, home / "own")


# the work -----------------------------------------------------------------------------------------------------------


def test_every_cell_becomes_a_row_of_the_table(home: Path) -> None:
    plan = planned(home, models=["random:test_resnet", "gone.pth"])
    document = run_study(plan, home / "out", skip_missing=True)
    assert (document["done"], document["cells"], document["failed"]) == (12, 24, [])
    lines = table(home / "out")
    assert tuple(lines[0]) == COLUMNS
    cells = {(line["protocol"], line["labels"], line["seed"]) for line in lines}
    assert cells == {(p, n, s) for p in TINY["protocols"] for n in ("100%", "4") for s in ("0", "1")}
    assert {line["split"] for line in lines} == {"val", "test"}
    assert not list((home / "out").rglob("*.safetensors")), "the weights of its runs go"
    rows = {key: path.stat().st_mtime_ns for key, path in _rows(home / "out").items()}
    again = run_study(plan, home / "out", skip_missing=True)
    assert {key: path.stat().st_mtime_ns for key, path in _rows(home / "out").items()} == rows
    assert again["summary"] == document["summary"]
    page = Path(acclimate.report(home / "out")["out"]).read_text("utf-8")
    assert "Leaderboard" in page
    assert "Recipes compared" not in page, "the runs of a study are its rows"


def _rows(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in (folder / "rows").glob("*.json")}


def test_a_seed_draws_labels_and_validation_images(digits_folder: Path) -> None:
    images = acclimate.load_images(digits_folder)
    (first, none), (second, _) = draw(images, "100%", 0), draw(images, "100%", 1)
    assert none is None
    assert first.val.tolist() != second.val.tolist()
    (few, text), (others, _) = draw(images, "4", 0), draw(images, "4", 1)
    assert (text, len(few.train)) == ("4", 12)
    assert few.train.tolist() != others.train.tolist()
    assert len(few.val) == 12, "validation costs labels too"
    unsplit = replace(images, splits=np.full(len(images), ""))
    whole, drawn = draw(unsplit, "100%", 0)[0], draw(unsplit, "4", 0)[0]
    assert drawn.val.tolist() == whole.val.tolist(), "rows are measured on it where there is no test part"


def test_features_are_extracted_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = torch.nn.Module.__call__
    plan = planned(home, protocols=["knn", "logistic", "knn/marks"], seeds=3)
    name = type(acclimate.load_backbone("random:test_resnet").module).__name__

    def counted(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if type(module).__name__ == name:
            seen.append(len(args[0]))
        return forward(module, *args, **kwargs)

    asked: list[int] = []

    def width(*args: Any) -> int:
        asked.append(1)
        return feature_width(*args)

    monkeypatch.setattr("acclimate.models.layers.feature_width", width)
    monkeypatch.setattr(torch.nn.Module, "__call__", counted)
    run_study(plan, home / "out")
    assert sum(n for n in seen if n > 1) == 108, "once each"
    assert asked == [1], "a network is asked once for its width"


def test_one_failing_cell_is_recorded_and_does_not_stop_the_rest(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(home, protocols=["knn", "logistic"])
    real, broken = ProbeProtocol.run, [True]

    def sometimes(probe: ProbeProtocol, task: Task, *rest: Any) -> Any:
        if probe.name == "logistic" and task.seed == 1 and broken[0]:
            raise RuntimeError("out of\nmemory")
        return real(probe, task, *rest)

    monkeypatch.setattr(ProbeProtocol, "run", sometimes)
    document = run_study(plan, home / "out")
    assert document["done"] == 6
    assert [(cell["protocol"], cell["seed"], cell["reason"]) for cell in document["failed"]] == [
        ("logistic", 1, "RuntimeError: out of memory")
    ] * 2
    broken[0] = False
    assert run_study(plan, home / "out")["done"] == 6, "a failure is not tried again by itself"
    assert run_study(plan, home / "out", retry_failed=True)["done"] == 8
    assert not list((home / "out" / "failed").iterdir())


def test_what_cannot_be_opened_is_the_reason_of_all_its_cells(home: Path) -> None:
    (home / "bad.npz").write_bytes(b"no archive")
    document = run_study(planned(home, data=["bad.npz", "three.npz"]), home / "out")
    assert (document["done"], len(document["failed"])) == (12, 12)
    assert all("bad.npz" in cell["reason"] for cell in document["failed"])
    with pytest.raises(StudyError, match=r"none of the 12 cells could be measured; the first: .*bad.npz"):
        run_study(planned(home, data=["bad.npz"]), home / "none")


def test_another_study_or_other_images_are_refused(home: Path, digits_folder: Path) -> None:
    shutil.copytree(digits_folder, home / "photos")
    changes: dict[str, Any] = {"data": ["photos"], "protocols": ["knn"]}
    run_study(planned(home, **changes), home / "out")
    with pytest.raises(StudyError, match="holds the study 'tiny'; choose another --out for 'other'"):
        run_study(planned(home, name="other", **changes), home / "out")
    next((home / "photos" / "train" / "zero").iterdir()).unlink()
    with pytest.raises(StudyError, match="'photos' is not what it was when rows of this study were made"):
        run_study(planned(home, **{**changes, "seeds": 3}), home / "out")


def test_ctrl_c_says_how_to_go_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, calls = ProbeProtocol.run, [0]

    def stops(*args: Any, **settings: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return real(*args, **settings)

    monkeypatch.setattr(ProbeProtocol, "run", stops)
    (home / "study.toml").write_text(
        'name = "tiny"\nmodels = ["random:test_resnet"]\ndata = ["three.npz"]\nprotocols = ["knn", "logistic"]\n'
    )
    command = ["study", str(home / "study.toml"), "--out", str(home / "out"), "--json"]
    assert main(command) == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert "stopped; 2 of 6 cells of study 'tiny' are kept in" in said.err
    assert "Give the same command again to go on" in said.err
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 6
    assert calls[0] == 3 + 4


def test_rows_of_equal_draws_are_noted(home: Path, digits_folder: Path) -> None:
    shutil.copytree(digits_folder, home / "fixed")
    (home / "fixed" / "val").mkdir()
    for name in ("zero", "one", "two"):
        (home / "fixed" / "val" / name).mkdir()
        for file in sorted((home / "fixed" / "train" / name).iterdir())[:6]:
            file.rename(home / "fixed" / "val" / name / file.name)
    document = run_study(planned(home, data=["fixed"], protocols=["knn"]), home / "out")
    assert len(document["notes"]) == 1
    assert "fixed, labels 100%: 1 rows equal that of another seed" in document["notes"][0]


# killed -------------------------------------------------------------------------------------------------------------


def _go(document: dict[str, Any], folder: str, cache: str) -> None:
    """Run a study in a process of its own, which may be killed."""
    torch.set_num_threads(1)
    os.environ["ACCLIMATE_CACHE"] = cache
    run_study(StudyPlan.of(document), Path(folder))


def test_killed_ten_times_it_ends_with_the_rows_of_an_unbroken_one(home: Path, cache: Path) -> None:
    plan = planned(home, protocols=["knn", "logistic", "knn/marks", "short.toml"], seeds=4)
    run_study(plan, home / "whole", runtime=Runtime(cache=home / "other-cache"))
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(
        ["acclimate.experiments.study", "acclimate.models", "acclimate.training", "sklearn.datasets"]
    )
    rng, kills, ended = random.Random(0), 0, False
    folder = home / "broken"
    while not ended:
        process = fork.Process(target=_go, args=(plan.document(), str(folder), str(cache)))
        process.start()
        began, there = time.monotonic(), len(_rows(folder))
        if kills < 10:
            while process.is_alive() and len(_rows(folder)) < there + 1 and time.monotonic() - began < 60:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.02))
            process.kill()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
            ended = process.exitcode == 0
        else:
            process.join()
            assert process.exitcode == 0
            ended = True
    assert kills == 10
    assert told(folder) == told(home / "whole")
    assert len(told(folder)) == len(plan.cells) == 32
    assert (folder / "results.csv").read_text() == (home / "whole" / "results.csv").read_text()
    assert not list(folder.glob("failed/*"))


# workers ------------------------------------------------------------------------------------------------------------


def test_a_claim_has_one_holder_and_ends_with_it(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    with claims.attempt("a") as first, claims.attempt("a") as second, claims.attempt("b") as other:
        assert (first, second, other) == (True, False, True)
        with claims.wait("a", unless=lambda: True) as got:
            assert got is False
    with claims.attempt("a") as again:
        assert again


def test_workers_share_the_work_and_a_killed_one_is_replaced(home: Path) -> None:
    plan = planned(home, data=["three.npz", "again.npz"], protocols=["knn", "logistic"])
    run_study(plan, home / "one", runtime=Runtime(cache=home / "own"))
    begun: list[str] = []
    killed: list[str] = []

    def tell(event: Event) -> None:
        if event.kind == "start":
            begun.append(event.cell)
        if event.kind == "start" and len(begun) == 2:
            killed.append(event.group)
            worker = next(number for number, at in crew.at.items() if at[1] == event.cell)
            crew.running[worker].kill()

    ledger = Ledger(home / "two")
    ledger.open(plan)
    crew = Crew(plan, ledger, Runtime(), tell, size=2)
    crew.run()
    assert {cell.id for cell in plan.cells} == set(begun)
    twice = [cell for cell, times in Counter(begun).items() if times > 1]
    theirs = {cell.id for group in plan.groups() if group.id in killed for cell in group.cells}
    assert len(twice) <= 1, "of the killed worker's group the cell that it was at is begun again, and no other"
    assert set(twice) <= theirs
    assert told(home / "two") == told(home / "one")
    assert not ledger.failures(plan)


def test_a_cell_that_kills_its_workers_is_blamed(home: Path) -> None:
    plan = planned(home, protocols=["knn"])
    ledger = Ledger(home / "out")
    crew = Crew(plan, ledger, Runtime(), lambda _: None, size=1)
    group = plan.groups()[0]
    crew._blame(group.id, plan.cells[0].id, "was killed by signal 9")
    assert [cell["id"] for cell in ledger.failures(plan)] == [plan.cells[0].id]
    assert "was killed by signal 9, 2 times; often that is a lack of memory" in ledger.failures(plan)[0]["reason"]
    with pytest.raises(AcclimateError, match="before it did anything"):
        crew._blame("", "", "ended with code 1")


def test_time_left_is_by_protocol(home: Path) -> None:
    plan = planned(home, protocols=["knn", "logistic"], labels=["100%"])
    clock = Clock(plan.cells, workers=1)
    assert clock.left is None
    (cell, *_), group = plan.cells, "g"
    clock.note(Event("start", group, cell.id), 10.0)
    clock.note(Event("done", group, cell.id), 14.0)
    assert clock.left == pytest.approx(3 * 4.0), "what is not known yet is guessed from what is"


def test_interrupted_is_no_failure(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_: Any, **__: Any) -> Any:
        raise Interrupted("stopped")

    monkeypatch.setattr(ProbeProtocol, "run", stops)
    with pytest.raises(Interrupted, match="0 of 12 cells"):
        run_study(planned(home), home / "out")
    assert not (home / "out" / "failed").exists()

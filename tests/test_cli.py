"""The command line's contract: one JSON document, one line of complaint, exit codes, dry runs that touch nothing."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate import __version__
from acclimate.commands import COMMANDS, main
from acclimate.commands.shell import find_command, print_document
from acclimate.models import load_backbone, save_weights

COMMON = {"command", "version", "seconds", "seed", "device"}
STAGE = {"objective", "scope", "trainable", "total", "epochs", "seconds"}
METRICS = {"accuracy", "balanced_accuracy", "log_loss", "macro_f1", "auc", "ece"}
KEYS = {
    "models": {"models"},
    "protocols": {"protocols"},
    "check": {"images", "classes", "corrupt", "duplicates", "leaks", "problems"},
    "embed": {"model", "n", "d", "out"},
    "score": {"model", "score", "value", "n", "d", "warnings"},
    "tune": {"run", "recipe", "stages", "val", "test"},
    "adapt": {"run", "method", "scope", "steps", "images_per_second", "monitors", "kept", "reason"},
    "rank": {"models", "best", "confidence_set", "seconds_spent"},
    "curve": {"points", "verdict", "comparisons", "verdicts", "models", "labels", "notes"},
    "compare": {
        "proxy",
        "target",
        "n_models",
        "pearson",
        "spearman",
        "kendall",
        "weighted_tau",
        "regret",
        "intervals",
        "ceiling",
        "static_baseline",
    },
    "study": {"study", "cells", "done", "failed", "missing", "summary", "notes", "table", "out"},
    "predict": {"run", "n", "skipped", "out"},
    "export": {"run", "format", "out"},
    "explain": {"run", "start", "images", "layers", "affine", "summary"},
    "report": {"out"},
    "demo": {"findings", "best", "kept", "report"},
}

RECIPE = """
name = "short"

[[stages]]
scope = "head"
augment = "none"
epochs = 3
lr = 0.01

[[stages]]
scope = "head+norm"
steps = 4
batch = 16
lr = 0.001
"""


TABLE = "model,dataset,protocol,metric,value\n" + "".join(
    f"{model},leaves,{protocol},accuracy,{0.5 + 0.1 * ((i + shift) % 5)}\n"
    for i, model in enumerate("abcd")
    for shift, protocol in enumerate(("knn", "finetune"))
)
STUDY = """
name = "short"
models = ["test_resnet.safetensors"]
data = ["DATA"]
protocols = ["knn", "knn/dino"]
seeds = 2
"""


@dataclass(frozen=True)
class Called:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout, strictly read: NaN and infinity are no JSON."""
        found = json.loads(self.out, parse_constant=pytest.fail)
        assert isinstance(found, dict)
        return found


def call(*arguments: str | Path) -> Called:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Called(code, out.getvalue(), err.getvalue())


def complaint(called: Called) -> str:
    """Return the one line on stderr of a command that was given bad input."""
    assert called.code == 2, called
    assert called.out == ""
    assert called.err.endswith("\n")
    assert called.err.count("\n") == 1, called.err
    assert "Traceback" not in called.err
    assert called.err.startswith("acclimate: ")
    return called.err


@dataclass(frozen=True)
class World:
    """A folder with data, models, a recipe, and everything the commands left there, with their documents."""

    folder: Path
    commands: dict[str, list[str]]
    documents: dict[str, dict[str, Any]]


def _tiny_model(folder: Path, architecture: str) -> str:
    backbone = load_backbone(f"random:{architecture}", image_size=32)
    save_weights(folder / f"{architecture}.safetensors", backbone.module, backbone.card())
    return str(folder / f"{architecture}.safetensors")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> World:
    folder = tmp_path_factory.mktemp("world")
    model, other = (_tiny_model(folder, name) for name in ("test_resnet", "test_efficientnet"))
    (folder / "short.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "table.csv").write_text(TABLE, encoding="utf-8")
    study = STUDY.replace("DATA", digits_folder.name)
    (folder / "study.toml").write_text(study, encoding="utf-8")
    data, recipe = str(digits_folder), str(folder / "short.toml")
    run, adapted, ranking, proof = (str(folder / name) for name in ("run", "adapted", "ranking", "proof"))
    commands = {
        "models": [],
        "protocols": ["knn/dino"],
        "check": [data],
        "embed": [data, "--model", model, "--out", str(folder / "f.npz")],
        "score": [data, "--model", model, "--score", "knn"],
        "tune": [data, "--model", model, "--recipe", recipe, "--out", run],
        "adapt": [data, "--model", model, "--steps", "2", "--batch", "8", "--out", adapted],
        "rank": [data, "--models", f"{model},{other}", "--top", "1", "--final", recipe, "--out", ranking],
        "curve": [data, "--models", f"{model},{other}", "--labels", "2,4", "--seeds", "2", "--out", proof],
        "compare": [str(folder / "table.csv"), "--proxy", "knn", "--target", "finetune"],
        "study": [
            str(folder / "study.toml"),
            "--data-root",
            str(digits_folder.parent),
            "--out",
            str(folder / "study"),
        ],
        "predict": [run, data, "--out", str(folder / "p.csv")],
        "export": [run],
        "explain": [run],
        "report": [run],
    }
    documents = {}
    with contextlib.chdir(folder):
        for name, arguments in commands.items():
            called = call(name, *arguments, "--json")
            assert (called.code, called.err) == (0, ""), (name, called)
            documents[name] = called.document
    return World(folder, commands, documents)


# JSON ---------------------------------------------------------------------------------------------------------------


def _has_the_keys(name: str, document: dict[str, Any]) -> None:
    assert document.keys() >= COMMON | KEYS[name]
    assert document["command"] == name
    assert document["version"] == __version__
    assert isinstance(document["seconds"], float)
    assert document["seconds"] >= 0
    assert document["seed"] == 0
    assert document["device"] in ("cpu", "cuda", "mps")


def test_every_command_has_a_contract() -> None:
    assert set(KEYS) == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(set(KEYS) - {"demo"}))
def test_json_carries_the_promised_keys(name: str, world: World) -> None:
    _has_the_keys(name, world.documents[name])


def test_models_are_listed_with_source_and_licence(world: World) -> None:
    listed = world.documents["models"]["models"]
    assert len(listed) > 10
    keys = {"name", "family", "source", "architecture", "parameters", "licence"}
    assert all(entry.keys() >= keys and all(entry[key] for key in keys) for entry in listed)
    assert all(entry["name"].startswith("zoo:") == (entry["family"] == "zoo") for entry in listed)
    only = call("models", "--family", "supervised", "--json").document["models"]
    assert {entry["family"] for entry in only} == {"supervised"}


def test_check_counts_what_is_there(world: World) -> None:
    found = world.documents["check"]
    assert found["images"] == 108
    assert found["classes"]["zero"] == {"train": 24, "test": 12}
    assert found["corrupt"] == []


def test_embed_writes_one_row_an_image(world: World) -> None:
    found = world.documents["embed"]
    with np.load(world.folder / "f.npz", allow_pickle=False) as arrays:
        assert arrays["x"].shape == (found["n"], found["d"]) == (108, 96)
        assert arrays["classes"].tolist() == ["one", "two", "zero"]
        assert {"y", "name", "split"} <= set(arrays.files)


def test_score_says_what_it_is_worth(world: World) -> None:
    found = world.documents["score"]
    assert 0 <= found["value"] <= 1
    assert found["n"] == 57
    assert any("randomly initialised" in warning for warning in found["warnings"])
    assert any("validation images" in warning for warning in found["warnings"])
    every = call("score", *world.commands["score"][:3], "--score", "all", "--json").document
    assert {"knn", "logistic"} <= every["values"].keys()
    assert every["values"]["knn"] == found["value"]


def test_tune_reports_stages_and_both_parts(world: World) -> None:
    found = world.documents["tune"]
    assert [stage["scope"] for stage in found["stages"]] == ["head", "head+norm"]
    assert all(stage.keys() >= STAGE for stage in found["stages"])
    assert found["stages"][0]["trainable"] == 97 * 3
    assert found["val"].keys() >= METRICS
    assert found["test"].keys() >= METRICS
    assert found["random_start"] is True
    assert found["images"] == {"images": 108, "classes": 3, "train": 57, "val": 15, "test": 36, "pool": 57}


def test_without_a_test_part_there_is_no_test_number(world: World, flower_folder: Path, tmp_path: Path) -> None:
    arguments = [flower_folder, *world.commands["tune"][1:5], "--out", tmp_path / "run", "--json"]
    assert call("tune", *arguments).document["test"] is None


def test_adapt_says_what_it_kept_and_why(world: World) -> None:
    found = world.documents["adapt"]
    assert (found["method"], found["scope"], found["steps"]) == ("byol", "all", 2)
    assert found["kept"] in ("adapted", "start")
    assert found["monitors"].keys() >= {"start", "adapted", "neighbour_overlap"}
    assert found["reason"]


def test_rank_orders_and_gives_intervals(world: World) -> None:
    found = world.documents["rank"]
    first, second = found["models"]
    keys = {"model", "rank", "proxies", "final", "low", "high", "in_set", "seconds"}
    assert first.keys() >= keys
    assert second.keys() >= keys
    assert first["low"] <= first["final"] <= first["high"]
    assert (first["rank"], second["rank"], second["final"]) == (1, 2, None)
    assert first["proxies"].keys() == {"knn", "logistic"}
    assert found["best"] == first["model"]
    assert found["confidence_set"] == [first["model"]]
    assert json.loads((world.folder / "ranking" / "rank.json").read_text())["best"] == found["best"]


def test_predict_writes_one_row_an_image(world: World) -> None:
    with (world.folder / "p.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == world.documents["predict"]["n"] == 108
    assert {row["label"] for row in rows} <= {"zero", "one", "two"}
    for row in rows:
        p = {name: float(row[f"p_{name}"]) for name in ("zero", "one", "two")}
        assert abs(sum(p.values()) - 1) < 1e-5
        assert row["confidence"] == f"{max(p.values()):.6f}"


def test_export_and_report_leave_what_they_name(world: World) -> None:
    exported = Path(world.documents["export"]["out"])
    assert {file.name for file in exported.iterdir()} == {"config.json", "model.safetensors"}
    page = Path(world.documents["report"]["out"])
    assert page.name == "report.html"
    assert "short" in page.read_text(encoding="utf-8")


def test_onnx_goes_into_the_run_with_its_difference(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def exported(_: Any, path: Path) -> dict[str, float]:
        asked.append(path)
        return {"max_difference": 1e-8}

    monkeypatch.setattr("acclimate.models.classifier.export_onnx", exported)
    arguments = ["export", str(world.folder / "run"), "--format", "onnx"]
    assert call(*arguments, "--json").document["max_difference"] == 1e-8
    assert "Largest difference of a probability from torch: 1.0e-08" in call(*arguments).out
    assert asked == [world.folder / "run" / "model.onnx"] * 2


def test_predict_with_mirror_images_differs_a_little(world: World, tmp_path: Path) -> None:
    run, data = world.commands["predict"][:2]
    assert call("predict", run, data, "--tta", "hflip", "--out", tmp_path / "q.csv").code == 0
    plain, both = (world.folder / "p.csv").read_text(), (tmp_path / "q.csv").read_text()
    assert plain != both
    assert plain.splitlines()[0] == both.splitlines()[0]


def test_an_adapted_run_is_a_model(world: World, tmp_path: Path) -> None:
    data, recipe = world.commands["tune"][0], world.folder / "short.toml"
    arguments = [data, "--model", world.folder / "adapted", "--recipe", recipe, "--labels", "5", "--out", tmp_path]
    found = call("tune", *arguments, "--json").document
    assert found["random_start"] is True, "an adapted random start still began at random"
    assert found["images"]["train"] == 15


@pytest.fixture
def short_story(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the demo short: two tiny models, few steps, one recipe."""
    from acclimate.commands import demo

    models = [str(world.folder / f"{name}.safetensors") for name in ("test_resnet", "test_efficientnet")]
    monkeypatch.setattr(demo, "MODELS", tuple(models))
    monkeypatch.setattr(demo, "ADAPTATION", {**demo.ADAPTATION, "steps": 2, "batch": 16, "head_steps": 0})
    monkeypatch.setattr(demo, "RECIPES", ("linear",))
    monkeypatch.setattr(demo, "BUDGETS", (1, 5))
    monkeypatch.setattr(demo, "CURVE_SEEDS", 2)
    monkeypatch.setattr(demo, "SHARE", 0.005)  # of the length of what trains


@pytest.mark.usefixtures("short_story")
def test_demo_tells_the_whole_story(tmp_path: Path) -> None:
    called = call("demo", "--out", tmp_path / "demo", "--json")
    assert (called.code, called.err) == (0, "")
    _has_the_keys("demo", called.document)
    assert len(called.document["findings"]) >= 4
    assert Path(called.document["report"]).is_file()
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        print_document(called.document, find_command("demo"), as_json=False)
    assert "Report:" in shown.getvalue()


# for people ---------------------------------------------------------------------------------------------------------

SAID = {
    "models": "licence",
    "protocols": "metric = cosine",
    "check": "108 images, 3 classes",
    "embed": "108 images, 96 features each of",
    "score": "57 training images, 96 dimensions",
    "tune": "Next: acclimate predict",
    "adapt": "of neighbours in common with the start model",
    "rank": "A page of it: acclimate report",
    "curve": "Points and rows",
    "study": "Study short: 4 of 4 cells",
    "predict": "Predictions of 108 images",
    "export": "Written for timm",
    "report": "Report:",
}


@pytest.mark.parametrize("name", SAID)
def test_people_get_tables_and_the_next_step(name: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    called = call(name, *world.commands[name])
    assert called.code == 0
    assert SAID[name] in called.out
    if {"--model", "--models"} & set(world.commands[name]):
        assert "RANDOMLY INITIALISED" in called.out


def test_left_out_files_are_said_on_stderr(world: World, digits_folder: Path, tmp_path: Path) -> None:
    import shutil

    data = shutil.copytree(digits_folder, tmp_path / "data")
    (data / "train" / "one" / "x.png").write_text("no image")
    called = call("predict", world.folder / "run", data, "--skip-bad", "--out", tmp_path / "p.csv")
    assert called.err.startswith("left out 1 unreadable files, the first: train/one/x.png")
    assert "Predictions of 108 images, 1 left out" in called.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    called = call(name, "--help")
    assert (called.code, called.err) == (0, "")
    assert f"acclimate {name}" in called.out
    for option in ("--json", "--seed", "--device", "--help"):
        assert option in called.out
    assert call(name, "-h").out == called.out


def test_help_and_version_of_the_program() -> None:
    called = call("--help")
    assert called.code == 0
    assert all(name in called.out for name in COMMANDS)
    assert call("--version").out == f"acclimate {__version__}\n"
    assert call() == call("--help")


# usage errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tun"], "No such command 'tun'"),
        (["tune"], "Missing argument"),
        (["tune", "data"], "Missing option '--model'"),
        (["tune", "data", "--modl", "x"], "No such option: --modl"),
        (["tune", "data", "--model", "x", "--seed", "-1"], "Invalid value for '--seed'"),
        (["tune", "data", "--model", "x", "--seed", "one"], "Invalid value for '--seed'"),
        (["adapt", "data", "--model", "x", "--steps", "0"], "Invalid value for '--steps'"),
        (["report", "a", "b"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_one_line_with_where_to_look(arguments: list[str], message: str) -> None:
    said = complaint(call(*arguments))
    assert message in said
    assert "--help'" in said


@pytest.mark.parametrize("name", ["tune", "adapt", "rank", "curve"])
def test_errors_with_json_leave_stdout_empty(name: str, world: World) -> None:
    arguments = ["no/such/folder", *world.commands[name][1:], "--json"]
    assert "no such file or folder: no/such/folder; expected a folder" in complaint(call(name, *arguments))


# dry runs -----------------------------------------------------------------------------------------------------------


def _listing(*folders: Path) -> dict[str, tuple[int, int]]:
    files = [path for folder in folders for path in sorted(folder.rglob("*"))]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


@pytest.mark.parametrize("name", ["tune", "adapt", "rank"])
def test_a_dry_run_touches_nothing(
    name: str, world: World, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = world.commands[name][:-2]  # without --out: it would be a folder under runs/
    before = _listing(tmp_path, cache, world.folder, Path(world.commands[name][0]))
    called = call(name, *arguments, "--dry-run", "--json")
    shown = call(name, *arguments, "--dry-run")
    assert _listing(tmp_path, cache, world.folder, Path(world.commands[name][0])) == before
    assert (called.code, called.err) == (0, "")
    plan = called.document
    assert plan.keys() >= COMMON | {"dry_run", "images", "expected_seconds"}
    assert plan["images"]["train"] == 57
    assert plan["expected_seconds"] > 0
    parts = plan["models"] if name == "rank" else plan["stages"]
    assert all(0 < part["trainable"] <= part["total"] for part in parts)
    assert "nothing was done" in shown.out


@pytest.mark.parametrize("name", ["tune", "adapt", "rank"])
def test_a_dry_run_plans_what_the_run_does(name: str, world: World) -> None:
    plan = call(name, *world.commands[name], "--dry-run", "--json").document
    done = world.documents[name]
    if name == "rank":
        assert [line["model"] for line in plan["models"]] == world.commands["rank"][2].split(",")
        return
    numbers = [(stage["scope"], stage["trainable"], stage["total"]) for stage in plan["stages"]]
    assert numbers == [(stage["scope"], stage["trainable"], stage["total"]) for stage in done["stages"]]


def test_a_dry_run_finds_bad_input(world: World) -> None:
    arguments = [*world.commands["tune"][:3], "--recipe", "liner", "--dry-run"]
    assert "did you mean 'linear'" in complaint(call("tune", *arguments))


# the same run again -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tune", "adapt"])
def test_a_finished_run_comes_back_at_once(name: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        pytest.fail("it trained again")

    monkeypatch.setattr("acclimate.training.stage.StageRun.run", never)
    folder = Path(world.documents[name]["run"])
    before = _listing(folder)
    again = call(name, *world.commands[name], "--json").document
    assert _listing(folder) == before
    changing = {"seconds"}
    ours = {key: value for key, value in again.items() if key not in changing}
    assert ours == {key: value for key, value in world.documents[name].items() if key not in changing}


def test_a_finished_ranking_is_not_trained_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        pytest.fail("it trained again")

    monkeypatch.setattr("acclimate.training.stage.StageRun.run", never)
    again = call("rank", *world.commands["rank"], "--json").document
    for ours, theirs in zip(again["models"], world.documents["rank"]["models"], strict=True):
        assert ours == theirs


@pytest.mark.parametrize("name", ["tune", "adapt"])
def test_another_seed_does_not_overwrite_a_run(name: str, world: World) -> None:
    said = complaint(call(name, *world.commands[name], "--seed", "1"))
    assert "holds a finished run with another recipe, data, model or seed; choose another --out" in said


# the program as a program -------------------------------------------------------------------------------------------


def test_nothing_but_the_document_reaches_stdout(
    world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [*world.commands["tune"][:-2], "--out", str(tmp_path / "run"), "--json"]
    assert main(["tune", *arguments]) == 0
    printed = capfd.readouterr()  # what libraries print from C as well
    document = json.loads(printed.out)
    assert printed.err == ""
    assert (tmp_path / "run" / "weights.safetensors").is_file()
    assert document["val"] == world.documents["tune"]["val"], "the same run elsewhere, other numbers"


def _program(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)


def test_the_module_complains_in_one_line() -> None:
    done = _program(sys.executable, "-m", "acclimate", "tun", "data")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("acclimate: No such command 'tun'. ")
    assert done.stderr.endswith(" See 'acclimate --help'\n")
    assert done.stderr.count("\n") == 1


def test_the_installed_program_says_its_version() -> None:
    done = _program(Path(sys.executable).with_name("acclimate"), "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"acclimate {__version__}\n", "")

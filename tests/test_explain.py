"""The verb `explain`: what it leaves, which images it asks, and one clear line for what it cannot do."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT

import acclimate
from acclimate.commands import main
from acclimate.images import load_images, make_split
from acclimate.models import load_backbone, save_weights

NORMS = '[[stages]]\nscope = "head+norm"\naugment = "none"\nsteps = 8\nbatch = 16\nlr = 0.05\n'
HEAD = '[[stages]]\nscope = "head"\naugment = "none"\nsteps = 2\nlr = 0.01\n'
QUIET: dict[str, Any] = {"quiet": True, "device": "cpu"}


def complaint(*arguments: str | Path) -> str:
    """Return the one line on stderr of a command with bad input."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    assert (code, out.getvalue()) == (2, ""), err.getvalue()
    assert err.getvalue().count("\n") == 1, err.getvalue()
    return err.getvalue().removeprefix("acclimate: ").rstrip("\n")


def tiny(path: Path, seed: int = 0) -> Path:
    """Write a small ResNet for 32-pixel images whose norms differ by the seed."""
    backbone = load_backbone("random:test_resnet", image_size=32)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in backbone.module.named_parameters():
            if "bn" in name and name.endswith("weight"):
                parameter += 0.5 * torch.rand(parameter.shape, generator=generator)
    save_weights(path, backbone.module, backbone.card())
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> Path:
    """Return a folder with ``data``, ``start.safetensors``, and finished runs ``norms`` and ``head``."""
    folder = tmp_path_factory.mktemp("explain")
    shutil.copytree(digits_folder, folder / "data")
    model = str(tiny(folder / "start.safetensors"))
    for name, recipe in (("norms", NORMS), ("head", HEAD)):
        (folder / f"{name}.toml").write_text(f'name = "{name}"\n{recipe}')
        acclimate.tune(folder / "data", model=model, recipe=str(folder / f"{name}.toml"), out=folder / name, **QUIET)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the run ``norms`` that a test may spoil."""
    return Path(shutil.copytree(made / "norms", tmp_path / "run"))


def edit(run: Path, **changes: Any) -> None:
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**document, **changes}))


# ---- what it says


def test_a_run_of_norms_is_explained_and_kept_beside_it(run: Path) -> None:
    found = acclimate.explain(run, **QUIET)
    assert json.loads((run / "explain.json").read_text()) == found
    assert (found["command"], found["of"], found["part"]) == ("explain", "tune", "val")
    assert (found["images"], found["labelled"], found["data"]) == (15, 15, "data")
    assert found["weights"]["before"] != found["weights"]["after"]
    rows = {row["layer"]: row for row in found["layers"]}
    assert next(iter(rows)) == "conv1.1"
    assert list(rows)[-2:] == ["layer4.0", "features"]
    assert rows["layer4.0"]["cka"]["low"] <= rows["layer4.0"]["cka"]["value"] <= rows["layer4.0"]["cka"]["high"]
    assert rows["layer4.0"]["shift"] > 0
    assert 0 <= rows["features"]["class_mean"]["before"] <= 1
    scales = [row for row in found["affine"] if row["role"] == "scale"]
    assert len(scales) == sum(row["kind"] == "norm" for row in found["layers"])
    assert all(row["relative"] > 0 for row in scales)
    assert re.match(r"The norm scales changed by [\d.]+% of their length, most in \S+ \(", found["summary"][0])
    assert found["summary"][-1].startswith("Features that the classifier sees: CKA ")


def test_a_linear_probe_changed_nothing_below_its_head(made: Path) -> None:
    found = acclimate.explain(made / "head", **QUIET)
    assert found["weights"]["before"] == found["weights"]["after"]
    assert all(row["length"] == 0 for row in found["affine"])
    assert all(row["shift"] == 0 for row in found["layers"])
    assert found["summary"][:3] == [
        "The norm scales did not change at all.",
        "The norm shifts did not change at all.",
        "The running statistics of the batch norms did not change.",
    ]
    assert "The mean of the features did not move in any layer." in found["summary"]


def test_the_same_seed_gives_the_same_numbers_and_test_images_stay_sealed(
    run: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acclimate.experiments.explanation import run as explaining

    asked: list[list[int]] = []
    real = explaining.decoded

    def spy(*arguments: Any, indices: Any, **more: Any) -> Any:
        asked.append(indices.tolist())
        return real(*arguments, indices=indices, **more)

    monkeypatch.setattr(explaining, "decoded", spy)
    first = acclimate.explain(run, images=8, **QUIET)
    again = acclimate.explain(run, images=8, **QUIET)
    acclimate.explain(run, images=8, seed=1, **QUIET)
    assert first["layers"] == again["layers"]
    assert first["images"] == 8
    assert asked[0] == asked[1] != asked[2]
    split = make_split(load_images(made / "data"), seed=0)
    assert {i for indices in asked for i in indices} <= set(split.val.tolist())
    assert all(indices == sorted(set(indices)) for indices in asked)


def test_other_images_can_be_asked_but_never_their_test_part(run: Path, made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(made / "data" / "train" / "zero", other / "train" / "zero")
    shutil.copytree(made / "data" / "train" / "one", other / "train" / "one")
    shutil.copytree(made / "data" / "test" / "two", other / "test" / "two")
    found = acclimate.explain(run, data=other, **QUIET)
    assert (found["data"], found["part"], found["images"]) == ("other", "all but test", 48)
    shutil.rmtree(other / "train")
    said = complaint("explain", run, "--data", other)
    assert said.startswith(
        "other has 0 images to compare on (part: all but test); expected at least 4, pass other images"
    )


def test_a_run_is_found_from_another_folder_and_its_start_where_it_is_now(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    shutil.copytree(made / "data", "data")
    shutil.copy(made / "start.safetensors", "start.safetensors")
    acclimate.tune("data", model="start.safetensors", recipe=str(made / "head.toml"), out=tmp_path / "moved", **QUIET)
    monkeypatch.chdir(tmp_path)
    said = complaint("explain", "moved")
    assert said.startswith("cannot load the start model 'start.safetensors' again: weights file 'start.safetensors'")
    assert said.endswith("; or pass --start MODEL")
    assert acclimate.explain("moved", start="there/start.safetensors", **QUIET)["images"] == 15


def test_an_adaptation_without_labels_is_asked_on_its_pool(made: Path, tmp_path: Path) -> None:
    flat = made / "data" / "train" / "one"
    model = str(made / "start.safetensors")
    acclimate.adapt(flat, model=model, steps=2, batch=8, out=tmp_path / "adapted", **QUIET)
    found = acclimate.explain(tmp_path / "adapted", **QUIET)
    assert (found["of"], found["part"], found["images"], found["labelled"]) == ("adapt", "pool", 24, 0)
    assert all(row["separation"] is None and row["class_mean"] is None for row in found["layers"])
    assert "class separation" not in found["summary"][-1]
    edit(tmp_path / "adapted", kept="start")
    kept = acclimate.explain(tmp_path / "adapted", **QUIET)
    assert kept["notes"] == ["The run kept its start model; compared is its last step, adapted.safetensors."]


def test_command_and_report_say_what_moved(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(run), "--device", "cpu"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "on 15 images of data (val)" in said
    assert "(RANDOMLY INITIALISED)" in said
    assert "- The norm scales changed by" in said
    assert "effective rank class separation layer1.0" in said
    acclimate.report(run)
    page = (run / "report.html").read_text("utf-8")
    assert "What training changed inside" in page
    assert "layer4.0.bn2" in page


def test_the_example_of_the_page_runs(
    tmp_path: Path, flower_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "explain.md").read_text("utf-8")
    block = re.search(r"<!-- run: explain -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert block
    shutil.copytree(flower_folder, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    for line in block.group(1).splitlines():
        assert main(shlex.split(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    document = json.loads((tmp_path / "run" / "explain.json").read_text())
    assert all(f"`{key}`" in text for key in set(document["layers"][0]) - {"layer", "group", "kind", "width"})
    assert "What training changed inside" in (tmp_path / "run" / "report.html").read_text("utf-8")


# ---- what it refuses


def _unfinished(run: Path) -> None:
    (run / "run.json").unlink()
    (run / "checkpoint.pt").touch()


def _empty(run: Path) -> None:
    (run / "run.json").unlink()


def _ranking(run: Path) -> None:
    (run / "run.json").rename(run / "rank.json")


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "unfinished": (_unfinished, "the run in 'run' is not finished; give its command again to go on, then explain it"),
    "no run": (_empty, "'run' holds no run; expected the folder of a finished 'acclimate tune' or 'acclimate adapt'"),
    "a ranking": (_ranking, "'run' holds what 'rank' wrote, not one run; expected the folder of a finished"),
    "another kind": (lambda run: edit(run, command="polish"), "'run' holds a run of 'polish'; expected the folder of"),
    "damaged": (lambda run: (run / "run.json").write_text("{") and None, "cannot read 'run/run.json': Expecting prop"),
    "no list": (lambda run: (run / "run.json").write_text("[]") and None, "'run' holds a run of 'list'; expected"),
    "no origin": (
        lambda run: edit(run, origin=None),
        "the run does not say where its data 'data' is; pass --data DATA",
    ),
    "data gone": (
        lambda run: edit(run, origin="/gone"),
        "cannot open the run's own data again: no such file or folder:",
    ),
    "data changed": (lambda run: edit(run, fingerprint="0" * 64), "has changed since the run: expected fingerprint 00"),
    "no weights": (lambda run: edit(run, weights=None), "the run does not say what weights it began with, so '"),
    "start gone": (lambda run: edit(run, model="gone.pt"), "cannot load the start model 'gone.pt' again: weights file"),
    "start changed": (lambda run: edit(run, weights="1" * 64), "expected weights digest 111111111111, got "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_run_that_cannot_be_explained(case: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil, expected = REFUSED[case]
    spoil(run)
    monkeypatch.chdir(run.parent)
    assert expected in complaint("explain", "run")
    assert not (run / "explain.json").exists()


def test_no_such_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert complaint("explain", "nowhere").startswith("'nowhere' holds no run; expected the folder of a finished")


def test_another_start_is_refused_with_both_digests(run: Path, made: Path, tmp_path: Path) -> None:
    other = tiny(tmp_path / "other.safetensors", seed=1)
    mine, theirs = (load_backbone(path).digest[:12] for path in (made / "start.safetensors", other))
    said = complaint("explain", run, "--start", other)
    assert f"is not what the run began with: expected weights digest {mine}, got {theirs}; pass --start MODEL" in said
    assert complaint("explain", run, "--start", "zoo:nothing").startswith("unknown")


def test_images_that_are_too_few_or_of_other_classes_or_of_none(run: Path, made: Path, tmp_path: Path) -> None:
    said = complaint("explain", run, "--images", "1")
    assert said == "got --images 1; expected at least 4, which unbiased CKA needs"
    said = complaint("explain", run, "--data", made / "data" / "train" / "one")
    assert said.startswith("one has no labels; expected images of the run's classes: 'one', 'two', 'zero'. Give class")
    shutil.copytree(made / "data" / "train" / "one", tmp_path / "other" / "seven")
    shutil.copytree(made / "data" / "train" / "two", tmp_path / "other" / "two")
    said = complaint("explain", run, "--data", tmp_path / "other")
    assert said == "other has classes that the run does not know: 'seven'; expected some of: 'one', 'two', 'zero'"
    for name in ("one", "two"):
        (tmp_path / "few" / name).mkdir(parents=True)
        shutil.copy(made / "data" / "train" / name / "000.png", tmp_path / "few" / name)
    assert complaint("explain", run, "--data", tmp_path / "few").startswith("few has 2 images to compare on")
    assert complaint("explain", run, "--data", tmp_path / "none").startswith("no such file or folder:")


def test_labels_mean_the_runs_classes_whatever_their_numbers(run: Path, made: Path, tmp_path: Path) -> None:
    """Data with some of the classes has other numbers for them, and says the same of each."""
    for name in ("two", "zero"):
        shutil.copytree(made / "data" / "train" / name, tmp_path / "some" / name)
    found = acclimate.explain(run, data=tmp_path / "some", **QUIET)
    assert found["labelled"] == 48
    assert np.isfinite(found["layers"][-1]["separation"]["difference"])

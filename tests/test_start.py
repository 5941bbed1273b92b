"""What a command answers before torch is imported: help, and names that lead nowhere; commands that need no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from acclimate.catalogue import paper_models, zoo_names
from acclimate.catalogue.lookup import BUILTIN, SOURCES, architectures, is_architecture, require_model
from acclimate.commands import COMMANDS
from acclimate.errors import ModelError
from acclimate.images.load import EMBEDDED, NAMED

HEAVY = ("torch", "timm", "torchvision", "lightly", "sklearn")
CALLED = """
import contextlib, io, json, sys
from acclimate.commands import main
err = io.StringIO()
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
    code = main(sys.argv[2:])
print(json.dumps([code, err.getvalue(), sorted(set(sys.modules) & set(json.loads(sys.argv[1])))]))
"""
DIGITS, MODEL, TWO = "builtin:digits", ("--model", "zoo:gn-leaves"), ("--models", "zoo:gn-leaves,zoo:gn-supervised")


def heavy_imports(arguments: Sequence[str], folder: Path) -> tuple[int, str, list[str]]:
    """Run a command in a program of its own; return its exit code, stderr and what it imported of the heavy ones."""
    done = subprocess.run(
        [sys.executable, "-c", CALLED, json.dumps(HEAVY), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    code, err, modules = json.loads(done.stdout)
    return code, err, modules


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_light(name: str, tmp_path: Path) -> None:
    assert heavy_imports([name, "--help"], tmp_path) == (0, "", [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("tune", "nowhere", *MODEL), "no such file or folder: nowhere"),
        (("tune", "", *MODEL), "got an empty name of data"),
        (("tune", DIGITS, "--modle", "x"), "No such option: --modle"),
        (("tune", DIGITS, "--model", "resnet5O"), "did you mean resnet50"),
        (("tune", DIGITS, *MODEL, "--device", "gpu"), "unknown device 'gpu'"),
        (("tune", DIGITS, *MODEL, "--precision", "fp16"), "unknown precision 'fp16'"),
        (("tune", DIGITS, *MODEL, "--recipe", "liner"), "unknown recipe 'liner'; did you mean 'linear'?"),
        (("tune", DIGITS, *MODEL, "--recipe", "knn/dino"), "'knn/dino' trains nothing"),
        (("tune", "builtin:digit", *MODEL), "unknown built-in data set 'digit'; did you mean 'digits'?"),
        (("adapt", "data:pet@x", *MODEL), "unknown data set 'pet'; did you mean 'pets'?"),
        (("adapt", DIGITS, *MODEL, "--method", "byo"), "unknown method 'byo'; did you mean 'byol'?"),
        (("adapt", "nowhere", *MODEL), "no such file or folder: nowhere"),
        (("adapt", DIGITS, "--model", "zoo:resnet-byl"), "did you mean 'zoo:resnet-byol'"),
        (("rank", "nowhere", *TWO), "no such file or folder: nowhere"),
        (("rank", DIGITS), "got 0 model to rank"),
        (("rank", DIGITS, "--models", "zoo:gn-leaves,random:resnet5O"), "did you mean resnet50"),
        (("rank", DIGITS, *TWO, "--final", "bnn"), "unknown recipe 'bnn'; did you mean 'bn'?"),
        (("curve", DIGITS, *TWO, "--recipe", "stagd"), "unknown recipe 'stagd'; did you mean 'staged'?"),
        (("curve", "nowhere", *TWO), "no such file or folder: nowhere"),
        (("curve", DIGITS, "--models", "paper:simcl"), "did you mean 'paper:simclr'"),
        (("embed", "nowhere", *MODEL), "no such file or folder: nowhere"),
        (("embed", DIGITS, "--model", "none.pt"), "weights file 'none.pt' does not exist"),
        (("score", "nowhere", *MODEL), "no such file or folder: nowhere"),
        (("score", DIGITS, "--model", "timm:resnet5O"), "did you mean resnet50"),
        (("score", DIGITS, *MODEL, "--score", "knnn"), "unknown score 'knnn'; did you mean 'knn'?"),
        (("protocols", "knn/dyno"), "unknown protocol 'knn/dyno'; did you mean 'knn/dino'?"),
        (("study", "marks2052"), "unknown study 'marks2052'; did you mean 'marks2025'?"),
        (("models", "--family", "zo"), "unknown family 'zo'; did you mean 'zoo'?"),
        (("predict", "run", "nowhere"), "no such file or folder: nowhere"),
        (("export", "run", "--format", "onx"), "unknown format 'onx'"),
        (("report", "nowhere"), "cannot report on 'nowhere': no such folder"),
        (("compare", "nowhere", "--proxy", "a", "--target", "b"), "there is no 'nowhere'"),
    ],
)
def test_a_wrong_name_is_answered_before_torch(line: Sequence[str], message: str, tmp_path: Path) -> None:
    code, err, modules = heavy_imports(line, tmp_path)
    assert (code, err.count("\n"), modules) == (2, 1, [])
    assert message in err


def test_commands_that_need_no_torch(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "f.npz", x=rng.normal(size=(40, 4)), y=np.arange(40) % 2)
    rows = [f"{m},d,{p},accuracy,{0.5 + 0.1 * i}" for i, m in enumerate("abcd") for p in ("knn", "finetune")]
    (tmp_path / "t.csv").write_text("\n".join(["model,dataset,protocol,metric,value", *rows]))
    for line in (
        ("models",),
        ("protocols",),
        ("report", "t.csv"),
        ("compare", "t.csv", "--proxy", "knn", "--target", "finetune", "--resamples", "100"),
        ("score", "f.npz"),
    ):
        code, err, modules = heavy_imports(line, tmp_path)
        assert (code, err, set(modules) - {"sklearn"}) == (0, "", set()), line


# names of data and models -------------------------------------------------------------------------------------------


def test_sources_of_data_are_those_that_can_be_read() -> None:
    assert set(NAMED) == set(SOURCES)
    assert set(EMBEDDED) == set(BUILTIN)


def test_names_of_architectures_are_those_of_timm() -> None:
    import timm
    from timm.models._registry import _deprecated_models as renamed

    assert architectures() == set(timm.list_models())
    assert all(is_architecture(name) for name in (*timm.list_models(), *renamed))
    code = (
        "import sys\nfrom acclimate.catalogue.lookup import is_architecture\n"
        "print([name for name in sys.argv[1:] if not is_architecture(name)], 'timm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *renamed], capture_output=True, text=True, check=True)
    assert done.stdout == "[] False\n"


def test_every_name_of_the_catalogue_may_be_a_model(tmp_path: Path) -> None:
    weights = tmp_path / "a.pth"
    weights.touch()
    names = [*zoo_names(), *(f"paper:{model.name}" for model in paper_models()), "resnet50.a1_in1k", str(tmp_path)]
    for name in (*names, "timm:resnet50", "random:test_vit", f"paper:swav@{weights}", f"resnet50@{weights}"):
        require_model(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (" ", "got an empty model name; expected zoo:NAME"),
        ("resnet50@none.pt", "weights file 'none.pt' does not exist"),
        ("random:", "neither an embedded model"),
        ("zo:resnet", "neither an embedded model"),
    ],
)
def test_what_cannot_be_a_model(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        require_model(name)

"""The Python twins of the commands: the same names, the same arguments, the same documents."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import pkgutil
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

import acclimate
from acclimate import Options
from acclimate.cli import app, main
from acclimate.commands import COMMANDS as FUNCTIONS
from acclimate.errors import DataError, InputError
from acclimate.images import load_images, make_split
from acclimate.models import load_backbone, save_weights
from acclimate.verbs import common

GROUP: Any = typer.main.get_command(app)
COMMANDS = list(GROUP.commands)
SHELL = {"json", "help"}  # options of the command line alone


def _walk() -> list[str]:
    names = [module.name for module in pkgutil.walk_packages(acclimate.__path__, "acclimate.")]
    return [name for name in names if name != "acclimate.__main__"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_function_whatever_was_imported(name: str) -> None:
    for module in _walk():
        importlib.import_module(module)
    name = FUNCTIONS[name]
    assert inspect.isfunction(getattr(acclimate, name)), "a submodule hides the function of this name"
    assert name in acclimate.__all__
    assert name in dir(acclimate)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_function_take_the_same(name: str) -> None:
    function = inspect.signature(getattr(acclimate, FUNCTIONS[name])).parameters
    of_options = {field.name for field in fields(Options)} - {"quiet"}
    options = {parameter.name: parameter for parameter in GROUP.commands[name].params}
    if "options" not in function:
        of_options = set()
    assert set(options) - SHELL - of_options == set(function) - {"options", "quiet"}
    for key in set(options) & set(function):
        given, ours = options[key].default, function[key].default
        same = given == ours or str(given) == str(ours) or (not given and ours in ((), None, inspect.Parameter.empty))
        assert options[key].required or same, f"{key}: {given!r} on the command line, {ours!r} in Python"


def test_options_have_the_defaults_of_the_command_line() -> None:
    defaults = {parameter.name: parameter.default for parameter in GROUP.commands["tune"].params}
    for field in fields(Options):
        if field.name != "quiet":
            assert defaults[field.name] == field.default


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    backbone = load_backbone("random:test_resnet", image_size=32)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_weights(path, backbone.module, backbone.card())
    return str(path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("recipe") / "short.toml"
    path.write_text('name = "short"\n[[stages]]\nscope = "head"\naugment = "none"\nsteps = 3\nlr = 0.01\n')
    return str(path)


def _printed(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*arguments, "--json"]) == 0
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def _shape(value: Any) -> Any:
    """Return a document's keys, all the way down, with the type of each value."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shape(item) for item in value[:1]]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


@pytest.mark.usefixtures("cache")
def test_functions_return_what_the_commands_print(
    digits_folder: Path, model: str, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, second, quiet = str(digits_folder), "random:test_resnet", Options(quiet=True)
    study = str(tmp_path / "study.toml")
    Path(study).write_text(
        'name = "s"\nmodels = ["random:test_resnet"]\ndata = ["digits"]\nprotocols = ["knn"]\nseeds = 1\n'
    )
    shutil.copytree(digits_folder, tmp_path / "digits")
    table = str(tmp_path / "table.csv")
    lines = [f"{m},d,{p},accuracy,{0.5 + 0.1 * i}" for i, m in enumerate("abcd") for p in ("knn", "finetune")]
    Path(table).write_text("\n".join(["model,dataset,protocol,metric,value", *lines]))
    twins: dict[str, tuple[Callable[[], dict[str, Any]], list[str]]] = {
        "models": (lambda: acclimate.list_models(family="masked"), ["--family", "masked"]),
        "protocols": (lambda: acclimate.list_protocols("knn/dino"), ["knn/dino"]),
        "check": (lambda: acclimate.check(data), [data]),
        "embed": (
            lambda: acclimate.embed(data, model=model, out="f.npz", options=quiet),
            [data, "--model", model, "--out", "f.npz"],
        ),
        "score": (lambda: acclimate.score(data, model=model), [data, "--model", model]),
        "tune": (
            lambda: acclimate.tune(data, model=model, recipe=recipe, out="run", options=quiet),
            [data, "--model", model, "--recipe", recipe, "--out", "run"],
        ),
        "adapt": (
            lambda: acclimate.adapt(data, model=model, steps=2, batch=8, out="adapted", options=quiet),
            [data, "--model", model, "--steps", "2", "--batch", "8", "--out", "adapted"],
        ),
        "rank": (
            lambda: acclimate.rank(data, models=[model, "run"], top=1, final=recipe, out="ranking", options=quiet),
            [data, "--models", f"{model},run", "--top", "1", "--final", recipe, "--out", "ranking"],
        ),
        "curve": (
            lambda: acclimate.curve(data, models=[model, "run"], labels=["2"], seeds=2, out="proof", options=quiet),
            [data, "--models", f"{model},run", "--labels", "2", "--seeds", "2", "--out", "proof"],
        ),
        "compare": (
            lambda: acclimate.compare(table, proxy="knn", target="finetune"),
            [table, "--proxy", "knn", "--target", "finetune"],
        ),
        "study": (lambda: acclimate.study(study, out="study", options=quiet), [study, "--out", "study"]),
        "predict": (lambda: acclimate.predict("run", data, out="p.csv"), ["run", data, "--out", "p.csv"]),
        "export": (lambda: acclimate.export("run"), ["run"]),
        "explain": (lambda: acclimate.explain("run"), ["run"]),
        "report": (lambda: acclimate.report("run"), ["run"]),
    }
    assert set(twins) | {"demo"} == set(COMMANDS)
    for name, (function, arguments) in twins.items():
        ours, printed = function(), _printed(name, *arguments)
        json.dumps(ours, allow_nan=True)  # plain data, no numpy
        assert _shape(ours) == _shape(printed), name
    plan = acclimate.tune(data, model=second, recipe=recipe, dry_run=True, options=quiet)
    assert _shape(plan) == _shape(_printed("tune", data, "--model", second, "--recipe", recipe, "--dry-run"))


def test_functions_raise_instead_of_printing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        acclimate.tune(tmp_path / "nowhere", model="random:test_resnet")
    with pytest.raises(InputError, match="got 0 model to rank"):
        acclimate.rank("builtin:digits")
    assert capsys.readouterr() == ("", "")


def test_a_run_without_out_goes_below_runs(
    digits_folder: Path, model: str, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = acclimate.tune(digits_folder, model=model, recipe=recipe, options=Options(quiet=True))
    assert Path(found["run"]).parent == Path("runs")
    assert Path(found["run"], "weights.safetensors").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_label_budget_takes_labels_from_train_alone(digits_folder: Path) -> None:
    images = load_images(digits_folder)
    whole = make_split(images, seed=2)
    setting = common.setting_for(images, Options(seed=2), "5")
    assert len(setting.split.train) == 15
    assert set(setting.split.train) <= set(whole.train)
    for part in ("val", "test", "pool"):
        assert getattr(setting.split, part).tolist() == getattr(whole, part).tolist()
    assert common.counts(images, setting.split)["pool"] == 57


def test_a_forecast_grows_with_the_work(digits_folder: Path, model: str, recipe: str) -> None:
    def seconds(steps: int) -> float:
        plan = acclimate.adapt(digits_folder, model=model, steps=steps, batch=32, dry_run=True)
        assert [stage["expected_seconds"] for stage in plan["stages"]] == [plan["expected_seconds"]]
        return float(plan["expected_seconds"])

    assert seconds(2000) > 5 * seconds(40)


def test_a_file_to_write_is_looked_at_first(tmp_path: Path) -> None:
    assert common.writable_file(tmp_path / "deep" / "f.npz", ".npz") == tmp_path / "deep" / "f.npz"
    assert list((tmp_path / "deep").iterdir()) == []
    for name in ("f.txt", "f"):
        with pytest.raises(DataError, match=rf"got --out '.*{name}'; expected a file name that ends in \.npz"):
            common.writable_file(tmp_path / name, ".npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match="expected a file name"):
        common.writable_file(tmp_path / "folder.npz", ".npz")

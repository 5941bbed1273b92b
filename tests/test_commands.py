"""The commands and their Python functions: the same names, the same arguments, the same documents."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import json
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

import acclimate
from acclimate import catalogue
from acclimate.commands import COMMANDS, data, main
from acclimate.commands.export import FORMATS
from acclimate.commands.shared import writable_file
from acclimate.commands.shell import find_command, group, help_of
from acclimate.errors import DataError, InputError
from acclimate.experiments.curve.points import TRAININGS
from acclimate.images import load_images, make_split
from acclimate.models.classifier import TTA
from acclimate.models.taps import POOLINGS
from acclimate.objectives import METHODS
from acclimate.views import DOMAINS

GROUP: Any = group()
SHELL = {"json", "help"}  # options of the command line alone
PYTHON = {"quiet"}  # what --json sets


def _walk() -> list[str]:
    names = [module.name for module in pkgutil.walk_packages(acclimate.__path__, "acclimate.")]
    return [name for name in names if name != "acclimate.__main__"]


def test_the_program_has_the_commands_in_their_order() -> None:
    assert list(GROUP.commands) == list(COMMANDS)
    files = {file.stem for file in (ROOT / "src" / "acclimate" / "commands").glob("*.py")}
    assert set(COMMANDS) < files, "a command is in the file of its name"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_function_whatever_was_imported(name: str) -> None:
    for module in _walk():
        importlib.import_module(module)
    function = getattr(acclimate, COMMANDS[name])
    assert inspect.isfunction(function), "a submodule hides the function of this name"
    assert function is find_command(name).run
    assert function.__name__ == COMMANDS[name]
    assert COMMANDS[name] in acclimate.__all__
    assert COMMANDS[name] in dir(acclimate)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_function_take_the_same(name: str) -> None:
    function = inspect.signature(find_command(name).run).parameters
    options = {parameter.name: parameter for parameter in GROUP.commands[name].params}
    assert set(options) - SHELL == set(function) - PYTHON
    for key in set(options) & set(function):
        ours = function[key].default
        required = ours is inspect.Parameter.empty
        assert options[key].required == required
        assert required or options[key].default == ours, key


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_a_page_and_a_way_to_be_shown(name: str) -> None:
    command = find_command(name)
    assert GROUP.commands[name].help == help_of(command)
    assert f"## `acclimate {name}`\n\n{help_of(command)}\n" in (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert list(inspect.signature(command.show).parameters) == ["document", "console"]
    assert all(parameter.help for parameter in GROUP.commands[name].params if parameter.name != "help")
    # what is not spelled out at the call cannot be confused there
    kinds = {parameter.kind for parameter in inspect.signature(command.run).parameters.values()}
    assert kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def test_options_that_several_commands_have_are_the_same_in_all() -> None:
    shared: dict[str, set[Any]] = {}
    for command in GROUP.commands.values():
        for option in command.params:
            if option.name in ("seed", "device", "precision", "cache", "skip_bad", "json", "dry_run"):
                shared.setdefault(option.name, set()).add((option.default, option.help))
    assert len(shared) == 7
    assert {name: len(kinds) for name, kinds in shared.items() if len(kinds) > 1} == {}


def test_help_lists_every_member() -> None:
    """What is not made from a table, since that needs torch, is held to it here."""
    listed = {
        ("adapt", "domain"): DOMAINS,
        ("adapt", "method"): METHODS,
        ("curve", "training"): TRAININGS,
        ("curve", "tta"): TTA,
        ("export", "format"): FORMATS,
        ("predict", "tta"): TTA,
        ("score", "pooling"): POOLINGS,
        ("study", "study"): catalogue.names("studies"),
        ("tune", "recipe"): catalogue.plain_names(),
    }
    for (command, option), members in listed.items():
        (text,) = (parameter.help for parameter in GROUP.commands[command].params if parameter.name == option)
        words = set(re.findall(r"[^\s,:;.]+", text))
        assert set(members) <= words, (command, option)


# types --------------------------------------------------------------------------------------------------------------


def test_a_type_checker_sees_every_public_name() -> None:
    """What stands under TYPE_CHECKING is what the module gives at run time."""
    tree = ast.parse((ROOT / "src" / "acclimate" / "__init__.py").read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: f"{node.module}.{alias.name}" for node in block.body for alias in node.names}  # type: ignore[attr-defined]
    assert set(seen) == set(acclimate.__all__)
    for name, place in seen.items():
        module, _, attribute = place.rpartition(".")
        assert getattr(acclimate, name) is getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('acclimate.rank("photos", models=["a", "b"], final="bn", seed=1)["best"]', ""),
        ('acclimate.rank("photos", finale="bn")', 'Unexpected keyword argument "finale" for "rank"'),
        ('acclimate.rank("photos", top="3")', 'Argument "top" to "rank" has incompatible type "str"'),
        ('acclimate.tune("photos")', 'Missing named argument "model" for "tune"'),
        ('acclimate.list_models("zoo")', 'Too many positional arguments for "list_models"'),
    ],
)
def test_mypy_refuses_a_wrong_argument_of_a_command(call: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "user.py"
    file.write_text(f"import acclimate\n\n{call}\n", encoding="utf-8")
    cache = ROOT / ".mypy_cache"  # of `make check`: the package is not checked again
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", cache, file]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=280, cwd=ROOT
    )
    assert (done.returncode == 0) == (not message), done.stdout + done.stderr
    assert message in done.stdout


# documents ----------------------------------------------------------------------------------------------------------


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
    folder, second = str(digits_folder), "random:test_resnet"
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
        "check": (lambda: acclimate.check(folder), [folder]),
        "embed": (
            lambda: acclimate.embed(folder, model=model, out="f.npz", quiet=True),
            [folder, "--model", model, "--out", "f.npz"],
        ),
        "score": (lambda: acclimate.score(folder, model=model), [folder, "--model", model]),
        "tune": (
            lambda: acclimate.tune(folder, model=model, recipe=recipe, out="run", quiet=True),
            [folder, "--model", model, "--recipe", recipe, "--out", "run"],
        ),
        "adapt": (
            lambda: acclimate.adapt(folder, model=model, steps=2, batch=8, out="adapted", quiet=True),
            [folder, "--model", model, "--steps", "2", "--batch", "8", "--out", "adapted"],
        ),
        "rank": (
            lambda: acclimate.rank(folder, models=[model, "run"], top=1, final=recipe, out="ranking", quiet=True),
            [folder, "--models", f"{model},run", "--top", "1", "--final", recipe, "--out", "ranking"],
        ),
        "curve": (
            lambda: acclimate.curve(folder, models=[model, "run"], labels=["2"], seeds=2, out="proof", quiet=True),
            [folder, "--models", f"{model},run", "--labels", "2", "--seeds", "2", "--out", "proof"],
        ),
        "compare": (
            lambda: acclimate.compare(table, proxy="knn", target="finetune"),
            [table, "--proxy", "knn", "--target", "finetune"],
        ),
        "study": (lambda: acclimate.study(study, out="study", quiet=True), [study, "--out", "study"]),
        "predict": (lambda: acclimate.predict("run", folder, out="p.csv"), ["run", folder, "--out", "p.csv"]),
        "export": (lambda: acclimate.export("run"), ["run"]),
        "explain": (lambda: acclimate.explain("run"), ["run"]),
        "report": (lambda: acclimate.report("run"), ["run"]),
    }
    assert set(twins) | {"demo"} == set(COMMANDS)
    for name, (function, arguments) in twins.items():
        ours, printed = function(), _printed(name, *arguments)
        json.dumps(ours, allow_nan=True)  # plain data, no numpy
        assert _shape(ours) == _shape(printed), name
    plan = acclimate.tune(folder, model=second, recipe=recipe, dry_run=True, quiet=True)
    assert _shape(plan) == _shape(_printed("tune", folder, "--model", second, "--recipe", recipe, "--dry-run"))


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
    found = acclimate.tune(digits_folder, model=model, recipe=recipe, quiet=True)
    assert Path(found["run"]).parent == Path("runs")
    assert Path(found["run"], "weights.safetensors").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_label_budget_takes_labels_from_train_alone(digits_folder: Path) -> None:
    images = load_images(digits_folder)
    whole = make_split(images, seed=2)
    task = data.task_for(images, digits_folder, seed=2, labels="5")
    assert len(task.split.train) == 15
    assert set(task.split.train) <= set(whole.train)
    for part in ("val", "test", "pool"):
        assert getattr(task.split, part).tolist() == getattr(whole, part).tolist()
    assert data.counts(images, task.split)["pool"] == 57


def test_a_forecast_grows_with_the_work(digits_folder: Path, model: str, recipe: str) -> None:
    def seconds(steps: int) -> float:
        plan = acclimate.adapt(digits_folder, model=model, steps=steps, batch=32, dry_run=True)
        assert [stage["expected_seconds"] for stage in plan["stages"]] == [plan["expected_seconds"]]
        return float(plan["expected_seconds"])

    assert seconds(2000) > 5 * seconds(40)


def test_a_file_to_write_is_looked_at_first(tmp_path: Path) -> None:
    assert writable_file(tmp_path / "deep" / "f.npz", ".npz") == tmp_path / "deep" / "f.npz"
    assert list((tmp_path / "deep").iterdir()) == []
    for name in ("f.txt", "f"):
        with pytest.raises(DataError, match=rf"got --out '.*{name}'; expected a file name that ends in \.npz"):
            writable_file(tmp_path / name, ".npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match="expected a file name"):
        writable_file(tmp_path / "folder.npz", ".npz")

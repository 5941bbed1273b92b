"""The house stands: imports point down, start-up is light, pins and bounds are complete, files stay short."""

from __future__ import annotations

import ast
import doctest
import importlib
import itertools
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import house
import pytest
from conftest import ROOT
from packaging.requirements import Requirement

import acclimate

SOURCE = ROOT / "src" / "acclimate"
LONGEST = 400  # lines a file
HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "lightly",
    "sklearn",
    "scipy",
    "pandas",
    "plotly",
)


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _contract(name: str) -> dict[str, Any]:
    contracts = _pyproject()["tool"]["importlinter"]["contracts"]
    return next(contract for contract in contracts if contract["id"] == name)


def _python(code: str, *arguments: str) -> str:
    """Run ``code`` in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copied_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the package that a test may spoil and must mend."""
    code_only = shutil.ignore_patterns("__pycache__", "*.safetensors")
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(SOURCE, folder / "acclimate", ignore=code_only)
    return folder


def _lint_imports(source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--config", ROOT / "pyproject.toml", "--no-cache", *arguments],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_every_import_contract_is_kept(copied_source: Path) -> None:
    done = _lint_imports(copied_source)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(_pyproject()['tool']['importlinter']['contracts'])} kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [
        ("layers", "storage/store.py", "from acclimate import experiments"),
        ("layers", "scores/__init__.py", "from acclimate import images"),  # two rooms on one line
        ("layers", "new_room.py", "from acclimate import errors"),  # a room without a place
        ("acyclic", "views/draw.py", "from acclimate.views import make"),
        ("torch-free", "images/__init__.py", "import torch"),
        ("torch-free", "reports/__init__.py", "def late() -> None:\n    import torch.nn"),
        ("report", "reports/__init__.py", "from acclimate import protocols"),
        ("train", "training/__init__.py", "from acclimate import scores"),
        ("objectives", "objectives/__init__.py", "from acclimate import images"),
    ],
)
def test_an_import_contract_can_fail(copied_source: Path, contract: str, file: str, line: str) -> None:
    spoiled = copied_source / "acclimate" / file
    before = spoiled.read_text(encoding="utf-8") if spoiled.exists() else None
    spoiled.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    try:
        done = _lint_imports(copied_source, "--contract", contract)
    finally:
        spoiled.unlink() if before is None else spoiled.write_text(before, encoding="utf-8")
    assert done.returncode != 0
    assert f"{_contract(contract)['name']} BROKEN" in done.stdout


def test_rooms_of_plain_arrays_import_without_torch() -> None:
    """Every module of these rooms, so also every command: what it needs of torch it imports when it runs."""
    rooms = _contract("torch-free")["source_modules"]
    code = (
        "import importlib, pkgutil, sys\n"
        "for room in sys.argv[1:]:\n"
        "    places = getattr(importlib.import_module(room), '__path__', ())\n"
        "    for name in (room, *(m.name for m in pkgutil.walk_packages(places, room + '.'))):\n"
        "        importlib.import_module(name)\n"
        "        if 'torch' in sys.modules: sys.exit(f'{name} imports torch')\n"
        "print(len([name for name in sys.modules if name.startswith('acclimate.')]))"
    )
    assert int(_python(code, *rooms)) > 100


def test_import_and_help_load_nothing_heavy() -> None:
    code = (
        "import sys, acclimate\n"
        "from acclimate.commands import main\n"
        "sys.argv = ['acclimate', '--help']\n"
        "try:\n    status = main()\n"
        "except SystemExit as end:\n    status = end.code\n"
        "print('exit', status or 0, 'heavy', sorted(set(sys.modules) & set(HEAVY)))"
    )
    printed = _python(code.replace("HEAVY", repr(HEAVY)))
    assert "rank" in printed, "the help names no command"
    assert printed.rstrip().endswith("exit 0 heavy []")


def test_public_names_exist_and_are_lazy() -> None:
    assert len(acclimate.__all__) > 5
    assert all(getattr(acclimate, name) is not None for name in acclimate.__all__)
    assert _python("import sys, acclimate; print('torch' in sys.modules)") == "False\n"
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = acclimate.no_such_name


def test_verbs_without_a_model_run_without_torch() -> None:
    """`models`, `check` and `report` are for laptops too: they answer before torch could be imported."""
    code = (
        "import sys, acclimate\n"
        "assert acclimate.list_models()['models'] and acclimate.check('builtin:digits')['images'] == 1797\n"
        "assert callable(acclimate.report) and callable(acclimate.compare)\n"
        "print('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert _python(code) == "False\n"


def _requirements() -> list[Requirement]:
    project = _pyproject()["project"]
    texts = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    return [requirement for requirement in map(Requirement, texts) if requirement.name != project["name"]]


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [tuple(line.split("==")) for line in lines if not line.startswith("#")]
    assert len({name for name, _ in pins}) == len(pins), "constraints.txt pins a package twice"
    return dict(pins)


def test_every_dependency_has_a_lower_bound() -> None:
    requirements = _requirements()
    loose = [str(r) for r in requirements if not any(s.operator in {">=", "==", "~="} for s in r.specifier)]
    assert len(requirements) > 20
    assert loose == []


def test_every_dependency_has_a_pin_within_its_bounds() -> None:
    pins = _pins()
    wrong = [str(r) for r in _requirements() if r.name not in pins or not r.specifier.contains(pins[r.name])]
    assert wrong == []


def test_constraints_are_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    odd = [line for line in lines[1:] if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9A-Za-z.]*", line)]
    assert len(lines) > 50
    assert odd == []


def test_no_file_is_longer_than_a_room() -> None:
    files = {file: file.read_text(encoding="utf-8") for file in SOURCE.rglob("*.py")}
    lengths = {str(file.relative_to(SOURCE)): len(text.splitlines()) for file, text in files.items()}
    assert len(lengths) > 20
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_examples_in_docstrings_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    modules = [module.name for module in pkgutil.walk_packages(acclimate.__path__, "acclimate.")]
    modules.remove("acclimate.__main__")  # importing it is running it
    results = {name: doctest.testmod(importlib.import_module(name)) for name in modules}
    assert sum(result.attempted for result in results.values()) > 5
    assert [name for name, result in results.items() if result.failed] == []


def test_ci_is_a_program_that_bash_can_read() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], capture_output=True, check=False).returncode == 0
    commands = script.read_text(encoding="utf-8").splitlines()
    assert {"make check </dev/null", "make test </dev/null"} <= set(commands)


def test_the_house_is_small() -> None:
    """The limits of docs/architecture.md; `floors` raises where rooms import each other in a circle."""
    arrows = house.arrows()
    floors = house.floors(arrows)
    assert {("commands", "experiments"), ("protocols", "training"), ("benchmarks", "models")} <= arrows
    assert len(floors) <= 20
    assert max(floors.values()) <= 10
    assert len(arrows) <= 90


def test_a_class_name_is_said_once() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")}
    names = [node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert len(names) > 200
    assert sorted({name for name in names if names.count(name) > 1}) == []

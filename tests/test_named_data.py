"""Named data: one reader for all kinds, one line for every file that cannot be read, and recipes that read back."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError
from test_cli import call, complaint

from acclimate import catalogue
from acclimate.catalogue import KINDS, Want, check_protocol_name
from acclimate.catalogue.read import MOST_BYTES
from acclimate.errors import InputError
from acclimate.errors import complaint as first_complaint
from acclimate.objectives import OBJECTIVES
from acclimate.protocols import find_protocol, protocol_names
from acclimate.scores import PROBES
from acclimate.training.recipe import Recipe, Stage, parse_recipe

Write = Callable[[Path], object]

BAD: dict[str, tuple[Write, str]] = {
    "latin-1": (lambda file: file.write_bytes("name = 'é'\n".encode("latin-1")), "is not text in UTF-8"),
    "utf-16": (lambda file: file.write_bytes('name = "a"\n'.encode("utf-16")), "is not text in UTF-8"),
    "mark": (lambda file: file.write_bytes(b"\xef\xbb\xbfname = 'a'\n"), "begins with a byte order mark"),
    "binary": (lambda file: file.write_bytes(bytes(range(256))), "is not text in UTF-8"),
    "null": (lambda file: file.write_bytes(b"name = 'a\0b'\n"), "is not valid TOML: Found invalid character"),
    "folder": (lambda file: file.mkdir(), "is a folder; expected a name or a TOML file"),
    "pipe": (os.mkfifo, "is no file; expected a name or a TOML file"),
    "empty": (lambda file: file.write_bytes(b" \n"), "is empty; expected a TOML file"),
    "broken": (lambda file: file.write_bytes(b"name = \n"), "is not valid TOML: Invalid value"),
    "deep": (lambda file: file.write_text("a = " + 5000 * "["), "is not valid TOML"),
    "long number": (lambda file: file.write_text("a = " + 5000 * "9"), "is not valid TOML"),
    "large": (lambda file: file.write_bytes(b"#" * (MOST_BYTES + 1)), "has more than 1,048,576 bytes"),
}
TAKES_A_FILE = {
    "recipe": ("tune", "nowhere", "--model", "random:test_resnet", "--recipe"),
    "recipe of a curve": ("curve", "nowhere", "--models", "random:test_resnet", "--training", "full", "--recipe"),
    "recipe of a ranking": ("rank", "nowhere", "--models", "random:test_resnet,random:test_vit", "--final"),
    "score": ("score", "nowhere", "--model", "random:test_resnet", "--score"),
    "protocol": ("protocols",),
    "study": ("study",),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", TAKES_A_FILE)
def test_a_file_that_cannot_be_read_is_one_line(kind: str, bad: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    write, message = BAD[bad]
    write(file)
    said = complaint(call(*TAKES_A_FILE[kind], file))
    assert said.startswith(f"acclimate: {kind.split()[0]} '{file}' {message}")


@pytest.mark.parametrize("kind", TAKES_A_FILE)
def test_a_file_that_may_not_be_read_is_one_line(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.toml"
    file.write_text("name = 'a'\n")
    real = Path.open

    def refuse(path: Path, *arguments: Any, **more: Any) -> Any:
        if path == file:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", refuse)
    said = complaint(call(*TAKES_A_FILE[kind], file))
    assert said.startswith(
        f"acclimate: {kind.split()[0]} '{file}' cannot be read: Permission denied; expected a TOML file"
    )


@pytest.mark.parametrize("name", ["", "nothing", "a\0b", "x" * 5000, "linear.toml"])
@pytest.mark.parametrize("kind", TAKES_A_FILE)
def test_a_name_that_nothing_has_is_one_line(kind: str, name: str) -> None:
    assert complaint(call(*TAKES_A_FILE[kind], name)).startswith(f"acclimate: unknown {kind.split()[0]} '{name}'")


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_of_a_kind_can_be_read(kind: str) -> None:
    assert len(set(catalogue.names(kind))) == len(catalogue.names(kind)) > 3
    assert tuple(catalogue.tables(kind)) == catalogue.names(kind)
    for name, table in catalogue.tables(kind).items():
        assert table
        assert catalogue.read(kind, name).values == table


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_error_and_names_the_nearest(kind: str) -> None:
    name = catalogue.names(kind)[0]
    with pytest.raises(InputError, match=f"unknown {KINDS[kind].noun} '{name}x'; did you mean '") as caught:
        catalogue.read(kind, f"{name}x")
    assert type(caught.value) is KINDS[kind].error
    assert ("or a TOML file" in str(caught.value)) == KINDS[kind].files


# what pydantic finds wrong -------------------------------------------------------------------------------------------


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int = 1
    words: tuple[str, ...] = ()


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    names: tuple[str, ...]
    length: int
    one: Inner | None = None
    many: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"length": 1}, "has no 'names'; expected names = [...]"),
        ({"names": []}, "length: Field required"),
        ({"names": [], "lenght": 1}, "unknown key 'lenght'; did you mean 'length'? Expected one of: "),
        ({"names": [], "length": 1, "one": {"sise": 1}}, "unknown key 'sise'; did you mean 'size'? Expected one of: s"),
        ({"names": [], "length": 1, "many": [{}, {"word": 1}]}, "unknown key 'word'; did you mean 'words'? Expected"),
        ({"names": [], "length": 1, "many": [{"size": "x"}]}, "many.0.size: Input should be a valid integer, "),
        ({"names": [], "length": 1, "many": [{"size": "x"}]}, "got 'x'"),
    ],
)
def test_a_wrong_value_is_said_with_its_place(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)
    said = first_complaint(caught.value, Outer)
    assert expected in said
    assert "\n" not in said


# what is written is read back ----------------------------------------------------------------------------------------

NUMBERS = st.floats(1e-9, 1e9)
STAGES = st.builds(
    Stage,
    objective=st.just("supervised"),
    scope=st.sampled_from(["all", "head+norm", "last:2", 're:"quoted"|\\.weight']),
    options=st.fixed_dictionaries({}, optional={"label_smoothing": st.floats(0, 0.9)}),
    epochs=st.integers(1, 10**6),
    batch=st.integers(2, 10**6),
    lr=NUMBERS,
    weight_decay=st.floats(0, 1e9),
    warmup=st.floats(0, 1, exclude_max=True),
    clip=NUMBERS,
    optimizer=st.sampled_from(["adamw", "sgd", "lars"]),
    keep=st.sampled_from(["best", "last"]),
)


@settings(max_examples=100, deadline=None)
@given(recipe=st.builds(Recipe, name=st.text(), source=st.text(), stages=st.lists(STAGES, min_size=1, max_size=3)))
def test_any_recipe_reads_back_equal(recipe: Recipe) -> None:
    text = recipe.to_toml().encode("utf-8").decode("utf-8")
    assert parse_recipe(tomllib.loads(text), where="again") == recipe


@pytest.mark.parametrize("objective", [name for name, (kind, _) in OBJECTIVES.items() if not kind.gradient_free])
def test_the_settings_of_an_objective_read_back_equal(objective: str) -> None:
    options = OBJECTIVES[objective][1]().model_dump(exclude_none=True)
    stage = Stage(objective=objective, scope="all", options=options, steps=3, lr=0.1)
    recipe = Recipe(name='🦜 "\\\n\t\x7f', stages=(stage,))
    assert parse_recipe(tomllib.loads(recipe.to_toml()), where="again") == recipe


def test_a_recipe_with_an_emoji_is_read_from_its_file(tmp_path: Path) -> None:
    recipe = Recipe(name="🦜", source="\u0000\u2028", stages=(Stage(scope="head", epochs=1, lr=1e-7),))
    recipe.save(tmp_path / "recipe.toml")
    assert parse_recipe(catalogue.read("protocols", tmp_path / "recipe.toml").values, where="again") == recipe


# names, before anything is loaded ------------------------------------------------------------------------------------


def test_names_are_answered_without_torch_and_pydantic() -> None:
    code = (
        "import sys\n"
        "from acclimate import catalogue\n"
        "from acclimate.errors import InputError\n"
        "assert 'knn/dino' in catalogue.names('protocols') and 'dtd' in catalogue.names('datasets')\n"
        "catalogue.check_protocol_name('finetune/marks', 'training')\n"
        "catalogue.check_protocol_name('ssda', 'training')\n"
        "catalogue.check_protocol_name('knn', 'features', probes=['knn'])\n"
        "for name, want in (('liner', 'training'), ('knn/dino', 'training'), ('linear', 'features'), ('x', 'any')):\n"
        "    try:\n"
        "        catalogue.check_protocol_name(name, want, probes=['knn'])\n"
        "    except InputError as error:\n"
        "        print(error)\n"
        "print(sorted({'torch', 'timm', 'sklearn', 'scipy', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    said = done.stdout.splitlines()
    starts = (
        "unknown recipe 'liner'; did",
        "'knn/dino' trains nothing",
        "'linear' trains the model",
        "unknown protocol",
    )
    assert [line.startswith(start) for line, start in zip(said, starts, strict=False)] == [True] * 4
    assert said[4] == "[]"


@pytest.mark.parametrize("want", ["any", "training", "features"])
@pytest.mark.parametrize("name", [*protocol_names(), "nothing", "linear/nothing"])
def test_a_name_is_checked_as_it_is_found(name: str, want: Want) -> None:
    said: list[str] = []
    for ask in (check_protocol_name, find_protocol):
        probes = {"probes": PROBES} if ask is check_protocol_name else {}
        try:
            ask(name, want, **probes)  # type: ignore[operator]
            said.append("")
        except InputError as error:
            said.append(f"{type(error).__name__}: {error}")
    assert said[0] == said[1]

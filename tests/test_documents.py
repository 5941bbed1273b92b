"""The ``--json`` document of every command: its nested keys, their JSON types and their order, as of commit 5c6ac09."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from goldens import (
    SETTLED,
    SHORT,
    Called,
    as_text,
    call,
    read_golden,
    settled,
    shape_of,
    write_digits,
    write_pictures,
    write_table,
)

DEMO = "ACCLIMATE_TEST_DEMO"  # in the environment: run the demo as well, minutes long
LEAVES, BOTH = "zoo:gn-leaves", "zoo:gn-leaves,zoo:gn-supervised"
# One protocol cannot be done with so few images, one model is not there, and one cell is left out.
STUDY = """name = "tiny"
models = ["zoo:gn-leaves", "none.safetensors"]
data = ["digits.npz"]
protocols = ["knn", "episodes/ericsson"]
seeds = 2
scale = 0.01
image_size = 32

[[exclude]]
protocols = ["episodes/ericsson"]
seeds = [1]
why = "once is enough"
"""
SHIFTS = "dataset,shift\nleaves,style\nstones,both\n"
# In this order: later ones use what earlier ones left. Those without a model come first, so that a failure is fast.
COMMANDS: dict[str, str] = {
    "models": "models",
    "models --family": "models --family zoo",
    "protocols": "protocols",
    "protocols of a score": "protocols knn/dino",
    "protocols of episodes": "protocols episodes/ericsson",
    "protocols of training": "protocols finetune/marks",
    "protocols of a recipe": "protocols staged",
    "protocols of a plain score": "protocols knn",
    "check": "check pictures",
    "compare": "compare table.csv --proxy knn --target finetune --resamples 100 --out compared",
    "compare two": "compare table.csv --proxy knn,linear --target finetune --resamples 100",
    "compare --ood": "compare table.csv --proxy knn --target finetune --resamples 100 --ood --shifts shifts.csv",
    "compare --by": "compare table.csv --proxy knn --target finetune --resamples 100 --by kind --dataset leaves",
    "embed": f"embed digits.npz --model {LEAVES} --out f.npz SETTLED",
    "score": f"score digits.npz --model {LEAVES} SETTLED",
    "score of an estimate": f"score digits.npz --model {LEAVES} --score logme SETTLED",
    "score all": f"score digits.npz --model {LEAVES} --score all SETTLED",
    "score of a preset": f"score digits.npz --model {LEAVES} --score knn/dino SETTLED",
    "score of episodes": f"score builtin:digits --model {LEAVES} --score episodes/ericsson --scale 0.01 SETTLED",
    "score of layers": f"score digits.npz --model {LEAVES} --layers last:2 SETTLED",
    "score of features": "score f.npz --score logistic",
    "score all of features": "score f.npz --score all",
    "tune --dry-run": f"tune digits.npz --model {LEAVES} --recipe short.toml --out run --dry-run SETTLED",
    "tune": f"tune digits.npz --model {LEAVES} --recipe short.toml --out run SETTLED",
    "tune a preset": f"tune digits.npz --model {LEAVES} --recipe linear/mae --scale 0.02 --out preset SETTLED",
    "adapt --dry-run": f"adapt digits.npz --model {LEAVES} --steps 2 --batch 8 --out adapted --dry-run SETTLED",
    "adapt": f"adapt digits.npz --model {LEAVES} --steps 2 --batch 8 --out adapted SETTLED",
    "adapt --ignore-labels": f"adapt digits.npz --model {LEAVES} --steps 2 --batch 8 --ignore-labels --out blind "
    "SETTLED",
    "rank --dry-run": f"rank digits.npz --models {BOTH} --top 1 --final short.toml --out ranking --dry-run SETTLED",
    "rank": f"rank digits.npz --models {BOTH} --top 1 --final short.toml --out ranking SETTLED",
    "curve --dry-run": f"curve digits.npz --models {BOTH} --labels 2,4 --seeds 2 --out curve --dry-run SETTLED",
    "curve": f"curve digits.npz --models {BOTH} --labels 2,4 --seeds 2 --negative 0 --out curve SETTLED",
    "curve of training": f"curve digits.npz --models {BOTH} --labels 2 --seeds 1 --training head,full "
    "--recipe short.toml --out full SETTLED",
    "study --dry-run": "study study.toml --out study --dry-run SETTLED",
    "study": "study study.toml --out study --skip-missing SETTLED",
    "predict": "predict run digits.npz --out p.csv SETTLED",
    "export": "export run",
    "explain": "explain run --device cpu",
    "report": "report run",
}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Called]]:
    """Return what every command said."""
    folder = tmp_path_factory.mktemp("documents") / "work"
    folder.mkdir()
    _prepare(folder)
    with settled(folder):
        yield {name: _run(line) for name, line in COMMANDS.items()}


def _prepare(folder: Path) -> None:
    write_digits(folder / "digits.npz")
    write_pictures(folder / "pictures")
    write_table(folder / "table.csv")
    for name, text in (("short.toml", SHORT), ("study.toml", STUDY), ("shifts.csv", SHIFTS)):
        (folder / name).write_text(text, encoding="utf-8")


def _run(line: str) -> Called:
    return call(*line.replace("SETTLED", " ".join(SETTLED)).split(), "--json")


def _demo() -> Any:
    return shape_of(call("demo", "--out", "demo", "--device", "cpu", "--json").document)


def shapes(folder: Path) -> dict[str, Any]:
    """Return the shape of every document, for `make_golden.py`; the old one of the demo unless it was asked for."""
    _prepare(folder)
    with settled(folder):
        found = {name: shape_of(_run(line).document) for name, line in COMMANDS.items()}
        return {**found, "demo": _demo() if DEMO in os.environ else read_golden("documents").get("demo")}


def test_nothing_else_is_recorded() -> None:
    assert set(read_golden("documents")) == {*COMMANDS, "demo"}


@pytest.mark.parametrize("name", COMMANDS)
def test_documents_have_the_keys_of_old(name: str, documents: dict[str, Called]) -> None:
    assert as_text(shape_of(documents[name].document)) == as_text(read_golden("documents")[name])


@pytest.mark.skipif(DEMO not in os.environ, reason=f"left out: the demo takes minutes; {DEMO}=1 runs it")
def test_the_demo_has_the_keys_of_old(tmp_path: Path) -> None:
    with settled(tmp_path):
        assert as_text(_demo()) == as_text(read_golden("documents")["demo"])

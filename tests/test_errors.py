"""Bad command lines: exit code and the exact text on stderr, as of commit 5c6ac09."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from goldens import SHORT, Called, call, read_golden, settled, write_digits, write_table

PLACE, ABOVE = "<folder>", "<above>"  # stand for the folder of the test, and the one that holds it, in what is said
M = "--model zoo:gn-leaves"
TWO = "--models zoo:gn-leaves,zoo:gn-supervised"
COMPARE = "compare table.csv"
LINES: tuple[str, ...] = (
    # the command line itself
    "frobnicate",
    "tune",
    f"tune digits.npz {M} --frob 1",
    f"tune digits.npz {M} --seed -1",
    f"tune digits.npz {M} --seed one",
    "tune digits.npz",
    "rank digits.npz --models zoo:gn-leaves,zoo:gn-supervised --top 0",
    # data
    f"tune nowhere {M}",
    f"tune '' {M}",
    f"score empty {M}",
    "check nowhere",
    "check builtin:digit",
    "check data:pet@nowhere",
    "check data:pets@nowhere",
    "embed digits.npz --model '' --out f.npz",
    f"embed one.npz {M} --out f.csv",
    f"tune one.npz {M}",
    f"embed nan.npz {M}",
    # models
    "embed digits.npz --model zoo:resnet-byl",
    "embed digits.npz --model zoo:",
    "embed digits.npz --model qqqqzzzz",
    "embed digits.npz --model paper:moco",
    "embed digits.npz --model random:qqqqzzzz",
    "embed digits.npz --model none.safetensors",
    "embed digits.npz --model test_resnet@none.pt",
    "models --family supervise",
    "protocols knn/din",
    # score
    f"score digits.npz {M} --score knnn",
    f"score digits.npz {M} --score logm",
    f"score digits.npz {M} --scale 0",
    f"score digits.npz {M} --scale 2 --score knn/dino",
    f"score digits.npz {M} --set k",
    f"score digits.npz {M} --set kk=3",
    f"score digits.npz {M} --set k=-1",
    f"score digits.npz {M} --layers blocks.9",
    f"score digits.npz {M} --layers 77",
    f"score digits.npz {M} --pooling clss",
    "score digits.npz",
    "score features.npz --set k=3",
    "score features.npz --score bn/paper",
    "score features.npz --score nope",
    # tune
    f"tune digits.npz {M} --recipe liner",
    f"tune digits.npz {M} --recipe none.toml",
    f"tune digits.npz {M} --recipe key.toml",
    f"tune digits.npz {M} --recipe scope.toml",
    f"tune digits.npz {M} --recipe rate.toml",
    f"tune digits.npz {M} --recipe knn/dino",
    f"tune digits.npz {M} --recipe linear --scale 0.5",
    f"tune digits.npz {M} --labels ten",
    f"tune digits.npz {M} --labels 0",
    f"tune digits.npz {M} --labels 150%",
    f"tune digits.npz {M} --device gpu",
    f"tune digits.npz {M} --precision fp16",
    f"tune digits.npz {M} --recipe short.toml --out file",
    # adapt
    f"adapt digits.npz {M} --method byo",
    f"adapt digits.npz {M} --method supervised",
    f"adapt digits.npz {M} --method mae",
    f"adapt digits.npz {M} --scope norms",
    f"adapt digits.npz {M} --scope head",
    f"adapt digits.npz {M} --scope re:nothing_like_it",
    f"adapt digits.npz {M} --domain aeral",
    f"adapt digits.npz {M} --batch 512",
    f"adapt digits.npz {M} --batch 1",
    f"adapt digits.npz {M} --set em=0.9",
    f"adapt digits.npz {M} --set ema=2",
    # rank and curve
    "rank digits.npz",
    "rank digits.npz --models zoo:gn-leaves",
    "rank digits.npz --models zoo:gn-leaves,zoo:gn-leaves",
    f"rank digits.npz {TWO} --final liner",
    f"curve digits.npz {TWO} --training hea",
    f"curve digits.npz {TWO} --tta flip",
    f"curve digits.npz {TWO} --labels 5,many",
    f"curve digits.npz {TWO} --negative nine",
    f"curve digits.npz {TWO} --recipe liner",
    "curve digits.npz --models zoo:gn-leaves,zoo:gn-leaves",
    f"curve one.npz {TWO}",
    # compare
    f"{COMPARE} --proxy knnn --target finetune",
    f"{COMPARE} --proxy knn --target finetunes",
    f"{COMPARE} --proxy knn --target finetune --metric acuracy",
    f"{COMPARE} --proxy knn --target finetune --dataset leafs",
    f"{COMPARE} --proxy knn --target finetune --by kinds",
    f"{COMPARE} --proxy knn --target finetune --where kind",
    f"{COMPARE} --proxy knn --target finetune --where kind=z",
    f"{COMPARE} --proxy knn --target finetune --unit percents",
    f"{COMPARE} --proxy knn --target finetune --level 2",
    "compare none.csv --proxy knn --target finetune",
    "compare empty --proxy knn --target finetune",
    "compare columns.csv --proxy knn --target finetune",
    # study
    "study marks2026",
    "study none.toml",
    "study typo.toml --dry-run",
    "study model.toml --dry-run",
    "study data.toml --dry-run",
    "study protocol.toml --dry-run",
    "study twice.toml --dry-run",
    "study out.toml --dry-run",
    "study missing.toml --out study",
    "study missing.toml --data-root nowhere",
    # run folders
    "predict nowhere digits.npz",
    "predict empty digits.npz --out p.csv",
    "predict empty digits.npz --out p.txt",
    "predict zoo:gn-leaves digits.npz",
    "export empty",
    "export empty --format onx",
    "explain nowhere",
    "explain empty",
    "report nowhere",
    "report empty",
)
STUDY = """name = "tiny"
models = ["zoo:gn-leaves"]
data = ["digits.npz"]
protocols = ["knn"]
"""
FILES = {
    "short.toml": SHORT,
    "key.toml": SHORT.replace("steps", "stps"),
    "scope.toml": SHORT.replace('"head"', '"hed"'),
    "rate.toml": SHORT.replace("0.01", "-1"),
    "columns.csv": "model,dataset,protocol,metric\na,leaves,knn,accuracy\n",
    "file": "in the way",
    "typo.toml": STUDY.replace("protocols", "protocol"),
    "model.toml": STUDY.replace("leaves", "leafs"),
    "data.toml": STUDY.replace("digits.npz", "builtin:digit"),
    "protocol.toml": STUDY.replace("knn", "knn/din"),
    "twice.toml": STUDY.replace('["knn"]', '["knn", "knn"]'),
    "out.toml": STUDY.replace("digits.npz", "../digits.npz"),
    "missing.toml": STUDY.replace("digits.npz", "none.npz"),
}


def _prepare(folder: Path) -> None:
    (folder / "empty").mkdir()
    write_digits(folder / "digits.npz")
    write_table(folder / "table.csv")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    rng = np.random.default_rng(0)
    labels, pixels = np.arange(12) % 2, rng.random((12, 8, 8), dtype=np.float32)
    np.savez(folder / "features.npz", x=rng.normal(size=(12, 4)), y=labels)
    np.savez(folder / "one.npz", x_train=pixels, y_train=np.zeros(12, np.int64))
    pixels[3, 1, 1] = np.nan
    np.savez(folder / "nan.npz", x_train=pixels, y_train=labels)


def _told(called: Called, folder: Path) -> dict[str, Any]:
    """Return exit code and stderr; nothing of a command that was refused is on stdout."""
    assert called.out == "", called
    place = folder.resolve()
    said = called.err.replace(str(place), PLACE).replace(str(place.parent), ABOVE)
    return {"code": called.code, "stderr": said}


def complaints(folder: Path) -> dict[str, Any]:
    """Return what is said of each bad command line, for `make_golden.py`."""
    _prepare(folder)
    with settled(folder):
        return {line: _told(call(*shlex.split(line)), folder) for line in LINES}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("errors") / "work"
    folder.mkdir()
    _prepare(folder)
    with settled(folder):
        yield folder


def test_nothing_else_is_recorded() -> None:
    assert list(read_golden("errors")) == list(LINES)


@pytest.mark.parametrize("line", LINES)
def test_bad_input_is_told_as_of_old(line: str, place: Path) -> None:
    assert _told(call(*shlex.split(line)), place) == read_golden("errors")[line]

"""What the guard tests share: the program called in this process, tiny data, shapes of documents, golden files.

They hold a reorganised program to the behaviour of commit 5c6ac09, so all they know of the package is its command line.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).with_name("golden")
LABELS = (8, 3, 5, 9, 1)  # digits that are not too easy to tell apart
TRAIN, TEST = 16, 8  # images a class
SETTLED = ("--device", "cpu", "--precision", "32")  # both decide what a run is, so they must not depend on the machine

SHORT = """name = "short"

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


@dataclass(frozen=True)
class Called:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout of a command that did well."""
        assert self.code == 0, self
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def call(*arguments: str | Path) -> Called:
    """Run a command in this process."""
    from acclimate.__main__ import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Called(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def settled(folder: Path) -> Iterator[None]:
    """Work in ``folder`` with a cache of its own, so that neither the place nor the past decides what is said."""
    before = os.environ.get("ACCLIMATE_CACHE")
    os.environ["ACCLIMATE_CACHE"] = str(folder.with_name(f"{folder.name}-cache"))
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        if before is None:
            del os.environ["ACCLIMATE_CACHE"]
        else:
            os.environ["ACCLIMATE_CACHE"] = before


# data ---------------------------------------------------------------------------------------------------------------


def write_digits(path: Path) -> None:
    """Write a ``.npz`` with ``x_train (80, 8, 8) y_train x_test (40, 8, 8) y_test``: scans of five digits, grey."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    scans = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    chosen = [scans[bunch.target == label][: TRAIN + TEST] for label in LABELS]
    labels = np.arange(len(LABELS))
    np.savez(
        path,
        x_train=np.concatenate([of_class[:TRAIN] for of_class in chosen]),
        y_train=labels.repeat(TRAIN),
        x_test=np.concatenate([of_class[TRAIN:] for of_class in chosen]),
        y_test=labels.repeat(TEST),
    )


def write_pictures(root: Path) -> None:
    """Write class folders with all that ``check`` can find: a damaged file, a duplicate, a test image in train."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, name in (("train", "one"), ("train", "two"), ("test", "one"), ("test", "two")):
        folder = root / part / name
        folder.mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    (root / "train" / "one" / "broken.png").write_bytes(b"no image")
    (root / "train" / "one" / "again.png").write_bytes((root / "train" / "one" / "0.png").read_bytes())
    (root / "test" / "two" / "leak.png").write_bytes((root / "train" / "two" / "0.png").read_bytes())


def write_table(path: Path, models: int = 6) -> None:
    """Write a results table: three protocols and two data sets, ``models`` models, two seeds, two groups."""
    rng = np.random.default_rng(0)
    lines = ["model,dataset,protocol,metric,value,seed,kind"]
    for i in range(models):
        for dataset in ("leaves", "stones"):
            for protocol in ("knn", "linear", "finetune"):
                for seed in (0, 1):
                    value = 0.4 + 0.08 * i + 0.1 * rng.random()
                    lines.append(f"m{i},{dataset},{protocol},accuracy,{value:.4f},{seed},{'ab'[i % 2]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# shapes of documents ------------------------------------------------------------------------------------------------


class Shape:
    """The keys and JSON types of one place in a document, over everything that was seen there."""

    def __init__(self) -> None:
        self.plain: set[str] = set()
        self.keys: dict[str, Shape] | None = None
        self.elements: Shape | None = None

    def see(self, value: Any) -> None:
        """Take another value of this place into account."""
        if isinstance(value, dict):
            self.keys = {} if self.keys is None else self.keys
            for name, inner in value.items():
                self.keys.setdefault(name, Shape()).see(inner)
        elif isinstance(value, list):
            self.elements = self.elements or Shape()
            for inner in value:
                self.elements.see(inner)
        else:
            self.plain.add("null" if value is None else type(value).__name__)

    def told(self) -> Any:
        """Return it for JSON: a dict of keys, a list of what its elements are, names of types with ``|`` between."""
        forms: list[Any] = []
        if self.keys is not None:
            forms.append({name: inner.told() for name, inner in self.keys.items()})
        if self.elements is not None:
            inside = self.elements.told()
            forms.append([] if inside is None else [inside])
        if self.plain:
            forms.append("|".join(sorted(self.plain)))
        if len(forms) > 1:
            return {"one of": forms}
        return forms[0] if forms else None


def shape_of(value: Any) -> Any:
    """Return the nested keys and types of a JSON value, in its order of keys."""
    shape = Shape()
    shape.see(value)
    return shape.told()


# golden files -------------------------------------------------------------------------------------------------------


def read_golden(name: str) -> Any:
    """Return what ``tests/golden/NAME.json`` holds."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def write_golden(name: str, value: Any) -> None:
    """Record ``tests/golden/NAME.json``; only `make_golden.py` does."""
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(as_text(value) + "\n", encoding="utf-8")


def as_text(value: Any) -> str:
    """Return JSON whose lines pytest can show the difference of; the order of keys is kept."""
    return json.dumps(value, indent=1, ensure_ascii=False)


def listed(folder: Path, patterns: Sequence[str] = ("**/*",)) -> dict[str, bytes]:
    """Return every file below a folder with its content."""
    found = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

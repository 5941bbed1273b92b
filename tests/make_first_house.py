"""How ``tests/fixtures/first_house`` was made: by the program of commit 5c6ac09. Not to be run again.

The folders are what users of that program have on their disks. A test that finds a newer program unable to go on with
them has found a broken promise, and making them anew with the newer program would hide it. It was run on a CPU as
``OMP_NUM_THREADS=1 python tests/make_first_house.py FOLDER``; ``origin`` in each ``run.json`` was then made relative.

The run ``unfinished`` was stopped by Ctrl-C in its sixth step. What is large and binary, weights and the checkpoint,
lies in one compressed archive, since most of it are copies of the same frozen numbers.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from goldens import SETTLED, SHORT, write_digits

LONG = """name = "long"

[[stages]]
scope = "head+norm"
steps = 24
batch = 4
lr = 0.001
"""
CHEAP = """name = "cheap"
source = "four models of the zoo on scans of five digits"
models = ["zoo:gn-leaves", "zoo:gn-supervised", "zoo:resnet-byol", "zoo:convnext-byol"]
data = ["digits.npz"]
protocols = ["knn", "logistic", "knn/dino"]
seeds = 2
image_size = 32
"""
MODELS = "zoo:gn-leaves,zoo:gn-supervised,zoo:resnet-byol,zoo:convnext-byol"
# The command line of each folder; the folder is the name.
COMMANDS = {
    "tune": "tune digits.npz --model zoo:gn-leaves --recipe short.toml",
    "unfinished": "tune digits.npz --model zoo:gn-leaves --recipe long.toml",
    "adapt": "adapt digits.npz --model zoo:gn-leaves --scope norm --steps 4 --batch 16",
    "rank": f"rank digits.npz --models {MODELS} --top 2 --final short.toml",
    "curve": "curve digits.npz --models zoo:gn-leaves,zoo:gn-supervised --labels 2,5 --seeds 2",
    "study": "study cheap.toml",
}
LARGE = ("*.safetensors", "*.pt")
ARCHIVE = "weights.tar.xz"
STOPPED = """
import itertools, os, signal, sys
from torch.optim.optimizer import register_optimizer_step_pre_hook
from acclimate.__main__ import main

steps = itertools.count()
register_optimizer_step_pre_hook(lambda *_: os.kill(os.getpid(), signal.SIGINT) if next(steps) == 5 else None)
sys.exit(main(sys.argv[1:]))
"""


def arguments(name: str) -> list[str]:
    """Return the command line that made the folder ``name``."""
    return [*COMMANDS[name].split(), "--out", name, *SETTLED, "--json"]


def write_inputs(folder: Path) -> None:
    """Write the data, recipes and study that the commands name."""
    write_digits(folder / "digits.npz")
    for name, text in (("short", SHORT), ("long", LONG), ("cheap", CHEAP)):
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def unpack(fixtures: Path, folder: Path) -> None:
    """Copy the fixtures into ``folder``, the archive unpacked."""
    shutil.copytree(fixtures, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(ARCHIVE))
    with tarfile.open(fixtures / ARCHIVE) as archive:
        archive.extractall(folder, filter="data")


def _pack(folder: Path, fixtures: Path) -> None:
    shutil.copytree(folder, fixtures, ignore=shutil.ignore_patterns(*LARGE))
    large = sorted(path.relative_to(folder) for pattern in LARGE for path in folder.rglob(pattern))
    with tarfile.open(fixtures / ARCHIVE, "w:xz", preset=9) as archive:
        for path in large:
            archive.add(folder / path, path)


def _make(folder: Path) -> None:
    folder.mkdir(parents=True)
    write_inputs(folder)
    for name in COMMANDS:
        command = ["-c", STOPPED] if name == "unfinished" else ["-m", "acclimate"]
        done = subprocess.run([sys.executable, *command, *arguments(name)], cwd=folder, check=False)
        expected = 130 if name == "unfinished" else 0
        if done.returncode != expected:
            sys.exit(f"{name} ended with {done.returncode}; expected {expected}")


if __name__ == "__main__":
    made, kept = Path(sys.argv[1]), Path(__file__).with_name("fixtures") / "first_house"
    if kept.exists():
        sys.exit(f"{kept} is there; it stays as commit 5c6ac09 left it")
    _make(made)
    _pack(made, kept)

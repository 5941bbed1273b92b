"""Every name that a user may have written down is still known: models, protocols, scores, studies, data sets, ..."""

from __future__ import annotations

from pathlib import Path

import pytest
from goldens import call, read_golden, settled, write_digits

MODEL = ("--model", "zoo:gn-leaves")
TWO = ("--models", "zoo:gn-leaves,zoo:gn-supervised")
# What a command says of an unknown name lists the known ones.
ASKED: dict[str, tuple[str, ...]] = {
    "scores": ("score", "digits.npz", *MODEL, "--score", "nope"),
    "recipes": ("tune", "digits.npz", *MODEL, "--recipe", "nope"),
    "studies": ("study", "nope"),
    "data sets": ("check", "data:nope@x"),
    "built-in data": ("check", "builtin:nope"),
    "models of papers": ("embed", "digits.npz", "--model", "paper:nope"),
    "embedded models": ("embed", "digits.npz", "--model", "zoo:nope"),
    "families": ("models", "--family", "nope"),
    "methods": ("adapt", "digits.npz", *MODEL, "--method", "nope"),
    "settings of byol": ("adapt", "digits.npz", *MODEL, "--set", "nope=1"),
    "settings of knn": ("score", "digits.npz", *MODEL, "--set", "nope=1"),
    "domains": ("adapt", "digits.npz", *MODEL, "--domain", "nope"),
    "terms of scopes": ("adapt", "digits.npz", *MODEL, "--scope", "zzzz"),
    "formats": ("export", "x", "--format", "nope"),
    "devices": ("tune", "digits.npz", *MODEL, "--device", "nope"),
    "precisions": ("tune", "digits.npz", *MODEL, "--precision", "nope"),
    "poolings": ("score", "digits.npz", *MODEL, "--pooling", "nope"),
    "trainings": ("curve", "digits.npz", *TWO, "--training", "nope"),
    "test-time augmentations": ("curve", "digits.npz", *TWO, "--tta", "nope"),
    "all protocols": ("protocols", "nope"),
}


def names() -> dict[str, list[str]]:
    """Return the known names of each kind, in the current folder; `make_golden.py` records them."""
    write_digits(Path("digits.npz"))
    found = {kind: sorted(entry["name"] for entry in call(kind, "--json").document[kind]) for kind in LISTED}
    for kind, line in ASKED.items():
        said = call(*line)
        assert said.code == 2, said
        listed = said.err.partition("xpected one of: ")[2].partition(" (in scope")[0].strip()
        assert listed, said
        found[kind] = listed.removesuffix(", or a TOML file").split(", ")
    return found


LISTED = ("models", "protocols")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    with settled(tmp_path_factory.mktemp("names")):
        return names()


@pytest.mark.parametrize("kind", [*LISTED, *ASKED])
def test_every_name_of_old_is_known(kind: str, known: dict[str, list[str]]) -> None:
    assert set(read_golden("names")[kind]) - set(known[kind]) == set()

"""What the name of a protocol stands for in a study, and what a study has to know about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.errors import RecipeError, unknown
from acclimate.experiments.study.inputs import inside
from acclimate.protocols import load_preset, protocol_names
from acclimate.protocols.named import is_preset
from acclimate.scores import PROBES
from acclimate.storage.store import digest
from acclimate.training.recipe import load_recipe


@dataclass(frozen=True)
class Protocol:
    """One protocol of a study.

    Attributes
    ----------
    name
        As the study has it.
    given
        What the program opens: the same, or the absolute path of a TOML file.
    features
        Whether it measures cached features; else it trains on images.
    scales
        Whether the study's scale can shorten it.
    labels
        The label budget that it takes by itself; None where the study's is used.
    content
        Digest of a TOML file, so that a changed one makes other cells; else "".
    """

    name: str
    given: str
    features: bool
    scales: bool = False
    labels: str | None = None
    content: str = ""


def find_protocol(name: str, roots: Sequence[Path]) -> Protocol:
    """Return what a name stands for: a preset, a score, a recipe, or a TOML file of a preset or recipe.

    Raises
    ------
    RecipeError
        For a name that nothing has (the nearest one is named), or a recipe that ends without a classifier.
    StudyError
        For a file outside of the roots.
    """
    if name in protocol_names():
        return _described(name, name, "")
    path = inside(name, roots)
    if not name.endswith(".toml") or not path.is_file():
        raise RecipeError(f"{unknown('protocol', name, protocol_names())}, or a TOML file")
    return _described(name, str(path), digest(path.read_text(encoding="utf-8")))


def _described(name: str, given: str, content: str) -> Protocol:
    if is_preset(given):
        preset = load_preset(given)
        told = preset.stated()
        budget = f"{told['examples']} in all" if told.get("examples") else told.get("labels")
        return Protocol(name, given, preset.kind != "recipe", scales=True, labels=budget, content=content)
    if given not in PROBES and not load_recipe(given).supervised:
        raise RecipeError(f"protocol '{name}' ends without a classifier and cannot be measured; see 'acclimate adapt'")
    return Protocol(name, given, features=given in PROBES, content=content)

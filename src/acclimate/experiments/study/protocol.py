"""What the name of a protocol stands for in a study."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.catalogue import ALIASES
from acclimate.errors import RecipeError, unknown
from acclimate.experiments.study.inputs import inside
from acclimate.protocols import Protocol, find_protocol, protocol_names
from acclimate.storage.store import digest


@dataclass(frozen=True)
class StudyProtocol:
    """One protocol of a study."""

    name: str  # as the study has it
    # what the program opens: the same, the name that stands for a deprecated one, or the absolute path of a TOML file
    given: str
    content: str = ""  # digest of a TOML file, so that a changed one makes other cells; else ""

    @functools.cached_property
    def protocol(self) -> Protocol:
        """The protocol itself."""
        return find_protocol(self.given)


def find_study_protocol(name: str, roots: Sequence[Path]) -> StudyProtocol:
    """Return what a name stands for: a protocol of the program, or a TOML file.

    Raises `RecipeError` for a name that nothing has (the nearest one is named), or a recipe that ends without a
    classifier; `StudyError` for a file outside of the roots.
    """
    if name in protocol_names():
        find_protocol(name)  # which tells of a deprecated name
        return StudyProtocol(name, ALIASES.get(name, name))
    path = inside(name, roots)
    if not name.endswith(".toml") or not path.exists():
        raise RecipeError(f"{unknown('protocol', name, protocol_names())}, or a TOML file")
    find_protocol(path)
    return StudyProtocol(name, str(path), digest(path.read_text(encoding="utf-8")))

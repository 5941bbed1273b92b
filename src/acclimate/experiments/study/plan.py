"""The cells of a study, and in which order: whatever shares decoded pixels and features stands together."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from acclimate.catalogue import ALIASES
from acclimate.errors import RecipeError, StudyError, unknown
from acclimate.experiments.study.file import Study
from acclimate.experiments.study.inputs import MISSING, Input, find_data, find_model, inside
from acclimate.images import parse_labels
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


@dataclass(frozen=True)
class Cell:
    """One measurement: it becomes one row, or one reason why not."""

    id: str  # digest of all that the study says of the cell, known before anything is loaded
    model: str
    data: str
    protocol: str
    labels: str
    seed: int

    @property
    def words(self) -> str:
        """Which cell this is, for people."""
        return f"{self.protocol} of {self.model} on {self.data}, labels {self.labels}, seed {self.seed}"


@dataclass(frozen=True)
class Group:
    """The cells of one model on one data set: one set of decoded images, one feature extraction, one network."""

    data: Input
    model: Input
    cells: tuple[Cell, ...]

    @property
    def id(self) -> str:
        """A name for the lock file."""
        return digest("group", self.data.name, self.model.name)


@dataclass(frozen=True)
class StudyPlan:
    """A checked study on this machine."""

    study: Study
    models: tuple[Input, ...]
    data: tuple[Input, ...]
    protocols: tuple[StudyProtocol, ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]  # data sets outermost, then models; within both protocols, labels and seeds

    @property
    def missing(self) -> tuple[Input, ...]:
        """Models and data sets that are not on this machine and that no program can fetch."""
        return tuple(one for one in (*self.models, *self.data) if one.state == MISSING)

    def possible(self) -> Self:
        """Return the plan without the cells of missing inputs."""
        gone = {one.name for one in self.missing}
        return replace(self, cells=tuple(cell for cell in self.cells if not gone & {cell.model, cell.data}))

    def groups(self) -> list[Group]:
        """Return the cells by data set and model, in the order of the work."""
        data, models = ({one.name: one for one in axis} for axis in (self.data, self.models))
        return [
            Group(data[pair[0]], models[pair[1]], tuple(cells))
            for pair, cells in itertools.groupby(self.cells, key=lambda cell: (cell.data, cell.model))
        ]

    def protocol(self, name: str) -> StudyProtocol:
        """Return the protocol of that name."""
        return next(one for one in self.protocols if one.name == name)

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it, for workers."""
        return asdict(self) | {"study": self.study.model_dump(mode="json")}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the plan of a `document`."""
        return TypeAdapter(cls).validate_python(document)


def plan_study(study: Study, folder: Path, *, data_root: Path | None = None, seed: int = 0) -> StudyPlan:
    """Find every input of a study and list its cells; nothing is loaded.

    Raises `InputError` for a name that nothing has, a path that leads out of the folders, or no cell at all.

    The study's file lies in ``folder``: its relative paths begin there. ``data_root`` is another folder for data sets;
    it is looked at first. ``seed`` is the first one.
    """
    roots = [folder] if data_root is None else [data_root, folder]
    if data_root is not None and not data_root.is_dir():
        raise StudyError(f"got --data-root '{data_root}', which is no folder; expected the folder of the data sets")
    models = tuple(find_model(name, roots[::-1]) for name in study.models)
    data = tuple(find_data(name, roots) for name in study.data)
    protocols = tuple(find_study_protocol(name, [folder]) for name in study.protocols)
    seeds = tuple(range(seed, seed + study.seeds))
    cells = tuple(_cells(study, protocols, seeds))
    _refuse_two_budgets(protocols, cells)
    if not cells:
        raise StudyError(f"study '{study.name}' excludes every one of its cells; expected at least one to be left")
    return StudyPlan(study, models, data, protocols, seeds, cells)


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


def _cells(study: Study, protocols: tuple[StudyProtocol, ...], seeds: tuple[int, ...]) -> list[Cell]:
    axes = itertools.product(study.data, study.models, protocols, _many_first(study.labels), enumerate(seeds))
    size = () if study.image_size is None else (study.image_size,)
    return [
        Cell(
            digest("cell", data, model, protocol.name, protocol.content, labels, seed, study.scale, *size),
            model,
            data,
            protocol.name,
            labels,
            seed,
        )
        for data, model, protocol, labels, (at, seed) in axes
        if not study.excluded(model, data, protocol.name, labels, at)
    ]


def _refuse_two_budgets(protocols: tuple[StudyProtocol, ...], cells: tuple[Cell, ...]) -> None:
    own = {one.name: one.protocol.budget for one in protocols if one.protocol.budget is not None}
    for cell in cells:
        if cell.protocol in own and own[cell.protocol] != cell.labels and not all_labels(cell.labels):
            raise StudyError(
                f"protocol '{cell.protocol}' takes {own[cell.protocol]} of the labels by itself, got it with labels "
                f"'{cell.labels}'; exclude that: [[exclude]] protocols = [\"{cell.protocol}\"], labels = [...]"
            )


def all_labels(labels: str) -> bool:
    """Whether a budget is all labels."""
    return parse_labels(labels) == (None, 1.0)


def _many_first(labels: tuple[str, ...]) -> list[str]:
    """Return shares before counts, large before small: what needs most images comes first."""
    read = {text: parse_labels(text) for text in labels}
    return sorted(labels, key=lambda text: (read[text][1] is None, -(read[text][1] or 0), -(read[text][0] or 0)))

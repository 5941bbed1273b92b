"""The sections of a report, in reading order. A section without data does not exist.

A new section is a file in ``read/`` that finds its facts, a file in ``draw/`` that makes tables and charts of them, and
a line of `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from acclimate.reports.draw import (
    adaptations,
    foresight,
    inside,
    labels,
    leaderboard,
    learning,
    live,
    maps,
    provenance,
    recipes,
    summary,
)
from acclimate.reports.draw.blocks import Report, Section
from acclimate.reports.read.collect import Contents
from acclimate.reports.read.grid import mixed_units
from acclimate.reports.read.material import Material, gather

SECTIONS: Final[tuple[Callable[[Material], list[Section]], ...]] = (
    leaderboard.sections,
    leaderboard.proxies,
    foresight.sections,
    foresight.domains,
    live.changes,
    live.cost,
    live.numbers,
    foresight.compared,
    recipes.sections,
    adaptations.sections,
    learning.sections,
    inside.sections,
    labels.sections,
    maps.sections,
    recipes.measurements,
    provenance.sections,
)
# What is said, in a line each, where there is not what a section needs.
ABSENT: Final[tuple[tuple[Callable[[Material], object], str], ...]] = (
    (lambda material: any(run.log for run in material.contents.runs), "Learning curves: no run with a log."),
    (
        lambda material: material.contents.curve or material.contents.elsewhere,
        "Label efficiency: no curve.json of the command curve.",
    ),
    (
        lambda material: any(run.inside for run in material.contents.runs),
        "Feature shift: no run that explain looked into.",
    ),
)


def build(contents: Contents, target: str | None = None) -> Report:
    """Return the whole report of what a folder holds; arguments and errors are those of `gather`."""
    material = gather(contents, target)
    grid, answer = material.grid, material.foresight.answer if material.foresight else {}
    return Report(
        title=contents.title,
        subtitle=provenance.subtitle(contents, grid),
        tiles=summary.tiles(contents, material.boards),
        summary=summary.sentences(contents, material.boards, answer),
        warnings=[*summary.warnings(contents, grid), *(mixed_units(grid) if grid else []), *material.problems],
        sections=[section for make in SECTIONS for section in make(material)],
        grid=live.payload(grid, material.foresight, material.target) if grid else None,
        absent=[*live.absent(material), *(line for there, line in ABSENT if not there(material))],
    )

"""What a training will move and how long it will take; of one that ran on this machine before, without torch."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from acclimate.storage.facts import Fact, recall, remember
from acclimate.training.job import Job, StageReport


class StageExpectation(Fact):
    """What is expected of one stage.

    Attributes
    ----------
    trainable, total
        Numbers of trainable parameters and of all.
    seconds
        As it took, or as a few timed steps say.
    """

    trainable: int = Field(ge=0)
    total: int = Field(ge=1)
    seconds: float = Field(ge=0)


class Expectation(Fact):
    """What is expected of each stage of a job."""

    stages: tuple[StageExpectation, ...]


def expected_stages(job: Job) -> tuple[StageExpectation, ...]:
    """Return what is expected of each stage: as such a job went here before, else after a look at the network.

    Raises
    ------
    DataError, ScopeError, RecipeError
        As ``plan``.
    """
    expectation = recall(Expectation, *_parts(job), cache=job.runtime.cache)
    if expectation is not None and len(expectation.stages) == len(job.recipe.stages):
        return expectation.stages
    from acclimate.training.build import forecast, plan

    return tuple(
        StageExpectation(trainable=part.trainable, total=part.total, seconds=seconds)
        for part, seconds in zip(plan(job), forecast(job), strict=True)
    )


def remember_stages(job: Job, reports: Sequence[StageReport]) -> None:
    """Keep what a finished job moved and took."""
    stages = tuple(
        StageExpectation(trainable=report.trainable, total=report.total, seconds=report.seconds) for report in reports
    )
    remember(Expectation(stages=stages), *_parts(job), cache=job.runtime.cache)


def _parts(job: Job) -> tuple[object, ...]:
    split = job.split
    return (
        job.backbone.digest,
        job.backbone.preprocess.size,
        job.recipe.model_dump(mode="json", exclude={"name", "source"}),
        job.classes,
        [len(part) for part in (split.train, split.val, split.pool)],
        job.resolved(),
    )

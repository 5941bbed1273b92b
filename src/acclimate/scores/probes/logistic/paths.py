"""The path of C of `logistic`: solved for several training sets of one size side by side, judged on validation.

One product of the validation features serves all classifiers, whatever each one's normalisation: a classifier of
normalised features is one of the features themselves wherever the normalisation is linear: its scale moves into the
weights, its origin into the intercept. Unit length is the exception, but it learns nothing, so it is taken once for
all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field

from acclimate.scores.base import Features, Float64, Index, ProbeSettings, judge
from acclimate.scores.probes.logistic.algebra import Span, span
from acclimate.scores.probes.logistic.softmax import Problem, Solutions, SolverState, solve, start
from acclimate.scores.probes.normalise import NORMALISERS, Normalise, Normaliser, UnitLength, Whiten, ZScore
from acclimate.scores.probes.temper import softmax
from acclimate.stats.metrics import Labels


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear classifier of K classes on normalised features."""

    normaliser: Normaliser
    mean: Float64  # (d,), of the normalised features
    weights: Float64  # (d, K), of the normalised features minus the mean
    bias: Float64  # (K,)


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """Validation features (v, d) and labels (v,), with the features minus their mean in float32.

    They only choose among settings, so float32 is precise enough.
    """

    x: Features
    y: Labels
    centred: Features
    mean: Float64

    @classmethod
    def of(cls, x: Features, y: Labels, *, unit_length: bool = False) -> ValidationSet:
        """Return features (v, d) and their labels, made ready; `unit_length` if that is their normalisation."""
        z = UnitLength().transform(x) if unit_length else x
        mean = z.mean(axis=0, dtype=np.float64)
        return cls(x, y, (z - mean).astype(np.float32), mean)

    def logits(self, classifiers: Sequence[Linear]) -> list[Float64]:
        """Return logits (v, K) for each classifier."""
        folded = [self._fold(classifier) for classifier in classifiers]
        weights = np.concatenate([columns for columns, _ in folded], axis=1).astype(np.float32)
        logits = (self.centred @ weights).astype(np.float64)
        logits += np.concatenate([bias for _, bias in folded])
        ends = np.cumsum([len(bias) for _, bias in folded])[:-1]
        return np.split(logits, ends, axis=1)

    def _fold(self, classifier: Linear) -> tuple[Float64, Float64]:
        """Return weights and intercept for `centred`."""
        normaliser, weights, origin = classifier.normaliser.of(self.x), classifier.weights, np.zeros(1)
        if isinstance(normaliser, ZScore):
            weights, origin = normaliser.scale[:, None] * weights, normaliser.mean
        elif isinstance(normaliser, Whiten):
            weights, origin = normaliser.matrix @ weights, normaliser.mean
        bias = classifier.bias - classifier.mean @ classifier.weights + (self.mean - origin) @ weights
        return weights, bias


GRID: Final = tuple(10.0**power for power in range(-6, 7))
# Nats per image between the objective and its minimum, by the type of the products: along the path, whose points need
# only be told apart, and for the C that is taken.
TOLERANCE: Final = {"float32": 3e-5, "float64": 1e-7}
POLISH: Final = {"float32": 1e-6, "float64": 1e-12}
SMALL: Final = 2**18  # values in a matrix that is cheap enough for float64
MAX_ITERATIONS: Final = 200
PATIENCE: Final = 2


class LogisticSettings(ProbeSettings):
    """Settings of `logistic`.

    Attributes
    ----------
    c
        Values of C to choose from; one value is simply taken. Tried from small to large, each from the last solution.
    select
        What validation chooses by: the lowest ``log_loss`` or the highest ``accuracy``; of equals the smallest C.
    patience
        The path ends after so many values of C in a row that improved neither number; None tries all.
    refit
        Whether the chosen C is fitted again on training and validation images together.
    normalise
        A name in ``NORMALISERS``, learned from the training images (with `refit`, from both).
    tolerance
        Nats per image between the objective (divided by C n) and its minimum at which a C of the path counts as solved;
        None: 3e-5, or 1e-7 for small problems, which are solved in float64. The C that is taken is solved to 1e-6 and
        1e-12.
    max_iterations
        Iterations of L-BFGS for each C.
    """

    c: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=GRID, min_length=1)
    select: Literal["log_loss", "accuracy"] = "log_loss"
    patience: Annotated[int, Field(ge=1)] | None = PATIENCE
    refit: bool = False
    normalise: Normalise = "zscore"
    tolerance: Annotated[float, Field(gt=0)] | None = None
    max_iterations: int = Field(default=MAX_ITERATIONS, ge=1)


@dataclass(frozen=True, eq=False)
class Stack:
    """Training sets of one size in their principal axes, ready for the solver."""

    spans: Sequence[Span]
    present: Sequence[Labels]  # of each, the K classes that occur
    problem: Problem

    def classifier(self, member: int, state: SolverState) -> Linear:
        """Return a member's classifier of the classes that occur."""
        axes, weights = self.spans[member], state.weights[member]
        return Linear(axes.normaliser, axes.mean, axes.unfold(weights[:, :-1]), weights[:, -1])


def pose(parts: Sequence[tuple[Features, Labels]], normalise: Normalise) -> Stack:
    """Return the problem of training sets: each (n, d) features, (n,) labels of K classes. Small ones are float64."""
    spans = [span(x, NORMALISERS[normalise].fit(x), small=SMALL) for x, _ in parts]
    present = [np.unique(y) for _, y in parts]
    y = np.stack([np.searchsorted(classes, y) for classes, (_, y) in zip(present, parts, strict=True)])
    eigenvalues = np.stack([axes.eigenvalues for axes in spans])
    return Stack(spans, present, Problem([axes.z for axes in spans], y, len(present[0]), eigenvalues))


def advance(problem: Problem, state: SolverState, c: Float64, members: Index, settings: LogisticSettings) -> Solutions:
    """Move members to their next C (of each member), as precisely as points of a path need."""
    return _solve(problem, state, c, members, settings, settings.tolerance or TOLERANCE[problem.z[0].dtype.name])


def polish(problem: Problem, state: SolverState, c: Float64, settings: LogisticSettings) -> Solutions:
    """Move all to their solutions more precisely than the path."""
    tolerance = min(POLISH[problem.z[0].dtype.name], settings.tolerance or 1.0)
    return _solve(problem, state, c, np.arange(len(c)), settings, tolerance)


def _solve(
    problem: Problem, state: SolverState, c: Float64, members: Index, settings: LogisticSettings, tolerance: float
) -> Solutions:
    scaled = c / 2 if problem.n_classes == 2 else c
    return solve(problem, state, scaled, members, tolerance=tolerance, max_iterations=settings.max_iterations)


@dataclass(eq=False)
class Trail:
    """The points of one member's path: each C, accuracy and log loss on validation, and the place of the best."""

    c: list[float] = field(default_factory=list)
    results: list[tuple[float, float]] = field(default_factory=list)
    iterations: int = 0
    place: int = 0

    def points(self) -> list[dict[str, float]]:
        """Return the points as they are reported."""
        pairs = zip(self.c, self.results, strict=True)
        return [{"C": c, "val_accuracy": accuracy, "val_log_loss": loss} for c, (accuracy, loss) in pairs]


def walk(
    stack: Stack, validation: Sequence[ValidationSet], settings: LogisticSettings
) -> tuple[SolverState, list[Trail], Solutions]:
    """Go along the path with all members, each until its rest is hopeless; polish the best point of each."""
    problem, state = stack.problem, start(stack.problem)
    best, trails, live = state.copy(), [Trail() for _ in validation], np.arange(len(validation))
    for c in sorted(set(settings.c)):
        solutions = advance(problem, state, np.full(len(live), c), live, settings)
        results = _judge(stack, validation, state, live)
        for member, iterations, result in zip(live, solutions.iterations, results, strict=True):
            trail = trails[member]
            trail.c.append(c)
            trail.results.append(result)
            trail.iterations += int(iterations)
            if (place := _best(trail.results, settings.select)) == len(trail.c) - 1:
                trail.place = place
                best.take(int(member), state)
        live = live[[not _hopeless(trails[member].results, settings.patience) for member in live]]
        if not len(live):
            break
    best_c = np.array([trail.c[trail.place] for trail in trails])
    polished = polish(problem, best, best_c, settings)
    results = _judge(stack, validation, best, np.arange(len(validation)))
    for trail, iterations, result in zip(trails, polished.iterations, results, strict=True):
        trail.iterations += int(iterations)
        trail.results[trail.place] = result
    return best, trails, polished


def _judge(
    stack: Stack, validation: Sequence[ValidationSet], state: SolverState, members: Index
) -> list[tuple[float, float]]:
    """Return accuracy and log loss of members; those that share validation features share a product."""
    results: dict[int, tuple[float, float]] = {}
    for part in {id(validation[member]): validation[member] for member in members}.values():
        sharing = [int(member) for member in members if validation[member] is part]
        logits = part.logits([stack.classifier(member, state) for member in sharing])
        for member, table in zip(sharing, logits, strict=True):
            results[member] = _result(softmax(table), stack.present[member], part.y)
    return [results[int(member)] for member in members]


def _result(p: Float64, present: Labels, y: Labels) -> tuple[float, float]:
    full = np.zeros((len(p), max(int(present[-1]), int(y.max())) + 1))
    full[:, present] = p
    return judge(full, y)


def _best(results: list[tuple[float, float]], select: str) -> int:
    """Return the index of the point (accuracy, log loss) to take; of equals the first."""
    accuracies, losses = np.array(results).T
    return int(np.argmin(losses) if select == "log_loss" else np.argmax(accuracies))


def _hopeless(results: list[tuple[float, float]], patience: int | None) -> bool:
    """Whether the last `patience` points (accuracy, log loss) bettered neither number of those before them."""
    if patience is None or len(results) <= patience:
        return False
    before, after = results[:-patience], results[-patience:]
    accurate = max(accuracy for accuracy, _ in before) >= max(accuracy for accuracy, _ in after)
    return accurate and min(loss for _, loss in before) <= min(loss for _, loss in after)

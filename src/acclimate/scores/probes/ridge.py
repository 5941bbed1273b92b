"""Ridge regression onto class indicators: a linear classifier in closed form, every lambda from one decomposition.

Targets are +1 for an image's class and -1 for the others. With rows r_i of the design R (n, D),

    W(lambda) = (R'R + lambda I)^-1 R'T = V diag(1 / (e + lambda)) V'R'T,    R'R = V diag(e) V',

so one eigendecomposition (of R'R, or of RR' when n < D) serves every lambda. The design is either the centred features,
with centred targets (a free intercept), or the features and one constant column `bias` whose weight is penalised as the
others are (big_vision's few-shot evaluator, `fewshot_lsr.py`: z-score, bias 100, lambda 2^10).

Leave-one-out is exact and needs no further fit (Golub, Heath & Wahba 1979): with
h_i = sum_j (RV)_ij^2 / (e_j + lambda), plus 1/n for a free intercept, the residual of image i without itself is
(t_i - r_i W) / (1 - h_i). The statistics of the normaliser, which know no label, still contain the image.

Probabilities are softmax(factor * R W), the factor as in `temper`, learned on the images that lambda was chosen on; it
moves no prediction. Values of lambda are compared by validation log loss or by the mean squared leave-one-out error.

Cost: n D^2 + D^3 in float64, then (v or n) D K for each lambda; no copy of the features, but of an (n, D) float64 one
when n < D.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field

from acclimate.scores.base import Features, Float64, Probe, ProbeData, ProbeSettings, blocks, check_features, judge
from acclimate.scores.probes.normalise import NORMALISERS, Normalise, Normaliser, mean_of
from acclimate.scores.probes.temper import factor, positions, softmax
from acclimate.stats.metrics import Labels

GRID: Final = tuple(10.0 ** (power / 2) for power in range(-6, 15))
# Eigenvalues below this share of the largest are zero up to rounding; there R'T is zero too.
NOTHING: Final = 1e-14
# An image that decides its own prediction alone (h = 1) has no leave-one-out prediction; rounding decides below this.
OWN: Final = 1e-9


class RidgeSettings(ProbeSettings):
    """Settings of `ridge`.

    Attributes
    ----------
    lambdas
        Penalties to choose from; one value is simply taken.
    select
        ``validation``: the lowest log loss there; ``loo``: the lowest mean squared leave-one-out error on the training
        images, so that validation stays unused.
    bias
        Value of a constant column with a penalised weight; None for a free intercept.
    normalise
        A name in ``NORMALISERS``.
    """

    lambdas: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=GRID, min_length=1)
    select: Literal["validation", "loo"] = "validation"
    bias: float | None = None
    normalise: Normalise = "zscore"


@dataclass(frozen=True, eq=False)
class Design:
    """Turns features into rows of the regression."""

    normaliser: Normaliser
    mean: Float64  # (d,), of the normalised features; zeros with a constant column
    bias: float | None

    def rows(self, x: Features) -> Iterator[tuple[slice, Float64]]:
        """Yield (rows of x, their rows of the design (b, D)) for each block."""
        scaler = self.normaliser.of(x)
        for rows in blocks(len(x), 40 * x.shape[1]):
            z = scaler.transform(x[rows]) - self.mean
            yield rows, z if self.bias is None else np.column_stack([z, np.full(len(z), self.bias)])


@dataclass(frozen=True, eq=False)
class Ridge:
    """Ridge regression with the lambda that was chosen."""

    design: Design
    weights: Float64  # (D, K)
    intercept: Float64  # (K,)
    factor: float
    present: Labels  # (K,)
    n_classes: int
    settings: dict[str, Any]
    name: str = "ridge"

    def predict_proba(self, x: Features) -> Float64:
        """Return class probabilities (m, C) of features (m, d)."""
        check_features(x, "features", width=len(self.design.mean))
        p = np.zeros((len(x), self.n_classes))
        for rows, r in self.design.rows(x):
            p[rows, self.present] = softmax(self.factor * (r @ self.weights + self.intercept))
        return p


@dataclass(frozen=True, eq=False)
class Solved:
    """The decomposition that every lambda shares."""

    design: Design
    values: Float64  # (r,), eigenvalues of R'R
    vectors: Float64  # (D, r)
    along: Float64  # (r, K), V'R'T
    intercept: Float64  # (K,), mean of the targets; zeros with a constant column
    n: int

    def weights(self, penalty: float) -> Float64:
        """Return W (D, K)."""
        return self.vectors @ (self.along / (self.values + penalty)[:, None])


def fitted(data: ProbeData, settings: RidgeSettings) -> Ridge:
    """Solve for every lambda and keep the best.

    Examples
    --------
    >>> x, y = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]]), np.array([0, 0, 1])
    >>> fit(x, y, x, y, n_classes=2, seed=0).predict_proba(x).argmax(axis=1)
    array([0, 0, 1])
    >>> big_vision = RidgeSettings(lambdas=(2.0**10,), bias=100.0)
    >>> fit(x, y, x, y, n_classes=2, seed=0, settings=big_vision).settings["lambda"]
    1024.0
    """
    x = data.x
    present, index = np.unique(data.y, return_inverse=True)
    grid = sorted(set(settings.lambdas))
    solved = solve(x, index, NORMALISERS[settings.normalise].fit(x), settings.bias)
    if settings.select == "loo":
        errors = squared_errors(solved, x, index, grid) if len(grid) > 1 else [0.0]
        best = int(np.argmin(errors))
        multiplier = factor(leave_one_out(solved, x, index, grid[best]), index)
        path = [{"lambda": penalty, "loo_error": error} for penalty, error in zip(grid, errors, strict=True)]
    else:
        results = list(_results(solved, data, grid, present))
        best = int(np.argmin([loss for _, loss, _ in results]))
        multiplier = results[best][2]
        path = [
            {"lambda": penalty, "val_accuracy": accuracy, "val_log_loss": loss}
            for penalty, (accuracy, loss, _) in zip(grid, results, strict=True)
        ]
    description = {
        "lambda": grid[best],
        "at_edge": len(grid) > 1 and best in (0, len(grid) - 1),
        "factor": multiplier,
        "select": settings.select,
        "bias": settings.bias,
        "normalise": settings.normalise,
        "path": path,
    }
    weights = solved.weights(grid[best])
    return Ridge(solved.design, weights, solved.intercept, multiplier, present, data.n_classes, description)


def solve(x: Features, index: Labels, normaliser: Normaliser, bias: float | None) -> Solved:
    """Decompose the design of training features whose classes are numbered 0..K-1 without a gap."""
    scaler = normaliser.of(x)
    free = bias is None
    design = Design(normaliser, mean_of(x, scaler) if free else np.zeros(x.shape[1]), bias)
    share = np.bincount(index) / len(x)
    intercept = 2 * share - 1 if free else np.zeros(len(share))
    values, vectors = _decompose(design, x)
    along = np.zeros((len(values), len(share)))
    for rows, r in design.rows(x):
        along += vectors.T @ (r.T @ (targets(index[rows], len(share)) - intercept))
    return Solved(design, values, vectors, along, intercept, len(x))


def targets(index: Labels, k: int) -> Float64:
    """Return (n, K): +1 for the class, -1 for the others."""
    return np.where(index[:, None] == np.arange(k), 1.0, -1.0)


def _decompose(design: Design, x: Features) -> tuple[Float64, Float64]:
    """Return eigenvalues (r,) and eigenvectors (D, r) of R'R, without those that are zero."""
    width = x.shape[1] + (design.bias is not None)
    if len(x) < width:
        r = np.concatenate([part for _, part in design.rows(x)])
        values, vectors = np.linalg.eigh(r @ r.T)
        real = values > NOTHING * max(values[-1], 1e-300)
        return values[real], r.T @ (vectors[:, real] / np.sqrt(values[real]))
    gram = np.zeros((width, width))
    for _, r in design.rows(x):
        gram += r.T @ r
    values, vectors = np.linalg.eigh(gram)
    real = values > NOTHING * max(values[-1], 1e-300)
    return values[real], vectors[:, real]


def _results(
    solved: Solved, data: ProbeData, grid: Sequence[float], present: Labels
) -> Iterator[tuple[float, float, float]]:
    """Yield (accuracy, log loss, factor) on validation for each lambda."""
    coordinates = np.concatenate([r @ solved.vectors for _, r in solved.design.rows(data.x_val)])
    place = positions(present, data.y_val)
    for penalty in grid:
        values = coordinates @ (solved.along / (solved.values + penalty)[:, None]) + solved.intercept
        multiplier = factor(values, place)
        p = np.zeros((len(values), data.n_classes))
        p[:, present] = softmax(multiplier * values)
        yield *judge(p, data.y_val), multiplier


def squared_errors(solved: Solved, x: Features, index: Labels, grid: Sequence[float]) -> list[float]:
    """Return the mean squared leave-one-out error (over images and classes) of each lambda."""
    total, k = np.zeros(len(grid)), solved.along.shape[1]
    for rows, r in solved.design.rows(x):
        block = targets(index[rows], k)
        for i, values in enumerate(_without(solved, r, block, grid)):
            total[i] += ((block - values) ** 2).sum()
    return [float(value) for value in total / (len(x) * k)]


def leave_one_out(solved: Solved, x: Features, index: Labels, penalty: float) -> Float64:
    """Return the values (n, K) of each training image from the fit to all the others."""
    k = solved.along.shape[1]
    parts = (next(_without(solved, r, targets(index[rows], k), [penalty])) for rows, r in solved.design.rows(x))
    return np.concatenate(list(parts))


def _without(solved: Solved, r: Float64, block: Float64, grid: Sequence[float]) -> Iterator[Float64]:
    """Yield the leave-one-out values (b, K) of rows of the design with these targets (b, K), for each lambda."""
    z = r @ solved.vectors  # (b, r)
    squares = z**2
    for penalty in grid:
        inverse = 1 / (solved.values + penalty)
        leverage = squares @ inverse + (0 if solved.design.bias is not None else 1 / solved.n)
        residual = block - z @ (solved.along * inverse[:, None]) - solved.intercept
        yield block - residual / np.maximum(1 - leverage, OWN)[:, None]


RIDGE: Final = Probe(
    fitted,
    RidgeSettings,
    "Accuracy of a linear classifier in closed form: nearly a linear probe's, at a fraction of the time.",
    laws=frozenset({"order", "labels", "columns", "shift", "scale"}),
)
fit: Final = RIDGE.fit

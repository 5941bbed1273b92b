"""The linear algebra of `logistic`: the memory of L-BFGS, and the space that training features span.

The memory serves several problems at once in its compact form: few products instead of two loops. The loops of
algorithm 7.4 (Nocedal & Wright 2006) over pairs of a step s_i and a change f_i of the gradient are two triangular
systems: with T_ij = s_i' f_j for every j that is not older than i, and P the start,

    a = T^-1 S g,    q = P (g - F' a),    H g = q + S' T^-T (D a - F q),    D = diag(T).

The changes are those of the plain sum of losses, y_i; for one C they are f_i = C y_i + s_i without its intercepts. So
T comes from products that are kept, whatever C is, and only products with S and Y are as long as the weights.

Problems are solved in the principal axes of the normalised training features. Nothing but the training features is ever
rotated, so with n < d the axes themselves are not needed: with the Gram matrix Z Z' = U L U' the coordinates are U
L^(1/2), and weights a of them are the weights Z' U L^(-1/2) a of the features. That costs n^2 d, instead of the several
times as much of an orthonormal basis of d-vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from acclimate.scores.base import Features, Float64, Index, blocks
from acclimate.scores.probes.normalise import Normaliser, mean_of


@dataclass(frozen=True, eq=False)
class Span:
    """Training features z (n, r) in r = min(n, d) principal axes, and the way back."""

    normaliser: Normaliser
    mean: Float64  # (d,), of the normalised features
    z: Features  # (n, r)
    eigenvalues: Float64  # (r,), diagonal of z.T @ z
    rows: Float64 | None  # (n, d), normalised and centred, where the axes are combinations of them
    back: Float64  # (d, r) axes; with rows, (n, r): rows.T @ back are the axes

    def unfold(self, weights: Float64) -> Float64:
        """Return weights (d, K) of the centred features that do what weights (K, r) do in principal axes."""
        combination: Float64 = self.back @ weights.T
        return combination if self.rows is None else self.rows.T @ combination


def span(x: Features, normaliser: Normaliser, *, small: int) -> Span:
    """Return the span of features (n, d) after `normaliser`; up to `small` numbers z is float64, above float32.

    With n < d, axes in which the images differ by rounding alone (eigenvalues below n times the precision of the
    largest) are columns of zeros.
    """
    n, d = x.shape
    kind = np.float64 if n * min(n, d) <= small else np.float32
    scaler = normaliser.of(x)
    mean = mean_of(x, scaler)
    if n >= d:
        z, rotation = _rotated(x, scaler, mean, kind)
        return Span(normaliser, mean, z, np.einsum("ij,ij->j", z, z, dtype=np.float64), None, rotation)
    rows = scaler.transform(x.astype(np.float64)) - mean
    values, vectors = np.linalg.eigh(rows @ rows.T)
    real = values > n * np.finfo(np.float64).eps * values[-1]
    lengths = np.sqrt(np.where(real, values, 0))
    back = vectors * np.divide(1, lengths, out=np.zeros(n), where=real)
    return Span(normaliser, mean, (vectors * lengths).astype(kind, copy=False), lengths**2, rows, back)


def _rotated(x: Features, scaler: Normaliser, mean: Float64, kind: type[np.floating[Any]]) -> tuple[Features, Float64]:
    """Return features (n, d), n >= d, normalised and centred, in their principal axes, and these (d, d)."""
    # Only orthonormal axes matter for the result; how well they are principal matters for speed alone, so the
    # covariance is float32
    z, covariance = np.empty(x.shape, kind), np.zeros((x.shape[1],) * 2)
    parts = blocks(len(x), 24 * x.shape[1])
    for rows in parts:
        z[rows] = scaler.transform(x[rows].astype(np.float64)) - mean
        part = z[rows].astype(np.float32, copy=False)
        covariance += part.T @ part
    rotation: Float64 = np.linalg.eigh(covariance)[1]
    for rows in parts:
        z[rows] = z[rows] @ rotation.astype(kind)
    return z, rotation


PAIRS: Final = 10
SHORT: Final = 8192  # numbers in a vector


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """Approximate inverses of Hessians, diagonal in the eigenvectors of the classes and of the features."""

    classes: Float64  # (a, K, K), orthonormal columns
    inverse: Float64  # (a, K, r + 1)

    def apply(self, gradient: Float64) -> Float64:
        """Return the inverse Hessians times gradients (a, K, r + 1)."""
        return self.classes @ (self.inverse * (self.classes.transpose(0, 2, 1) @ gradient))

    def of(self, mask: npt.NDArray[np.bool_]) -> Preconditioner:
        """Return those of a mask (a,)."""
        return Preconditioner(self.classes[mask], self.inverse[mask])


@dataclass(eq=False)
class Memory:
    """The last pairs of b problems with K (r + 1) weights each, D in all; old ones are written over."""

    shape: tuple[int, int]  # (K, r + 1)
    # (b, PAIRS, D): s_i and y_i
    steps: Float64
    changes: Float64
    # (b, PAIRS, PAIRS): s_i' y_j, and s_i' s_j without the intercepts
    cross: Float64
    squares: Float64
    count: Index  # (b,): how many pairs there were; the newest lies at (count - 1) % PAIRS

    @classmethod
    def of(cls, weights: Float64) -> Memory:
        """Return an empty memory for weights (b, K, r + 1)."""
        b, rows, columns = weights.shape
        long, small = (b, PAIRS, rows * columns), (b, PAIRS, PAIRS)
        empty = np.zeros(long), np.zeros(long), np.zeros(small), np.zeros(small)
        return cls((rows, columns), *empty, np.zeros(b, np.intp))

    def copy(self) -> Memory:
        """Return a copy that changes independently."""
        long, small = (self.steps.copy(), self.changes.copy()), (self.cross.copy(), self.squares.copy())
        return Memory(self.shape, *long, *small, self.count.copy())

    def take(self, member: int, other: Memory) -> None:
        """Take the pairs of one problem from another memory."""
        filled = min(int(other.count[member]), PAIRS)
        self.steps[member, :filled] = other.steps[member, :filled]
        self.changes[member, :filled] = other.changes[member, :filled]
        self.cross[member], self.squares[member] = other.cross[member], other.squares[member]
        self.count[member] = other.count[member]

    def add(self, members: Index, steps: Float64, changes: Float64) -> None:
        """Remember a step and a change of the gradient, each (a, K, r + 1), of a problems."""
        plain = ridge(steps)
        for member, step, change, flat in zip(members, steps, changes, plain, strict=True):
            rows, columns = self.steps[member], self.changes[member]
            place = self.count[member] % PAIRS
            rows[place], columns[place] = step.ravel(), change.ravel()
            self.cross[member, :, place] = rows @ columns[place]
            self.cross[member, place] = columns @ rows[place]
            self.squares[member, :, place] = self.squares[member, place] = rows @ flat.ravel()
        self.count[members] += 1

    def times(self, gradient: Float64, members: Index, inverse: Preconditioner, c: Float64) -> Float64:
        """Return the L-BFGS estimate of H^-1 gradient (a, K, r + 1), starting from `inverse`; `c` is (a,)."""
        if not self.count[members].any():
            return inverse.apply(gradient)
        usable, triangle = self._triangle(members, c)
        share = _solve(triangle, np.where(usable, self._rows(self.steps, members, gradient), 0))
        remainder = gradient - self._change(members, share, c)
        result = inverse.apply(remainder) * self._scale(members, usable, inverse, c)[:, None, None]
        back = c[:, None] * self._rows(self.changes, members, result)
        back += self._rows(self.steps, members, ridge(result))
        curvature = np.einsum("aii->ai", triangle)
        correction = _solve(triangle.transpose(0, 2, 1), np.where(usable, curvature * share - back, 0))
        return result + self._mix(self.steps, members, correction)

    def _triangle(self, members: Index, c: Float64) -> tuple[npt.NDArray[np.bool_], Float64]:
        """Return which pairs have positive curvature (a, PAIRS), and T, with rows of the identity for the others."""
        count, place = self.count[members, None], np.arange(PAIRS)
        products = c[:, None, None] * self.cross[members] + self.squares[members]
        curvature = products[:, place, place]
        usable = (place < count) & (curvature > 0)
        age = (count - 1 - place) % PAIRS
        newer = (age[:, None] <= age[:, :, None]) & usable[:, None] & usable[:, :, None]
        triangle = np.where(newer, products, 0)
        triangle[:, place, place] = np.where(usable, curvature, 1)
        return usable, triangle

    def _scale(self, members: Index, usable: npt.NDArray[np.bool_], inverse: Preconditioner, c: Float64) -> Float64:
        """Return the scale (a,) of the start: as usual the newest pair sets it."""
        # It matters where certain images have little curvature
        age = (self.count[members, None] - 1 - np.arange(PAIRS)) % PAIRS
        newest = np.where(usable, age, PAIRS).argmin(axis=1)
        step = self.steps[members, newest].reshape(-1, *self.shape)
        full = c[:, None, None] * self.changes[members, newest].reshape(-1, *self.shape) + ridge(step)
        scale: Float64 = np.ones(len(members))
        positive = usable.any(axis=1)
        np.divide(dots(step, full), dots(full, inverse.apply(full)), out=scale, where=positive)
        return scale

    def _change(self, members: Index, share: Float64, c: Float64) -> Float64:
        """Return F' share, (a, K, r + 1)."""
        return c[:, None, None] * self._mix(self.changes, members, share) + ridge(self._mix(self.steps, members, share))

    def _rows(self, stack: Float64, members: Index, vectors: Float64) -> Float64:
        result, flat = np.empty((len(members), PAIRS)), vectors.reshape(len(members), -1)
        for out, member, vector in zip(result, members, flat, strict=True):
            np.matmul(stack[member], vector, out=out)
        return result

    def _mix(self, stack: Float64, members: Index, shares: Float64) -> Float64:
        result = np.empty((len(members), stack.shape[2]))
        for out, member, share in zip(result, members, shares, strict=True):
            np.matmul(share, stack[member], out=out)
        return result.reshape(-1, *self.shape)


def ridge(weights: Float64) -> Float64:
    """Return the gradient of the ridge: the weights (a, K, r + 1) themselves, and nothing for the intercepts."""
    result = weights.copy()
    result[:, :, -1] = 0
    return result


def dots(a: Float64 | Features, b: Float64 | Features) -> Float64:
    """Return sums over all but the first axis of a product, (a,)."""
    # A product of BLAS is quickest for short vectors; for long ones, waking its threads can cost more than the sum.
    if a[0].size > SHORT:
        return np.array([np.einsum("ij,ij->", u, v) for u, v in zip(a, b, strict=True)], np.float64)
    products = a.reshape(len(a), 1, -1) @ b.reshape(len(a), -1, 1)
    return np.asarray(products[:, 0, 0], np.float64)


def _solve(matrices: Float64, right: Float64) -> Float64:
    return np.asarray(np.linalg.solve(matrices, right[:, :, None])[:, :, 0], np.float64)

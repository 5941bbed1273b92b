"""LogME against a transcription of the published algorithm, and the time of the whole table of estimates.

The features are those of a network in what counts here: 5,000 x 2,048 in float32, variances that fall as 1 / rank, 100
classes. The other side follows the published steps (SVD of the Gram matrix, then the fixed point, one class after
the other), in float64 as they do. Both sides take turns.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
from measure import Options, Row

from acclimate.scores.estimates import prepare, table
from acclimate.scores.estimates.logme import logme

N, D, CLASSES, SOURCES = 5000, 2048, 100, 1000
TURNS = 3
LIMIT = 20.0  # seconds of the table
FASTER = 5.0


def run(options: Options) -> list[Row]:
    """Return the rows ``logme`` and ``estimates_table``."""
    x, y, p = features()
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    values = {}
    for turn in range(TURNS):
        for side in ("ours", "theirs") if turn % 2 == 0 else ("theirs", "ours"):
            started = time.perf_counter()
            values[side] = logme(prepare(x, y)) if side == "ours" else transcribed(x.astype(np.float64), y)
            times[side].append(time.perf_counter() - started)
    ours, theirs = min(times["ours"]), min(times["theirs"])
    gap = abs(values["ours"] - values["theirs"])
    started = time.perf_counter()
    rows = table(prepare(x, y, p=p))
    seconds = time.perf_counter() - started
    had = sum(row.value is not None for row in rows)
    return [
        Row(
            "logme", theirs / ours, FASTER, ours, theirs, "s", f"best of {TURNS} turns; the numbers differ by {gap:.1e}"
        ),
        Row("estimates_table", LIMIT / seconds, 1.0, seconds, LIMIT, "s", f"{had} of {len(rows)} estimates"),
    ]


def features() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return x (n, d), y (n,) and source predictions p (n, z)."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % CLASSES
    deviation = 3 / np.sqrt(np.arange(1, D + 1))
    rotation, _ = np.linalg.qr(rng.normal(size=(D, D)))
    x = ((0.5 * rng.normal(size=(CLASSES, D))[y] + rng.normal(size=(N, D))) * deviation @ rotation.T).astype(np.float32)
    logits = x @ rng.normal(size=(D, SOURCES)).astype(np.float32)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return x, y, p / p.sum(axis=1, keepdims=True)


def transcribed(x: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> float:
    """Return LogME by the fixed point of arXiv 2110.10545, algorithm 3, for n > d: one class after the other."""
    n, d = x.shape
    _, squares, right = np.linalg.svd(x.T @ x)
    scores = x @ right.T / np.sqrt(squares)
    found = []
    for label in range(int(y.max()) + 1):
        target = (y == label).astype(np.float64)
        seen = (scores.T @ target) ** 2
        rest = target @ target - seen.sum()
        alpha = beta = 1.0
        for _ in range(11):
            t = alpha / beta
            gamma = (squares / (squares + t)).sum()
            length = (squares * seen / (t + squares) ** 2).sum()
            error = (seen / (1 + squares / t) ** 2).sum() + rest
            alpha, beta = gamma / (length + 1e-5), (n - gamma) / (error + 1e-5)
            if abs(alpha / beta - t) / t <= 1e-3:
                break
        evidence = d * np.log(alpha) + n * np.log(beta) - np.log(alpha + beta * squares).sum()
        found.append(0.5 * (evidence - beta * error - alpha * length - n * np.log(2 * np.pi)) / n)
    return float(np.mean(found))

"""Made-up features that are correlated as those of a network are, always the same for a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def features(n: int, d: int, classes: int, *, seed: int = 0, signal: float = 0.2) -> tuple[Float32, Labels]:
    """Return features (n, d) and labels (n,).

    Noise has the spectrum 1/j of deep features (variance of the j-th principal axis), in random axes; class means are drawn
    with the spectrum 1/sqrt(j), so that the classes also differ where the noise is small, and scaled by `signal`; all of it
    has an offset, and passes through a soft clipping at zero that gives it the skew of features behind a ReLU.
    """
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0].astype(np.float32)
    j = np.arange(1, d + 1)
    means = signal * rng.normal(size=(classes, d)) / np.sqrt(j**0.5 * np.sqrt(d))
    labels = rng.integers(0, classes, n)
    x = (
        rng.standard_normal((n, d), dtype=np.float32) / np.sqrt(j, dtype=np.float32) + means[labels].astype(np.float32)
    ) @ axes
    return np.logaddexp(0, 4 * x, dtype=np.float32), labels

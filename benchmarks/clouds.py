"""Made-up features that are as awkward as those of a network, always the same for a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def features(n: int, d: int, classes: int, *, seed: int = 0, signal: float = 0.2) -> tuple[Float32, Labels]:
    """Return features (n, d) and labels (n,).

    Noise has the spectrum 1/j (variance of the j-th principal axis), in random axes. Class means have the spectrum
    1/sqrt(j), scaled by `signal`, so that the classes differ where the noise is small too. A soft clipping at zero
    gives the skew of features behind a ReLU, and each column has its own scale (log-normal, 0.45), much as the 512
    averages of SqueezeNet 1.1 on Tiny ImageNet: there variances fall as j^-1.1, the last is 4,000 times smaller than
    the first (here 13,000), and the standard deviations of columns at the tenth and ninetieth percentile differ by 3.2
    (here 3.4).
    """
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0].astype(np.float32)
    j = np.arange(1, d + 1)
    means = (signal * rng.normal(size=(classes, d)) / np.sqrt(j**0.5 * np.sqrt(d))).astype(np.float32)
    labels = rng.integers(0, classes, n)
    x = rng.standard_normal((n, d), dtype=np.float32) / np.sqrt(j, dtype=np.float32) + means[labels]
    scale = np.exp(0.45 * rng.normal(size=d)).astype(np.float32)
    return np.logaddexp(0, 4 * (x @ axes), dtype=np.float32) * (4 * scale), labels

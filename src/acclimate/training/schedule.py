"""Steps, learning rates and the order of the images: pure functions of the step number.

Nothing here has a state. What a step needs (rate, image indices, random seed) is computed from the step number alone:
a run that is resumed at any step does exactly what an unbroken run would have done there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from acclimate.storage.store import step_seed


def steps_per_epoch(images: int, batch: int) -> int:
    """Return the number of full batches in one epoch; a set smaller than the batch is one batch."""
    return max(1, images // batch)


def learning_rate(
    step: int, steps: int, *, base: float, warmup: int, shape: str = "cosine", drops: Sequence[float] = ()
) -> float:
    """Return the rate at ``step`` (0-based): linear warm-up to ``base``, then what ``shape`` says.

    ``cosine`` is a half cosine down to 0 at ``steps`` (Loshchilov and Hutter 2017, equation 5, without restarts),
    ``constant`` stays, and ``steps`` is a tenth from each of ``drops`` on, shares of all steps.
    """
    if step < warmup:
        return base * (step + 1) / warmup
    if shape != "cosine":
        return base * 0.1 ** sum(step >= round(share * steps) for share in drops)
    done = (step - warmup) / max(1, steps - warmup)
    return base * 0.5 * (1 + math.cos(math.pi * done))


def batch_indices(images: npt.NDArray[np.int64], step: int, *, batch: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the image indices ``(min(batch, n),)`` of a step (0-based, over the whole stage) of ``images`` ``(n,)``.

    Each epoch is a fresh permutation that depends on ``(seed, epoch)`` alone; the last incomplete batch of an epoch is
    dropped. A set smaller than the batch gives all of its images at every step.
    """
    per_epoch = steps_per_epoch(len(images), batch)
    epoch, position = divmod(step, per_epoch)
    order = np.random.default_rng(step_seed("order", seed, epoch)).permutation(len(images))
    return images[order[position * batch : (position + 1) * batch]]

"""How far a layer has the classes apart: separation in cosine distance, and nearest class means.

Source: Kornblith, Chen, Lee & Norouzi 2021, "Why Do Better Loss Functions Lead to Less Transferable Features?", section
on class separation (R^2 = 1 - within / total). Unlike there an image is never paired with itself, which would make
small classes look tight.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def countable(labels: Labels) -> Bools:
    """Return which images ``(n,)`` can be asked: those that have a label, and another image with the same one."""
    counts = np.bincount(labels[labels >= 0], minlength=1)
    return (labels >= 0) & (counts[np.maximum(labels, 0)] >= 2)


def separation(x: npt.NDArray[np.floating], labels: Labels, weights: Float64) -> Float64:
    """Return the class separation of features for each weighting of the images.

    R^2 = 1 - (mean cosine distance within a class) / (mean cosine distance of any two images), every class counting the
    same: about 0 where features know nothing of the classes, 1 where a class is a point. It is ``(b,)``; NaN where a
    weighting leaves fewer than two classes with two different images, or all are alike.

    ``x`` ``(n, d)`` and ``labels`` ``(n,)`` have at least two classes of at least two images; ``weights`` ``(b, n)``
    say how often each image counts.
    """
    data = np.asarray(x, np.float64)
    unit = data / np.maximum(np.linalg.norm(data, axis=1, keepdims=True), 1e-300)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, 0.0)  # an image and itself, or its copy in a bootstrap, are no pair
    _, index = np.unique(labels, return_inverse=True)
    member = np.eye(int(index.max()) + 1)[index]  # (n, C)
    own = similarity * (index[:, None] == index[None, :])
    sizes, squares = weights @ member, weights**2 @ member  # (b, C)
    pairs = sizes**2 - squares
    here = pairs > 0.5  # (b, C): classes with two different images
    own_sums = ((weights @ own) * weights) @ member
    within = np.where(here, own_sums / np.where(here, pairs, 1.0), 0.0)  # (b, C)
    # Weights that make each class count 1, whatever its size: the sum over them is one over pairs of classes.
    share = weights * ((here / np.where(here, sizes, 1.0)) @ member.T)  # (b, n)
    between = ((share @ (similarity - own)) * share).sum(1)
    n_classes = here.sum(1)
    usable = n_classes >= 2
    divisor = np.where(usable, n_classes, 1)
    total = 1.0 - (between + within.sum(1)) / divisor**2
    inside = 1.0 - within.sum(1) / divisor
    apart = usable & (total > 1e-12)
    return np.where(apart, 1.0 - inside / np.where(apart, total, 1.0), np.nan)


def nearest_mean(x: npt.NDArray[np.floating], labels: Labels) -> Bools:
    """Return whether each image ``(n,)`` is nearest to the mean of its own class (Euclidean), left out of that mean.

    ``labels`` ``(n,)`` as in `separation`. Of equal distances the first class wins.
    """
    data = np.asarray(x, np.float64) - np.mean(x, axis=0, dtype=np.float64)
    _, index = np.unique(labels, return_inverse=True)
    member = np.eye(int(index.max()) + 1)[index]
    sizes = member.sum(0)
    means = (member.T @ data) / sizes[:, None]  # (C, d)
    distance = (data**2).sum(1)[:, None] + (means**2).sum(1)[None, :] - 2 * data @ means.T  # (n, C)
    distance = np.maximum(distance, 0.0)
    # Without the image itself, its class mean lies N / (N - 1) times as far from it.
    size = sizes[index]
    distance[np.arange(len(data)), index] *= (size / (size - 1)) ** 2
    hits: Bools = distance.argmin(1) == index
    return hits

"""One layer before and after training: moments of its channels, sparsity, classes, likeness. Arrays in, numbers out.

Classes: separation in cosine distance, and nearest class means. Source: Kornblith, Chen, Lee & Norouzi 2021, "Why Do
Better Loss Functions Lead to Less Transferable Features?", section on class separation (R^2 = 1 - within / total).
Unlike there an image is never paired with itself, which would make small classes look tight.

Linear CKA: how alike two layers see the same images, whatever rotation or scale their channels have. Sources: Kornblith
et al. 2019, "Similarity of Neural Network Representations Revisited" (linear CKA); Nguyen, Raghu & Kornblith 2021, "Do
Wide and Deep Networks Learn the Same Things?", equation 3, after Song et al. 2012 (the unbiased HSIC_1, with which CKA
does not grow towards 1 where there are more channels than images). All images are compared at once, in n x n Gram
matrices; no minibatches are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

DEAD = 1e-10  # variance of a channel beside the layer's mean: below it a channel says nothing
ROUNDING = 1e-12  # variance beside the squared mean: below it is what float32 cannot hold
FEWEST = 4  # images: HSIC_1 averages over quadruples of different ones


@dataclass(frozen=True, eq=False)
class Layer:
    """What one network's layer gave on all images."""

    # ``(n, C)`` features of each image, averaged over its positions (pixels or tokens, class token included)
    pooled: Float32
    # mean, variance: ``(C,)`` of each channel, over images and positions
    mean: Float64
    variance: Float64
    zeros: float  # share of all values that are exactly zero, in [0, 1]


def mean_shift(before: Layer, after: Layer) -> float | None:
    """Return ||mu1 - mu0|| / ||sigma0||: how far means moved, in units of the spread; None without spread."""
    spread = float(np.sqrt(before.variance.sum()))
    if spread**2 <= ROUNDING * (before.mean**2).sum():
        return None
    return float(np.linalg.norm(after.mean - before.mean)) / spread


def log_variance_ratio(before: Layer, after: Layer) -> tuple[float, float, float] | None:
    """Return quartiles (25%, 50%, 75%) over channels of ln(var1 / var0); None where no channel is alive in both.

    0: as wide as before; ln 4 = 1.386: twice the standard deviation.
    """
    alive = _alive(before) & _alive(after)
    if not alive.any():
        return None
    ratio = np.log(after.variance[alive] / before.variance[alive])
    low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


def dead(layer: Layer) -> int:
    """Return the number of channels that never change: variance below 1e-10 of the layer's mean variance."""
    return int((~_alive(layer)).sum())


def _alive(layer: Layer) -> Bools:
    least = np.maximum(DEAD * layer.variance.mean(), ROUNDING * layer.mean**2)
    alive: Bools = layer.variance > least
    return alive


def hoyer(layer: Layer) -> float | None:
    """Return Hoyer's sparsity of the pooled features, averaged over images, in [0, 1]; None for a single channel.

    (sqrt(C) - ||x||_1 / ||x||_2) / (sqrt(C) - 1): 0 where all channels are as strong, 1 where only one speaks.
    Images that are all zero are left out. Source: Hoyer 2004, "Non-negative matrix factorization with sparseness
    constraints", section 3.1.
    """
    x = layer.pooled.astype(np.float64)
    length = np.linalg.norm(x, axis=1)
    if x.shape[1] < 2 or not length.any():
        return None
    x, length = x[length > 0], length[length > 0]
    root = np.sqrt(x.shape[1])
    return float(np.clip((root - np.abs(x).sum(1) / length) / (root - 1), 0, 1).mean())


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


def gram(x: npt.NDArray[np.floating]) -> Float64:
    """Return the linear Gram matrix ``(n, n)`` of features ``(n, d)``, its diagonal set to zero.

    The mean image is taken off and the size divided out first: CKA sees neither, and it keeps rounding small.
    """
    data = np.asarray(x, np.float64)
    centred = data - data.mean(0)
    norm = np.linalg.norm(centred)
    # A spread this small is the rounding of float32, not a difference between images.
    centred *= 1 / norm if norm > 1e-6 * np.linalg.norm(data) else 0.0
    out: Float64 = centred @ centred.T
    np.fill_diagonal(out, 0.0)
    return out


def cka(k: Float64, other: Float64, weights: Float64) -> Float64:
    """Return the unbiased linear CKA of two layers for each weighting of the images.

    CKA = HSIC_1(K, L) / sqrt(HSIC_1(K, K) HSIC_1(L, L)), ``(b,)``; 1 for layers that differ by a rotation and a scale,
    NaN where a layer does not tell the images apart, or where fewer than 4 of them are left.

    ``k`` and ``other`` ``(n, n)`` are Gram matrices of the same images, from `gram`; ``weights`` ``(b, n)`` say how
    often each image counts: ones for the estimate itself, counts of a bootstrap for its interval.
    """
    first, second = weights @ k, weights @ other  # (b, n): what each image has in common with all the others
    both = _hsic(k * other, first, second, weights)
    own, others = _hsic(k * k, first, first, weights), _hsic(other * other, second, second, weights)
    # Anything this small beside Gram matrices of size 1 is rounding.
    apart = (own > 1e-15) & (others > 1e-15)
    scale = np.sqrt(np.where(apart, own, 1.0) * np.where(apart, others, 1.0))
    return np.where(apart, np.clip(both / scale, -1.0, 1.0), np.nan)


def _hsic(product: Float64, rows: Float64, columns: Float64, w: Float64) -> Float64:
    """Return HSIC_1 of K and L for each weighting ``(b,)``; 0 where fewer than 4 different images are left.

    It is E k_ij l_ij + E k_ij l_qr - 2 E k_ij l_iq over *different* images i, j, q, r. Weights go through the same
    sums, so that an image drawn twice by a bootstrap never meets its copy: both layers would find the two alike, and
    so look more alike than they are. With all weights 1 this is equation 3 of Nguyen et al.

    ``product`` is K L, element by element, ``(n, n)``; ``rows`` W K, ``columns`` W L and ``w`` are ``(b, n)``.
    """
    weighted, squares = w @ product, w**2  # (b, n)
    pairs = (weighted * w).sum(1)
    # Of the triples those with q = j go: pairs in which one image counts twice.
    triples = (w * rows * columns).sum(1) - (squares * weighted).sum(1)
    # Of the quadruples those with both images in common go (two ways), and those with one of them (four ways).
    double = ((squares @ product) * squares).sum(1)
    single = (squares * rows * columns).sum(1) - double
    quadruples = (w * rows).sum(1) * (w * columns).sum(1) - 4 * single - 2 * double
    n_pairs, n_triples, n_quadruples = _sizes(w)
    enough = n_quadruples > 0.5  # a product of counts: a whole number
    mean: Float64 = (
        pairs / np.where(enough, n_pairs, np.inf)
        + quadruples / np.where(enough, n_quadruples, np.inf)
        - 2 * triples / np.where(enough, n_triples, np.inf)
    )
    return mean


def _sizes(w: Float64) -> tuple[Float64, Float64, Float64]:
    """Return the weighted numbers ``(b,)`` of ordered pairs, triples and quadruples of different images.

    They are elementary symmetric polynomials of the weights, written with power sums (Newton's identities).
    """
    one, two, three, four = ((w**power).sum(1) for power in (1, 2, 3, 4))
    pairs = one**2 - two
    triples = one**3 - 3 * one * two + 2 * three
    quadruples = one**4 - 6 * one**2 * two + 3 * two**2 + 8 * one * three - 6 * four
    return pairs, triples, quadruples

"""Linear CKA: how alike two layers see the same images, whatever rotation or scale their channels have.

Sources: Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited" (linear CKA); Nguyen, Raghu &
Kornblith 2021, "Do Wide and Deep Networks Learn the Same Things?", equation 3, after Song et al. 2012 (the unbiased
HSIC_1, with which CKA does not grow towards 1 where there are more channels than images). All images are compared at
once, in n x n Gram matrices; no minibatches are needed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

FEWEST = 4  # images: HSIC_1 averages over quadruples of different ones


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

    CKA = HSIC_1(K, L) / sqrt(HSIC_1(K, K) HSIC_1(L, L)); 1 for layers that differ by a rotation and a scale.

    Parameters
    ----------
    k, other
        ``(n, n)`` Gram matrices of the same images, from `gram`.
    weights
        ``(b, n)`` how often each image counts: ones for the estimate itself, counts of a bootstrap for its interval.

    Returns
    -------
    ``(b,)``, at most 1; NaN where a layer does not tell the images apart, or where fewer than 4 of them are left.
    """
    both, first, second = (_hsic(a, b, weights) for a, b in ((k, other), (k, k), (other, other)))
    # Anything this small beside Gram matrices of size 1 is rounding.
    known = (first > 1e-15) & (second > 1e-15)
    scale = np.sqrt(np.where(known, first, 1.0) * np.where(known, second, 1.0))
    return np.where(known, np.clip(both / scale, -1.0, 1.0), np.nan)


def _hsic(k: Float64, other: Float64, w: Float64) -> Float64:
    """Return HSIC_1 for each weighting ``(b,)``.

    It is E k_ij l_ij + E k_ij l_qr - 2 E k_ij l_iq over *different* images i, j, q, r. Weights go through the same
    sums, so that an image drawn twice by a bootstrap never meets its copy: both layers would find the two alike, and
    so look more alike than they are. With all weights 1 this is equation 3 of Nguyen et al.
    """
    ones = 1.0 - np.eye(len(k))
    sums, sizes = _tuples(k, other, w), _tuples(ones, ones, w)
    sizes = np.where(sizes > 0.5, sizes, np.nan)  # (3, b): sums of products of counts are whole numbers
    pairs, triples, quadruples = sums / sizes
    total: Float64 = np.nan_to_num(pairs + quadruples - 2 * triples, nan=0.0)
    return total


def _tuples(k: Float64, other: Float64, w: Float64) -> Float64:
    """Return the weighted sums over different images, ``(3, b)``: of k_ij l_ij, of k_ij l_iq, and of k_ij l_qr."""
    rows, columns, product = w @ k, w @ other, k * other  # (b, n), (b, n), (n, n)
    pairs = ((w @ product) * w).sum(1)
    # Of the triples those with q = j go; they are pairs with the second image's weight squared.
    triples = (w * rows * columns).sum(1) - (w * (w**2 @ product)).sum(1)
    # Of the quadruples those with one image in common go (four ways), and those with both (two ways).
    double = (w**2 * (w**2 @ product)).sum(1)
    single = (w**2 * rows * columns).sum(1) - double
    whole = (w * rows).sum(1) * (w * columns).sum(1)
    return np.stack([pairs, triples, whole - 4 * single - 2 * double])

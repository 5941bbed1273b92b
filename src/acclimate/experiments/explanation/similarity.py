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

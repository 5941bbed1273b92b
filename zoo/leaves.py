"""Dead leaves: procedural images with the edge and scale statistics of photographs, and no photograph in them.

Leaves of random colour fall on the plane; their radii follow a power law with exponent -3, which makes the
image scale invariant (Lee, Mumford and Huang 2001, section 3; as pretraining data: Baradad et al. 2021).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SMALLEST, LARGEST = 3.0, 40.0  # radii in pixels
SHAPES = 110


def dead_leaves(n: int, size: int, *, seed: int) -> npt.NDArray[np.uint8]:
    """Return ``(n, size, size, 3)`` images; image i depends on ``(seed, i)`` alone."""
    return np.stack([_leaf_image(size, np.random.default_rng((seed, i))) for i in range(n)])


def _leaf_image(size: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Paint back to front. Each image has its own palette, and each leaf a shading and grain of its own."""
    image = np.empty((size, size, 3), np.float32)
    image[:] = rng.uniform(0, 255, 3)
    ys, xs = np.mgrid[:size, :size].astype(np.float32)
    palette = rng.uniform(0, 255, (int(rng.integers(3, 9)), 3)).astype(np.float32)
    # inverse transform sampling of p(r) ~ r^-3 on [SMALLEST, LARGEST]; leaves fall in random order, large on small too
    u = rng.random(SHAPES)
    radii = (u * SMALLEST**-2 + (1 - u) * LARGEST**-2) ** -0.5
    for radius in radii:
        _paint(image, xs, ys, float(radius), palette, rng)
    return np.clip(image, 0, 255).astype(np.uint8)


def _paint(
    image: npt.NDArray[np.float32],
    xs: npt.NDArray[np.float32],
    ys: npt.NDArray[np.float32],
    radius: float,
    palette: npt.NDArray[np.float32],
    rng: np.random.Generator,
) -> None:
    """Add one leaf: an ellipse or a rectangle, turned at random, with a linear shading and grain."""
    size = image.shape[0]
    cx, cy = rng.uniform(0, size, 2)
    reach = int(radius * 1.5) + 1
    rows = slice(max(0, int(cy) - reach), min(size, int(cy) + reach + 1))
    columns = slice(max(0, int(cx) - reach), min(size, int(cx) + reach + 1))
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0)
    dx, dy = xs[rows, columns] - cx, ys[rows, columns] - cy
    a = (np.cos(angle) * dx + np.sin(angle) * dy) / radius
    b = (np.cos(angle) * dy - np.sin(angle) * dx) / (radius * stretch)
    inside = (a * a + b * b < 1) if rng.random() < 0.6 else (np.maximum(abs(a), abs(b)) < 0.8)
    colour = palette[rng.integers(len(palette))] + rng.normal(0, 12, 3)
    shade = rng.uniform(0, 40) * a + rng.normal(0, rng.uniform(0, 14), a.shape)
    image[rows, columns][inside] = (colour + shade[..., None])[inside]

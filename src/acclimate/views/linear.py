"""Crop, flip, resize, blur and colour change as small matrices, one per sample.

Geometry is separable: a matrix along the rows and one along the columns. Every matrix has rows that sum to one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# ITU-R 601 luma, the three digits that torchvision and Pillow use
LUMA = (0.2989, 0.587, 0.114)


def resize_weights(start: Tensor, extent: Tensor, flip: Tensor, length: int, size: int) -> Tensor:
    """Return (n, size, length) matrices that crop, resize with antialiasing and mirror one axis.

    The filter is a triangle that widens when the crop shrinks: what `interpolate(mode="bilinear",
    antialias=True)` does after cropping, so that pixels outside of the crop have no weight. `start` and `extent`, (n,)
    float32, are the first pixel and the count of pixels of the crop; `flip` (n,) reverses the order of the output. The
    axis has `length` pixels before and `size` after.
    """
    device = start.device
    scale = (extent / size)[:, None]  # (n, 1)
    reach = scale.clamp(min=1.0)
    index = torch.arange(size, device=device)
    index = torch.where(flip[:, None], size - 1 - index, index)
    middle = (scale * (index + 0.5))[:, :, None]  # (n, size, 1), in pixels of the crop
    # few pixels carry weight: compute only a window of them, moved to lie inside of the image
    taps = min(length, math.ceil(2 * max(1.0, length / size)) + 1)
    first = (middle - reach[:, :, None] + 0.5).floor() + start[:, None, None]
    column = first.clamp_(0, length - taps) + torch.arange(taps, device=device)  # (n, size, taps)
    inside = column - start[:, None, None]
    weight = (1 - (inside + 0.5 - middle).abs() / reach[:, :, None]).clamp_(min=0)
    weight *= (inside >= 0) & (inside < extent[:, None, None])
    weight /= weight.sum(dim=2, keepdim=True)
    full = torch.zeros(len(start), size, length, device=device)
    return full.scatter_(2, column.long(), weight)


def blur(weights: Tensor, sigma: Tensor) -> Tensor:
    """Return the (n, size, length) matrices followed by a Gaussian blur of their output.

    The blur mirrors the image at its borders without repeating the edge pixel. `sigma` is (n,), in pixels of the
    output, above 0. The kernel has the odd width at or above a tenth of `size`, at least 3 pixels where they fit.
    """
    size = weights.shape[1]
    radius = min(max(1, int(0.1 * size) // 2), size - 1)
    offset = torch.arange(-radius, radius + 1, device=sigma.device)
    kernel = torch.softmax(-0.5 * (offset / sigma[:, None]).square(), dim=1)  # (n, 2 radius + 1)
    pixel = (torch.arange(size, device=sigma.device) + offset[:, None]).abs()  # mirrored at the lower border
    pixel = size - 1 - (size - 1 - pixel).abs()  # (2 radius + 1, size): which output pixel each tap reads
    taps = torch.nn.functional.one_hot(pixel, size).to(weights.dtype)  # (2 radius + 1, size, size)
    band = (kernel @ taps.flatten(1)).view(-1, size, size)
    return torch.bmm(band, weights)


def colour_matrices(factors: Tensor, order: Tensor, gray: Tensor) -> tuple[Tensor, Tensor]:
    """Return two (n, 3, 3) matrices: for a pixel's deviation from the image's mean colour, and for that mean.

    Contrast moves a pixel x towards the mean grey of the image: f x + (1 - f) g(mean). With x = mean +
    deviation, that is f on the deviation, and on the mean the same mixing with its own grey as a change of
    saturation. All other changes treat both parts alike, so any order of the four is a product of matrices.
    The arguments are as in `ViewParameters`, on the CPU.
    """
    eye = torch.eye(3)
    luma = torch.tensor(LUMA).expand(3, 3)
    factor = factors[:, :3, None, None]  # (n, 3, 1, 1)
    mixed = factor * eye + (1 - factor) * luma  # towards grey
    plain = factor * eye
    hue = _hue_matrix(factors[:, 3])
    deviation = torch.stack([plain[:, 0], plain[:, 1], mixed[:, 2], hue], dim=1)  # (n, 4, 3, 3)
    mean = torch.stack([plain[:, 0], mixed[:, 1], mixed[:, 2], hue], dim=1)
    steps = torch.stack([deviation, mean])[:, torch.arange(len(order))[:, None], order]
    first, second, third, fourth = steps.unbind(dim=2)  # each (2, n, 3, 3)
    product = torch.where(gray[:, None, None], luma, eye) @ fourth @ third @ second @ first
    return product[0], product[1]


def _hue_matrix(turns: Tensor) -> Tensor:
    """Return (n, 3, 3) rotations about the grey axis by `turns` (n,) full circles (Rodrigues' formula)."""
    angle = 2 * math.pi * turns[:, None, None]
    grey = torch.full((3, 3), 1 / 3)  # the projection on the axis
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    return grey + angle.cos() * (torch.eye(3) - grey) + angle.sin() * cross

"""The random numbers of one view of a batch, and the matrices that they stand for.

Numbers are drawn on the CPU, one row per sample. Every sample takes the same count of numbers from the generator,
whatever the probabilities are, so that changing one setting of an augmentation does not reshuffle all others.

Crop, flip, resize, blur and colour change are small matrices, one per sample. Geometry is separable: a matrix along the
rows and one along the columns. Every matrix has rows that sum to one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from acclimate.errors import DataError, RecipeError
from acclimate.views.augment import Augment, Pair

TRIES = 10  # torchvision's count of attempts to fit a crop of the drawn area and ratio into the image
_COLUMNS = [2 * TRIES, 2, 1, 1, 2, 1, 4, 4, 1, 2, 1]

Size = tuple[int, int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class ViewParameters:
    """What happens to each of n samples."""

    box: Tensor  # (n, 4) float32: top, left, height and width of the crop, in whole pixels
    flip: Tensor  # (n, 2) bool: mirrored upside-down; mirrored left-right
    turn: Tensor  # (n,) bool: rows and columns exchanged after the flips
    factors: Tensor  # (n, 4) float32: brightness, contrast, saturation (1 = unchanged) and hue (0 = unchanged)
    order: Tensor  # (n, 4) int64: a permutation; the first entry is the first of the four changes above
    # both (n,) bool
    gray: Tensor
    solarize: Tensor
    sigma: Tensor  # (n,) float32: standard deviation of the blur in pixels of the view; 0 = not blurred


def draw(n: int, image: Size, size: Size, augment: Augment, generator: torch.Generator) -> ViewParameters:
    """Draw the parameters of one view for `n` images of `image` = (H, W) pixels, seen at `size` = (h, w).

    Raises `DataError`: the generator is not on the CPU. `RecipeError`: rotations are asked for, and the view is not
    square.
    """
    if generator.device.type != "cpu":
        raise DataError(f"got a random generator on {generator.device}, expected one on the CPU: torch.Generator()")
    if augment.rot90 and size[0] != size[1]:
        raise RecipeError(f"rot90={augment.rot90} needs square views, got {size[0]}x{size[1]} pixels; set rot90=0")
    table = torch.split(torch.rand(n, sum(_COLUMNS), generator=generator), _COLUMNS, dim=1)
    shape, place, mirror_y, mirror_x, turn, jitter, factors, order, gray, blur, solarize = table
    flip, transpose = _orientation(mirror_y, mirror_x, turn, augment)
    return ViewParameters(
        box=_boxes(shape, place, image, size, augment),
        flip=flip,
        turn=transpose,
        factors=_factors(factors, jitter, augment),
        order=order.argsort(dim=1),
        gray=gray[:, 0] < augment.gray,
        solarize=solarize[:, 0] < augment.solarize,
        sigma=_between(blur[:, 1], augment.blur_sigma) * (blur[:, 0] < augment.blur),
    )


def center_box(image: Size, size: Size) -> Box:
    """Return top, left, height and width of the evaluation crop.

    That is the centre crop of exactly `size`; an image that is smaller gives the largest centred part that
    has the shape of `size`, which then has to be enlarged.
    """
    shrink = min(1.0, image[0] / size[0], image[1] / size[1])
    height, width = (max(1, round(side * shrink)) for side in size)
    return round((image[0] - height) / 2), round((image[1] - width) / 2), height, width


def _between(uniform: Tensor, bounds: Pair) -> Tensor:
    return bounds[0] + uniform * (bounds[1] - bounds[0])


def _boxes(shape: Tensor, place: Tensor, image: Size, size: Size, augment: Augment) -> Tensor:
    """Return (n, 4) crops, distributed as in torchvision's RandomResizedCrop, without a loop over samples."""
    n, (rows, columns) = len(shape), image
    if augment.crop is None or augment.crop == (1.0, 1.0):
        fixed = center_box(image, size) if augment.crop is None else (0, 0, rows, columns)
        return torch.tensor(fixed, dtype=torch.float32).expand(n, 4)
    area = _between(shape[:, :TRIES], augment.crop) * (rows * columns)
    low, high = torch.tensor(augment.ratio).log().tolist()
    ratio = _between(shape[:, TRIES:], (low, high)).exp()
    sides = torch.stack([(area / ratio).sqrt().round(), (area * ratio).sqrt().round()], dim=2)  # (n, tries, 2)
    limits = torch.tensor([rows, columns], dtype=torch.float32)
    fits = ((sides >= 1) & (sides <= limits)).all(dim=2)
    first = fits.byte().argmax(dim=1)  # the first attempt that fits
    side = sides[torch.arange(n), first]
    corner = torch.minimum((place * (limits - side + 1)).floor(), limits - side)
    fallback = torch.tensor(_fallback(image, augment.ratio), dtype=torch.float32)
    return torch.where(fits.any(dim=1)[:, None], torch.cat([corner, side], dim=1), fallback)


def _fallback(image: Size, ratio: Pair) -> Box:
    """Return the centre crop that torchvision takes when no attempt fits: the image, held to `ratio`."""
    rows, columns = image
    height = min(rows, max(1, round(columns / ratio[0])))
    width = min(columns, max(1, round(rows * ratio[1])))
    return (rows - height) // 2, (columns - width) // 2, height, width


def _orientation(mirror_y: Tensor, mirror_x: Tensor, turn: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
    """Return flips (n, 2) and exchanges of rows and columns (n,)."""
    # A rotation by 90 degrees is a left-right flip and an exchange, by 180 both flips, by 270 an upside-down flip and
    # an exchange
    quarters = (1 + (turn[:, 1] * 3).floor().clamp_(max=2)) * (turn[:, 0] < augment.rot90)
    flip_y = (mirror_y[:, 0] < augment.vflip) ^ (quarters >= 2)
    flip_x = (mirror_x[:, 0] < augment.hflip) ^ ((quarters == 1) | (quarters == 2))
    return torch.stack([flip_y, flip_x], dim=1), (quarters == 1) | (quarters == 3)


def _factors(uniform: Tensor, jitter: Tensor, augment: Augment) -> Tensor:
    """Return (n, 4) factors, drawn as in torchvision's ColorJitter; without jitter (1, 1, 1, 0)."""
    strengths = (augment.brightness, augment.contrast, augment.saturation)
    low = torch.tensor([max(0.0, 1 - value) for value in strengths] + [-augment.hue])
    high = torch.tensor([1 + value for value in strengths] + [augment.hue])
    neutral = torch.tensor([1.0, 1.0, 1.0, 0.0])
    return torch.where(jitter < augment.jitter, low + uniform * (high - low), neutral)


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

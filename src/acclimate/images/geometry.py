"""From an image of any size to the fixed size that a model wants, as torchvision and timm do it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from acclimate.errors import DataError, unknown

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]  # height, width
Box = tuple[float, float, float, float]  # left, top, right, bottom

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
MODES = ("crop", "squash", "border")
_LARGE = 4096 * 4096  # a resized frame with more pixels is never made whole: only the part that is kept


@dataclass(frozen=True)
class Geometry:
    """The size that images are brought to, and how.

    The image is resized to ``size / crop_pct`` and the centre of it is kept, with `fill` where there is none.

    Attributes
    ----------
    height, width
        Size of the result in pixels.
    mode
        ``crop``: keep the aspect ratio, the image covers the frame (torchvision's ``Resize(int)`` and ``CenterCrop``).
        ``squash``: each side by itself. ``border``: keep the aspect ratio, the whole image fits.
    interpolation
        One of `FILTERS`; when shrinking, all but ``nearest`` average over the pixels that are lost (antialias).
    crop_pct
        In (0, 1]; the share of the resized side that is kept. timm's name and meaning.
    fill
        RGB of the border, 0 to 255. timm uses the mean colour of the model.
    """

    height: int
    width: int
    mode: str = "crop"
    interpolation: str = "bilinear"
    crop_pct: float = 1.0
    fill: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise DataError(unknown("geometry mode", self.mode, MODES))
        if self.interpolation not in FILTERS:
            raise DataError(unknown("interpolation", self.interpolation, FILTERS))
        if min(self.height, self.width) < 1:
            raise DataError(f"height and width must be at least 1 pixel, got {self.height} x {self.width}")
        if not 0 < self.crop_pct <= 1:
            raise DataError(f"crop_pct must be above 0 and at most 1, got {self.crop_pct}")


def resized(geometry: Geometry, full: Size) -> Size:
    """Return the size that an image of size `full` is resized to before its centre is cut out."""
    height, width = full
    frame = (math.floor(geometry.height / geometry.crop_pct), math.floor(geometry.width / geometry.crop_pct))
    if geometry.mode == "squash":
        return frame
    if geometry.mode == "crop" and frame[0] == frame[1]:
        # torchvision cuts the fraction off, timm's rule for other frames rounds it.
        long = int(frame[0] * max(full) / min(full))
        return (frame[0], long) if width >= height else (long, frame[0])
    ratios = (height / frame[0], width / frame[1])
    ratio = max(ratios) if geometry.mode == "border" else min(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def fit(image: Image.Image, geometry: Geometry, full: Size, region: Box | None = None) -> Pixels:
    """Bring an upright image of mode L or RGB to ``(geometry.height, geometry.width, 3)`` uint8.

    The result has the very pixels of torchvision's ``Resize`` and ``CenterCrop``, except when `region` is given or the
    whole resized frame would be huge; then only the part that is kept is resized, in one step.

    The image may be reduced by a JPEG draft: `full` is its size before, `region` the part of the drafted image that
    holds the picture, whose size in pixels need not be whole.
    """
    target = resized(geometry, full)
    if region is not None or target[0] * target[1] > _LARGE:
        whole = (0.0, 0.0, float(image.width), float(image.height))
        small = _resize_window(image, geometry, target, region or whole)
    else:
        size = (target[1], target[0])
        small = image if image.size == size else image.resize(size, FILTERS[geometry.interpolation])
    return _frame(np.asarray(small if small.mode == "RGB" else small.convert("RGB")), geometry)


def _resize_window(image: Image.Image, geometry: Geometry, target: Size, region: Box) -> Image.Image:
    """Resize only what the crop keeps. The window has fractional borders: pixels may differ by one level."""
    size = (min(target[0], geometry.height), min(target[1], geometry.width))
    spans = []
    for axis, low, high in ((1, region[0], region[2]), (0, region[1], region[3])):
        step = (high - low) / target[axis]  # source pixels for one of the result
        start = low + max(0, _offset(target[axis], size[axis])) * step
        spans.append((start, min(start + size[axis] * step, high)))
    box = (spans[0][0], spans[1][0], spans[0][1], spans[1][1])
    return image.resize(size[::-1], FILTERS[geometry.interpolation], box=box)


def _frame(pixels: Pixels, geometry: Geometry) -> Pixels:
    """Cut the centre out, or put the image in the centre, each side by itself."""
    height, width = pixels.shape[:2]
    row, column = _offset(height, geometry.height), _offset(width, geometry.width)
    pixels = pixels[max(0, row) :, max(0, column) :][: geometry.height, : geometry.width]
    if pixels.shape[:2] == (geometry.height, geometry.width):
        return pixels
    framed = np.empty((geometry.height, geometry.width, 3), np.uint8)
    framed[:] = geometry.fill
    row, column = max(0, -row), max(0, -column)
    framed[row : row + pixels.shape[0], column : column + pixels.shape[1]] = pixels
    return framed


def _offset(have: int, want: int) -> int:
    """Return where the centre begins, negative where there is a border; rounded as torchvision does."""
    return round((have - want) / 2.0) if have >= want else -((want - have) // 2)

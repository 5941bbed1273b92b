"""One image file -> uint8 RGB pixels of a wanted geometry.

Speed against quality. A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size inside the cosine transform
("draft"). That is used if the reduced image still has twice the wanted size, so that the resampling filter
sees more detail than it keeps. Against the full decode of photographs the result then differs by less than
one grey level on average (44 dB and better, bicubic, at every size tried from 24 to 106 px); 500x375 to 64
px takes 1.1 ms instead of 2.5 ms. A factor of 1.5 falls to 39 dB, a factor of 1 to 34 dB. A JPEG that is
less than four times the wanted size is never reduced, and its pixels are torchvision's to the bit.

A format is recognised by its first bytes, never by the name of the file. Pillow's own guard against huge images is a
global setting of the process; it stays as it is, and a limit of our own applies before a pixel is decoded.

On the way any Pillow image becomes upright, of 8 bits, grey (L) or RGB.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from acclimate.errors import DataError
from acclimate.images.geometry import Box, Geometry, Pixels, Size, fit, resized

MAX_PIXELS = 200_000_000
DRAFT_FACTOR = 2

_FORMATS: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"II*\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0*", TiffImagePlugin.TiffImageFile),
    (b"II+\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0+", TiffImagePlugin.TiffImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    *((b"P%d" % kind, PpmImagePlugin.PpmImageFile) for kind in range(1, 7)),
)
# What readers of damaged files raise
DAMAGED = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)
_BROKEN = (*DAMAGED, SyntaxError, RuntimeError, Image.DecompressionBombError)
_SIDEWAYS = (5, 6, 7, 8)
_ORIENTATION = 0x0112


def decode(image: Path | bytes, geometry: Geometry) -> Pixels:
    """Decode one image to ``(geometry.height, geometry.width, 3)`` uint8 RGB.

    The EXIF rotation is applied; transparent parts are composed on white; 16-bit grey becomes 8-bit by v / 257. Of an
    animation or a multi-page TIFF the first picture is taken. Raises `DataError`: not an image, damaged, cut short or
    too large. The text is a short reason without the file's name.
    """

    def least(full: Size) -> Size:
        height, width = resized(geometry, full)
        return DRAFT_FACTOR * height, DRAFT_FACTOR * width

    picture, full, region = _read(_content(image), least)
    return fit(picture, geometry, full, region)


def pixels(image: Path | bytes, *, at_least: int | None = None) -> Pixels:
    """Decode one image to ``(h, w, 3)`` uint8 RGB in its own size.

    With `at_least` a JPEG may come at 1/2, 1/4 or 1/8 of its size as long as no side falls below it; without,
    the decode is always full. Raises as `decode` does.
    """
    least = None if at_least is None else (lambda full: (at_least, at_least))
    picture, _, _ = _read(_content(image), least)
    return np.asarray(picture.convert("RGB"))


def fault(content: bytes, *, full: bool) -> str:
    """Return why this image file cannot be used, or "" if it can.

    Without `full` only the header is read (0.05 ms); with it all pixels are decoded, because a file that
    was cut short still has a good header.
    """
    try:
        if full:
            _read(content, lambda full: (1, 1))
        else:
            _reduce(_open(content), (1, 1))
    except DataError as error:
        return str(error)
    return ""


def _content(image: Path | bytes) -> bytes:
    if isinstance(image, bytes):
        return image
    try:
        return image.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error


def _read(content: bytes, least: Callable[[Size], Size] | None) -> tuple[Image.Image, Size, Box | None]:
    """Return the upright picture, L or RGB, its full size, and if it was drafted the part of it that counts.

    `least` says for an upright size below which size a JPEG must not be reduced; None means not at all.
    """
    opened = _open(content)
    jpeg = isinstance(opened, JpegImagePlugin.JpegImageFile)
    turn = _orientation(opened) if jpeg else 1
    full = _turned((opened.height, opened.width), turn)
    extent = _reduce(opened, _turned(least(full) if least else full, turn))
    try:
        opened.load()
        # Other formats may have to decode everything to find the orientation; TIFF applies it by itself.
        picture = upright(eight_bit(opened), turn if jpeg else _orientation(opened))
    except _BROKEN as error:
        raise DataError(f"damaged image: {error}") from error
    if (picture.height, picture.width) == full or not jpeg:
        return picture, (picture.height, picture.width), None
    return picture, full, upright_region(opened.size, extent, turn)


def _open(content: bytes) -> ImageFile.ImageFile:
    """Read the header. The formats' own classes are used because ``Image.open`` warns about large images."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise DataError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is switched on in this process, which turns damaged "
            "files into half-grey images; set it to False"
        )
    if not content:
        raise DataError("the file is empty")
    opener = next((opener for signature, opener in _FORMATS if content.startswith(signature)), None)
    if opener is None:
        raise DataError("not an image: it begins like none of JPEG, PNG, BMP, WebP, TIFF, GIF, PPM")
    # A broken download into a file of full length ends in zeros; libjpeg would decode those to grey.
    zeros = content.endswith(b"\0" * 64) and not content.rstrip(b"\0").endswith(b"\xff\xd9")
    if opener is JpegImagePlugin.JpegImageFile and zeros:
        raise DataError("damaged image: the end of the file is all zeros")
    try:
        return opener(io.BytesIO(content))
    except _BROKEN as error:
        raise DataError(f"damaged image: {error}") from error


def _reduce(opened: ImageFile.ImageFile, least: Size) -> tuple[float, float]:
    """Choose the scale that a JPEG is decoded at, with no side below `least`; refuse what is too large."""
    # Returns the width and the height in pixels of the picture: 101 columns at 1/2 make 51, of which 50.5 count
    full, extent = opened.size, (float(opened.width), float(opened.height))
    if isinstance(opened, JpegImagePlugin.JpegImageFile):
        drafted = opened.draft(None, (least[1], least[0]))
        extent = extent if drafted is None else drafted[1][2:]
    # A progressive JPEG keeps the coefficients of the whole image in memory at any scale.
    width, height = full if opened.info.get("progressive") else opened.size
    if width * height > MAX_PIXELS:
        raise DataError(
            f"too large: {full[0]:,} x {full[1]:,} pixels, the limit is {MAX_PIXELS // 1_000_000} "
            "megapixels; make it smaller or save it as a baseline JPEG"
        )
    return extent


def _turned(size: Size, orientation: int) -> Size:
    return (size[1], size[0]) if orientation in _SIDEWAYS else size


def _orientation(opened: ImageFile.ImageFile) -> int:
    try:
        value = opened.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        return 1  # a damaged note about the camera does not damage the picture
    return value if isinstance(value, int) else 1


_ALPHA = frozenset(("LA", "La", "PA", "RGBA", "RGBa"))
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_RANGES = (255, 65535)


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Undo an EXIF orientation (1 to 8; anything else means 1)."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def upright_region(size: tuple[int, int], extent: tuple[float, float], orientation: int) -> Box:
    """Return where the part ``(0, 0, *extent)`` of a stored image, `size` (width, height), is when upright."""
    (width, height), (right, bottom) = (size, extent) if orientation < 5 else (size[::-1], extent[::-1])
    start = width - right if orientation in (2, 3, 6, 7) else 0.0
    top = height - bottom if orientation in (3, 4, 7, 8) else 0.0
    return start, top, start + right, top + bottom


def eight_bit(image: Image.Image) -> Image.Image:
    """Return `image` as mode L or RGB: transparency on white, 16-bit values divided by 257.

    The nominal range of 32-bit integers and floats is not written in a file. The smallest of 0 to 1 (floats
    only), 0 to 255 and 0 to 65535 that holds all values of the image is taken.
    """
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return _divided(np.asarray(image).astype(np.float64), 65535)
    if image.mode in ("I", "F"):
        return _wide(np.asarray(image).astype(np.float64), whole=image.mode == "I")
    if image.mode in _ALPHA or "transparency" in image.info:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def _wide(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], *, whole: bool) -> Image.Image:
    low, high = float(values.min()), float(values.max())
    ranges = _RANGES if whole else (1, *_RANGES)
    top = next((top for top in ranges if high <= top), None)
    if not low >= 0 or top is None:  # also true for NaN
        kind = "32-bit whole numbers" if whole else "floats"
        raise DataError(f"{kind} from {low:g} to {high:g}; expected 0 to {' or 0 to '.join(map(str, ranges))}")
    return _divided(values, top)


def _divided(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], top: int) -> Image.Image:
    return Image.fromarray(np.floor(values * (255.0 / top) + 0.5).astype(np.uint8))

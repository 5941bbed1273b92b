"""Any Pillow image -> upright, 8 bits, grey (L) or RGB."""

from __future__ import annotations

import numpy as np
from PIL import Image

from acclimate.errors import DataError
from acclimate.images.geometry import Box

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

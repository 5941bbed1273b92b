"""Photo-like JPEG files without a download: gradients, cloudy texture, shapes and grain, about 70 kB each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 500, 375
QUALITY = 90
TEXTURES = 8
CLASSES = ("heath", "shore")


def write_photos(root: Path, n: int, *, seed: int = 0) -> None:
    """Write ``n`` JPEG files of 500x375 pixels in two class folders under ``root``, the same for a seed."""
    rng = np.random.default_rng(seed)
    textures = [_texture(rng) for _ in range(TEXTURES)]
    for name in CLASSES:
        (root / name).mkdir(parents=True)
    for i in range(n):
        _photo(textures, rng).save(root / CLASSES[i % len(CLASSES)] / f"{i:05}.jpg", quality=QUALITY)


def _texture(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a (375, 500) field in [-1, 1] whose power falls as 1/f^2, as in photos (Field 1987)."""
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None, :])
    frequency[0, 0] = np.inf  # no mean
    spectrum = np.fft.rfft2(rng.standard_normal((HEIGHT, WIDTH))) / frequency
    field: npt.NDArray[np.float32] = np.fft.irfft2(spectrum, (HEIGHT, WIDTH)).astype(np.float32)
    field /= np.abs(field).max()
    return field


def _photo(textures: list[npt.NDArray[np.float32]], rng: np.random.Generator) -> Image.Image:
    corners = rng.integers(30, 226, (2, 2, 3), dtype=np.uint8)  # a gradient between four colours
    image = Image.fromarray(corners).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, size = rng.integers((0, 0, 15), (WIDTH, HEIGHT, 120)).tolist()
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x - size, y - size // 2, x + size, y + size // 2), fill=tuple(rng.integers(0, 256, 3).tolist()))
    pixels = np.asarray(image, np.float32)
    for texture in rng.choice(len(textures), 2, replace=False):
        shift = (int(rng.integers(HEIGHT)), int(rng.integers(WIDTH)))
        field = np.roll(textures[texture], shift, (0, 1))  # (375, 500)
        pixels = pixels + field[:, :, None] * rng.uniform(20, 90, 3).astype(np.float32)
    pixels += 5 * rng.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFile
from sklearn.datasets import load_sample_image

from acclimate.errors import DataError
from acclimate.images import Geometry
from acclimate.images.decode import decode, fault, pixels
from acclimate.images.geometry import FILTERS, MODES, fit, resized

Pixels = npt.NDArray[Any]
PHOTO = np.asarray(load_sample_image("china.jpg"))  # (427, 640, 3)
SIZES = [(427, 640), (640, 427), (120, 120), (121, 333), (333, 121), (50, 51), (1, 1), (1, 300), (7, 2)]


def photo(height: int, width: int) -> Image.Image:
    return Image.fromarray(PHOTO).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def timm_way(image: Image.Image, geometry: Geometry) -> Pixels:
    """Return what timm's evaluation transform makes of the image, without the normalisation."""
    from timm.data.transforms_factory import transforms_imagenet_eval

    transform = transforms_imagenet_eval(
        img_size=(geometry.height, geometry.width),
        crop_pct=geometry.crop_pct,
        crop_mode={"crop": "center"}.get(geometry.mode, geometry.mode),
        interpolation=geometry.interpolation,
        mean=tuple(value / 255 for value in geometry.fill),
        use_prefetcher=True,  # leaves uint8
    )
    return np.asarray(transform(image)).transpose(1, 2, 0)


# --- geometry: torchvision and timm are the oracles


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", FILTERS)
def test_crop_equals_torchvision(size: tuple[int, int], interpolation: str) -> None:
    from torchvision import transforms

    image = photo(*size)
    for side, keep in ((64, 64), (73, 64), (40, 33)):
        resize = transforms.Resize(side, transforms.InterpolationMode(interpolation))
        expected = np.asarray(transforms.CenterCrop(keep)(resize(image)))
        geometry = Geometry(keep, keep, "crop", interpolation, crop_pct=keep / (side + 0.5))
        np.testing.assert_array_equal(fit(image, geometry, size), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80), (81, 33)])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875, 0.95])
def test_every_mode_equals_timm(mode: str, height: int, width: int, crop_pct: float) -> None:
    geometry = Geometry(height, width, mode, "bicubic", crop_pct=crop_pct, fill=(124, 116, 104))
    for size in SIZES:
        if size == (1, 300) and mode == "border":
            continue  # timm asks Pillow for a height of 0 here; ours is 1
        image = photo(*size)
        np.testing.assert_array_equal(fit(image, geometry, size), timm_way(image, geometry))


def test_border_is_black_unless_told_otherwise() -> None:
    white = Image.new("RGB", (40, 20), "white")
    framed = fit(white, Geometry(16, 16, "border"), (20, 40))
    assert (framed[:4] == 0).all()
    assert (framed[4:12] == 255).all()
    assert (framed[12:] == 0).all()
    colour = fit(white, Geometry(16, 16, "border", fill=(1, 2, 3)), (20, 40))
    assert colour[0, 0].tolist() == [1, 2, 3]


def test_extreme_shapes_do_not_need_extreme_memory() -> None:
    image = Image.new("RGB", (30_000, 1), "red")  # resized as a whole it would have 224 x 6,720,000 pixels
    result = fit(image, Geometry(224, 224), (1, 30_000))
    assert result.shape == (224, 224, 3)
    assert (result == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"mode": "crob"}, "unknown geometry mode 'crob'; did you mean 'crop'"),
        ({"interpolation": "cubic"}, "unknown interpolation 'cubic'; did you mean 'bicubic'"),
        ({"height": 0}, "at least 1 pixel, got 0 x 8"),
        ({"crop_pct": 1.5}, "crop_pct must be above 0 and at most 1, got 1.5"),
        ({"crop_pct": 0.0}, "crop_pct must be above 0"),
    ],
)
def test_geometry_that_makes_no_sense(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        Geometry(**({"height": 8, "width": 8} | arguments))


def test_all_filters_are_pillows() -> None:
    names = {member.name.lower() for member in Image.Resampling}
    assert set(FILTERS) == names & set(FILTERS)
    assert all(FILTERS[name].name == name.upper() for name in FILTERS)


# --- the draft


@pytest.mark.parametrize("quality", [75, 95])
@pytest.mark.parametrize("size", [24, 32, 53, 64, 80, 106])
def test_draft_stays_within_one_grey_level_on_average(size: int, quality: int) -> None:
    content = saved(photo(427, 640), "JPEG", quality=quality)
    geometry = Geometry(size, size, "crop", "bicubic")
    full = fit(Image.open(io.BytesIO(content)).convert("RGB"), geometry, (427, 640)).astype(float)
    ours = decode(content, geometry)
    assert not np.array_equal(full, ours)  # it was reduced: 4 * 106 <= 427
    assert np.abs(full - ours).mean() < 1
    assert 10 * np.log10(255**2 / ((full - ours) ** 2).mean()) > 44


def test_no_draft_near_the_full_size() -> None:
    content = saved(photo(427, 640), "JPEG", quality=90)
    for geometry in (
        Geometry(107, 107),
        Geometry(224, 224, "squash", "bicubic"),
        Geometry(120, 170, "border"),
    ):
        full = Image.open(io.BytesIO(content)).convert("RGB")
        np.testing.assert_array_equal(decode(content, geometry), fit(full, geometry, (427, 640)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [32, 200])
def test_exif_rotation(orientation: int, size: int) -> None:
    upright = photo(427, 640)
    undo = {  # the EXIF standard: where the 0th row and column of the stored image are
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](np.asarray(upright))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    geometry = Geometry(size, size + 16, "squash", "bilinear")
    expected = fit(upright, geometry, (427, 640)).astype(float)
    for kind, close in (("JPEG", 3.0), ("PNG", 0.01), ("TIFF", 0.01), ("WEBP", 0.01)):
        options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}.get(kind, {})
        content = saved(stored, kind, exif=exif, **options)
        assert np.abs(decode(content, geometry) - expected).mean() < close, kind
        assert pixels(content).shape == (427, 640, 3), kind


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_damage_the_picture() -> None:
    content = saved(photo(20, 30), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert pixels(content).shape == (20, 30, 3)


# --- formats and colours


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("PPM", {}),
    ],
)
def test_lossless_formats_keep_every_pixel(kind: str, options: dict[str, Any]) -> None:
    image = photo(37, 53)
    np.testing.assert_array_equal(pixels(saved(image, kind, **options)), np.asarray(image))


def test_grey_and_two_colour_images() -> None:
    grey = photo(20, 30).convert("L")
    expected = np.repeat(np.asarray(grey)[..., None], 3, axis=2)
    np.testing.assert_array_equal(pixels(saved(grey, "PNG")), expected)
    geometry = Geometry(16, 16, interpolation="bicubic")
    np.testing.assert_array_equal(decode(saved(grey, "PNG"), geometry), fit(grey.convert("RGB"), geometry, (20, 30)))
    two = Image.fromarray(np.eye(5, dtype=bool))
    np.testing.assert_array_equal(pixels(saved(two, "PNG"))[..., 0], np.eye(5) * 255)


def test_palette_with_and_without_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert pixels(saved(image, "PNG")).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    see_through = saved(image, "PNG", transparency=0)
    assert pixels(see_through).tolist() == [[[255, 255, 255], [200, 100, 50]]]
    assert pixels(saved(image, "GIF", transparency=0)).tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_transparency_is_composed_on_white() -> None:
    rgba = np.array([[[100, 0, 50, 0], [100, 0, 50, 255], [100, 0, 50, 51]]], np.uint8)
    expected = [[[255, 255, 255], [100, 0, 50], [224, 204, 214]]]  # 51 / 255 = 0.2 of the colour, 0.8 white
    for kind in ("PNG", "TIFF"):
        assert pixels(saved(Image.fromarray(rgba), kind)).tolist() == expected
    grey = Image.fromarray(np.array([[[100, 51]]], np.uint8), "LA")
    assert pixels(saved(grey, "PNG")).tolist() == [[[224, 224, 224]]]
    keyed = saved(Image.fromarray(rgba[..., :3]), "PNG", transparency=(100, 0, 50))
    assert (pixels(keyed) == 255).all()


def test_cmyk() -> None:
    image = photo(64, 64)
    content = saved(image.convert("CMYK"), "JPEG", quality=98, subsampling=0)
    assert np.abs(pixels(content).astype(float) - np.asarray(image)).mean() < 2
    assert np.abs(pixels(saved(image.convert("CMYK"), "TIFF")).astype(int) - np.asarray(image)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_divided_by_257(kind: str) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], np.uint16)
    expected = [[0, 0, 1, 1, 128, 254, 255, 255]]  # v / 257, rounded
    assert pixels(saved(Image.fromarray(values), kind))[..., 0].tolist() == expected
    assert pixels(saved(Image.fromarray(values), kind)).shape == (1, 8, 3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 7, 255]], np.int32), [0, 7, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 0.5, 254.6]], np.float32), [0, 1, 255]),
    ],
)
def test_32_bit_tiff(values: Pixels, expected: list[int]) -> None:
    assert pixels(saved(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.array([[0, 70_000]], np.int32), "32-bit whole numbers from 0 to 70000; expected 0 to 255 or"),
        (np.array([[-1, 3]], np.int32), "from -1 to 3"),
        (np.array([[np.nan, 0.5]], np.float32), "floats from nan to nan; expected 0 to 1 or 0 to 255"),
    ],
)
def test_32_bit_tiff_out_of_range(values: Pixels, text: str) -> None:
    with pytest.raises(DataError, match=text):
        pixels(saved(Image.fromarray(values), "TIFF"))


def test_first_page_of_several() -> None:
    first, second = Image.new("RGB", (4, 3), "red"), Image.new("RGB", (4, 3), "blue")
    for kind in ("GIF", "TIFF"):
        content = saved(first, kind, save_all=True, append_images=[second])
        assert pixels(content)[0, 0].tolist() == [255, 0, 0]


# --- sizes


def test_1x1_is_an_image() -> None:
    content = saved(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG")
    assert fault(content, full=True) == ""
    assert (decode(content, Geometry(32, 48)) == (9, 8, 7)).all()


def large_jpeg(side: int, *, progressive: bool = False) -> bytes:
    """Return a mid-grey JPEG of side x side, made without its pixels.

    With the standard Huffman tables a block without change is 00 (no DC difference), 1010 (end of block);
    four blocks are the three bytes 28 a2 8a.
    """
    small = saved(Image.new("L", (8, 8), 128), "JPEG", progressive=progressive)
    marker = small.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    header = small[: marker + 5] + struct.pack(">HH", side, side) + small[marker + 9 :]
    if progressive:
        return header
    scan = header.index(b"\xff\xda")
    begin = scan + 2 + struct.unpack(">H", header[scan + 2 : scan + 4])[0]
    return header[:begin] + b"\x28\xa2\x8a" * (-((-side // 8) ** 2) // 4 + 1) + b"\xff\xd9"


def large_png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def test_20000x20000_jpeg_is_decoded_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(large_jpeg(20_000))
    code = """
        import resource, sys
        from pathlib import Path
        from acclimate.images import Geometry, decode
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = decode(Path(sys.argv[1]), Geometry(64, 64))
        assert result.shape == (64, 64, 3) and (result == 128).all(), result
        used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert used < 100, f"{used} MB"  # all pixels as RGB would be 1,600 MB
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(path)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("content", [large_png(20_000), large_jpeg(20_000, progressive=True)])
@pytest.mark.parametrize("call", [pixels, lambda c: decode(c, Geometry(64, 64))])
def test_20000x20000_of_other_kinds_is_refused(content: bytes, call: Callable[[bytes], Pixels]) -> None:
    text = r"too large: 20,000 x 20,000 pixels, the limit is 200 megapixels; make it smaller"
    with pytest.raises(DataError, match=text):
        call(content)
    assert "too large" in fault(content, full=False)


def test_pixels_of_a_large_jpeg_only_in_reduced_size() -> None:
    content = large_jpeg(20_000)
    with pytest.raises(DataError, match="too large"):
        pixels(content)
    assert pixels(content, at_least=256).shape == (2500, 2500, 3)
    assert fault(content, full=False) == ""


def test_pillows_global_limit_is_not_touched() -> None:
    before = Image.MAX_IMAGE_PIXELS
    fault(large_png(20_000), full=True)
    assert before == Image.MAX_IMAGE_PIXELS


# --- damage


def cut(content: bytes, share: float) -> bytes:
    return content[: int(len(content) * share)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_files_are_never_half_images(kind: str, share: float) -> None:
    content = cut(saved(photo(200, 300), kind), share)
    with pytest.raises(DataError, match="damaged image"):
        pixels(content)
    with pytest.raises(DataError, match="damaged image"):
        decode(content, Geometry(32, 32))
    assert "damaged image" in fault(content, full=True)


def test_truncated_progressive_jpeg() -> None:
    with pytest.raises(DataError, match=r"damaged image: .*truncated"):
        decode(cut(saved(photo(200, 300), "JPEG", progressive=True), 0.7), Geometry(32, 32))


def test_jpeg_whose_end_is_zeros() -> None:
    content = saved(photo(200, 300), "JPEG")
    with pytest.raises(DataError, match="the end of the file is all zeros"):
        pixels(content[: len(content) // 2] + bytes(len(content) // 2))
    padded = content + bytes(512)  # a whole image in a file that is too long
    np.testing.assert_array_equal(pixels(padded), pixels(content))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "the file is empty"),
        (b"just some text, named .png", "not an image: it begins like none of JPEG, PNG"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "damaged image"),
        (b"\xff\xd8\xff" + b"x" * 50, "damaged image"),
        (b"RIFF\0\0\0\0WAVEfmt ", "damaged image"),
        (b"BM" + b"\0" * 20, "damaged image"),
        (b"II*\0" + b"\0" * 20, "damaged image"),
        (b"GIF89a", "damaged image"),
        (b"P6 nonsense", "damaged image"),
    ],
)
def test_files_that_are_no_images(content: bytes, text: str) -> None:
    assert text in fault(content, full=False)
    with pytest.raises(DataError, match=text):
        decode(content, Geometry(8, 8))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about TIFF tags that were damaged here
def test_random_damage_gives_an_image_or_a_reason() -> None:
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM"):
        content = np.frombuffer(saved(photo(40, 60), kind), np.uint8)
        for _ in range(60):
            broken = content.copy()
            where = rng.integers(0, min(len(broken), 200 if rng.random() < 0.5 else len(broken)), 4)
            broken[where] = rng.integers(0, 256, 4)
            with contextlib.suppress(DataError):  # any other exception is a failure
                assert decode(broken.tobytes(), Geometry(8, 8)).shape == (8, 8, 3)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        decode(tmp_path / "none.png", Geometry(8, 8))


def test_half_grey_images_cannot_be_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(DataError, match=r"LOAD_TRUNCATED_IMAGES is switched on .* set it to False"):
        decode(saved(photo(8, 8), "PNG"), Geometry(8, 8))


def test_resized_is_the_documented_size() -> None:
    assert resized(Geometry(224, 224, crop_pct=0.875), (375, 500)) == (256, 341)
    assert resized(Geometry(224, 224, crop_pct=0.875), (500, 375)) == (341, 256)
    assert resized(Geometry(100, 200, "border"), (50, 50)) == (100, 100)
    assert resized(Geometry(100, 200, "squash"), (1, 9)) == (100, 200)

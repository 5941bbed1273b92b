from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from acclimate.images import ArraySource, Images, check, load_images
from acclimate.images.twins import CORRELATION, HAMMING, _bit_count, difference_hash, look, near_pairs

PHOTO = np.asarray(load_sample_image("china.jpg"))


def crop(k: int, size: int = 96) -> Image.Image:
    top, left = 37 * k % 331, 61 * k % 544
    return Image.fromarray(PHOTO[top : top + size, left : left + size])


def folder(root: Path, **files: Image.Image) -> Path:
    for name, image in files.items():
        path = root / name.replace("__", "/").replace("_png", ".png").replace("_jpg", ".jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=80)
    return root


def arrays(array: npt.NDArray[np.uint8], splits: list[str], labels: list[int] | None = None) -> Images:
    n = len(array)
    return Images(
        "arrays",
        ArraySource(array, [f"{split}/{k}" for k, split in enumerate(splits)]),
        np.array(labels or [k % 2 for k in range(n)]),
        ("a", "b"),
        np.array(splits, dtype="<U5"),
    )


def test_good_data_has_no_problems(tmp_path: Path) -> None:
    files = {
        f"{split}__{label}__{k}_png": crop(10 * s + 5 * c + k)
        for s, split in enumerate(("train", "test"))
        for c, label in enumerate("ab")
        for k in range(5)
    }
    document = check(load_images(folder(tmp_path, **files)))
    assert document == {
        "images": 20,
        "ignored": 0,
        "classes": {"a": {"test": 5, "train": 5}, "b": {"test": 5, "train": 5}},
        "corrupt": [],
        "duplicates": {"count": 0, "groups": []},
        "leaks": {"exact": 0, "near": 0, "pairs": []},
        "groups": {"shared": 0, "examples": []},
        "problems": [],
    }


def test_twins_are_found_whatever_their_file_is(tmp_path: Path) -> None:
    root = folder(
        tmp_path,
        train__a__1_png=crop(1),
        train__a__2_png=crop(2),
        train__a__3_jpg=crop(3),
        train__b__4_png=crop(4),
        test__a__5_jpg=crop(2),  # saved again as a JPEG: nearly the same
        test__b__6_png=crop(6),
    )
    crop(1).save(root / "train" / "b" / "7.bmp")  # the same pixels in another format and class
    crop(4).save(root / "test" / "b" / "8.tif")  # the same pixels in another split
    document = check(load_images(root))
    assert document["duplicates"] == {"count": 1, "groups": [["train/a/1.png", "train/b/7.bmp"]]}
    assert (document["leaks"]["exact"], document["leaks"]["near"]) == (1, 1)
    pairs = {(frozenset((pair["a"]["name"], pair["b"]["name"])), pair["exact"]) for pair in document["leaks"]["pairs"]}
    assert pairs == {
        (frozenset(("test/b/8.tif", "train/b/4.png")), True),
        (frozenset(("test/a/5.jpg", "train/a/2.png")), False),
    }
    text = "\n".join(document["problems"])
    assert "1 images repeat another one of their split pixel by pixel; remove the copies." in text
    assert "1 images are in two splits pixel by pixel, so test numbers are too good; remove them" in text
    assert "1 pairs of images across splits look almost the same" in text
    json.dumps(document)


def test_resized_brightened_and_recompressed_copies_are_near(tmp_path: Path) -> None:
    root = folder(
        tmp_path,
        train__a__1_png=crop(1),
        train__b__2_png=crop(8),
        test__a__3_png=crop(1).resize((150, 150), Image.Resampling.BICUBIC),
        test__b__4_png=Image.fromarray(np.clip(np.asarray(crop(8)).astype(int) + 2, 0, 255).astype(np.uint8)),
    )
    assert check(load_images(root))["leaks"]["near"] == 2


def test_simple_images_are_not_called_twins() -> None:
    """Scanned digits share difference hashes by the hundred; nothing in 8 x 8 pixels tells a twin."""
    document = check(load_images("builtin:digits"))
    assert document["leaks"] == {"exact": 0, "near": 0, "pairs": []}


def test_blank_images_are_twins_only_if_they_are_equal() -> None:
    blank = np.full((4, 16, 16), 200, np.uint8)
    blank[1] = 201
    document = check(arrays(blank, ["train", "test", "train", "test"]))
    assert document["leaks"]["near"] == 0
    assert document["leaks"]["exact"] == 1
    assert document["duplicates"]["count"] == 1


def test_corrupt_files_are_listed_with_and_without_skip_bad(flower_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "flowers"
    shutil.copytree(flower_folder, root)
    path = root / "china" / "05.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    for skip_bad in (True, False):
        document = check(load_images(root, skip_bad=skip_bad))
        assert len(document["corrupt"]) == 1
        assert document["corrupt"][0].startswith("china/05.jpg (damaged image")
        assert "1 files cannot be read; repair them, or leave them out with --skip-bad." in document["problems"]


def test_groups_in_two_splits(tmp_path: Path) -> None:
    folder(tmp_path, **{f"{k}_png": crop(k) for k in range(4)})
    rows = ["path,label,split,group", "0.png,a,train,p", "1.png,b,train,q", "2.png,a,test,q", "3.png,b,test,"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    document = check(load_images(tmp_path))
    assert document["groups"]["shared"] == 1
    (example,) = document["groups"]["examples"]
    assert [member["name"] for member in example] == ["1.png", "2.png"]
    assert any(text.startswith("1 groups have images in two splits") for text in document["problems"])


@pytest.mark.parametrize(
    ("labels", "splits", "text"),
    [
        ([-1] * 4, ["train"] * 4, "No image has a label; only adaptation"),
        ([0] * 4, ["train"] * 4, "Train has one class only; a classifier needs at least two"),
        ([0, 0, 1, 1], ["train", "train", "test", "test"], "Train never saw 'b' of val or test"),
        ([0, 0, 1, 1], ["train"] * 4, "Fewer than 5 training images of 'a', 'b'"),
        ([0, 0, 1, 1], ["train"] * 4, "There is no test split, so no final number can be given"),
        ([0] * 40 + [1] * 2, ["train"] * 42, "The largest class has 20 times the images of the smallest"),
    ],
)
def test_label_problems(labels: list[int], splits: list[str], text: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8), dtype=np.uint8)
    problems = check(arrays(noise, splits, labels))["problems"]
    assert any(problem.startswith(text) for problem in problems), problems


def test_difference_hash_by_hand() -> None:
    grid = np.zeros((1, 8, 9), np.uint8)
    grid[0, 0] = range(9)  # rising: eight ones; all other rows: zeros
    assert bin(int(difference_hash(grid)[0])).count("1") == 8


def test_bit_count_equals_python(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 2**64, (30, 4), dtype=np.uint64)
    expected = [[bin(value).count("1") for value in row] for row in values.tolist()]
    assert _bit_count(values).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)  # as numpy before 2.0
    assert _bit_count(values).tolist() == expected


def brute_force(looks: Any, splits: npt.NDArray[np.str_]) -> set[tuple[int, int]]:
    pairs = set()
    for a in range(len(splits)):
        for b in range(a + 1, len(splits)):
            far = bin(int(looks.hashes[a]) ^ int(looks.hashes[b])).count("1") > HAMMING
            alike = np.corrcoef(looks.thumbnails[a], looks.thumbnails[b])[0, 1] >= CORRELATION
            if splits[a] != splits[b] and not far and alike and looks.contents[a] != looks.contents[b]:
                pairs.add((a, b))
    return pairs


def test_near_pairs_equal_the_plain_double_loop() -> None:
    rng = np.random.default_rng(0)
    base = np.stack([np.asarray(crop(k, 48).convert("L")) for k in range(20)])
    noisy = np.clip(base[rng.integers(0, 20, 60)] + rng.integers(-6, 7, (60, 48, 48)), 0, 255).astype(np.uint8)
    splits = np.array(["train"] * 20 + ["val", "test", "train"] * 20)
    looks = look(arrays(np.concatenate([base, noisy]), splits.tolist()))
    pairs = {(min(pair.a, pair.b), max(pair.a, pair.b)) for pair in near_pairs(looks, splits)}
    assert pairs == brute_force(looks, splits)
    assert len(pairs) > 20


def test_comparing_20000_images_takes_seconds() -> None:
    rng = np.random.default_rng(0)
    looks = look(arrays(rng.integers(0, 256, (10, 16, 16), dtype=np.uint8), ["train"] * 10))
    n = 20_000
    many = type(looks)(
        contents=np.arange(n).astype("<U32"),
        hashes=rng.integers(0, 2**64, n, dtype=np.uint64),
        thumbnails=rng.integers(0, 256, (n, 1024), dtype=np.uint8),
        bad={},
    )
    start = time.process_time()
    assert near_pairs(many, np.array(["train"] * 15_000 + ["test"] * 5_000)) == []
    assert time.process_time() - start < 20  # about 1 s on a quiet machine

"""The pool of adaptation: nothing that looks like a held-out image stays in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image

from acclimate.errors import DataError
from acclimate.images import ArraySource, Images, clean_pool, load_images, make_split
from acclimate.images import pool as module

PHOTO = np.asarray(load_sample_image("china.jpg"))
SPLITS = ("train", "val", "test", "")


def crop(k: int, size: int = 64) -> npt.NDArray[np.uint8]:
    top, left = 37 * k % 331, 61 * k % 544
    return PHOTO[top : top + size, left : left + size]


def data(array: npt.NDArray[np.uint8], splits: list[str], labels: list[int] | None = None, key: str = "") -> Images:
    n = len(array)
    return Images(
        name="data",
        source=ArraySource(array, [f"{split or 'free'}/{k}" for k, split in enumerate(splits)]),
        labels=np.array([k % 2 for k in range(n)] if labels is None else labels, dtype=np.int64),
        classes=("a", "b"),
        splits=np.array(splits, dtype="<U5"),
        fingerprint=key,
    )


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 11), st.integers(-1, 1), st.sampled_from(SPLITS)), min_size=1, max_size=24)
)
def test_laws_of_a_clean_pool(rows: list[tuple[int, int, str]]) -> None:
    """For any images, labels and splits, with many repeated images among them."""
    pictures, labels, splits = (list(column) for column in zip(*rows, strict=True))
    images = data(np.stack([crop(k, 24) for k in pictures]), splits, labels)
    split = make_split(images)
    picture = np.array(pictures)
    held_out = np.concatenate([split.val, split.test])
    free = np.flatnonzero(~np.isin(picture[split.pool], picture[held_out]))
    if len(split.pool) and (len(free) == 0 or (len(free) > 1 and len(np.unique(picture[split.pool[free]])) == 1)):
        with pytest.raises(DataError, match="there is nothing to adapt to"):
            clean_pool(images, split)
        return
    clean = clean_pool(images, split)
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(clean.split, part), getattr(split, part))
    np.testing.assert_array_equal(clean.split.pool, split.pool[free])
    assert not set(clean.split.pool) & set(held_out)  # the test part is never in the pool
    assert not set(images.splits[clean.split.pool]) & {"val", "test"}
    assert set(clean.dropped) == set(split.pool) - set(clean.split.pool)
    of_test, of_val = (np.isin(picture[split.pool], picture[part]).sum() for part in (split.test, split.val))
    assert (clean.of_test, clean.of_val) == (of_test, of_val)
    assert clean.document == {"pool": len(free), "dropped_twins": len(split.pool) - len(free)}
    assert len(clean.twins) == min(10, len(clean.dropped))


def test_near_twins_of_test_and_val_are_dropped_and_named(tmp_path: Path) -> None:
    for split, names in {"train": range(8), "test": range(20, 26), "val": range(40, 46)}.items():
        (tmp_path / split / "a").mkdir(parents=True)
        for k in names:
            Image.fromarray(crop(k)).save(tmp_path / split / "a" / f"{k}.png")
    resaved = tmp_path / "train" / "a" / "resaved.jpg"
    Image.fromarray(crop(20)).save(resaved, quality=75)
    larger = Image.fromarray(crop(42)).resize((96, 96), Image.Resampling.BICUBIC)
    larger.save(tmp_path / "train" / "a" / "larger.png")
    clean = clean_pool(load_images(tmp_path), make_split(load_images(tmp_path)))
    assert clean.twins == (
        ("train/a/larger.png", "val/a/42.png"),
        ("train/a/resaved.jpg", "test/a/20.png"),
    )
    assert (clean.of_test, clean.of_val) == (1, 1)
    assert clean.document == {"pool": 8, "dropped_twins": 2}
    assert len(clean.split.train) == 10  # labels are the user's: `check` names labelled twins


def test_unlabelled_images_are_cleaned_too() -> None:
    array = np.stack([crop(0), crop(1), crop(2), crop(3), crop(1)])
    images = data(array, ["train", "test", "train", "", ""], [0, 1, 1, -1, -1])
    clean = clean_pool(images, make_split(images))
    assert clean.dropped.tolist() == [4]
    assert clean.twins == (("free/4", "test/1"),)


def test_a_pool_without_twins_stays(flower_folder: Path) -> None:
    images = load_images(flower_folder)
    split = make_split(images)
    clean = clean_pool(images, split)
    assert clean.document == {"pool": len(split.pool), "dropped_twins": 0}
    assert clean.twins == ()


@pytest.mark.parametrize("n", [2, 7])
def test_equal_images(n: int) -> None:
    images = data(np.stack([crop(0)] * n + [crop(5)]), ["train"] * n + ["test"], [-1] * n + [0])
    with pytest.raises(
        DataError,
        match=f"^all {n} images of the pool are equal; expected different images: there is nothing to adapt to$",
    ):
        clean_pool(images, make_split(images))


def test_nothing_but_twins() -> None:
    images = data(np.stack([crop(0), crop(1)] * 2), ["train", "train", "test", "test"], [-1, -1, 0, 1])
    with pytest.raises(DataError, match="every one of the 2 images of the pool looks the same as an image of val or"):
        clean_pool(images, make_split(images))


def test_unreadable_files_of_the_pool_are_named_and_of_no_other_part(digits_folder: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for k in range(4):
            target = tmp_path / split / "zero" / f"{k}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((digits_folder / split / "zero" / f"{k:03}.png").read_bytes())
    spoil(tmp_path / "test" / "zero" / "0.png")
    images = load_images(tmp_path)
    clean_pool(images, make_split(images))
    spoil(tmp_path / "train" / "zero" / "1.png")
    spoil(tmp_path / "train" / "zero" / "2.png")
    images = load_images(tmp_path)
    with pytest.raises(DataError, match=r"of 8 images of .* cannot be read: train/zero/[12]\.png \(.*--skip-bad"):
        clean_pool(images, make_split(images))


def spoil(path: Path) -> None:
    """Keep the header, so that only decoding finds out."""
    path.write_bytes(path.read_bytes()[:-60])


def test_looks_are_kept_for_the_next_run(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = data(np.stack([crop(k) for k in (0, 1, 2, 1)]), ["train", "train", "train", "test"], key="one")
    split = make_split(images)
    first = clean_pool(images, split)
    (file,) = (cache / "looks").iterdir()

    def no_look(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(module, "look", no_look)
        again = clean_pool(images, split)
        with pytest.raises(AssertionError, match="decoded again"):
            clean_pool(data(np.stack([crop(k) for k in range(4)]), ["train"] * 3 + ["test"], key="two"), split)
    assert (again.twins, again.dropped.tolist()) == (first.twins, first.dropped.tolist())
    file.write_bytes(b"damaged")
    assert clean_pool(images, split).twins == first.twins
    assert file.read_bytes() != b"damaged"


def test_images_without_a_fingerprint_are_not_cached(cache: Path) -> None:
    images = data(np.stack([crop(k) for k in range(4)]), ["train"] * 3 + ["test"])
    clean_pool(images, make_split(images))
    assert not (cache / "looks").exists()

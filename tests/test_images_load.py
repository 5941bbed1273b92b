from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

import acclimate
from acclimate.errors import DataError, InputError
from acclimate.images import ArraySource, FileSource, Images, load_images, make_split
from acclimate.images import scan as scan_module


def picture(path: Path, colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), (colour % 256, 30, 200)).save(path)
    return path


def tree(root: Path, *paths: str) -> Path:
    for k, path in enumerate(paths):
        picture(root / path, k)
    return root


def table(folder: Path, *rows: str, header: str = "path,label,split,group") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def summary(images: Images) -> list[tuple[str, str, str]]:
    """Return (name, label, split) of every image."""
    labels = [images.classes[label] if label >= 0 else "-" for label in images.labels]
    return list(zip(images.names, labels, images.splits.tolist(), strict=True))


# --- folders


def test_class_folders(tmp_path: Path) -> None:
    root = tree(tmp_path / "pets", "dog/b.png", "cat/x.PNG", "dog/a.jpg", "cat/deep/er/y.bmp")
    images = load_images(root)
    assert images.name == "pets"
    assert images.classes == ("cat", "dog")
    assert summary(images) == [
        ("cat/deep/er/y.bmp", "cat", ""),
        ("cat/x.PNG", "cat", ""),
        ("dog/a.jpg", "dog", ""),
        ("dog/b.png", "dog", ""),
    ]
    assert isinstance(images.source, FileSource)
    assert images.source.pixels(1).shape == (5, 6, 3)
    assert images.labels.dtype == np.int64
    assert images.groups is None
    assert images.labelled.all()


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_split_folders(val: str, tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "train/b/1.png",
        "train/a/2.png",
        "train/3.png",
        f"{val}/a/4.png",
        "test/c/5.png",
        "unlabelled/x/6.png",
    )
    images = load_images(str(root))
    assert images.classes == ("a", "b", "c")
    assert summary(images) == [
        ("test/c/5.png", "c", "test"),
        ("train/3.png", "-", "train"),
        ("train/a/2.png", "a", "train"),
        ("train/b/1.png", "b", "train"),
        ("unlabelled/x/6.png", "-", ""),
        *([(f"{val}/a/4.png", "a", "val")]),
    ]
    assert images.indices("test").tolist() == [0]
    assert images.indices("val").tolist() == [5]
    assert images.indices("").tolist() == [4]


def test_flat_folders_have_no_labels(tmp_path: Path) -> None:
    flat = load_images(tree(tmp_path / "flat", "b.png", "a.png"))
    assert summary(flat) == [("a.png", "-", ""), ("b.png", "-", "")]
    assert flat.classes == ()
    split = load_images(tree(tmp_path / "split", "train/a.png", "test/b.png"))
    assert summary(split) == [("test/b.png", "-", "test"), ("train/a.png", "-", "train")]


def test_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    assert load_images(tree(tmp_path, "10/a.png", "9/a.png", "1/a.png")).classes == ("1", "9", "10")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    images = load_images(tree(tmp_path, "train/a.png", "car/b.png", "bus/c.png"))
    assert images.classes == ("bus", "car", "train")
    assert set(images.splits) == {""}


def test_folders_that_mean_two_things(tmp_path: Path) -> None:
    root = tree(tmp_path, "train/a/1.png", "extra/a/1.png")
    with pytest.raises(DataError, match=r"has the split folders train and also extra; expected only train, val"):
        load_images(root)


def test_hidden_and_other_files_are_ignored_and_counted(tmp_path: Path) -> None:
    root = tree(tmp_path, "a/1.png", "b/1.png", ".git/1.png", "a/.hidden.png")
    (root / "a" / "notes.txt").write_text("x")
    (root / "Thumbs.db").write_text("x")
    images = load_images(root)
    assert len(images) == 2
    assert images.ignored == 3  # what is in a hidden folder is not even seen


def test_loose_images_are_not_guessed_at(tmp_path: Path) -> None:
    root = tree(tmp_path, "a/1.png", "b/1.png", "c.png")
    with pytest.raises(DataError, match=r"1 images lie beside the folders in .* \(first: c.png\); move them"):
        load_images(root)


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    tree(tmp_path / "far", "1.png")
    root = tree(tmp_path / "root", "a/1.png")
    (root / "b").symlink_to(tmp_path / "far")
    (root / "a" / "loop").symlink_to(root)
    assert load_images(root).names == ["a/1.png", "b/1.png"]


@pytest.mark.parametrize("inside", [[], ["notes.txt"]])
def test_empty_folder(inside: list[str], tmp_path: Path) -> None:
    for name in inside:
        (tmp_path / name).write_text("x")
    content = "1 other files" if inside else "nothing"
    with pytest.raises(DataError, match=rf"no images in .* \({content} found\); expected class folders"):
        load_images(tmp_path)


# --- manifests


def test_manifest(tmp_path: Path) -> None:
    tree(tmp_path, "x/1.png", "x/2.png", "3.png", "4.png", "5.png")
    path = table(
        tmp_path,
        "x/1.png,dog,train,p1",
        '"x/2.png",cat,validation,p1',
        "3.png,,,",
        "4.png,dog,TEST,p2",
        "5.png,cat,,",
        header="Path, label ,split,group",
    )
    for data in (path, tmp_path):  # the file, and the folder that holds it
        images = load_images(data)
        assert images.name == tmp_path.name
        assert summary(images) == [
            ("x/1.png", "dog", "train"),
            ("x/2.png", "cat", "val"),
            ("3.png", "-", ""),
            ("4.png", "dog", "test"),
            ("5.png", "cat", ""),
        ]
        assert images.groups is not None
        one, same, alone, other, alone2 = images.groups.tolist()
        assert one == same
        assert len({one, alone, other, alone2}) == 4


def test_manifest_with_other_columns_and_without_labels(tmp_path: Path) -> None:
    tree(tmp_path, "1.png", "2.png")
    images = load_images(table(tmp_path, "1.png,9", "2.png,8", header="\ufeffpath,age"))
    assert summary(images) == [("1.png", "-", ""), ("2.png", "-", "")]
    assert images.groups is None


def test_parquet_is_the_same_as_csv(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    tree(tmp_path, "1.png", "2.png", "3.png")
    columns = {"path": ["1.png", "2.png", "3.png"], "label": [3, None, 10], "split": ["train", None, "test"]}
    pd.DataFrame(columns).to_parquet(tmp_path / "data.parquet")
    table(tmp_path, "1.png,3,train", "2.png,,", "3.png,10,test", header="path,label,split")
    ours, other = load_images(tmp_path / "data.parquet"), load_images(tmp_path / "manifest.csv")
    assert summary(ours) == summary(other) == [("1.png", "3", "train"), ("2.png", "-", ""), ("3.png", "10", "test")]
    assert ours.fingerprint == other.fingerprint


def test_parquet_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    def missing(_: object) -> None:
        raise ImportError("no engine")

    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(pd, "read_parquet", missing)
    with pytest.raises(DataError, match=r"needs pyarrow: pip install pyarrow, or save it as \.csv"):
        load_images(tmp_path / "data.parquet")


@pytest.mark.parametrize(
    ("rows", "header", "text"),
    [
        ([], "path,label", "lists no images; expected a header path,label"),
        (["1.png,a"], "file,label", "lists no images; expected a header path,label"),
        (["1.png"], "path,label", r"row 2: expected 2 values as in the header, got 1"),
        (["1.png,a,dev"], "path,label,split", "unknown split 'dev'; expected train, val, test or nothing"),
        (["1.png,a", "1.png,b"], "path,label", r"lists 1 paths more than once \(first: 1.png\)"),
        (
            ["1.png,a", "no.png,b"],
            "path,label",
            r"lists 1 files that do not exist: no\.png; paths are",
        ),
        (["../out.png,a"], "path,label", r"lists '\.\./out\.png', which is not inside"),
        (["x/../../out.png,a"], "path,label", "which is not inside"),
        (["/etc/passwd,a"], "path,label", "lists '/etc/passwd', which is not inside"),
        (["C:\\x.png,a"], "path,label", "which is not inside"),
        (["..\\out.png,a"], "path,label", "which is not inside"),
        (
            ["link.png,a"],
            "path,label",
            r"lists 'link\.png', which is not inside .* links that lead out",
        ),
        (["linked/out.png,a"], "path,label", "lists 'linked/out.png', which is not inside"),
    ],
)
def test_manifest_that_cannot_be_used(rows: list[str], header: str, text: str, tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "1.png")
    outside = picture(tmp_path / "out.png")
    (root / "link.png").symlink_to(outside)
    (root / "linked").symlink_to(tmp_path)
    with pytest.raises(DataError, match=text):
        load_images(table(root, *rows, header=header))


def test_manifest_may_link_inside(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "deep/1.png")
    (root / "link.png").symlink_to(root / "deep" / "1.png")
    assert len(load_images(table(root, "link.png,a", header="path,label"))) == 1


def test_manifest_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"path\n\xff\xfe")
    with pytest.raises(DataError, match=r"cannot read the manifest .*; expected CSV text in UTF-8"):
        load_images(tmp_path / "m.csv")


# --- arrays


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


GREY = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)


def test_npz(tmp_path: Path) -> None:
    path = npz(
        tmp_path / "data.npz",
        x_train=GREY,
        y_train=np.array([0, 1, -1, 1]),
        x_val=GREY[:1],
        y_val=np.array([0]),
        x_test=GREY[:2] + 1,
        y_test=np.array([1, 0]),
        classes=np.array(["cat", "dog"]),
    )
    images = load_images(path)
    assert images.name == "data"
    assert summary(images) == [
        ("train/0", "cat", "train"),
        ("train/1", "dog", "train"),
        ("train/2", "-", "train"),
        ("train/3", "dog", "train"),
        ("val/4", "cat", "val"),
        ("test/5", "dog", "test"),
        ("test/6", "cat", "test"),
    ]
    assert isinstance(images.source, ArraySource)
    np.testing.assert_array_equal(images.source.pixels(6)[..., 2], GREY[1] + 1)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_medmnist(channels: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = {}
    for name, n in (("train", 5), ("val", 2), ("test", 3)):
        parts[f"{name}_images"] = rng.integers(0, 256, (n, 28, 28, *channels), dtype=np.uint8)
        parts[f"{name}_labels"] = np.arange(n, dtype=np.uint8)[:, None] % 2 * 7
    images = load_images(npz(tmp_path / "m.npz", **parts))
    assert images.classes == ("0", "7")
    assert images.labels.tolist() == [0, 1, 0, 1, 0, 0, 1, 0, 1, 0]
    assert [len(images.indices(split)) for split in ("train", "val", "test")] == [5, 2, 3]
    pixels = images.source.pixels(7)
    expected = parts["test_images"][0].reshape(28, 28, -1)
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (28, 28, 3)))


def test_npz_of_other_types_gives_the_same_pixels(tmp_path: Path) -> None:
    base = load_images(npz(tmp_path / "a.npz", x_train=GREY))
    assert base.labels.tolist() == [-1] * 4
    for kind in (np.float32, np.float64, np.float16):
        other = load_images(npz(tmp_path / "b.npz", x_train=(GREY / 255).astype(kind)))
        assert other.fingerprint == base.fingerprint
    assert load_images(npz(tmp_path / "c.npz", x_train=GREY.astype(np.int64))).fingerprint == base.fingerprint
    two = load_images(npz(tmp_path / "d.npz", x_train=GREY > 60))
    np.testing.assert_array_equal(two.source.pixels(3)[..., 0], 255)


def test_npz_with_text_labels(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x_train=GREY, y_train=np.array(["b", "a", "", "b"]), x_test=GREY)
    images = load_images(path)
    assert images.classes == ("a", "b")
    assert images.labels.tolist() == [1, 0, -1, 1, -1, -1, -1, -1]


WITH_NAN = np.full((4, 5, 6), 0.5)
WITH_NAN[2, 1, 3] = np.nan


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": GREY}, r"has the arrays x; expected x_train, y_train"),
        ({"x_train": WITH_NAN}, r"x_train holds NaN or infinity, first in image 2"),
        ({"x_train": WITH_NAN[:2] * np.inf}, r"x_train holds NaN or infinity, first in image 0"),
        ({"x_train": GREY * 1.0}, r"x_train holds floats from 0 to 119; expected 0 to 1, or uint8"),
        ({"x_train": GREY.astype(int) * 9}, "holds whole numbers from 0 to 1071; expected 0 to 255"),
        ({"x_train": GREY.astype(complex)}, "has type complex128; expected uint8"),
        ({"x_train": GREY[0]}, r"has shape \(5, 6\); expected \(n, h, w\)"),
        ({"x_train": np.zeros((2, 3, 8, 8))}, r"has shape \(2, 3, 8, 8\).* move the channels to the end"),
        ({"x_train": GREY, "y_train": np.zeros(3, int)}, r"y_train has shape \(3,\); expected \(4,\)"),
        ({"x_train": GREY, "y_train": np.zeros((4, 14), int)}, "several labels an image are not supported"),
        ({"x_train": GREY, "y_train": np.full(4, 0.5)}, "y_train holds fractions, NaN or infinity"),
        (
            {"x_train": GREY, "y_train": np.full(4, -2)},
            "labels must be 0 or more, or -1 for no label, got -2",
        ),
        ({"x_train": GREY, "y_train": np.full(4, 3), "classes": ["a"]}, "label 3 has no name; classes has 1"),
        ({"x_train": GREY, "x_test": GREY[:, :4]}, r"shapes \(4, 6\), \(5, 6\); expected one shape"),
        ({"x_train": GREY[:0]}, "holds no images; expected at least one"),
        ({"x_train": np.array([None, 1], dtype=object)}, "without Python objects"),
    ],
)
def test_npz_that_cannot_be_used(arrays: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=text):
        load_images(npz(tmp_path / "a.npz", **arrays))


def test_npz_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("hello")
    with pytest.raises(DataError, match=r"cannot read .*a\.npz: .*; expected an \.npz of plain arrays"):
        load_images(tmp_path / "a.npz")


def test_digits_are_sealed_and_always_the_same() -> None:
    images = load_images("builtin:digits")
    assert len(images) == 1797
    assert images.classes == tuple("0123456789")
    test = images.labels[images.indices("test")]
    whole = np.bincount(images.labels)
    assert np.abs(np.bincount(test) - whole / 3).max() < 1
    assert len(test) + len(images.indices("train")) == 1797
    pixels = images.source.pixels(0)
    assert pixels.shape == (8, 8, 3)
    from sklearn.datasets import load_digits

    np.testing.assert_array_equal(pixels[..., 0], np.round(load_digits().images[0] / 16 * 255))
    assert images.fingerprint == load_images("builtin:digits").fingerprint


# --- what is nothing of this


def test_unknown_data(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("x")
    accepted = r"expected a folder of class folders .* builtin:digits, torchvision:NAME or hf:NAME"
    with pytest.raises(DataError, match=rf"a\.zip cannot be read as images; {accepted}"):
        load_images(tmp_path / "a.zip")
    with pytest.raises(DataError, match=rf"no such file or folder: nowhere; {accepted}"):
        load_images("nowhere")
    with pytest.raises(DataError, match="unknown built-in data set 'digit'; did you mean 'digits'"):
        load_images("builtin:digit")


# --- torchvision and Hugging Face, with stand-ins: no test may use the network


class Photos:
    """As the classes of torchvision that take ``split``; there is no val."""

    classes = ("cat", "dog")

    def __init__(self, root: str, split: str = "train", download: bool = False) -> None:
        if split not in ("train", "test"):
            raise ValueError(f"Unknown value '{split}' for argument split.")
        if "offline" in root:
            raise RuntimeError("Dataset not found or corrupted.")
        self.n = {"train": 3, "test": 2}[split]
        self._labels = [k % 2 for k in range(self.n)]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        return Image.new("L", (4, 4), 10 * i + self.n), i % 2


class Flags(Photos):
    """As the classes that take ``train``."""

    def __init__(self, root: str, train: bool = True) -> None:
        super().__init__(root, "train" if train else "test")
        self.targets = np.array(self._labels)
        del self._labels


@pytest.fixture
def torchvision_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("torchvision.datasets")
    module.__dict__.update(Photos=Photos, Flags=Flags, __all__=("Photos", "Flags"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)


@pytest.mark.usefixtures("torchvision_stand_in")
@pytest.mark.parametrize("name", ["Photos", "Flags"])
def test_torchvision(name: str) -> None:
    images = load_images(f"torchvision:{name}")
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0, 1, 0, 0, 1]
    assert images.splits.tolist() == ["train"] * 3 + ["test"] * 2
    assert images.names[3] == "test/0"
    assert [int(images.source.pixels(i)[0, 0, 1]) for i in range(5)] == [3, 13, 23, 2, 12]


@pytest.mark.usefixtures("torchvision_stand_in")
def test_torchvision_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown torchvision data set 'Photo'; did you mean 'Photos'"):
        load_images("torchvision:Photo")
    with pytest.raises(DataError, match=r"torchvision:Photos cannot be downloaded or read .* without one put"):
        load_images("torchvision:Photos", cache=tmp_path / "offline")


class Image_:
    """A column type of the stand-in for ``datasets``."""


Image_.__name__ = "Image"
ClassLabel = type("ClassLabel", (), {"names": ["cat", "dog"]})


class Table:
    features: ClassVar[dict[str, Any]] = {"picture": Image_(), "kind": ClassLabel(), "id": object()}

    def __len__(self) -> int:
        return 2

    def __getitem__(self, key: int | str) -> Any:
        return [1, 0] if key == "kind" else {"picture": Image.new("RGB", (4, 3), (int(key) + 1, 0, 0))}


def test_hugging_face(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("datasets")
    module.__dict__["load_dataset"] = lambda name: {"train": Table(), "validation": Table(), "extra": Table()}
    monkeypatch.setitem(sys.modules, "datasets", module)
    images = load_images("hf:someone/pets")
    assert images.name == "hf-someone-pets"
    assert images.labels.tolist() == [1, 0, 1, 0]
    assert images.splits.tolist() == ["train", "train", "val", "val"]
    assert images.source.pixels(3)[0, 0].tolist() == [2, 0, 0]


def test_hugging_face_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"needs the extra 'hf': pip install 'acclimate\[hf\]'"):
        load_images("hf:pets")

    def offline(_: str) -> None:
        raise ConnectionError("no route")

    module = types.ModuleType("datasets")
    module.__dict__["load_dataset"] = offline
    monkeypatch.setitem(sys.modules, "datasets", module)
    with pytest.raises(DataError, match=r"hf:pets cannot be loaded \(no route\); check the name and the network"):
        load_images("hf:pets")


# --- corrupt files


@pytest.fixture
def damaged(flower_folder: Path, tmp_path: Path) -> Path:
    root = tmp_path / "flowers"
    shutil.copytree(flower_folder, root)
    whole = (root / "china" / "03.jpg").read_bytes()
    (root / "china" / "03.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "flower" / "text.png").write_text("not a picture at all")
    return root


def test_bad_headers_are_an_error_that_names_them(damaged: Path) -> None:
    text = r"1 of 33 images of flowers cannot be read: flower/text\.png \(not an image: .*--skip-bad"
    with pytest.raises(DataError, match=text):
        load_images(damaged)


def test_skip_bad_leaves_out_truncated_files_too(damaged: Path) -> None:
    images = load_images(damaged, skip_bad=True)
    assert len(images) == 31
    assert [skipped.split(" (")[0] for skipped in images.skipped] == ["china/03.jpg", "flower/text.png"]
    assert "damaged image" in images.skipped[0]
    assert not {"china/03.jpg", "flower/text.png"} & set(images.names)


def test_only_the_first_ten_are_listed(tmp_path: Path) -> None:
    for k in range(12):
        path = tmp_path / "a" / f"{k:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_text("text")
    picture(tmp_path / "b" / "1.png")
    with pytest.raises(DataError, match=r"12 of 13 images .* a/09\.png \([^)]*\); and 2 more\. Repair"):
        load_images(tmp_path)


def test_nothing_left_is_an_error_even_with_skip_bad(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(DataError, match="1 of 1 images"):
        load_images(tmp_path, skip_bad=True)


# --- the fingerprint and the index


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def flip_last_bit(root: Path) -> None:
    path = root / "train" / "one" / "000.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[-1, -1] ^= 1
    Image.fromarray(pixels).save(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "pixel": flip_last_bit,
    "label": lambda root: os.rename(root / "train" / "one", root / "train" / "uno"),
    "split": lambda root: os.rename(root / "test", root / "val"),
    "name": lambda root: os.rename(root / "train/one/000.png", root / "train/one/000a.png"),
    "fewer": lambda root: os.remove(root / "train/one/000.png"),
}


def test_fingerprint_does_not_depend_on_the_place(digits_folder: Path, tmp_path: Path) -> None:
    here = load_images(digits_folder)
    there = load_images(copy(digits_folder, tmp_path / "elsewhere"))
    assert here.fingerprint == there.fingerprint
    assert len(here.fingerprint) == 64


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_changes_with(change: str, digits_folder: Path, tmp_path: Path) -> None:
    root = copy(digits_folder, tmp_path / "changed")
    before = load_images(root).fingerprint
    CHANGES[change](root)
    assert load_images(root).fingerprint != before


def test_fingerprint_of_a_manifest_changes_with_every_column(tmp_path: Path) -> None:
    tree(tmp_path, "1.png", "2.png")
    rows = [
        "1.png,a,train,p",
        "1.png,b,train,p",
        "1.png,a,test,p",
        "1.png,a,,p",
        "1.png,,train,p",
        "1.png,a,train,q",
    ]
    fingerprints = {load_images(table(tmp_path, row, "2.png,c,test,q")).fingerprint for row in rows}
    assert len(fingerprints) == len(rows)


def old(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (1e9, 1e9))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    calls: list[bool] = []
    real = scan_module.fault

    def fault(content: bytes, *, full: bool) -> str:
        calls.append(full)
        return real(content, full=full)

    monkeypatch.setattr(scan_module, "fault", fault)
    return calls


def test_second_look_reads_no_file(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old(damaged)
    calls = counted(monkeypatch)
    first = load_images(damaged, skip_bad=True)
    assert calls.count(False) == 33
    assert calls.count(True) == 32  # a file with a bad header is not decoded
    calls.clear()
    again = load_images(damaged, skip_bad=True)
    assert not calls
    assert (again.fingerprint, again.skipped) == (first.fingerprint, first.skipped)
    with pytest.raises(DataError, match="2 of 33 images"):  # what is known stays known
        load_images(damaged)
    assert not calls


def test_changed_files_are_read_again(digits_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = copy(digits_folder, tmp_path / "d")
    old(root)
    load_images(root)
    calls = counted(monkeypatch)
    flip_last_bit(root)
    load_images(root)
    assert len(calls) == 1
    calls.clear()
    load_images(root)  # the file is younger than two seconds: it could still change unseen
    assert len(calls) == 1


def test_skip_bad_after_a_plain_load_decodes_once(
    digits_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy(digits_folder, tmp_path / "d")
    old(root)
    plain = load_images(root)
    calls = counted(monkeypatch)
    full = load_images(root, skip_bad=True)
    assert calls.count(True) == len(plain) == 108
    assert full.fingerprint == plain.fingerprint


def test_damaged_index_is_made_again(digits_folder: Path, cache: Path) -> None:
    before = load_images(digits_folder).fingerprint
    for content in ("", "{", "[1]", '{"a": [1, 2]}', '{"a": 3}'):
        for path in (cache / "index").iterdir():
            path.write_text(content)
        assert load_images(digits_folder).fingerprint == before


def test_cache_can_be_given(digits_folder: Path, tmp_path: Path, cache: Path) -> None:
    load_images(digits_folder, cache=tmp_path / "mine")
    assert (tmp_path / "mine" / "index").is_dir()
    assert not (cache / "index").exists()


def test_cache_without_permission(digits_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match=r"cache folder .* cannot be written to"):
        load_images(digits_folder)


# --- the type


def test_images_refuses_columns_that_do_not_fit() -> None:
    source = ArraySource(GREY, ["a", "b", "c", "d"])
    labels, splits = np.zeros(4, np.int64), np.full(4, "train")
    with pytest.raises(DataError, match=r"labels must have shape \(4,\), one for each image, got \(3,\)"):
        Images("x", source, labels[:3], ("a",), splits)
    with pytest.raises(DataError, match=r"below the number of classes 1, got 1 to 1"):
        Images("x", source, labels + 1, ("a",), splits)
    with pytest.raises(DataError, match="splits must be train, val, test or empty, got dev"):
        Images("x", source, labels, ("a",), np.full(4, "dev"))
    with pytest.raises(DataError, match="unknown split 'dev'"):
        Images("x", source, labels, ("a",), splits).indices("dev")
    with pytest.raises(DataError, match=r"images must be uint8 of shape"):
        ArraySource(GREY.astype(float), [""] * 4)  # type: ignore[arg-type]  # that is the point


def test_second_load_of_2000_files_takes_milliseconds(tmp_path: Path) -> None:
    first = picture(tmp_path / "files" / "a" / "0.png").read_bytes()
    for k in range(2000):
        (tmp_path / "files" / "a" / f"{k}.png").write_bytes(first)
    old(tmp_path / "files")
    load_images(tmp_path / "files")
    start = time.process_time()
    load_images(tmp_path / "files")
    assert time.process_time() - start < 0.5  # 0.03 s on a quiet machine


@pytest.mark.shared
def test_real_photographs_with_groups(shared: Path, tmp_path: Path) -> None:
    unpack = [sys.executable, str(shared / "data" / "unpack.py"), str(tmp_path), "wbc"]
    subprocess.run(unpack, check=True, capture_output=True)
    with (tmp_path / "wbc" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    images = load_images(tmp_path / "wbc")
    split = make_split(images)
    assert len(images) == len(rows) == 2000
    assert images.groups is not None
    groups = [set(images.groups[part]) for part in (split.train, split.val, split.test)]
    assert all(groups)
    assert not (groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2])
    document = acclimate.score(tmp_path / "wbc", model="zoo:resnet-supervised", score="logistic")
    assert document["value"] > 0.4  # four classes of blood cells; chance is a quarter

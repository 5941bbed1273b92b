"""The papers' data sets by name: every entry of the table is read from a miniature that lies as the real one does.

The miniatures are written by hand from the data sets' own documentation, not from the table, and those that torchvision
reads too are compared with what torchvision makes of the same files.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

import acclimate
from acclimate.errors import DataError
from acclimate.images import Images, dataset_entries, dataset_entry, label_subset, load_images, make_split
from acclimate.images.build import Listing
from acclimate.images.layouts.datasets import cut_splits
from acclimate.stats.metrics import METRICS

Truth = dict[str, tuple[str, str | None]]  # name of an image -> class ("" for none), split (None: cut here)
VOC = [
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
]
ISIC = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]


def picture(file: Path) -> None:
    """Write an image of 16 x 16 pixels that no other file has."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(file.name.encode()) + list(file.parent.name.encode()))
    kind = "PNG" if file.suffix == ".png" else "JPEG"
    Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(file, kind)


def text(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def pictures(root: Path, truth: Truth) -> Truth:
    for name in truth:
        picture(root / name)
    return truth


def mat(file: Path, **variables: Any) -> None:
    from scipy.io import savemat

    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, variables)


# --- one writer for each data set


def dtd(root: Path) -> Truth:
    rows = {f"{c}/{c}_{s}{k}.jpg": (c, s) for c in ("banded", "dotted") for s in ("train", "val", "test") for k in "12"}
    for split in ("train", "val", "test"):
        text(root / "labels" / f"{split}1.txt", *(name for name, (_, s) in rows.items() if s == split))
        text(root / "labels" / f"{split}2.txt", "banded/of_another_partition.jpg")
    return pictures(root, {f"images/{name}": row for name, row in rows.items()})


def classes_of(root: Path, folder: str, names: dict[str, list[str]]) -> Truth:
    return pictures(root, {f"{folder}{c}/{file}": (c, None) for c, files in names.items() for file in files})


def caltech101(root: Path) -> Truth:
    names = {c: [f"image_{k:04d}.jpg" for k in range(1, 34)] for c in ("BACKGROUND_Google", "accordion")}
    return classes_of(root, "101_ObjectCategories/", names)


def caltech256(root: Path) -> Truth:
    names = {
        f"{c:03d}.{name}": [f"{c:03d}_{k:04d}.jpg" for k in range(1, 11)] for c, name in ((1, "ak47"), (2, "flag"))
    }
    picture(root / "256_ObjectCategories" / "001.ak47" / "greg" / "vision309" / "001_0099.jpg")  # a stray one
    return classes_of(root, "256_ObjectCategories/", names)


def eurosat(root: Path) -> Truth:
    return classes_of(root, "", {c: [f"{c}_{k}.jpg" for k in range(1, 11)] for c in ("AnnualCrop", "Forest")})


def aircraft(root: Path) -> Truth:
    rows = {"0034309": ("707-320", "train"), "0034958": ("F/A-18", "train"), "1": ("707-320", "val")}
    rows |= {"2": ("F/A-18", "test"), "3": ("707-320", "test")}
    for split in ("train", "val", "test"):
        lines = [f"{name} {label}" for name, (label, s) in rows.items() if s == split]
        text(root / "data" / f"images_variant_{split}.txt", *lines)
    text(root / "data" / "variants.txt", "707-320", "F/A-18")
    return pictures(root, {f"data/images/{name}.jpg": row for name, row in rows.items()})


def cars(root: Path) -> Truth:
    names, annotation = ["AM General Hummer SUV 2000", "Audi R8 Coupe 2012"], [("class", "O"), ("fname", "O")]
    mat(root / "devkit" / "cars_meta.mat", class_names=np.array([names], dtype=object))
    truth: Truth = {}
    for split, file in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        rows = [(np.uint8(k), f"{len(truth) + k:05d}.jpg") for k in (2, 1)]
        mat(root / file, annotations=np.array([rows], dtype=annotation))
        truth |= {f"cars_{split}/{name}": (names[k - 1], split) for k, name in rows}
    return pictures(root, truth)


def pets(root: Path) -> Truth:
    breeds = ("Abyssinian", "american_bulldog")
    rows = {f"{b}_{k}": (b, "train" if k < 3 else "test") for b in breeds for k in (1, 2, 3)}
    for file, split in (("trainval", "train"), ("test", "test")):
        lines = [f"{name} {breeds.index(b) + 1} 1 1" for name, (b, s) in rows.items() if s == split]
        text(root / "annotations" / f"{file}.txt", *lines)
    return pictures(root, {f"images/{name}.jpg": row for name, row in rows.items()})


def flowers(root: Path) -> Truth:
    labels, splits = [2, 1, 10, 2, 1, 10, 1], ["train", "test", "train", "val", "test", "test", "val"]
    mat(root / "imagelabels.mat", labels=np.array([labels], dtype=np.uint8))
    ids = {s: np.array([[k for k in range(1, 8) if splits[k - 1] == s]], np.uint16) for s in set(splits)}
    mat(root / "setid.mat", trnid=ids["train"], valid=ids["val"], tstid=ids["test"])
    rows = zip(labels, splits, strict=True)
    return pictures(root, {f"jpg/image_{k:05d}.jpg": (str(label), s) for k, (label, s) in enumerate(rows, 1)})


def food(root: Path) -> Truth:
    rows = {f"{c}/{k}": (c, "test" if k == 3 else "train") for c in ("apple_pie", "waffles") for k in (1, 2, 3)}
    for split in ("train", "test"):
        text(root / "meta" / f"{split}.txt", *(name for name, (_, s) in rows.items() if s == split))
    return pictures(root, {f"images/{name}.jpg": row for name, row in rows.items()})


def cifar(root: Path, files: dict[str, str], label: Callable[[int], bytes], names: list[str]) -> Truth:
    root.mkdir(parents=True, exist_ok=True)
    truth: Truth = {}
    for file, split in files.items():
        records = []
        for k in (0, 1):
            pixels = np.full((3, 32, 32), 10 * k, np.uint8)
            pixels[0, 0, 1], pixels[2, 1, 0] = 255, 7  # red of row 0, column 1; blue of row 1, column 0
            records.append(label(k) + pixels.tobytes())
            truth[f"{split}/{len(truth)}"] = (names[k], split)
        (root / file).write_bytes(b"".join(records))
    return truth


def cifar10(root: Path) -> Truth:
    text(root / "batches.meta.txt", "airplane", "automobile", "")
    files = {f"data_batch_{k}.bin": "train" for k in range(1, 6)} | {"test_batch.bin": "test"}
    return cifar(root, files, lambda k: bytes([k]), ["airplane", "automobile"])


def cifar100(root: Path) -> Truth:
    text(root / "fine_label_names.txt", "apple", "aquarium_fish", "baby")
    return cifar(
        root, {"train.bin": "train", "test.bin": "test"}, lambda k: bytes([9, k + 1]), ["aquarium_fish", "baby"]
    )


def isic(root: Path) -> Truth:
    truth: Truth = {}
    parts = (("Training", "train", "NV MEL NV VASC"), ("Validation", "val", "NV"), ("Test", "test", "MEL NV"))
    for title, split, labels in parts:
        lines = ["image," + ",".join(ISIC)]
        for label in labels.split():
            name = f"ISIC_{len(truth):07d}"
            lines.append(",".join([name, *("1.0" if c == label else "0.0" for c in ISIC)]))
            truth[f"ISIC2018_Task3_{title}_Input/{name}.jpg"] = (label, split)
        folder = f"ISIC2018_Task3_{title}_GroundTruth"
        text(root / folder / f"{folder}.csv", *lines)
    lesions = ["ISIC_0000000,HAM_1,histopathology", "ISIC_0000002,HAM_1,consensus", "ISIC_0000001,HAM_2,serial"]
    header = "image,lesion_id,diagnosis_confirm_type"
    text(root / "ISIC2018_Task3_Training_LesionGroupings.csv", header, *lesions, "ISIC_0000003,HAM_3,serial")
    return pictures(root, truth)


CHESTX = {
    "00000001_000.png": ("Cardiomegaly", 1, "train", "images_001/images"),
    "00000001_001.png": ("Cardiomegaly|Emphysema", 1, "train", "images_001/images"),
    "00000002_000.png": ("No Finding", 2, "train", "images_001/images"),
    "00000003_000.png": ("Mass", 3, "test", "images_002/images"),
    "00000004_000.png": ("Pneumonia", 4, "test", "images_012/images"),
}


def chestx(root: Path) -> Truth:
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,OriginalImage[Width,Height],"  # a comma in a title
    rows = [f"{name},{finding},0,{patient},2682,2749," for name, (finding, patient, _, _) in CHESTX.items()]
    text(root / "Data_Entry_2017.csv", header, *rows)
    for file, split in (("train_val", "train"), ("test", "test")):
        text(root / f"{file}_list.txt", *(name for name, row in CHESTX.items() if row[2] == split))
    labelled = {"Cardiomegaly": "Cardiomegaly", "Mass": "Mass"}
    return pictures(root, {f"{place}/{n}": (labelled.get(f, ""), s) for n, (f, _, s, place) in CHESTX.items()})


def two_folders(train: str, test: str, *classes: str) -> Callable[[Path], Truth]:
    def write(root: Path) -> Truth:
        parts = ((train, "train", "ab"), (test, "test", "c"))
        names = {f"{p}/{c}/{c}_{k}.JPEG": (c, s) for p, s, ks in parts for c in classes for k in ks}
        return pictures(root, dict(names))

    return write


TAXA = (
    "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris",
    "00001_Animalia_Annelida_Polychaeta_Sabellida_Sabellidae_Eudistylia_vancouveri",
    "00002_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Eisenia_fetida",
)


def families(root: Path) -> Truth:
    rows = two_folders("train_mini", "val", *TAXA)(root)
    return {name: (label.split("_")[5], split) for name, (label, split) in rows.items()}


def mhist(root: Path) -> Truth:
    rows = {"MHIST_aaa.png": ("SSA", "train"), "MHIST_aab.png": ("HP", "test"), "MHIST_aac.png": ("HP", "train")}
    header = "Image Name,Majority Vote Label,Number of Annotators who Selected SSA (Out of 7),Partition"
    text(root / "annotations.csv", header, *(f"{name},{label},6,{split}" for name, (label, split) in rows.items()))
    return pictures(root, {f"images/{name}": row for name, row in rows.items()})


def cub(root: Path) -> Truth:
    birds = ["001.Black_footed_Albatross", "002.Laysan_Albatross"]
    rows = [(f"{b}/{b[4:]}_{k}.jpg", b, s) for b in birds for k, s in enumerate(("train", "test"))]
    text(root / "images.txt", *(f"{k} {name}" for k, (name, _, _) in enumerate(rows, 1)))
    text(root / "image_class_labels.txt", *(f"{k} {birds.index(b) + 1}" for k, (_, b, _) in enumerate(rows, 1)))
    text(root / "train_test_split.txt", *(f"{k} {int(s == 'train')}" for k, (_, _, s) in enumerate(rows, 1)))
    text(root / "classes.txt", *(f"{k} {b}" for k, b in enumerate(birds, 1)))
    return pictures(root, {f"images/{name}": (b, s) for name, b, s in rows})


def voc2007(root: Path) -> Truth:
    flags = {  # image -> what is in it (1) or hard to see (0)
        "000001": ({"cat": 1}, "train"),
        "000002": ({"cat": 1, "dog": 1}, "train"),
        "000003": ({"train": 1}, "val"),
        "000004": ({"dog": 1, "person": 0}, "test"),
        "000005": ({"dog": 1}, "test"),
        "000006": ({"person": 0}, "test"),
    }
    for label in VOC:
        for split in ("train", "val", "test"):
            rows = [f"{n} {f.get(label, -1):2d}" for n, (f, s) in flags.items() if s == split]
            text(root / "ImageSets" / "Main" / f"{label}_{split}.txt", *rows)
    for file, splits in (("trainval", ("train", "val")), ("test", ("test",))):
        text(root / "ImageSets" / "Main" / f"{file}.txt", *(n for n, (_, s) in flags.items() if s in splits))
    labels = {"000001": "cat", "000003": "train", "000005": "dog"}
    return pictures(root, {f"JPEGImages/{n}.jpg": (labels.get(n, ""), s) for n, (_, s) in flags.items()})


def voc2012(root: Path) -> Truth:
    masks = {"2007_000032": ([(1, 30), (15, 20), (255, 90)], "aeroplane"), "2007_000033": ([(15, 9), (8, 8)], "person")}
    masks["2007_000039"] = ([(255, 5)], "")  # nothing but background and border
    (root / "SegmentationClass").mkdir(parents=True)
    for name, (areas, _) in masks.items():
        mask = np.repeat([k for k, _ in areas], [n for _, n in areas])
        mask = np.concatenate([mask, np.zeros(256 - len(mask), int)]).reshape(16, 16).astype(np.uint8)
        image = Image.fromarray(mask).convert("P")
        image.putdata(mask.ravel().tolist())
        image.save(root / "SegmentationClass" / f"{name}.png")
    splits = {"2007_000032": "train", "2007_000033": "test", "2007_000039": "train"}
    for file, split in (("train", "train"), ("val", "test")):
        text(root / "ImageSets" / "Segmentation" / f"{file}.txt", *(n for n in masks if splits[n] == split))
    text(root / "ImageSets" / "Segmentation" / "trainval.txt", *masks)
    return pictures(root, {f"JPEGImages/{n}.jpg": (label, splits[n]) for n, (_, label) in masks.items()})


def domainnet(domain: str) -> Callable[[Path], Truth]:
    def write(root: Path) -> Truth:
        classes = ("The_Eiffel_Tower", "train", "t-shirt")
        parts = (("train", (1, 2)), ("test", (3,)))
        rows = {
            f"{domain}/{c}/{domain}_{i}_{k}.jpg": (c, s) for s, ks in parts for i, c in enumerate(classes) for k in ks
        }
        for split in ("train", "test"):
            lines = [f"{name} {classes.index(c)}" for name, (c, s) in rows.items() if s == split]
            text(root / f"{domain}_{split}.txt", *lines)
        return pictures(root, dict(rows))

    return write


DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
MINIATURES: dict[str, Callable[[Path], Truth]] = {
    "dtd": dtd,
    "caltech101": caltech101,
    "caltech256": caltech256,
    "aircraft": aircraft,
    "cars": cars,
    "pets": pets,
    "flowers": flowers,
    "food": food,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "eurosat": eurosat,
    "isic": isic,
    "chestx": chestx,
    "cropdiseases": two_folders("train", "test", "Apple___Apple_scab", "Tomato___healthy"),
    "mhist": mhist,
    "cub": cub,
    "voc2007": voc2007,
    "voc2012": voc2012,
    "imagenet": two_folders("train", "val", "n01440764", "n01443537"),
    "inaturalist": two_folders("2021_train_mini", "2021_valid", *TAXA),
    "inaturalist-family": families,
    **{f"domainnet-{domain}": domainnet(domain) for domain in DOMAINS},
}
ENTRIES = dataset_entries()


def truth_of(images: Images) -> Truth:
    rows = zip(images.names, images.labels.tolist(), images.splits.tolist(), strict=True)
    return {name: (images.classes[label] if label >= 0 else "", split) for name, label, split in rows}


def same(images: Images, truth: Truth) -> None:
    content = truth_of(images)
    assert content.keys() == truth.keys()
    assert {name: row[0] for name, row in content.items()} == {name: row[0] for name, row in truth.items()}
    assert set(images.classes) == {label for label, _ in truth.values()} - {""} or images.name == "cifar100"
    assert not [name for name, (_, split) in truth.items() if split is not None and split != content[name][1]]


# --- every entry


def test_every_entry_has_a_miniature() -> None:
    assert set(MINIATURES) == set(ENTRIES), "a new entry needs a miniature here"


@pytest.mark.parametrize("name", ENTRIES)
def test_miniature_is_read(name: str, tmp_path: Path) -> None:
    truth = MINIATURES[name](tmp_path)
    images = load_images(f"data:{name}@{tmp_path}")
    same(images, truth)
    assert images.name == name
    assert len(images.fingerprint) == 64
    pixels = images.source.pixels(len(images) - 1)
    assert pixels.shape == ((32, 32, 3) if name.startswith("cifar") else (16, 16, 3))
    split = make_split(images)
    assert len(split.train)
    assert len(split.test)
    labels = images.labels[label_subset(images.labels, split.train, fraction=0.01)]
    assert set(labels) == set(images.labels[split.train])  # 1% of CUB loses no class


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if len(entry.roots) > 1])
def test_the_folder_of_the_archive_is_found(name: str, tmp_path: Path) -> None:
    folder = ENTRIES[name].roots[-1]
    MINIATURES[name](tmp_path / folder)
    outer, inner = load_images(f"data:{name}@{tmp_path}"), load_images(f"data:{name}@{tmp_path / folder}")
    assert outer.fingerprint == inner.fingerprint  # and so do the splits that are cut here


@pytest.mark.parametrize("name", ENTRIES)
def test_what_is_missing_is_named_with_tree_and_source(name: str, tmp_path: Path) -> None:
    entry = ENTRIES[name]
    for place, what in ((tmp_path / "none", "no folder"), (tmp_path, "is not in")):
        with pytest.raises(DataError, match=what) as caught:
            load_images(f"data:{name}@{place}")
        message = str(caught.value)
        assert "\n" not in message
        assert all(part in message for part in (f"data:{name}@FOLDER", entry.url, entry.licence, *entry.tree))


@pytest.mark.parametrize("name", ENTRIES)
def test_entry_is_complete(name: str) -> None:
    entry = ENTRIES[name]
    assert entry.name == name
    assert entry.metric in METRICS
    assert entry.classes >= 2
    assert entry.url.startswith("http")
    assert entry.licence
    assert entry.tree
    assert entry.roots[0] == "."
    assert entry.notes.endswith(".")
    assert entry.splits
    assert set(entry.papers) <= set("MSEK")
    assert bool(entry.cut) == entry.splits.startswith("none official")
    lists = getattr(entry.layout, "classes", None)
    assert lists is None or len(lists) == entry.classes


def test_metrics_are_those_of_the_papers() -> None:
    mean_per_class = {name for name, entry in ENTRIES.items() if entry.metric == "balanced_accuracy"}
    assert mean_per_class == {"aircraft", "caltech101", "flowers", "pets"}  # Kornblith et al., table 1


# --- single layouts


def test_cifar_bytes_are_planes_of_red_green_and_blue(tmp_path: Path) -> None:
    cifar100(tmp_path)
    pixels = load_images(f"data:cifar100@{tmp_path}").source.pixels(1)
    assert pixels[0, 1].tolist() == [255, 10, 10]
    assert pixels[1, 0].tolist() == [10, 10, 7]


def test_cifar_that_was_cut_short(tmp_path: Path) -> None:
    cifar10(tmp_path)
    file = tmp_path / "test_batch.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"test_batch\.bin has 6145 bytes; expected a multiple of 3073"):
        load_images(f"data:cifar10@{tmp_path}")
    file.write_bytes(bytes([200]) + bytes(3072))
    with pytest.raises(DataError, match="has the class 200; expected 0 to 1, as in batches"):
        load_images(f"data:cifar10@{tmp_path}")


def test_images_of_one_lesion_and_of_one_patient_are_groups(tmp_path: Path) -> None:
    isic(tmp_path / "isic")
    images = load_images(f"data:isic@{tmp_path / 'isic'}")
    assert images.groups is not None
    of = dict(zip((Path(name).stem for name in images.names), images.groups.tolist(), strict=True))
    assert of["ISIC_0000000"] == of["ISIC_0000002"] != of["ISIC_0000001"]
    assert len(set(of.values())) == len(of) - 1
    chestx(tmp_path / "chestx")
    patients = load_images(f"data:chestx@{tmp_path / 'chestx'}").groups
    assert patients is not None
    assert patients.tolist() == [0, 0, 1, 2, 3]


def test_isic_without_the_later_parts(tmp_path: Path) -> None:
    truth = isic(tmp_path)
    for part in ("Validation", "Test"):
        (tmp_path / f"ISIC2018_Task3_{part}_GroundTruth" / f"ISIC2018_Task3_{part}_GroundTruth.csv").unlink()
        (tmp_path / f"ISIC2018_Task3_{part}_GroundTruth").rmdir()
    (tmp_path / "ISIC2018_Task3_Training_LesionGroupings.csv").unlink()
    images = load_images(f"data:isic@{tmp_path}")
    same(images, {name: row for name, row in truth.items() if row[1] == "train"})
    assert images.groups is None


def test_cut_is_stratified_stable_and_independent_of_the_rest() -> None:
    def listing(n: int) -> Listing:
        names = [f"{c}/{k}.jpg" for c in "ab" for k in range(n)]
        return Listing(Path(), names, [name[0] for name in names], [""] * len(names))

    few, more = listing(40), listing(41)
    for cut, train in (({"test": 0.2}, 32), ({"train_per_class": 30}, 30)):
        first = cut_splits(few, cut)
        assert [first[:40].count("train"), first[40:].count("train")] == [train, train]
        assert set(first) == {"train", "test"}
        assert cut_splits(few, cut) == first
        later = dict(zip(more.paths, cut_splits(more, cut), strict=True))
        moved = [path for path, split in zip(few.paths, first, strict=True) if later[path] != split]
        assert len(moved) <= 2  # one more image a class moves at most its neighbour at the border
    assert cut_splits(Listing(Path(), ["a.jpg"], ["a"], [""]), {"test": 0.9}) == ["train"]
    assert cut_splits(Listing(Path(), ["a.jpg"] * 3, [""] * 3, [""] * 3), {"test": 0.9}) == ["train"] * 3


def test_commands_take_the_name(tmp_path: Path) -> None:
    mhist(tmp_path)
    document = acclimate.check(f"data:mhist@{tmp_path}")
    assert document["images"] == 3
    assert set(document["classes"]) == {"SSA", "HP"}
    features = acclimate.embed(f"data:mhist@{tmp_path}", model="zoo:resnet-supervised", out=tmp_path / "f.npz")
    assert (features["data"], features["n"]) == ("mhist", 3)


def test_images_below_the_class_folders_are_left_out(tmp_path: Path) -> None:
    caltech256(tmp_path)
    assert load_images(f"data:caltech256@{tmp_path}").ignored == 1
    for part in ("train", "test"):
        picture(tmp_path / part / "a" / "deep" / "1.jpg")
    with pytest.raises(DataError, match="no images directly in the class folders"):
        load_images(f"data:cropdiseases@{tmp_path}")


def test_flat_validation_images_are_refused(tmp_path: Path) -> None:
    two_folders("train", "elsewhere", "n01440764")(tmp_path)
    picture(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(DataError, match=r"holds 'ILSVRC2012_val_00000001\.JPEG' outside a class folder"):
        load_images(f"data:imagenet@{tmp_path}")


# --- files that cannot be trusted


def change(file: Path, old: str, new: str) -> None:
    content = file.read_text("utf-8")
    assert old in content
    file.write_text(content.replace(old, new, 1), encoding="utf-8")


def hostile_cars(root: Path, path: str) -> None:
    row = np.array([[(np.uint8(1), path)]], dtype=[("class", "O"), ("fname", "O")])
    mat(root / "devkit" / "cars_train_annos.mat", annotations=row)


HOSTILE: dict[str, Callable[[Path, str], object]] = {  # each puts a path into a list, where an image's name belongs
    "dtd": lambda root, path: change(root / "labels/train1.txt", "banded/banded_train1.jpg", path),
    "aircraft": lambda root, path: change(root / "data/images_variant_val.txt", "1 707", f"{path} 707"),
    "cars": hostile_cars,
    "pets": lambda root, path: change(root / "annotations/test.txt", "Abyssinian_3", path),
    "food": lambda root, path: change(root / "meta/test.txt", "apple_pie/3", path),
    "isic": lambda root, path: change(
        root / "ISIC2018_Task3_Test_GroundTruth/ISIC2018_Task3_Test_GroundTruth.csv", "ISIC_0000005", path
    ),
    "mhist": lambda root, path: change(root / "annotations.csv", "MHIST_aab.png", path),
    "cub": lambda root, path: change(
        root / "images.txt", "001.Black_footed_Albatross/Black_footed_Albatross_0.jpg", path
    ),
    "voc2007": lambda root, path: change(root / "ImageSets/Main/cat_test.txt", "000004", path),
    "voc2012": lambda root, path: change(root / "ImageSets/Segmentation/val.txt", "2007_000033", path),
    "domainnet-real": lambda root, path: change(root / "real_test.txt", "real/train/real_1_3.jpg", path),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("path", ["../../../../outside_1.jpg", "a/../../../../outside_1", "..\\a/outside_1.png"])
def test_lists_cannot_point_outside(name: str, path: str, tmp_path: Path) -> None:
    root = tmp_path / "a" / "b" / "data"
    MINIATURES[name](root)
    for folder in (tmp_path, tmp_path / "a", root.parent):
        picture(folder / "outside_1.jpg")
    HOSTILE[name](root, path)
    with pytest.raises(DataError, match="which is not inside"):
        load_images(f"data:{name}@{root}")


def test_chestx_names_cannot_point_outside(tmp_path: Path) -> None:
    chestx(tmp_path / "data")
    picture(tmp_path / "outside.png")
    for file in ("Data_Entry_2017.csv", "test_list.txt"):
        change(tmp_path / "data" / file, "00000003_000.png", "../../outside.png")
    with pytest.raises(DataError, match="which is not inside"):
        load_images(f"data:chestx@{tmp_path / 'data'}")


def test_absolute_paths_and_links_out_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "data"
    domainnet("real")(root)
    outside = tmp_path / "train" / "secret.jpg"
    picture(outside)
    HOSTILE["domainnet-real"](root, str(outside))
    with pytest.raises(DataError, match="which is not inside"):
        load_images(f"data:domainnet-real@{root}")
    change(root / "real_test.txt", str(outside), "real/train/real_1_3.jpg")
    (root / "real/train/real_1_3.jpg").unlink()
    os.symlink(outside, root / "real/train/real_1_3.jpg")
    with pytest.raises(DataError, match="without links that lead out"):
        load_images(f"data:domainnet-real@{root}")


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "message"),
    [
        ("dtd", "labels/val1.txt", "banded/banded_val1.jpg", "banded/banded_train1.jpg", "more than once"),
        ("dtd", "labels/val1.txt", "banded/banded_val1.jpg", "banded/gone.jpg", r"lists 1 files .* images/banded/gone"),
        ("dtd", "labels/val1.txt", "banded/banded_val1.jpg", "banded/\0.jpg", "which is not inside"),
        ("aircraft", "data/images_variant_test.txt", "2 F/A-18", "2", "has the line '2', which gives no class"),
        ("mhist", "annotations.csv", "Partition", "Part", "has no column 'Partition'; expected Image Name, Majority"),
        ("mhist", "annotations.csv", ",6,test", ",6,dev", "has the Partition 'dev'; expected train, val or test"),
        ("mhist", "annotations.csv", ",6,test", "", "row 3: expected at least 4 values, got 2"),
        ("cub", "train_test_split.txt", "2 0", "2 7", "image 2 of images.txt has no class or no split"),
        ("cub", "image_class_labels.txt", "2 1", "2 9", "image 2 of images.txt has no class or no split"),
        ("cub", "images.txt", "1 001", "1001", "has the line .*; expected two values"),
        ("chestx", "test_list.txt", "00000003_000.png", "3.png", "lists '00000003_000.png', which is in no list"),
        (
            "isic",
            "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv",
            "ISIC_0000000,0.0",
            "ISIC_0000000,1.0",
            "ISIC_0000000 has 2 classes",
        ),
    ],
)
def test_lists_that_do_not_fit(name: str, file: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    MINIATURES[name](tmp_path)
    change(tmp_path / file, old, new)
    with pytest.raises(DataError, match=message) as caught:
        load_images(f"data:{name}@{tmp_path}")
    assert "\n" not in str(caught.value)


def test_lists_that_are_no_text_or_empty(tmp_path: Path) -> None:
    dtd(tmp_path)
    (tmp_path / "labels/val1.txt").write_bytes(b"\xff\xfe\0")
    with pytest.raises(DataError, match=r"cannot read .*val1\.txt: .*; expected a list as text in UTF-8"):
        load_images(f"data:dtd@{tmp_path}")
    for split in ("train", "val", "test"):
        text(tmp_path / "labels" / f"{split}1.txt", "# nothing")
    with pytest.raises(DataError, match="lists no images"):
        load_images(f"data:dtd@{tmp_path}")


@pytest.mark.parametrize("content", [b"", b"hello" * 100, b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"\xff" * 99])
def test_mat_files_that_are_none(content: bytes, tmp_path: Path) -> None:
    flowers(tmp_path)
    (tmp_path / "setid.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read trnid of .*setid\.mat .*expected the \.mat file as published"):
        load_images(f"data:flowers@{tmp_path}")


def test_mat_files_that_lie(tmp_path: Path) -> None:
    flowers(tmp_path)
    mat(tmp_path / "setid.mat", trnid=np.array([[1, 999]]), valid=np.array([[2]]), tstid=np.array([[3]]))
    with pytest.raises(DataError, match="trnid holds 999; expected 1 to 7"):
        load_images(f"data:flowers@{tmp_path}")
    mat(tmp_path / "setid.mat", trnid=np.array([[1.5]]))
    with pytest.raises(DataError, match="trnid is no row of whole numbers"):
        load_images(f"data:flowers@{tmp_path}")
    cars(tmp_path)
    row = np.array([[(np.uint8(9), "00012.jpg")]], dtype=[("class", "O"), ("fname", "O")])
    mat(tmp_path / "devkit" / "cars_train_annos.mat", annotations=row)
    with pytest.raises(DataError, match="class 9; expected 1 to 2, as in cars_meta"):
        load_images(f"data:cars@{tmp_path}")
    mat(tmp_path / "devkit" / "cars_train_annos.mat", annotations=np.array([[3]]))
    with pytest.raises(DataError, match="has an annotation without fname or class"):
        load_images(f"data:cars@{tmp_path}")


def test_masks_that_are_none(tmp_path: Path) -> None:
    voc2012(tmp_path)
    mask = tmp_path / "SegmentationClass" / "2007_000033.png"
    mask.write_bytes(struct.pack(">8s", b"\x89PNG"))
    with pytest.raises(DataError, match=r"cannot read the mask .*2007_000033\.png"):
        load_images(f"data:voc2012@{tmp_path}")


# --- names, and torchvision


def test_names_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown data set 'caltech-101'; did you mean 'caltech101'"):
        load_images(f"data:caltech-101@{tmp_path}")
    with pytest.raises(DataError, match="data:dtd@ names no folder; expected data:dtd@FOLDER"):
        load_images("data:dtd@")
    with pytest.raises(DataError, match="data:mhist cannot be downloaded by a program; expected data:mhist@FOLDER"):
        load_images("data:mhist")
    with pytest.raises(DataError, match="unknown data set 'cub200'"):
        dataset_entry("cub200")


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, kind: type) -> None:
    module = types.ModuleType("torchvision.datasets")
    setattr(module, name, kind)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)


FETCHED = [name for name, entry in ENTRIES.items() if entry.download and entry.download.folder]


@pytest.mark.parametrize("name", FETCHED)
def test_torchvision_downloads_and_the_layout_reads(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    download = ENTRIES[name].download
    assert download
    assert download.folder
    calls, truth = [], {}

    class Fetch:
        """Leaves the miniature where the class of torchvision leaves the data set."""

        def __init__(self, root: str, download: bool = False, **options: str) -> None:
            assert download
            if not calls:
                truth.update(MINIATURES[name](Path(root) / folder))
            calls.append(options)

    folder = download.folder
    stand_in(monkeypatch, download.name, Fetch)
    first = load_images(f"data:{name}", cache=tmp_path)
    same(first, truth)
    assert calls == list(download.calls)
    assert load_images(f"data:{name}", cache=tmp_path).fingerprint == first.fingerprint
    assert len(calls) == len(download.calls)  # what is there is not asked for again
    alone = load_images(f"data:{name}@{tmp_path / 'torchvision' / folder}")
    assert alone.fingerprint == first.fingerprint


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_through_torchvision(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Flags:
        classes = ("airplane", "automobile")

        def __init__(self, root: str, train: bool = True, download: bool = False) -> None:
            self.targets = [0, 1, 0] if train else [1]

        def __len__(self) -> int:
            return len(self.targets)

        def __getitem__(self, i: int) -> tuple[Image.Image, int]:
            return Image.new("RGB", (32, 32), (i, 0, 0)), self.targets[i]

    stand_in(monkeypatch, name.upper(), Flags)
    images = load_images(f"data:{name}", cache=tmp_path)
    assert (images.name, images.labels.tolist()) == (name, [0, 1, 0, 1])
    assert images.splits.tolist() == ["train"] * 3 + ["test"]


def test_torchvision_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(root: str, download: bool = False) -> None:
        raise RuntimeError("no route to host")

    stand_in(monkeypatch, "DTD", type("DTD", (), {"__init__": lambda self, root, download=False: offline(root)}))
    with pytest.raises(
        DataError, match=r"\(no route to host\).*or get it from https.*name its folder: data:dtd@FOLDER"
    ):
        load_images("data:dtd", cache=tmp_path)


def test_torchvision_train_part_may_be_called_trainval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pets:
        classes = ("Abyssinian", "Beagle")

        def __init__(self, root: str, split: str = "trainval", download: bool = False) -> None:
            if split not in ("trainval", "test"):
                raise ValueError(f"Unknown value '{split}' for argument split.")
            self._labels = {"trainval": [0, 1], "test": [1]}[split]

        def __len__(self) -> int:
            return len(self._labels)

        def __getitem__(self, i: int) -> tuple[Image.Image, int]:
            return Image.new("RGB", (4, 4), (i, 0, 0)), self._labels[i]

    stand_in(monkeypatch, "Pets", Pets)
    images = load_images("torchvision:Pets", cache=tmp_path)
    assert images.splits.tolist() == ["train", "train", "test"]
    assert images.labels.tolist() == [0, 1, 1]


def test_torchvision_takes_these_arguments() -> None:
    import torchvision.datasets

    for entry in ENTRIES.values():
        if entry.download:
            kind = inspect.signature(getattr(torchvision.datasets, entry.download.name))
            for options in entry.download.calls:
                assert kind.bind(root="x", download=True, **options)


def theirs(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Truth:
    """Return what torchvision itself makes of the miniature at the place where it leaves the data set."""
    from torchvision import datasets

    monkeypatch.setattr(datasets.Flowers102, "_check_integrity", lambda self: True)  # checksums of the real files
    parts: dict[str, Any] = {
        "dtd": lambda s: datasets.DTD(root, split=s),
        "aircraft": lambda s: datasets.FGVCAircraft(root, split=s),
        "pets": lambda s: datasets.OxfordIIITPet(root, split={"train": "trainval"}.get(s, s)),
        "flowers": lambda s: datasets.Flowers102(root, split=s),
        "cars": lambda s: datasets.StanfordCars(root, split=s),
    }
    truth: Truth = {}
    for split in ("train", "val", "test") if name in ("dtd", "aircraft", "flowers") else ("train", "test"):
        data = parts[name](split)
        if name == "cars":
            files, labels = zip(*data._samples, strict=True)
        else:
            files, labels = getattr(data, "_image_files", None) or data._images, data._labels
        for file, label in zip(files, labels, strict=True):
            title = str(label + 1) if name == "flowers" else data.classes[label].replace(" ", "_")
            truth[Path(file).name] = (title.lower() if name == "pets" else title, split)
    return truth


@pytest.mark.parametrize("name", ["dtd", "aircraft", "pets", "flowers", "cars"])
def test_torchvision_reads_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ENTRIES[name]
    folder = entry.download.folder if entry.download and entry.download.folder else "stanford_cars"
    MINIATURES[name](tmp_path / folder)
    ours = truth_of(load_images(f"data:{name}@{tmp_path / folder}"))
    mine = {Path(path).name: (label.replace(" ", "_"), split) for path, (label, split) in ours.items()}
    if name == "pets":
        mine = {path: (label.lower(), split) for path, (label, split) in mine.items()}
    assert mine == theirs(name, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["caltech101", "caltech256", "eurosat", "voc2007", "voc2012"])
def test_torchvision_finds_its_folder(name: str, tmp_path: Path) -> None:
    from torchvision import datasets

    download = ENTRIES[name].download
    assert download
    assert download.folder
    truth = MINIATURES[name](tmp_path / download.folder)
    sets = [getattr(datasets, download.name)(root=tmp_path, **options) for options in download.calls]
    lost = sum(label == "BACKGROUND_Google" for label, _ in truth.values())  # torchvision leaves this class out
    assert sum(map(len, sets)) == len(truth) - lost


# --- the page


def test_page_is_not_stale() -> None:
    spec = importlib.util.spec_from_file_location("make_datasets", ROOT / "docs" / "make_datasets.py")
    assert spec
    assert spec.loader
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.PAGE.read_text("utf-8") == maker.page(), "run: python docs/make_datasets.py"
    assert all(f"| `{name}` |" in maker.page() for name in ENTRIES)

"""Layouts that join several lists of one public data set: CUB birds, ISIC skin lesions and NIH chest X-rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.errors import DataError
from acclimate.images.build import Listing
from acclimate.images.layouts.lists import ImageRow, columns, lines, listing, need, pairs


@dataclass(frozen=True)
class Cub:
    """CUB-200-2011: ``images.txt``, ``image_class_labels.txt``, ``train_test_split.txt`` and ``classes.txt``."""

    def read(self, root: Path) -> Listing:
        """Join the four lists by the number of the image."""
        paths, names = pairs(root, "images.txt"), pairs(root, "classes.txt")
        labels, train = pairs(root, "image_class_labels.txt"), pairs(root, "train_test_split.txt")
        rows = []
        for number, path in paths.items():
            label, side = names.get(labels.get(number, "")), train.get(number)
            if label is None or side not in ("0", "1"):
                raise DataError(
                    f"{root}: image {number} of images.txt has no class or no split; expected it in "
                    "image_class_labels.txt, and as 0 or 1 in train_test_split.txt"
                )
            rows.append(ImageRow(f"images/{path}", label, "train" if side == "1" else "test"))
        return listing("images.txt", root, rows)


@dataclass(frozen=True)
class Isic:
    """ISIC 2018 task 3: a folder of images and a CSV file with a column of 0 and 1 for each class, for each split.

    Validation and test were published later and may be missing. `groups` says which images show the same lesion; an
    image that it does not list is a group of its own.
    """

    classes: Sequence[str]
    groups: str = "ISIC2018_Task3_Training_LesionGroupings.csv"

    def read(self, root: Path) -> Listing:
        """Read the splits that are there."""
        titles = [("train", "Training"), ("val", "Validation"), ("test", "Test")]
        rows = [row for split, title in titles for row in self._rows(root, split, title)]
        if not (root / self.groups).is_file():
            return listing("the ground truth", root, rows)
        lesion = {row[0]: row[1] for row in columns(root, self.groups, ("image", "lesion_id"))}
        rows = [ImageRow(row.path, row.label, row.split, lesion.get(Path(row.path).stem, "")) for row in rows]
        return listing("the ground truth", root, rows, grouped=True)

    def _rows(self, root: Path, split: str, title: str) -> list[ImageRow]:
        truth, images = f"ISIC2018_Task3_{title}_GroundTruth", f"ISIC2018_Task3_{title}_Input"
        if split != "train" and not (root / truth).exists() and not (root / f"{truth}.csv").exists():
            return []
        file = need(root, f"{truth}/{truth}.csv", f"{truth}.csv").relative_to(root).as_posix()
        rows = []
        for name, *flags in columns(root, file, ("image", *self.classes)):
            label = [kind for kind, flag in zip(self.classes, flags, strict=True) if flag in ("1", "1.0")]
            if len(label) != 1:
                raise DataError(f"{root / file}: {name} has {len(label)} classes; expected a single 1 in its row")
            rows.append(ImageRow(f"{images}/{name}.jpg", label[0], split))
        return rows


@dataclass(frozen=True)
class ChestX:
    """NIH ChestX-ray14: a table of findings, lists of the official split, and up to twelve folders of images.

    An image has a label if its only finding is one of `classes` (as in CD-FSL); the others, healthy ones among them,
    have none. Images of one patient are a group.
    """

    classes: Sequence[str]

    def read(self, root: Path) -> Listing:
        """Join table, lists and folders by the name of the image."""
        table = "Data_Entry_2017.csv" if (root / "Data_Entry_2017.csv").exists() else "Data_Entry_2017_v2020.csv"
        findings = columns(root, table, ("Image Index", "Finding Labels", "Patient ID"))
        split = dict.fromkeys(lines(root, "train_val_list.txt"), "train") | dict.fromkeys(
            lines(root, "test_list.txt"), "test"
        )
        folders = self._folders(root)
        if unlisted := [name for name, _, _ in findings if name not in split]:
            raise DataError(f"{root / table} lists '{unlisted[0]}', which is in no list of a split; unpack it again")
        rows = [
            ImageRow(
                f"{folders.get(name, 'images')}/{name}", label if label in self.classes else "", split[name], patient
            )
            for name, label, patient in findings
        ]
        return listing(table, root, rows, grouped=True)

    @staticmethod
    def _folders(root: Path) -> dict[str, str]:
        """Return the folder of every image: all are in ``images``, or in ``images_001/images`` and so on."""
        names = ["images", *(f"images_{k:03d}/images" for k in range(1, 13))]
        folders = [name for name in names if (root / name).is_dir()]
        if not folders:
            need(root, "images", "images_001/images")
        return {file.name: folder for folder in folders for file in (root / folder).iterdir()}

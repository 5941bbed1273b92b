"""ISIC 2018, skin lesions: a folder of images and a table of their classes for each split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.errors import DataError
from acclimate.images.build import Listing
from acclimate.images.layouts.lists import ImageRow, columns, listing, need


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

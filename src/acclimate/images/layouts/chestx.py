"""NIH ChestX-ray14: a table of findings, lists of the official split, and up to twelve folders of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.errors import DataError
from acclimate.images.build import Listing
from acclimate.images.layouts.lists import ImageRow, columns, lines, listing, need


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

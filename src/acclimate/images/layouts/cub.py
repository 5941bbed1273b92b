"""Caltech-UCSD Birds: four text lists, joined by the number of the image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acclimate.errors import DataError
from acclimate.images.build import Listing
from acclimate.images.layouts.lists import ImageRow, listing, pairs


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

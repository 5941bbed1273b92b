"""Pascal VOC: labels from the lists of its classes, or from its masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from acclimate.errors import DataError
from acclimate.images.build import Listing
from acclimate.images.layouts.lists import ImageRow, lines, listing, pairs

_LARGEST_MASK = 16_000_000  # pixels; those of Pascal VOC have 0.25 million


@dataclass(frozen=True)
class VocClasses:
    """Pascal VOC, ``ImageSets/Main/CLASS_LIST.txt``: 1 for "is in it", 0 for "hard to see", -1 for "is not".

    An image has a label here if it shows objects of exactly one class and none that is hard to see; the others have
    no label, since one label an image is what the rest of the program trains and measures.
    """

    classes: Sequence[str]
    lists: Mapping[str, str]

    def read(self, root: Path) -> Listing:
        """Join the lists of all classes by the name of the image."""
        rows = []
        for split, suffix in self.lists.items():
            objects: dict[str, list[str]] = {}
            for label in self.classes:
                for name, flag in pairs(root, f"ImageSets/Main/{label}_{suffix}.txt").items():
                    objects.setdefault(name, []).extend({"1": [label], "-1": []}.get(flag, [label, ""]))
            rows += [
                ImageRow(f"JPEGImages/{name}.jpg", labels[0] if len(labels) == 1 else "", split)
                for name, labels in objects.items()
            ]
        return listing("ImageSets/Main", root, rows)


@dataclass(frozen=True)
class VocMasks:
    """Pascal VOC segmentation as classification: the label is the class that covers most of the image.

    Source: Marks et al. (2024), who use it so; background (0) and borders (255) do not count.
    """

    classes: Sequence[str]
    lists: Mapping[str, str]

    def read(self, root: Path) -> Listing:
        """Read the mask of every listed image."""
        names = [(split, name) for split, file in self.lists.items() for name in lines(root, file)]
        masks = [ImageRow(f"SegmentationClass/{name}.png", "", split) for split, name in names]
        listing("ImageSets/Segmentation", root, masks)  # before any of them is opened
        rows = [
            ImageRow(f"JPEGImages/{name}.jpg", self._largest(root / mask.path), split)
            for (split, name), mask in zip(names, masks, strict=True)
        ]
        return listing("ImageSets/Segmentation", root, rows)

    def _largest(self, file: Path) -> str:
        try:
            with Image.open(file, formats=["PNG"]) as mask:
                if mask.mode not in ("P", "L") or mask.width * mask.height > _LARGEST_MASK:
                    raise ValueError(f"mode {mask.mode}, {mask.width} x {mask.height}")
                counts = np.bincount(np.asarray(mask).ravel(), minlength=256)[1 : len(self.classes) + 1]
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"cannot read the mask {file} ({error}); expected a PNG with a palette") from error
        return self.classes[int(counts.argmax())] if counts.any() else ""

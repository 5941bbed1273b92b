"""Images: every data layout as one type, splits, checks, and the cache of decoded pixels. No torch."""

from acclimate.images.check import check
from acclimate.images.dataset import ArraySource, FileSource, Images, Source
from acclimate.images.decode import decode
from acclimate.images.geometry import Geometry, Pixels
from acclimate.images.layouts.datasets import Dataset, dataset_entries, dataset_entry
from acclimate.images.load import load_images
from acclimate.images.pixels import decode_ahead, decoded, open_pixels
from acclimate.images.pool import CleanPool, clean_pool
from acclimate.images.splits import Split, label_subset, make_split, parse_labels, require_classes

__all__ = [
    "ArraySource",
    "CleanPool",
    "Dataset",
    "FileSource",
    "Geometry",
    "Images",
    "Pixels",
    "Source",
    "Split",
    "check",
    "clean_pool",
    "dataset_entries",
    "dataset_entry",
    "decode",
    "decode_ahead",
    "decoded",
    "label_subset",
    "load_images",
    "make_split",
    "open_pixels",
    "parse_labels",
    "require_classes",
]

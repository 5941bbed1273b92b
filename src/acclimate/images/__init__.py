"""Images: every data layout as one type, splits, checks, and the cache of decoded pixels. No torch."""

from acclimate.images.check import check as check
from acclimate.images.dataset import ArraySource as ArraySource
from acclimate.images.dataset import FileSource as FileSource
from acclimate.images.dataset import Images as Images
from acclimate.images.decode import decode as decode
from acclimate.images.geometry import Geometry as Geometry
from acclimate.images.geometry import Pixels as Pixels
from acclimate.images.layouts.datasets import Dataset as Dataset
from acclimate.images.layouts.datasets import dataset_entries as dataset_entries
from acclimate.images.layouts.datasets import dataset_entry as dataset_entry
from acclimate.images.load import load_images as load_images
from acclimate.images.pixels import decode_ahead as decode_ahead
from acclimate.images.pixels import decoded as decoded
from acclimate.images.pixels import open_pixels as open_pixels
from acclimate.images.pool import clean_pool as clean_pool
from acclimate.images.splits import Split as Split
from acclimate.images.splits import label_subset as label_subset
from acclimate.images.splits import make_split as make_split
from acclimate.images.splits import parse_labels as parse_labels
from acclimate.images.splits import require_classes as require_classes

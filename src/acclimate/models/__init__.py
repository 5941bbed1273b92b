"""Models and their features: names and files -> Backbone; Backbone and Images -> Features."""

from acclimate.models.backbone import Backbone, Preprocess, create, digest
from acclimate.models.device import Precision, autocast, choose_device, choose_precision
from acclimate.models.features.extract import extract, extract_taps, to_batch
from acclimate.models.load.names import from_module, load_backbone
from acclimate.models.load.weights import load_strictly, read_weights, save_weights
from acclimate.models.taps import DEFAULT, LAST, Tap, layer_names, tapped_widths

__all__ = [
    "DEFAULT",
    "LAST",
    "Backbone",
    "Precision",
    "Preprocess",
    "Tap",
    "autocast",
    "choose_device",
    "choose_precision",
    "create",
    "digest",
    "extract",
    "extract_taps",
    "from_module",
    "layer_names",
    "load_backbone",
    "load_strictly",
    "read_weights",
    "save_weights",
    "tapped_widths",
    "to_batch",
]

"""Models and their features: names and files -> Backbone; Backbone and Images -> Features."""

from acclimate.backbones.device import Precision, autocast, choose_device, choose_precision
from acclimate.backbones.extract import extract, extract_taps, to_batch
from acclimate.backbones.load import from_module, load_backbone
from acclimate.backbones.model import Backbone, Preprocess, create, digest
from acclimate.backbones.taps import DEFAULT, LAST, Tap, layer_names, tapped_widths
from acclimate.backbones.weights import load_strictly, read_weights, save_weights

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

"""Models and their features: names and files -> Backbone; Backbone and Images -> Features."""

from acclimate.backbones.device import Precision, autocast, choose_device, choose_precision
from acclimate.backbones.extract import extract, extract_taps, to_batch
from acclimate.backbones.load import from_module, load_backbone
from acclimate.backbones.model import Backbone, Preprocess, create, digest
from acclimate.backbones.taps import Tap, layer_names
from acclimate.backbones.weights import load_strictly, read_weights, save_weights

__all__ = [
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
    "to_batch",
]

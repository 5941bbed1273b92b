"""Augmentation: a uint8 batch in, one or more normalised float views out.

`augment` says what a view may look like (data), `domains` what images of one kind allow, `draw` takes the random
numbers, `linear` turns them into small matrices, and `make` multiplies. No image is touched one by one, and
torchvision is not imported.
"""

from acclimate.views.augment import AUGMENTS, Augment, Normalize, scaled, view_size
from acclimate.views.domains import DOMAINS, Domain, for_domain
from acclimate.views.make import center, make_view, make_views

__all__ = [
    "AUGMENTS",
    "DOMAINS",
    "Augment",
    "Domain",
    "Normalize",
    "center",
    "for_domain",
    "make_view",
    "make_views",
    "scaled",
    "view_size",
]

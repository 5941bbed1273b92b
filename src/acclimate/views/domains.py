"""What kinds of images allow: a view as a domain's symmetries and colours permit it.

Self-supervision learns to ignore whatever the views change. A change that can tell two classes apart in some domain
must therefore not be made there:

==============  ======================================================================================================
``natural``     Photographs: nothing is changed. The presets were made for them.
``microscopy``  A slide has no upright, so all eight orientations are equally likely. Stain and colour carry meaning:
                no grey, no solarisation, half the hue. So does size (a cell's, a nucleus'): crops keep at least a fifth
                of the area.
``aerial``      Seen from above there is no upright either: all eight orientations. Colour tells crops from water: no
                grey, no solarisation, half the hue. Scale varies with height anyway and is left to the view.
``document``    Pages, digits and characters: a mirrored or turned character is another one or none, so nothing is
                flipped. Ink has no colour: no hue, saturation, grey or solarisation. A tenth of a page is no page:
                crops keep at least 0.3 of the area.
``xray``        Left and right differ (the heart), up and down more so: nothing is flipped. The images are grey and
                bright means dense: only brightness and contrast change. Crops keep at least a fifth of the area.
==============  ======================================================================================================
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from acclimate.errors import RecipeError, unknown
from acclimate.views.augment import Augment, Pair


@dataclass(frozen=True)
class Domain:
    """The augmentations that images of one kind allow."""

    # ``same``: as the view has them; ``none``: no flips and no turns; ``all``: a view that flips or turns shows all
    # eight orientations, each as likely as the others
    orientations: Literal["same", "none", "all"] = "same"
    smallest_crop: float = 0.0  # smallest share of the image's area that a crop may have; 0: as the view has it
    # Factors from 0 to 1 on the settings of these names in `Augment`
    hue: float = 1.0
    saturation: float = 1.0
    gray: float = 1.0
    solarize: float = 1.0


DOMAINS: dict[str, Domain] = {
    "natural": Domain(),
    "microscopy": Domain(orientations="all", smallest_crop=0.2, hue=0.5, gray=0.0, solarize=0.0),
    "aerial": Domain(orientations="all", hue=0.5, gray=0.0, solarize=0.0),
    "document": Domain("none", smallest_crop=0.3, hue=0.0, saturation=0.0, gray=0.0, solarize=0.0),
    "xray": Domain("none", smallest_crop=0.2, hue=0.0, saturation=0.0, gray=0.0, solarize=0.0),
}


def for_domain(augment: Augment, domain: str) -> Augment:
    """Return the view as images of a domain allow it.

    The view of evaluation (`none`) does not change: a view that never flips still does not, and the centre crop stays
    the centre crop. Apply it after `scaled`, which has no smallest crop. Raises `RecipeError`: no domain has this name.
    """
    if domain not in DOMAINS:
        raise RecipeError(unknown("domain", domain, DOMAINS))
    allowed = DOMAINS[domain]
    flips, vflip, rot90 = _orientations(augment, allowed)
    return dataclasses.replace(
        augment,
        crop=augment.crop and _at_least(augment.crop, allowed.smallest_crop),
        hflip=flips,
        vflip=vflip,
        rot90=rot90,
        hue=augment.hue * allowed.hue,
        saturation=augment.saturation * allowed.saturation,
        gray=augment.gray * allowed.gray,
        solarize=augment.solarize * allowed.solarize,
    )


def _orientations(augment: Augment, allowed: Domain) -> tuple[float, float, float]:
    """Return the probabilities of a left-right flip, an upside-down flip and a turn."""
    if allowed.orientations == "none":
        return 0.0, 0.0, 0.0
    if allowed.orientations == "all" and (augment.hflip or augment.vflip or augment.rot90):
        return 0.5, 0.5, 0.75
    return augment.hflip, augment.vflip, augment.rot90


def _at_least(crop: Pair, smallest: float) -> Pair:
    """Return the range of areas squeezed in its logarithm, so that it begins at `smallest` and 1 stays 1."""
    # Cutting the low end off instead would leave the small crops of SwAV and DINO, 0.05 to 0.14, no range at all
    if crop[0] >= smallest:
        return crop
    return smallest, max(smallest, crop[1] ** (math.log(smallest) / math.log(crop[0])))

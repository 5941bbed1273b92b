"""What a random view may look like: one frozen value per view, and the named ones.

Sources of the values: SimCLR (Chen et al. 2020, appendix A), BYOL (Grill et al. 2020, table 6), and the
random resized crop with which ImageNet classifiers are usually trained (`standard`).

A domain says what its kind of images allows. Self-supervision learns to ignore whatever the views change. A change that
can tell two classes apart in some domain must therefore not be made there:

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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from acclimate.errors import RecipeError, unknown

Pair = tuple[float, float]


@dataclass(frozen=True)
class Augment:
    """The distribution of one view. The operations come in this order; every sample draws its own.

    Raises `RecipeError`: a value is outside of its range.

    Attributes
    ----------
    crop
        Range of the crop's share of the image area, in (0, 1]. (1, 1) is the whole image, brought to the size
        of the view. None is the centre crop of the size of the view that evaluation takes (see `center`).
    ratio
        Range of the crop's width divided by its height, drawn evenly in the logarithm.
    hflip, vflip
        Probabilities of mirroring left-right and upside-down.
    rot90
        Probability of a rotation by 90, 180 or 270 degrees, each as likely as the others. Needs square views.
    brightness, contrast, saturation
        b >= 0: the factor is drawn from [max(0, 1 - b), 1 + b].
    hue
        b in [0, 0.5]: the shift is drawn from [-b, b] turns of the colour circle.
    jitter
        Probability of the four changes above, which come in random order.
    gray
        Probability of losing all colour.
    blur, blur_sigma
        Probability of a Gaussian blur, and the range of its standard deviation in pixels of the view. The
        kernel is a tenth of the view wide (SimCLR's rule; 23 pixels at 224, as in BYOL).
    solarize
        Probability of inverting all values from 0.5 up, on a scale of 0 to 1.
    scale
        Side of the view as a share of the network's input side, in (0, 1]; see `view_size`. The small crops of
        SwAV and DINO are 96/224.
    """

    crop: Pair | None = (0.08, 1.0)
    ratio: Pair = (3 / 4, 4 / 3)
    hflip: float = 0.5
    vflip: float = 0.0
    rot90: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    jitter: float = 0.0
    gray: float = 0.0
    blur: float = 0.0
    blur_sigma: Pair = (0.1, 2.0)
    solarize: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for names, expected, holds in _RULES:
            for name in names:
                value = getattr(self, name)
                if not holds(value):
                    raise RecipeError(f"augmentation setting '{name}': got {value!r}, expected {expected}")


@dataclass(frozen=True)
class Normalize:
    """Mean and standard deviation of red, green and blue, on a scale of 0 to 1.

    Raises `RecipeError`: not three of each, or a standard deviation that is not positive.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise RecipeError(
                f"normalisation: got mean {self.mean} and std {self.std}, "
                "expected three numbers each (red, green, blue), std above 0"
            )


def _ordered(value: Pair | None, low: float, high: float) -> bool:
    return value is not None and len(value) == 2 and low < value[0] <= value[1] <= high


_RULES: tuple[tuple[tuple[str, ...], str, Callable[..., bool]], ...] = (
    (
        ("hflip", "vflip", "rot90", "jitter", "gray", "blur", "solarize"),
        "a probability from 0 to 1",
        lambda value: 0 <= value <= 1,
    ),
    (("brightness", "contrast", "saturation"), "a strength of 0 or more", lambda value: 0 <= value < float("inf")),
    (("hue",), "a share of the colour circle from 0 to 0.5", lambda value: 0 <= value <= 0.5),
    (("scale",), "a share of the network's input side, above 0 and up to 1", lambda value: 0 < value <= 1),
    (("crop",), "None or (low, high) with 0 < low <= high <= 1", lambda v: v is None or _ordered(v, 0, 1)),
    (("ratio", "blur_sigma"), "(low, high) with 0 < low <= high", lambda value: _ordered(value, 0, 1e6)),
)

_BYOL = Augment(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, jitter=0.8, gray=0.2)

AUGMENTS: dict[str, Augment] = {
    # what evaluation sees: nothing is random
    "none": Augment(crop=None, hflip=0.0),
    # finetuning: few labels, or objects that fill the image
    "light": Augment(crop=(0.5, 1.0)),
    # finetuning with many labels: the random resized crop of ImageNet training
    "standard": Augment(),
    # microscopy and aerial images, which have no upright: all eight orientations equally likely
    "orientations": Augment(crop=(0.5, 1.0), vflip=0.5, rot90=0.75),
    # the two views of BYOL differ in blur and solarisation
    "byol-1": dataclasses.replace(_BYOL, blur=1.0),
    "byol-2": dataclasses.replace(_BYOL, blur=0.1, solarize=0.2),
    # MoCo v2 and SimSiam: one distribution for both views
    "moco": Augment(
        crop=(0.2, 1.0), brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, jitter=0.8, gray=0.2, blur=0.5
    ),
    "simclr": Augment(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, jitter=0.8, gray=0.2, blur=0.5),
    # for small images, where a blur of 2 pixels or a crop of 8 % leaves little to recognise
    "mild-1": dataclasses.replace(_BYOL, crop=(0.2, 1.0)),
    "mild-2": dataclasses.replace(_BYOL, crop=(0.2, 1.0), solarize=0.1),
}


def view_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return height and width of a view that is `scale` of a network's input `size` = (h, w), in pixels.

    Each side is the multiple of 16 nearest to its share, at least 16 and at most the whole side: what transformers
    with patches of 16 or 8 pixels can cut, and convolutions can halve four times. Scale 1 is `size` itself. So
    96/224 gives 96 of 224 pixels, 64 of 160, 32 of 64 and 16 of 32.
    """
    if scale == 1:
        return size
    height, width = (min(side, max(16, 16 * math.floor(side * scale / 16 + 0.5))) for side in size)
    return height, width


def scaled(augment: Augment, strength: float) -> Augment:
    """Return the same view, weaker (strength < 1) or stronger (> 1); 1 changes nothing.

    At 0 only the flips are left. Crop area and aspect ratio are scaled in their logarithms, colour strengths and the
    probabilities of grey, blur and solarisation in proportion (up to their greatest allowed value). Flips and rotations
    are symmetries of the data, not strengths, and stay; so does the size of the view. Raises `RecipeError`: the
    strength is not in [0, 2].
    """
    if not 0 <= strength <= 2:
        raise RecipeError(f"augmentation strength: got {strength}, expected a number from 0 to 2")
    crop = augment.crop
    return dataclasses.replace(
        augment,
        crop=crop and (crop[0] ** strength, crop[1] ** strength),
        ratio=(augment.ratio[0] ** strength, augment.ratio[1] ** strength),
        brightness=augment.brightness * strength,
        contrast=augment.contrast * strength,
        saturation=augment.saturation * strength,
        hue=min(0.5, augment.hue * strength),
        gray=min(1.0, augment.gray * strength),
        blur=min(1.0, augment.blur * strength),
        solarize=min(1.0, augment.solarize * strength),
    )


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

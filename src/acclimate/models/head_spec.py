"""What stands on top of a backbone, as recipes and weights files say it; ``heads`` builds it. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from acclimate.errors import ModelError

KINDS: Final = ("linear", "bn+linear", "mlp")
NORMALIZE: Final = ("none", "l2", "zscore")
_LAYERS: Final = re.compile(r"^([1-9]\d{0,2})(\+avg)?$")


@dataclass(frozen=True)
class HeadSpec:
    """What stands on top of a backbone.

    Attributes
    ----------
    layers
        Inputs, such as ``4+avg``: the last 4 blocks, and the mean over positions of the last; empty: timm's pooling.
    rates
        Factors of the learning rate, one classifier for each and for each of ``layers``; empty: one classifier.
    """

    kind: str = "linear"
    normalize: str = "none"
    layers: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether it is timm's own linear classifier."""
        return self == HeadSpec()

    @property
    def several(self) -> bool:
        """Whether several classifiers train at once, of which validation chooses one."""
        return bool(self.rates) or len(self.layers) > 1


def parse_layers(text: str) -> tuple[int, bool]:
    """Read ``4`` or ``4+avg``: how many of the last blocks, and whether the mean over positions is joined.

    Raises
    ------
    ValueError
        For anything else.
    """
    match = _LAYERS.match(text)
    if not match:
        raise ValueError(f"got layers '{text}'; expected a number of last blocks such as '4', or '4+avg'")
    return int(match[1]), bool(match[2])


def read_card(card: Mapping[str, Any]) -> HeadSpec:
    """Return the head that a weights file speaks of; the plain one where it says nothing.

    Raises
    ------
    ModelError
        When it says what no head is.
    """
    kind, normalize = card.get("kind", "linear"), card.get("normalize", "none")
    layers = tuple(str(text) for text in card.get("layers", ()))
    if kind not in KINDS or normalize not in NORMALIZE or not all(_LAYERS.match(text) for text in layers):
        raise ModelError(f"the weights' header is damaged: no head is {dict(card)!r}")
    return HeadSpec(kind, normalize, layers)

"""What can be said of a network without running it: asked once, and remembered with the name of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from acclimate.errors import ModelError

Family = Literal["batch-norm", "transformer", "other"]


@dataclass(frozen=True)
class Outline:
    """Facts of a network.

    Attributes
    ----------
    kind
        Name of its class.
    parameters
        Their number, without a classifier.
    family
        See ``acclimate.models.network.family_of``.
    layers
        Names of the layers that features can be taken from, the first first; empty where the network names none.
    class_token
        Whether it has one.
    pooling
        What ``default`` means below the last layer.
    """

    kind: str
    parameters: int
    family: Family
    layers: tuple[str, ...]
    class_token: bool
    pooling: Literal["cls", "mean"]

    def layer_names(self) -> tuple[str, ...]:
        """Return the names of the layers.

        Raises
        ------
        ModelError
            For a network that does not say where they are.
        """
        return require_layers(self.layers, self.kind)


def require_layers(layers: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """Return the layers of a network of some kind, or raise ``ModelError`` where it names none."""
    if not layers:
        raise ModelError(
            f"{kind} does not say where its layers are (timm's feature_info); expected a timm network such as a "
            "ResNet, ConvNeXt or ViT, or layer 'last'"
        )
    return layers

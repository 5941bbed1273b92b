"""Stochastic depth: residual branches left out at random while a stage trains (Huang et al. 2016, arXiv 1603.09382).

Where the branches are, and how the chance grows with depth, is timm's knowledge: an architecture is built a second time
with stochastic depth, and its modules are moved over. They have no weights, and do nothing in evaluation. Their random
numbers come from torch's global generator, to which the loop lends the seed of the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from acclimate.errors import ModelError, RecipeError
from acclimate.models import Backbone, create
from acclimate.models.load.lean import import_timm

if TYPE_CHECKING:
    from timm.layers.drop import DropPath
else:
    DropPath = import_timm().layers.DropPath

_BUILT = 0.5  # the chance that the second network is built with; only the shares of it count


class Branch(DropPath):
    """What leaves a branch out; ``share`` is its chance relative to that of the last branch."""

    def __init__(self, share: float) -> None:
        super().__init__(0.0)
        self.share = share


def give_depth(network: nn.Module, backbone: Backbone) -> None:
    """Make a network's branches ready to be left out; none is, until ``set_depth`` says so.

    Raises RecipeError when the architecture has no stochastic depth.
    """
    try:
        twin = create(backbone.architecture, {**backbone.arguments, "drop_path_rate": _BUILT})
    except ModelError:
        twin = nn.Identity()
    branches = {name: part for name, part in twin.named_modules() if isinstance(part, DropPath)}
    if not branches:
        raise RecipeError(
            f"got drop_path for '{backbone.architecture}', which has no stochastic depth in timm; leave drop_path out"
        )
    for name, part in branches.items():
        parent, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, Branch(float(part.drop_prob or 0.0) / _BUILT))


def set_depth(network: nn.Module, rate: float) -> None:
    """Set the chance that the last branch is left out, and those of the others with it."""
    for part in network.modules():
        if isinstance(part, Branch):
            part.drop_prob = rate * part.share

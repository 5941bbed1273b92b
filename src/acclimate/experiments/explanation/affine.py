"""What training did to the norms themselves: scale (gamma), shift (beta) and running statistics, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from acclimate.experiments.explanation.record import group_of, is_norm_layer

# timm's and torch's names, and what they are.
ROLES = {"weight": "scale", "bias": "shift", "running_mean": "mean", "running_var": "variance"}


@dataclass(frozen=True)
class NormChange:
    """How one vector of one norm layer changed."""

    # layer, role: name of the layer, and ``scale``, ``shift`` (affine parameters), ``mean`` or ``variance`` (running
    # statistics)
    layer: str
    role: str
    n: int  # number of channels
    # length, start: ||a1 - a0|| and ||a0||
    length: float
    start: float
    sign_changed: float  # share of channels whose sign is the opposite of what it was, in [0, 1]
    largest: float  # max |a1 - a0|
    # before, after: means over the channels
    before: float
    after: float

    @property
    def group(self) -> str:
        """The part of the network that the layer belongs to."""
        return group_of(self.layer)

    @property
    def relative(self) -> float | None:
        """``length / start``: 0.3 is a change by 30% of what it was; None where it began at zero."""
        return self.length / self.start if self.start > 0 else None


def changes(before: nn.Module, after: nn.Module) -> list[NormChange]:
    """Return how each norm layer's vectors changed, in the order of the network's modules.

    Both networks have one architecture. A norm without affine parameters has rows for its running statistics only.
    """
    others = dict(after.named_modules())
    out = []
    for name, module in before.named_modules():
        if is_norm_layer(module):
            mine, theirs = _vectors(module), _vectors(others[name])
            out += [_change(name, role, mine[role], theirs[role]) for role in mine]
    return out


def _vectors(module: nn.Module) -> dict[str, npt.NDArray[np.float64]]:
    values = {role: getattr(module, name, None) for name, role in ROLES.items()}
    return {role: t.detach().cpu().double().numpy().ravel() for role, t in values.items() if isinstance(t, Tensor)}


def _change(layer: str, role: str, before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> NormChange:
    moved = after - before
    return NormChange(
        layer=layer,
        role=role,
        n=len(before),
        length=float(np.linalg.norm(moved)),
        start=float(np.linalg.norm(before)),
        sign_changed=float((before * after < 0).mean()),
        largest=float(np.abs(moved).max()),
        before=float(before.mean()),
        after=float(after.mean()),
    )


def together(rows: Sequence[NormChange]) -> float | None:
    """Return the relative change of several layers' vectors taken as one long vector; None where all began at zero."""
    start = sum(row.start**2 for row in rows)
    return float((sum(row.length**2 for row in rows) / start) ** 0.5) if start > 0 else None

"""Multi-crop (Caron et al. 2020, arXiv 2006.09882, section 3.2): two full views, and small views of small areas."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from acclimate.models.network import pooled, takes_any_size
from acclimate.views import Augment

FULL = 2  # views at the network's own size
SMALL = 96 / 224  # side of a small view, in both papers


def crop_views(
    network: nn.Module, full: Sequence[Augment], small: Augment, *, count: int, split: float
) -> tuple[Augment, ...]:
    """Return the two full views, then ``count`` small ones.

    They are ``full`` and ``small`` but for their areas: full views show at least the share ``split`` of the image's
    area, small ones at most this and at least 0.05. A network with a fixed input size sees the small areas at full
    size: the task is the same, its cost is not.
    """
    scale = SMALL if count and takes_any_size(network) else 1.0
    wide = [dataclasses.replace(view, crop=(split, 1.0)) for view in full]
    narrow = dataclasses.replace(small, crop=(0.05, split), scale=scale)
    return (*wide, *[narrow] * count)


def crop_features(network: nn.Module, views: Sequence[Tensor]) -> Tensor:
    """Return pooled features ``(k b, d)`` of k views, view by view.

    The full views are one forward pass and the small ones another, as in the authors' code: batch statistics are over
    all views of one kind.
    """
    kinds = [views[:FULL], views[FULL:]]
    return torch.cat([pooled(network, torch.cat(list(kind))) for kind in kinds if kind])

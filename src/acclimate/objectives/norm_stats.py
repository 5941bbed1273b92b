"""Batch-norm statistics of the target images: AdaBN (Li et al. 2016, arXiv 1603.04779, algorithm 1).

The running mean and variance of every batch norm become those of the images seen in this stage; no weight changes and
nothing has a gradient. With a prior of N images the source's statistics keep their say (Schneider et al. 2020, arXiv
2006.16971): statistics = N / (N + n) source + n / (N + n) target, for n images seen.

The target's mean and variance are those of all its pixels, not averages over batches: batches are merged as parts of
one sample (Chan et al. 1979), so that the variance holds what lies between batches too. A batch norm above the first
sees inputs that the ones below normalised with their batch's statistics, as in training: large batches are better.

A batch norm that the stage's scope leaves frozen, or that the pooled features do not pass, keeps the source's.
Only running means and variances (and torch's own count of batches) change; every batch norm keeps its momentum and its
mode, so there is nothing to undo.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from acclimate.errors import RecipeError
from acclimate.models.network import pooled
from acclimate.objectives.base import Objective, ObjectiveSettings, Paper
from acclimate.objectives.parts import Number
from acclimate.views import AUGMENTS, Augment


class NormStatsSettings(ObjectiveSettings):
    """Settings of batch-norm statistics.

    Attributes
    ----------
    prior
        N: how many images the source's statistics count for; 0 forgets them at the first step.
    """

    prior: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class _Statistics(nn.Module):
    """Mean and variance of each channel of all batch norms, one after the other; ``images`` seen so far."""

    source_mean: Tensor
    source_var: Tensor
    mean: Tensor
    var: Tensor

    def __init__(self, source_mean: Tensor, source_var: Tensor) -> None:
        super().__init__()
        self.register_buffer("source_mean", source_mean)
        self.register_buffer("source_var", source_var)
        self.register_buffer("mean", torch.zeros_like(source_mean))
        self.register_buffer("var", torch.zeros_like(source_var))
        self.images = Number()

    def merge(self, mean: Tensor, var: Tensor, images: int) -> None:
        """Add a batch: the variance of two parts is that within them and that between their means."""
        self.images.value += images
        share = images / self.images.value
        between = share * (1 - share) * (mean - self.mean).square()
        self.var.lerp_(var, share).add_(between)
        self.mean.lerp_(mean, share)

    def mixed(self, prior: float) -> tuple[Tensor, Tensor]:
        """Return mean and variance with the source counting for ``prior`` images."""
        share = self.images.value / (prior + self.images.value)
        return torch.lerp(self.source_mean, self.mean, share), torch.lerp(self.source_var, self.var, share)


class NormStats(Objective):
    """The network's batch norms and the statistics of the images seen."""

    settings: NormStatsSettings
    gradient_free = True
    paper = Paper(
        source="Li et al. 2016, arXiv 1603.04779, section 3 (no training: one pass over the target's images)",
        optimizer="",
        lr=0.0,
        batch=64,
        weight_decay=0.0,
        options={"prior": 0.0},
    )
    views: Sequence[Augment] = (AUGMENTS["none"],)  # the statistics are for what evaluation sees

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Keep the source's statistics.

        Raises `RecipeError` for a network without batch norms that keep running statistics.
        """
        self.network = network
        self.norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        if not self.norms:
            raise RecipeError(
                f"objective 'norm-stats': got {type(network).__name__}, which has no batch norm with running "
                "statistics, expected one that has, such as timm:resnet50; choose another method such as byol"
            )
        self.statistics = _Statistics(*map(torch.cat, self._running()))
        return nn.ModuleDict({"statistics": self.statistics})

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Add a batch to the statistics and put them into the network; return 0, without a gradient.

        Raises `RecipeError` when every batch norm is in eval mode, where it does not look at its batch.
        """
        if not any(norm.training for norm in self.norms):
            raise RecipeError(
                f"objective 'norm-stats': got {type(self.network).__name__} with all {len(self.norms)} batch norms "
                "frozen, expected some that gather statistics; set the stage's scope to 'stats'"
            )
        with torch.no_grad():
            with self._recording() as sizes:
                pooled(self.network, views[0])
            mean, var = map(torch.cat, self._running())
            n = torch.tensor(sizes).repeat_interleave(torch.tensor(self._channels())).to(var)
            self.statistics.merge(mean, var * (1 - 1 / n), len(views[0]))  # torch keeps the variance over n - 1
            for buffers, values in zip(self._running(), self.statistics.mixed(self.settings.prior), strict=True):
                torch._foreach_copy_(buffers, torch.split(values, self._channels()))
        return torch.zeros((), device=views[0].device)

    @contextmanager
    def _recording(self) -> Iterator[list[float]]:
        """Let running statistics be those of the next batch alone; yield how many pixels each batch norm saw."""
        # That is infinite for one that sees none: its statistics need no correction, since they are the source's.
        # Dropout and the like are off meanwhile, as in evaluation.
        sizes = [math.inf] * len(self.norms)
        modes = {module: module.training for module in self.network.modules()}
        watched = [(i, norm, norm.momentum) for i, norm in enumerate(self.norms) if norm.training]
        hooks = [norm.register_forward_pre_hook(partial(_note_size, sizes, i)) for i, norm, _ in watched]
        self.network.eval()
        for _, norm, _ in watched:
            norm.training, norm.momentum = True, 1.0
        try:
            yield sizes
        finally:
            for hook in hooks:
                hook.remove()
            for _, norm, momentum in watched:
                norm.momentum = momentum
            for module, mode in modes.items():
                module.training = mode

    def _channels(self) -> list[int]:
        return [norm.num_features for norm in self.norms]

    def _running(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the running means and variances of all batch norms, themselves and no copies."""
        norms = cast(list[Any], self.norms)
        return [norm.running_mean for norm in norms], [norm.running_var for norm in norms]


def _note_size(sizes: list[float], index: int, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    sizes[index] = inputs[0].numel() / inputs[0].shape[1]

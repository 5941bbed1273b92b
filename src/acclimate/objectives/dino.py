"""DINO: self-distillation with no labels (Caron et al. 2021, arXiv 2104.14294, equations 1-5).

A student predicts what a slowly moving teacher makes of another view: L = -sum_k P_t log P_s, where the teacher's
output is centred (no output may win for all images) and sharpened (a low temperature; not all may be even):
P_t = softmax((g_t - c) / T_t). The teacher sees the two full views, the student also small ones.
The loss comes from lightly (MIT). The head is lightly's but for its last layer, whose weights are normalised where they
are used: lightly's old-style weight norm cannot be copied, which the teacher has to be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from lightly.loss import DINOLoss
from lightly.models.modules.heads import ProjectionHead
from pydantic import Field
from torch import Tensor, nn

from acclimate.objectives.base import Objective, ObjectiveSettings, Paper
from acclimate.objectives.parts import FULL, Momentum, Number, crop_features, crop_views, in_float32
from acclimate.views import AUGMENTS, Augment


class DINOSettings(ObjectiveSettings):
    """Settings of DINO.

    Attributes
    ----------
    hidden, bottleneck, out
        Widths of the head: two hidden layers, the unit vector, the outputs.
    small_crops
        Small views beside the two full ones.
    split
        Share of the image's area that divides full views from small ones, in (0.05, 1].
    ema
        The teacher's momentum at the start, in [0, 1]; it rises to 1 by a half cosine.
    target_buffers
        ``forward`` or ``ema``; see ``objectives.parts``.
    temperature
        T_s of the student.
    teacher_start, teacher_end, teacher_warmup
        T_t at the start and at the end of its linear warm-up, and the share of the stage's steps that this takes.
    center
        Momentum of the centre, in [0, 1].
    freeze
        Share of the stage's steps in which the last layer keeps its random start, in [0, 1].
    """

    hidden: int = Field(default=512, ge=1)
    bottleneck: int = Field(default=128, ge=1)
    out: int = Field(default=1024, ge=2)
    small_crops: int = Field(default=4, ge=0)
    split: float = Field(default=0.4, gt=0.05, le=1)
    ema: float = Field(default=0.99, ge=0, le=1)
    target_buffers: str = Field(default="forward", pattern="^(forward|ema)$")
    temperature: float = Field(default=0.1, gt=0)
    teacher_start: float = Field(default=0.02, gt=0)
    teacher_end: float = Field(default=0.04, gt=0)
    teacher_warmup: float = Field(default=0.3, ge=0, le=1)
    center: float = Field(default=0.9, ge=0, le=1)
    freeze: float = Field(default=0.01, ge=0, le=1)


class _Head(nn.Module):
    """Three linear layers with GELU, a unit vector, and a last layer of unit rows; no batch norm."""

    def __init__(self, width: int, settings: DINOSettings) -> None:
        super().__init__()
        hidden, bottleneck = settings.hidden, settings.bottleneck
        self.mlp = ProjectionHead(
            [(width, hidden, None, nn.GELU()), (hidden, hidden, None, nn.GELU()), (hidden, bottleneck, None, None)]
        )
        for module in self.mlp.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        self.last = nn.Linear(bottleneck, settings.out, bias=False)

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """Return cosines ``(n, out)``; a frozen last layer gets no gradient, so that no optimizer moves it."""
        weight = F.normalize(self.last.weight, dim=1)
        return F.linear(F.normalize(self.mlp(x), dim=1), weight.detach() if frozen else weight)


class DINO(Objective):
    """The student with its head, the teacher with its own, and the centre of the teacher's outputs."""

    settings: DINOSettings
    views: Sequence[Augment] = ()  # until ``setup``
    paper = Paper(
        source="Caron et al. 2021, arXiv 2104.14294, section 3.2 and appendix (ViT-S/16, ImageNet, 300 epochs)",
        optimizer="adamw",
        lr=2e-3,
        batch=1024,
        weight_decay=0.04,
        options={
            "hidden": 2048,
            "bottleneck": 256,
            "out": 65536,
            "small_crops": 10,
            "ema": 0.996,
            "teacher_start": 0.04,
            "teacher_end": 0.07,
            "teacher_warmup": 0.1,
            "freeze": 1 / 300,
        },
    )

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build the head, a frozen copy of network and head, and the centre; see whether small views can be small."""
        s, self.network = self.settings, network
        small = dataclasses.replace(AUGMENTS["byol-1"], blur=0.5)
        full = [AUGMENTS["byol-1"], AUGMENTS["byol-2"]]
        self.views = crop_views(network, full, small, count=s.small_crops, split=s.split)
        self.head = _Head(features, s)
        self.momentum = Momentum([network, self.head], start=s.ema, buffers=s.target_buffers)
        self.teacher, self.teacher_head = self.momentum.copies
        # its centre is moved here: in its own forward pass, the batches of one step would see different centres
        self.criterion = DINOLoss(s.out, student_temp=s.temperature, center_momentum=1.0)
        self.progress = Number()
        self._means: list[Tensor] = []  # of the teacher's outputs in this step
        return nn.ModuleDict(
            {"head": self.head, "targets": self.momentum.copies, "criterion": self.criterion, "progress": self.progress}
        )

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the mean cross-entropy in nats, >= 0, over all pairs of a full view and another view."""
        with torch.no_grad():
            self.momentum.follow_modes()
            goals = in_float32(self.teacher_head, crop_features(self.teacher, views[:FULL]))
            self._means.append(goals.mean(dim=0))
        frozen = self.progress.value < self.settings.freeze
        guesses = in_float32(lambda x: self.head(x, frozen), crop_features(self.network, views))
        with torch.autocast(goals.device.type, enabled=False):
            goal, guess = list(goals.chunk(FULL)), list(guesses.chunk(len(views)))
            loss: Tensor = self.criterion(goal, guess, teacher_temp=self._teacher_temperature())
        return loss

    def after_step(self, progress: float) -> None:
        """Move the teacher towards the student, and the centre towards the mean output of the step's batches."""
        self.progress.value = progress
        self.momentum.update(progress)
        if self._means:
            self.criterion.center.lerp_(torch.stack(self._means).mean(dim=0), 1 - self.settings.center)
        self._means = []

    def _teacher_temperature(self) -> float:
        s = self.settings
        warmed = min(1.0, self.progress.value / s.teacher_warmup) if s.teacher_warmup else 1.0
        return s.teacher_start + warmed * (s.teacher_end - s.teacher_start)

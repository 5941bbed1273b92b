"""Images/s of adaptation against the BYOL script that `lightly`'s documentation teaches.

The script: `BYOLTransform` at the model's input size on PIL images, a DataLoader with a worker for each core, two
passes through the online and two through the momentum network, float32, contiguous. Its images are decoded already and
lie in memory, which favours it. Ours is the program's own step at the precision that `auto` takes on this machine, in
channels-last memory, with all views made in one pass. Same network, batch, heads and number of steps; both train.

The floor is the network's own forward and backward passes. Where the CPU has no bfloat16, what is left to gain is the
script's own cost of views (PIL, one image at a time, on the cores that the network needs too) and the memory layout.
"""

from __future__ import annotations

import copy
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from byol_step import BATCH, IMAGES, SIZE, noise_step
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import BYOLTransform, BYOLView1Transform, BYOLView2Transform
from measure import Options, Row
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from acclimate.training.stage import StageRun

TARGET = 2.5
TURNS, STEPS = 3, 3


class Pictures(Dataset[list[Tensor]]):
    """PIL images in memory through lightly's transform."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        views = (BYOLView1Transform(input_size=SIZE), BYOLView2Transform(input_size=SIZE))
        self.transform = BYOLTransform(*views)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int) -> list[Tensor]:
        return self.transform(Image.fromarray(self.pixels[i]))


class Script(nn.Module):
    """BYOL as in lightly's examples/pytorch/byol.py, with the heads' widths of ours."""

    def __init__(self, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.backbone, self.head = backbone, BYOLProjectionHead(width, 512, 128)
        self.prediction = BYOLPredictionHead(128, 512, 128)
        self.backbone_momentum, self.head_momentum = copy.deepcopy(self.backbone), copy.deepcopy(self.head)
        deactivate_requires_grad(self.backbone_momentum)
        deactivate_requires_grad(self.head_momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Return the prediction of the online network."""
        return self.prediction(self.head(self.backbone(x).flatten(start_dim=1)))

    def forward_momentum(self, x: Tensor) -> Tensor:
        """Return the projection of the momentum network."""
        return self.head_momentum(self.backbone_momentum(x).flatten(start_dim=1)).detach()


def run(options: Options) -> list[Row]:
    """Take turns between the two; the median of the turns' ratios is the result."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DataLoader's about pinned memory without a GPU
        ours = noise_step(Path(folder))
        theirs = _script(ours)
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(TURNS + 1):
            seconds["ours"].append(_ours(ours))
            seconds["theirs"].append(_theirs(theirs))
    pairs = zip(seconds["ours"][1:], seconds["theirs"][1:], strict=True)  # the first turn warms up
    ratios = [t / o for o, t in pairs]
    speed = {name: BATCH / statistics.median(times[1:]) for name, times in seconds.items()}
    spread = f"ratios {min(ratios):.2f} to {max(ratios):.2f} over {TURNS} turns"
    notes = f"test_resnet, {SIZE} px, batch {BATCH}, ours in {ours.arithmetic.precision}; {spread}"
    ratio = statistics.median(ratios)
    return [Row("adapt_vs_lightly", ratio, TARGET, speed["ours"], speed["theirs"], "images/s", notes)]


def _ours(step: StageRun) -> float:
    started = time.perf_counter()
    for number in range(STEPS):
        step.do_step(number)
    return (time.perf_counter() - started) / STEPS


def _script(step: StageRun) -> Iterator[None]:
    """Return an iterator that does one step of the script for each ``next``."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    backbone = copy.deepcopy(step.network).to(memory_format=torch.contiguous_format).train()
    model = Script(backbone, 96)
    loader = DataLoader(
        Pictures(pixels),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
    )
    return _steps(model, loader, torch.optim.AdamW(model.parameters(), lr=1e-3), NegativeCosineSimilarity())


def _steps(model: Script, loader: DataLoader, optimizer: torch.optim.Optimizer, criterion: nn.Module) -> Iterator[None]:
    while True:
        for x0, x1 in loader:
            update_momentum(model.backbone, model.backbone_momentum, m=0.99)
            update_momentum(model.head, model.head_momentum, m=0.99)
            p0, z0, p1, z1 = model(x0), model.forward_momentum(x0), model(x1), model.forward_momentum(x1)
            loss = 0.5 * (criterion(p0, z1) + criterion(p1, z0))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            yield


def _theirs(steps: Iterator[None]) -> float:
    """Return the seconds of one step; more of them than ours, so that what workers made ahead counts for little."""
    started = time.perf_counter()
    for _ in range(2 * STEPS):
        next(steps)
    return (time.perf_counter() - started) / (2 * STEPS)

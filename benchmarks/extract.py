"""A folder of JPEG files to ResNet-18 features on the CPU, against the bare network and the usual loop."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from measure import Options, Row, cores
from photos import write_photos
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms
from torchvision.transforms import InterpolationMode

from acclimate.images import load_images
from acclimate.models import Backbone, autocast, choose_precision, extract, load_backbone
from acclimate.models.features.forward import CPU_BATCH
from acclimate.storage.runtime import Runtime

MODEL = "random:resnet18"
TURN = 250  # images: the three ways take turns, so that a busy moment of the machine hits all alike
PLAIN_BATCH = 64
FLOOR, TIMES = 0.90, 2.0  # of the bare network; of the usual loop

Made = TypeVar("Made")
Indices = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]  # (m, d) features of a part
Way = Callable[[Indices], Matrix]


def run(options: Options) -> list[Row]:
    """Return two rows: images/s of extraction divided by those of the bare network, and of the usual loop."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photos"
        write_photos(root, options.images)
        return _measure(root, Path(folder) / "cache")


def _measure(root: Path, cache: Path) -> list[Row]:
    backbone = load_backbone(MODEL)
    usual_network = backbone.network(0).to(memory_format=torch.contiguous_format).eval()
    _warm_up(backbone, usual_network)
    images, listing = _timed(lambda: load_images(root, cache=cache))
    folder, usual_listing = _timed(lambda: datasets.ImageFolder(str(root), _usual_transform(backbone)))

    def ours(part: Indices) -> Matrix:
        return extract(backbone, images, indices=part, runtime=Runtime(cache=cache, device="cpu")).x[part]

    def usual(part: Indices) -> Matrix:
        return _usual_loop(usual_network, Subset(folder, part.tolist()))

    ways = (ours, _bare(backbone), usual)
    seconds, difference = _take_turns(ways, np.array_split(np.arange(len(images)), max(1, len(images) // TURN)))
    _, again = _timed(lambda: extract(backbone, images, runtime=Runtime(cache=cache, device="cpu")))
    rates = len(images) / (seconds.sum(axis=0) + np.array([listing, 0.0, usual_listing]))
    size = sum(file.stat().st_size for file in root.rglob("*.jpg")) / len(images) / 1000
    what = f"{len(images)} JPEG files of {size:.0f} kB, empty cache, {choose_precision('auto', 'cpu')}"
    ours_rate, bare_rate, usual_rate = rates.tolist()
    against_bare = f"{what}; {_spread(seconds, 1)}; with a filled cache {len(images) / again:.0f} images/s"
    against_usual = f"{what}; {_spread(seconds, 2)}; features differ by {difference:.3f} of their spread"
    return [
        Row("extract", ours_rate / bare_rate, FLOOR, ours_rate, bare_rate, "images/s", against_bare),
        Row("extract_plain", ours_rate / usual_rate, TIMES, ours_rate, usual_rate, "images/s", against_usual),
    ]


def _timed(call: Callable[[], Made]) -> tuple[Made, float]:
    started = time.perf_counter()
    made = call()
    return made, time.perf_counter() - started


def _take_turns(ways: tuple[Way, ...], parts: list[Indices]) -> tuple[npt.NDArray[np.float64], float]:
    """Return seconds (parts, ways), and how far apart the features of the first and the last way are."""
    seconds = np.zeros((len(parts), len(ways)))
    differences = []
    for turn, part in enumerate(parts):
        features = {}
        for i in list(range(len(ways)))[:: 1 if turn % 2 == 0 else -1]:
            features[i], seconds[turn, i] = _timed(functools.partial(ways[i], part))
        first, last = features[0], features[len(ways) - 1]
        differences.append(np.abs(first - last).mean() / last.std(axis=0).mean())
    return seconds, float(np.mean(differences))


def _spread(seconds: npt.NDArray[np.float64], way: int) -> str:
    ratios = seconds[:, way] / seconds[:, 0]
    return f"ratios in {len(ratios)} turns {ratios.min():.2f} to {ratios.max():.2f}"


def _bare(backbone: Backbone) -> Way:
    """Return the network alone on ready tensors: the same weights, layout, batch, precision and threads."""
    precision = choose_precision("auto", "cpu")
    shape = (CPU_BATCH, 3, *backbone.preprocess.size)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)

    def forward(part: Indices) -> Matrix:
        with torch.inference_mode(), autocast(precision, "cpu"):
            starts = range(0, len(part), CPU_BATCH)
            return np.concatenate([backbone.module(x[: len(part) - start]).float().numpy() for start in starts])

    return forward


def _usual_transform(backbone: Backbone) -> Callable[..., torch.Tensor]:
    preprocess = backbone.preprocess
    side = int(preprocess.size[0] / preprocess.crop_pct)
    steps = [
        transforms.Resize(side, InterpolationMode(preprocess.interpolation)),
        transforms.CenterCrop(preprocess.size),
        transforms.ToTensor(),
        transforms.Normalize(preprocess.mean, preprocess.std),
    ]
    usual: Callable[..., torch.Tensor] = transforms.Compose(steps)
    return usual


def _usual_loop(network: nn.Module, images: Dataset[tuple[torch.Tensor, int]]) -> Matrix:
    loader = DataLoader(images, batch_size=PLAIN_BATCH, num_workers=cores())
    with torch.no_grad():
        return np.concatenate([network(x).flatten(1).numpy() for x, _ in loader])


def _warm_up(backbone: Backbone, usual_network: nn.Module) -> None:
    """Run each network once: the first call of a shape also chooses kernels and takes memory."""
    with torch.no_grad():
        for network in (backbone.module, usual_network):
            network(torch.zeros(PLAIN_BATCH, 3, *backbone.preprocess.size))

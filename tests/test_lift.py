"""Every objective makes a random start better on real images: neighbours agree more on digits it never saw.

A random network gains from any change of scale, from batch-norm statistics alone to a whitening of its features, and
that is no learning. So the networks here have no batch norm, and a lift is counted from the start or from its
whitened features, whichever is better. Only for `norm-stats`, which learns nothing, it is counted from the plain start.

What this does not show is that the pairing of views did it. For a random network of this size a few steps towards any
target that spreads real images help: with views of different images BYOL gains about as much, SimCLR half or more.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from acclimate.experiments.adaptation import agreement
from acclimate.images import Images, Split, load_images, make_split
from acclimate.models import Backbone, create, digest, load_backbone
from acclimate.objectives import OBJECTIVES
from acclimate.protocols import Task
from acclimate.storage.runtime import Runtime
from acclimate.training import Job, train
from acclimate.training.batches import PixelBatches
from acclimate.training.recipe import Recipe, Stage

Features = npt.NDArray[np.float32]

UNSUPERVISED = [name for name, (kind, _) in OBJECTIVES.items() if not kind.needs_labels]
ERRORS, LEAST = 3, 0.03  # a lift is at least so many standard errors of the paired difference, and so much
SHRINKAGE = (0.1, 0.01)  # of the whitenings, as shares of the largest variance

# an upright digit stays upright; half the strength of views made for photographs, since these are 16 pixels wide
USUAL = {"scope": "all", "steps": 30, "batch": 64, "lr": 0.002, "domain": "document", "strength": 0.5}
SETTINGS: dict[str, dict[str, object]] = {
    "swav": {"options": {"small_crops": 1}},
    "dino": {"options": {"small_crops": 1}},
    "rotation": {"lr": 0.004, "strength": 1.0},
    "mae": {"steps": 400, "batch": 32, "lr": 0.005, "options": {"mask": 0.5, "width": 64, "depth": 1}},
    "norm-stats": {"scope": "stats", "steps": 15},
}


@dataclasses.dataclass(frozen=True)
class Lift:
    """Mean agreement at the start, of the bar and after; the gain over the bar and its standard error over images."""

    start: float
    bar: float
    after: float
    gain: float
    error: float


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("builtin:digits")


def backbone_for(objective: str) -> Backbone:
    """Return a random network with group norms; another one where the objective needs it."""
    if objective == "norm-stats":
        return load_backbone("random:test_resnet", image_size=32)
    if objective == "mae":
        return small_patches()
    return load_backbone("random:test_efficientnet_gn", image_size=16)


def small_patches() -> Backbone:
    """Return a random ViT of 4 x 4 patches of 4 pixels, since four patches of 16 leave little to fill in."""
    arguments = {"img_size": 16, "patch_size": 4, "depth": 3}
    module = create("test_vit2", arguments)
    key = digest("test_vit2", arguments, module)
    start = load_backbone("random:test_vit2", image_size=16)
    return dataclasses.replace(start, module=module, arguments=arguments, digest=key)


def job_for(objective: str, images: Images, seed: int = 0, **changes: object) -> Job:
    values = {"objective": objective, **USUAL, **SETTINGS.get(objective, {}), **changes}
    recipe = Recipe(name="lift", stages=(Stage.model_validate(values),))
    return Job(
        backbone_for(objective),
        recipe,
        images,
        make_split(images),
        seed=seed,
        runtime=Runtime(device="cpu", precision="32"),
    )


def held_out(split: Split) -> npt.NDArray[np.int64]:
    asked = np.sort(np.concatenate([split.val, split.test]))
    assert not len(np.intersect1d(asked, split.pool))
    return asked


def probe(x: Features, job: Job) -> Features:
    """Return, for each held-out image, how many of its ten neighbours in the training part share its label."""
    bank, asked, y = job.split.train, held_out(job.split), job.images.labels
    return agreement(x[bank], y[bank], x[asked], y[asked])


def features(backbone: Backbone, job: Job) -> Features:
    task = Task(job.images, job.split)
    return np.asarray(task.features(backbone, job.runtime).x)


def whitened(x: Features, shrinkage: float) -> Features:
    """Return features with uncorrelated dimensions of equal variance, but for those that hardly vary."""
    values, vectors = np.linalg.eigh(np.cov((x - x.mean(0)).T))
    white: Features = ((x - x.mean(0)) @ (vectors / np.sqrt(values + shrinkage * values.max()))).astype(np.float32)
    return white


def lift(job: Job, folder: Path) -> Lift:
    """Train, and hold the adapted features against the best that the start's allow without learning."""
    x = features(job.backbone, job)
    start = bar = probe(x, job)
    if job.recipe.stages[0].objective != "norm-stats":
        bar = max([start, *(probe(whitened(x, share), job) for share in SHRINKAGE)], key=lambda each: each.mean())
    network = train(job, folder).network
    key = digest(job.backbone.architecture, job.backbone.arguments, network)
    after = probe(features(dataclasses.replace(job.backbone, module=network, digest=key), job), job)
    means = (float(each.mean()) for each in (start, bar, after, after - bar))
    return Lift(*means, error=float((after - bar).std() / len(bar) ** 0.5))


def check(got: Lift) -> None:
    """Fail unless the probe rose above the bar, and by more than chance."""
    needed = max(LEAST, ERRORS * got.error)
    assert got.gain > needed, f"no lift: expected a gain of more than {needed:.3f}, got {got}"


@pytest.mark.parametrize("objective", UNSUPERVISED)
def test_lifts_a_random_start(objective: str, images: Images, tmp_path: Path) -> None:
    check(lift(job_for(objective, images), tmp_path))


def test_a_network_that_stays_where_it_is_has_no_lift(images: Images, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no lift: expected a gain of more than"):
        check(lift(job_for("simclr", images, steps=5, lr=1e-9), tmp_path))


def test_a_network_that_saw_noise_has_no_lift(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same steps on the same network, but nothing to see: moving the weights is not what lifts."""
    real = PixelBatches.views

    def noise(self: PixelBatches, indices: npt.NDArray[np.int64], seed: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(view.shape, generator=generator) for view in real(self, indices, seed)]

    monkeypatch.setattr(PixelBatches, "views", noise)
    with pytest.raises(AssertionError, match="no lift: expected a gain of more than"):
        check(lift(job_for("byol", images), tmp_path))

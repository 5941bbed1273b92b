"""Every objective makes a random start better on real images: neighbours agree more on digits it never saw.

The network has no batch norm wherever the objective allows it, so that the lift is not one of batch-norm statistics,
which alone lift a random ResNet (the last test here measures by how much: that is what `norm-stats` has to offer).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from acclimate.adaptation import agreement
from acclimate.backbones import Backbone, digest, load_backbone
from acclimate.backbones.model import create
from acclimate.images import Images, load_images, make_split
from acclimate.objectives import OBJECTIVES
from acclimate.protocols import Setting
from acclimate.recipe import Recipe, Stage
from acclimate.train import Job, train

UNSUPERVISED = [name for name, (kind, _) in OBJECTIVES.items() if not kind.needs_labels]
ERRORS, LEAST = 3, 0.03  # a lift is at least so many standard errors of the paired difference, and so much

# an upright digit stays upright; half the strength of views made for photographs, since these are 16 pixels wide
USUAL = {"scope": "all", "steps": 40, "batch": 64, "lr": 0.002, "domain": "document", "strength": 0.5}
SETTINGS: dict[str, dict[str, object]] = {
    "byol": {"lr": 0.004, "strength": 1.0},
    "moco-v2": {"steps": 60},  # a norm-free head on a network without batch norm: keys start out nearly equal
    "swav": {"options": {"small_crops": 2}},
    "dino": {"options": {"small_crops": 2}},
    "rotation": {"lr": 0.004, "strength": 1.0},
    "mae": {"steps": 350, "batch": 32, "lr": 0.005, "options": {"mask": 0.5, "width": 64, "depth": 1}},
    "norm-stats": {"scope": "stats"},
}
Lift = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("builtin:digits")


def backbone_for(objective: str) -> Backbone:
    """Return a random network with layer norms; with batch norms where nothing else can be measured."""
    if objective == "norm-stats":
        return load_backbone("random:test_resnet", image_size=32)
    if objective == "mae":
        return small_patches()
    return load_backbone("random:test_efficientnet_ln", image_size=16)


def small_patches() -> Backbone:
    """Return a random ViT of 4 x 4 patches of 4 pixels, since four patches of 16 leave little to fill in."""
    arguments = {"img_size": 16, "patch_size": 4, "depth": 4}
    module = create("test_vit2", arguments)
    key = digest("test_vit2", arguments, module)
    start = load_backbone("random:test_vit2", image_size=16)
    return dataclasses.replace(start, module=module, arguments=arguments, digest=key)


def job_for(objective: str, images: Images, seed: int = 0, **changes: object) -> Job:
    values = {"objective": objective, **USUAL, **SETTINGS.get(objective, {}), **changes}
    recipe = Recipe(name="lift", stages=(Stage.model_validate(values),))
    split = make_split(images)
    return Job(backbone_for(objective), recipe, images, split, seed=seed, device="cpu", precision="32")


def probe(backbone: Backbone, images: Images) -> npt.NDArray[np.float32]:
    """Return, for each held-out image, how many of its neighbours in the training part share its label."""
    split = make_split(images)
    held_out = np.sort(np.concatenate([split.val, split.test]))
    assert not len(np.intersect1d(held_out, split.pool))
    x, y = Setting(images, split, device="cpu", quiet=True).features(backbone).x, images.labels
    bank, asked = np.asarray(x[split.train]), np.asarray(x[held_out])
    return agreement(bank, y[split.train], asked, y[held_out])


def lift(job: Job, images: Images, folder: Path) -> Lift:
    """Train, and return the probe at the start and after, their difference and its standard error over images."""
    start = probe(job.backbone, images)
    network = train(job, folder, quiet=True).network
    key = digest(job.backbone.architecture, job.backbone.arguments, network)
    after = probe(dataclasses.replace(job.backbone, module=network, digest=key), images)
    change = after - start
    return float(start.mean()), float(after.mean()), float(change.mean()), float(change.std() / len(change) ** 0.5)


def check_lift(got: Lift) -> None:
    """Fail unless the probe rose, and by more than chance."""
    start, after, gain, error = got
    needed = max(LEAST, ERRORS * error)
    assert gain > needed, f"no lift: {start:.3f} -> {after:.3f}, a gain of {gain:.3f}, expected more than {needed:.3f}"


@pytest.mark.parametrize("objective", UNSUPERVISED)
def test_lifts_a_random_start(objective: str, images: Images, tmp_path: Path) -> None:
    check_lift(lift(job_for(objective, images), images, tmp_path))


def test_a_network_that_stays_where_it_is_has_no_lift(images: Images, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no lift"):
        check_lift(lift(job_for("simclr", images, steps=5, lr=1e-9), images, tmp_path))

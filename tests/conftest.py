"""What every test stands on: no network, a cache of its own, and small folders of real images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

from acclimate.storage.runtime import Runtime

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from acclimate.images import Images, Split
    from acclimate.models import Backbone
    from acclimate.protocols import Task

ROOT = Path(__file__).resolve().parents[1]
DIGIT_NAMES = ("zero", "one", "two")
RUNTIME = Runtime(device="cpu", quiet=True)
TRAIN, TEST = 24, 12  # images a class


def pytest_configure(config: pytest.Config) -> None:
    """Cut the hub off before anything imports it: it reads this variable once."""
    os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep fixtures of a wider scope than one test out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCLIMATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return this test's own, empty cache folder; the program finds it by itself."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ACCLIMATE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data and oracles beside the project; without it the test is left out."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("left out: there is no folder 'shared' with real images and oracles beside the project")
    return folder


def _digits() -> list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Return (train (24, 8, 8), test (12, 8, 8)) of scanned digits for each of three classes, 0 to 255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    scans = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    chosen = [scans[bunch.target == label][: TRAIN + TEST] for label in range(len(DIGIT_NAMES))]
    return [(of_class[:TRAIN], of_class[TRAIN:]) for of_class in chosen]


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return ``train/ test/`` with folders ``zero one two``: 24 and 12 grey PNG files of 32x32 pixels each.

    Session-wide: a test that changes files copies the folder first.
    """
    from PIL import Image

    root = tmp_path_factory.mktemp("digits")
    for name, (train, test) in zip(DIGIT_NAMES, _digits(), strict=True):
        for split, scans in (("train", train), ("test", test)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i, scan in enumerate(scans):
                Image.fromarray(scan).resize((32, 32), Image.Resampling.BICUBIC).save(folder / f"{i:03}.png")
    return root


@pytest.fixture(scope="session")
def flower_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return class folders ``china flower``: 16 colour JPEG files each, crops of two photos in many sizes.

    Session-wide: a test that changes files copies the folder first.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_image

    root = tmp_path_factory.mktemp("flowers")
    rng = np.random.default_rng(0)
    for name in ("china", "flower"):
        photo = load_sample_image(f"{name}.jpg")  # (427, 640, 3) uint8
        (root / name).mkdir()
        for i in range(16):
            height, width = rng.integers(64, 129, 2)
            top, left = rng.integers(0, photo.shape[0] - height), rng.integers(0, photo.shape[1] - width)
            crop = photo[top : top + height, left : left + width]
            Image.fromarray(crop).save(root / name / f"{i:02}.jpg", quality=90)
    return root


@pytest.fixture(scope="session")
def tiny_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ``.npz`` with ``x_train (72, 8, 8) y_train x_test (36, 8, 8) y_test``: three digits, grey."""
    digits = _digits()
    file = tmp_path_factory.mktemp("npz") / "digits.npz"
    labels = np.arange(len(DIGIT_NAMES))
    np.savez(
        file,
        x_train=np.concatenate([train for train, _ in digits]),
        y_train=labels.repeat(TRAIN),
        x_test=np.concatenate([test for _, test in digits]),
        y_test=labels.repeat(TEST),
    )
    return file


@pytest.fixture(scope="module")
def images(digits_folder: Path) -> Images:
    """Return the three digits of `digits_folder`."""
    from acclimate.images import load_images

    return load_images(digits_folder)


@pytest.fixture(scope="module")
def split(images: Images) -> Split:
    """Return the split of seed 0."""
    from acclimate.images import make_split

    return make_split(images)


@pytest.fixture
def task(images: Images, split: Split) -> Task:
    """Return the three digits with all labels and an open test part."""
    from acclimate.protocols import Task

    return Task(images, split)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    """Return a tiny residual network with random weights, for images of 32 pixels."""
    from acclimate.models import load_backbone

    return load_backbone("random:test_resnet", image_size=32)


@pytest.fixture(scope="module")
def resnet(backbone: Backbone) -> Backbone:
    """Return `backbone`, where a test has a transformer beside it."""
    return backbone


@pytest.fixture(scope="module")
def vit() -> Backbone:
    """Return a tiny vision transformer with random weights, for images of 32 pixels."""
    from acclimate.models import load_backbone

    return load_backbone("random:test_vit", image_size=32)


@pytest.fixture(scope="module")
def model(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the weights file of `backbone`, as a user would name it."""
    from acclimate.models import save_weights

    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_weights(path, backbone.module, backbone.card())
    return str(path)


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    """Return a headless browser; without one the test is left out."""
    from browser import chromium

    with chromium() as started:
        yield started

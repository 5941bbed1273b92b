"""Extraction on several cores: each takes batches of its own, and what comes out is the same on one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from acclimate.errors import DataError
from acclimate.images import load_images
from acclimate.models import extract, load_backbone
from acclimate.storage.runtime import Runtime


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("model", ["random:test_resnet", "random:test_vit"])  # a traced network, and one that is not
def test_threads_change_nothing_but_the_time(model: str, digits_folder: Path, tmp_path: Path) -> None:
    backbone, images = load_backbone(model, image_size=32), load_images(digits_folder)
    seen: list[tuple[int, int]] = []
    two = extract(
        backbone,
        images,
        runtime=Runtime(cache=tmp_path / "two", precision="32", progress=lambda *x: seen.append(x)),
        batch=7,
    ).x
    assert torch.get_num_threads() == 2
    assert seen[-1] == (len(images), len(images))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    torch.set_num_threads(1)
    one = extract(backbone, images, runtime=Runtime(cache=tmp_path / "one", precision="32"), batch=7).x
    np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
    assert len(np.unique(np.asarray(two).round(4), axis=0)) > len(images) // 2, "rows are of different images"


@pytest.mark.usefixtures("two_threads")
def test_a_damaged_image_ends_the_threads_too(digits_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(digits_folder, tmp_path / "digits")
    images = load_images(folder)  # looks at the headers only
    victim = sorted(folder.rglob("*.png"))[60]
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(DataError, match="1 of 108"):
        extract(
            load_backbone("random:test_resnet", image_size=32),
            images,
            runtime=Runtime(cache=tmp_path / "cache"),
            batch=4,
        )
    assert torch.get_num_threads() == 2

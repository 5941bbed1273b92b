"""Backbones: timm's own preprocessing and features, weights from anywhere, and features that survive kill -9."""

from __future__ import annotations

import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import timm
import torch
from huggingface_hub import constants
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch import nn

from acclimate import catalogue
from acclimate.errors import InputError, ModelError
from acclimate.images import decode, load_images
from acclimate.models import (
    Backbone,
    Preprocess,
    extract,
    from_module,
    load_backbone,
    read_weights,
    save_weights,
    to_batch,
)
from acclimate.storage.runtime import Runtime
from acclimate.views import Normalize, center

SMALL = 32  # pixels


def _tiny(architecture: str = "test_resnet", size: int = SMALL) -> Backbone:
    return load_backbone(f"random:{architecture}", image_size=size)


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone().contiguous() for name, tensor in module.state_dict().items()}


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return _tiny()


# preprocessing ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """Crops of a photo with odd and even, large and small sides: centre crops round differently on each."""
    from sklearn.datasets import load_sample_image

    photo = load_sample_image("china.jpg")  # (427, 640, 3) uint8
    sides = [(427, 640), (301, 300), (300, 303), (97, 211), (255, 98), (224, 224), (403, 402), (61, 64)]
    return [Image.fromarray(photo[:height, :width]) for height, width in sides]


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _largest_difference(config: dict[str, Any], photos: list[Image.Image]) -> float:
    """Return the largest difference from timm's own evaluation transform, in grey levels of 255."""
    preprocess = Preprocess.from_config(config, None)
    theirs = create_transform(**resolve_data_config(pretrained_cfg=config))
    normalize, std = Normalize(preprocess.mean, preprocess.std), torch.tensor(preprocess.std)[:, None, None]
    worst = 0.0
    for photo in photos:
        pixels = decode(_png(photo), preprocess.geometry).copy()
        ours = center(to_batch(pixels[None]), preprocess.size, normalize)[0]
        worst = max(worst, float(((ours - theirs(photo)).abs() * std * 255).max()))
    return worst


@pytest.mark.parametrize(
    "name",
    [
        "resnet18.a1_in1k",  # crop 0.95: 235 pixels resized, 224 kept
        "convnext_tiny.fb_in22k",  # 0.875
        "vit_tiny_patch16_224.augreg_in21k",  # 0.9, mean and std 0.5
        "deit_tiny_distilled_patch16_224.fb_in1k",
        "resnetv2_50x1_bit.goog_in21k",  # bilinear
        "vit_base_patch16_clip_224.openai",
        "inception_v3.tv_in1k",  # 299 of 341: odd borders
        "test_vit.r160_in1k",
    ],
)
def test_preprocessing_is_timms_own_to_the_bit(name: str, photos: list[Image.Image]) -> None:
    config = timm.get_pretrained_cfg(name).to_dict()
    assert _largest_difference(config, photos) < 1e-3


@pytest.mark.parametrize("crop_pct", [1.0, 0.96, 0.95, 0.94, 0.9, 0.875, 0.8])
@pytest.mark.parametrize("side", [32, 64, 225])
def test_preprocessing_is_timms_own_at_every_crop(crop_pct: float, side: int, photos: list[Image.Image]) -> None:
    config = {**timm.get_pretrained_cfg("resnet18.a1_in1k").to_dict(), "crop_pct": crop_pct}
    config["input_size"] = (3, side, side)
    assert _largest_difference(config, photos[1:6]) < 1e-3


@pytest.mark.parametrize(("mode", "crop_pct"), [("squash", 1.0), ("squash", 0.875), ("border", 1.0)])
def test_other_crop_modes_are_timms_own(mode: str, crop_pct: float, photos: list[Image.Image]) -> None:
    config = {**timm.get_pretrained_cfg("resnet18.a1_in1k").to_dict(), "crop_pct": crop_pct, "crop_mode": mode}
    config["input_size"] = (3, 64, 64)
    assert _largest_difference(config, photos) < 1e-3


def test_decoded_images_leave_training_room_to_crop() -> None:
    for side, crop_pct in ((224, 0.875), (224, 0.95), (299, 0.875), (64, 0.9)):
        geometry = Preprocess((side, side), crop_pct=crop_pct).geometry
        frame = int(side / crop_pct)
        assert frame - 3 <= geometry.height == geometry.width <= frame


def test_another_image_size_keeps_the_whole_image() -> None:
    backbone = load_backbone("random:test_resnet", image_size=48)
    assert backbone.preprocess.size == (48, 48)
    assert backbone.preprocess.geometry.height == 48


def test_grey_and_multispectral_models_are_refused() -> None:
    config = {**timm.get_pretrained_cfg("resnet18.a1_in1k").to_dict(), "mean": (0.5,), "std": (0.5,)}
    with pytest.raises(ModelError, match=r"got a model with 1 input channels; expected 3 \(RGB\)"):
        Preprocess.from_config(config, None)


# features -----------------------------------------------------------------------------------------------------------

ARCHITECTURES = (
    "test_resnet",
    "test_efficientnet",
    "test_convnext",
    "test_vit",
    "test_vit2",  # registers, average pooling
    "test_byobnet",
    "test_nfnet",
    "test_mambaout",
    "resnetv2_18",  # BiT's layout: the classifier is a 1x1 convolution
    "deit_tiny_distilled_patch16_224",  # two classifiers
    "mobilenetv3_small_050",  # pooled features are wider than num_features
)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_embed_gives_what_timm_gives_its_classifier(architecture: str) -> None:
    backbone = _tiny(architecture, 64)
    x = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    features = backbone.embed(x)
    assert features.shape[0] == 3
    assert features.ndim == 2
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()
    network: Any = timm.create_model(architecture, pretrained=False, num_classes=5, **backbone.arguments).eval()
    network.load_state_dict(backbone.module.state_dict(), strict=False)  # all but the classifier
    with torch.inference_mode():
        theirs = network.forward_head(network.forward_features(x), pre_logits=True).flatten(1)
    torch.testing.assert_close(features, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_new_classifier_starts_every_class_alike(architecture: str) -> None:
    backbone = _tiny(architecture, 64)
    before = _state(backbone.module)
    network = backbone.network(5).eval()
    with torch.inference_mode():
        logits = network(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 5)
    assert not logits.any()
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.module.state_dict().items())


def test_image_size_of_a_transformer_moves_its_position_embedding() -> None:
    small, large = _tiny("test_vit", 32), _tiny("test_vit", 64)
    assert small.module.pos_embed.shape[1] < large.module.pos_embed.shape[1]  # type: ignore[union-attr, operator, index]  # timm's own
    assert small.arguments == {"img_size": 32}
    assert small.digest != large.digest
    assert small.embed(torch.zeros(1, 3, 32, 32)).shape == (1, 64)


def test_a_random_start_depends_on_nothing_and_says_what_it_is() -> None:
    torch.manual_seed(1)
    first = _tiny()
    torch.manual_seed(2)
    drawn = torch.rand(1)
    torch.manual_seed(2)
    second = _tiny()
    assert torch.equal(torch.rand(1), drawn), "the global generator was moved"
    assert first.digest == second.digest
    assert first.random_start
    assert first.card()["random_start"] is True


def test_digest_changes_with_one_weight_one_buffer_or_the_architecture(tiny: Backbone) -> None:
    from acclimate.models import digest

    seen = {tiny.digest}
    for name in ("layer1.0.conv1.weight", "bn1.running_mean"):
        module = _tiny().module
        module.state_dict()[name].select(0, 0).add_(1e-6)
        seen.add(digest("test_resnet", {}, module))
    seen.add(digest("test_resnet", {"img_size": 1}, tiny.module))
    seen.add(digest("resnet10t", {}, tiny.module))
    assert len(seen) == 5
    assert digest("test_resnet", {}, tiny.module) == tiny.digest


# names --------------------------------------------------------------------------------------------------------------


def test_an_unknown_architecture_names_the_nearest() -> None:
    for name in ("resnet81", "timm:resnet81", "random:resnet81"):
        with pytest.raises(ModelError, match=r"got model 'resnet81'.* did you mean .*resnet.*'acclimate models'"):
            load_backbone(name)


def test_an_unknown_embedded_model_is_named() -> None:
    with pytest.raises(ModelError, match="unknown embedded model 'zoo:nothing'"):
        load_backbone("zoo:nothing")


def test_an_architecture_without_pretrained_weights_is_no_random_start() -> None:
    bare = next(name for name in timm.list_models("resnetv2_50*") if not timm.list_pretrained(f"{name}.*"))
    with pytest.raises(ModelError, match=rf"no pretrained weights for '{bare}'; expected 'random:{bare}'"):
        load_backbone(f"timm:{bare}")
    for name in ("timm:resnet18.nope", "resnet18.nope", "random:resnet18.nope"):
        with pytest.raises(ModelError, match=r"no weights 'resnet18\.nope'; expected one of resnet18\.a1_in1k, .*"):
            load_backbone(name)


def test_an_embedded_model_is_pretrained_and_offline() -> None:
    backbone = load_backbone(catalogue.zoo_names()[0])
    entry = next(entry for entry in catalogue.entries() if entry.name == backbone.name)
    assert not backbone.random_start
    assert backbone.architecture == entry.architecture
    assert backbone.parameters == entry.parameters
    height, width = backbone.preprocess.size
    features = backbone.embed(torch.rand(2, 3, height, width))
    assert torch.isfinite(features).all()
    assert features.std() > 0


# the hub ------------------------------------------------------------------------------------------------------------


def _refused(name: str = "timm:test_resnet.r160_in1k") -> tuple[str, float]:
    started = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        load_backbone(name)
    return str(caught.value), time.perf_counter() - started


UNREACHABLE = "the model hub cannot be reached and they are not in its local cache"


def _empty_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))


def test_an_offline_hub_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _empty_hub(monkeypatch, tmp_path)
    message, seconds = _refused("timm:resnet18.a1_in1k")
    assert UNREACHABLE in message
    assert "'resnet18.a1_in1k@FILE'" in message
    assert "acclimate models --family zoo" in message
    assert "\n" not in message
    assert seconds < 5


def test_a_hub_that_refuses_is_not_asked_again_and_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _empty_hub(monkeypatch, tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "*")
    message, seconds = _refused()
    assert UNREACHABLE in message
    assert seconds < 10
    assert constants.HF_HUB_OFFLINE is False


def test_a_hub_that_never_answers_is_given_up_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _empty_hub(monkeypatch, tmp_path)
    monkeypatch.setattr("acclimate.models.load.hub.PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "*")
        message, seconds = _refused()
    assert UNREACHABLE in message
    assert seconds < 10


def test_weights_in_the_hubs_cache_need_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _empty_hub(monkeypatch, tmp_path)
    pretrained: Any = timm.create_model("test_resnet", num_classes=1000)
    nn.init.constant_(pretrained.conv1[0].weight, 0.25)
    folder = tmp_path / "models--timm--test_resnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_weights(folder / "snapshots" / ("0" * 40) / "model.safetensors", pretrained, {})
    backbone = load_backbone("timm:test_resnet.r160_in1k")
    assert not backbone.random_start
    assert bool((backbone.module.conv1[0].weight == 0.25).all())  # type: ignore[union-attr, operator, index]  # timm's own


# weights files ------------------------------------------------------------------------------------------------------


def _as_saved(folder: Path, tiny: Backbone) -> str:
    save_weights(folder / "a.safetensors", tiny.module, tiny.card())
    return str(folder / "a.safetensors")


def _plain_safetensors(folder: Path, tiny: Backbone) -> str:
    from safetensors.torch import save_file

    save_file(_state(tiny.module), folder / "a.safetensors")
    return f"test_resnet@{folder / 'a.safetensors'}"


def _torch(folder: Path, tiny: Backbone) -> str:
    nested = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in _state(tiny.module).items()}, "optimizer": {}}
    torch.save(nested, folder / "a.pt")
    return f"test_resnet@{folder / 'a.pt'}"


def _old_torch(folder: Path, tiny: Backbone) -> str:
    torch.save({"model": _state(tiny.module)}, folder / "a.pth", _use_new_zipfile_serialization=False)
    return f"test_resnet@{folder / 'a.pth'}"


def _npz(folder: Path, tiny: Backbone) -> str:
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in _state(tiny.module).items()}
    np.savez(folder / "a.npz", **arrays)
    return f"test_resnet@{folder / 'a.npz'}"


def _with_classifier(folder: Path, tiny: Backbone) -> str:
    torch.save(_state(tiny.network(7)), folder / "a.pt")
    return f"test_resnet@{folder / 'a.pt'}"


@pytest.mark.parametrize("write", [_as_saved, _plain_safetensors, _torch, _old_torch, _npz, _with_classifier])
def test_weights_come_back_to_the_bit(write: Callable[[Path, Backbone], str], tmp_path: Path) -> None:
    changed = _tiny()
    changed.module.state_dict()["bn1.bias"].fill_(0.125)  # not what a random start has
    loaded = load_backbone(write(tmp_path, changed), image_size=SMALL)
    ours, theirs = changed.module.state_dict(), loaded.module.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_our_own_file_brings_its_card(tmp_path: Path, tiny: Backbone) -> None:
    loaded = load_backbone(_as_saved(tmp_path, tiny))
    assert loaded.preprocess == tiny.preprocess
    assert loaded.random_start, "a saved random start is still one"


def test_a_hubs_folder_loads_with_its_own_preprocessing(tmp_path: Path, tiny: Backbone) -> None:
    from safetensors.torch import save_file

    vit = _tiny("test_vit", 48)
    save_file(_state(vit.network(7)), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(
        '{"architecture": "test_vit", "num_classes": 7, "model_args": {"img_size": 48}, "pretrained_cfg": '
        '{"input_size": [3, 48, 48], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop_pct": 1.0, '
        '"interpolation": "bilinear", "classifier": "head"}}'
    )
    loaded = load_backbone(tmp_path)
    assert not loaded.random_start
    assert loaded.preprocess == Preprocess((48, 48), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear", 1.0)
    x = torch.randn(2, 3, 48, 48)
    assert torch.equal(loaded.embed(x), vit.embed(x))


@pytest.mark.parametrize(("text", "message"), [("{nope", "cannot read .*config.json"), ("[1]", "holds a list")])
def test_a_damaged_config_is_named(text: str, message: str, tmp_path: Path, tiny: Backbone) -> None:
    save_weights(tmp_path / "model.safetensors", tiny.module, {})
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        load_backbone(tmp_path)


def test_a_file_without_a_card_asks_for_the_architecture(tmp_path: Path, tiny: Backbone) -> None:
    file = _torch(tmp_path, tiny).partition("@")[2]
    with pytest.raises(ModelError, match=r"does not say what architecture it is for; give it as 'ARCH@.*a\.pt'"):
        load_backbone(file)


def test_weights_of_another_architecture_name_the_first_keys(tmp_path: Path) -> None:
    torch.save(_state(_tiny("test_efficientnet").module), tmp_path / "a.pt")
    with pytest.raises(ModelError) as caught:
        load_backbone(f"test_resnet@{tmp_path / 'a.pt'}")
    message = str(caught.value)
    assert "holds weights for another architecture than 'test_resnet'" in message
    assert "missing (" in message
    assert "conv1.0.weight" in message
    assert "unexpected (" in message
    assert "conv_stem.weight" in message
    assert "ARCH@FILE" in message


def test_only_a_classifier_may_be_left_over(tmp_path: Path, tiny: Backbone) -> None:
    torch.save({**_state(tiny.module), "fc.weight": torch.zeros(9, 96), "fc.bias": torch.zeros(9)}, tmp_path / "a.pt")
    assert load_backbone(f"test_resnet@{tmp_path / 'a.pt'}", image_size=SMALL).digest == tiny.digest
    torch.save({**_state(tiny.module), "projector.weight": torch.zeros(9, 96)}, tmp_path / "b.pt")
    with pytest.raises(ModelError, match=r"than 'test_resnet': unexpected \(1\): projector\.weight\. Give"):
        load_backbone(f"test_resnet@{tmp_path / 'b.pt'}")


def test_a_tensor_of_another_shape_is_named(tmp_path: Path, tiny: Backbone) -> None:
    torch.save({**_state(tiny.module), "bn1.weight": torch.zeros(3)}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"wrong shape \(1\): bn1\.weight \(3,\) for \(32,\)"):
        load_backbone(f"test_resnet@{tmp_path / 'a.pt'}")


class Hostile:
    """What a pickle may hold: unpickling it writes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_hostile_pickle_is_refused_and_not_run(how: str, tmp_path: Path, tiny: Backbone) -> None:
    trap, file = tmp_path / "trapped", tmp_path / "a.pt"
    content = {"state_dict": _state(tiny.module), "extra": Hostile(trap)}
    if how == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps({"extra": Hostile(trap)}))
    with pytest.raises(ModelError, match="holds a pickle that wants to run more than tensors; it is refused"):
        load_backbone(f"test_resnet@{file}")
    assert not trap.exists()
    torch.load(file, weights_only=False) if how == "torch" else pickle.loads(file.read_bytes())
    assert trap.exists(), "the trap would not have worked"


def _cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("write", [_as_saved, _torch, _old_torch, _npz])
def test_a_file_cut_short_is_one_line(write: Callable[[Path, Backbone], str], tmp_path: Path, tiny: Backbone) -> None:
    name = write(tmp_path, tiny)
    _cut(Path(name.partition("@")[2] or name))
    with pytest.raises(ModelError, match=r"cannot read weights from '.*': .*damaged, cut short") as caught:
        load_backbone(name)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value), "it must not advise to trust the file"


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "npz", "bin"])
@pytest.mark.parametrize("content", [b"", b"hello, this is text and no weights"])
def test_a_file_that_holds_no_weights_is_one_line(suffix: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"a.{suffix}"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="cannot read weights from"):
        read_weights(file)


def test_files_that_are_no_weights_are_named(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "a.pt")
    np.savez(tmp_path / "a.npz", a=np.array(["text"]))
    (tmp_path / "a.txt").write_text("weights")
    (tmp_path / "empty").mkdir()
    for name, message in {
        "a.pt": "holds no tensors; expected a state_dict",
        "a.npz": "cannot read weights from",
        "a.txt": r"expected one of \.safetensors, \.pt",
        "empty": "holds no weights; expected a run's weights.safetensors",
        "missing.safetensors": "does not exist",
    }.items():
        with pytest.raises(ModelError, match=message):
            load_backbone(tmp_path / name)


@pytest.mark.shared
def test_real_squeezenet_weights_tell_photos_apart(shared: Path, flower_folder: Path) -> None:
    from torchvision.models import squeezenet1_1

    from acclimate.models import load_strictly

    network = squeezenet1_1(weights=None)
    network.classifier = nn.Sequential()
    tensors, _ = read_weights(shared / "data" / "weights" / "squeezenet1_1_imagenet_notop.npz")
    load_strictly(network, tensors, architecture="squeezenet1_1", where="squeezenet npz")
    body, preprocess = network.features, Preprocess((64, 64))
    backbone = from_module(body, name="squeezenet", features=512, preprocess=preprocess)
    images = load_images(flower_folder)
    x = extract(backbone, images).x
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    nearest = np.argsort(-(unit @ unit.T), axis=1)[:, 1]
    assert x.shape == (32, 512)
    assert np.mean(images.labels[nearest] == images.labels) >= 0.9


# modules of the user's own -----------------------------------------------------------------------------------------


def test_a_module_of_ones_own_is_a_backbone() -> None:
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    backbone = from_module(body, name="mine", features=8, preprocess=Preprocess((16, 16)))
    x = torch.randn(4, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.embed(x), body(x).mean((2, 3)))
    network = backbone.network(3)
    assert network(x).shape == (4, 3)
    assert not backbone.random_start


# extraction ---------------------------------------------------------------------------------------------------------


class Counter:
    """Counts the images that go through a module."""

    def __init__(self, module: nn.Module) -> None:
        self.images = 0
        self.handle = module.register_forward_pre_hook(self._count)

    def _count(self, module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        self.images += len(arguments[0])


def _counted(backbone: Backbone, work: Callable[[], Any]) -> int:
    counter = Counter(backbone.module)
    with pytest.MonkeyPatch.context() as patch:  # a folded copy would not call the counted module
        patch.setattr(sys.modules["acclimate.models.features.forward"], "for_inference", lambda module, *_: module)
        work()
    counter.handle.remove()
    return counter.images


def test_extraction_is_embed_on_the_same_pixels(digits_folder: Path) -> None:
    backbone, images = _tiny(), load_images(digits_folder)
    features = extract(backbone, images, runtime=Runtime(precision="32"))
    preprocess = backbone.preprocess
    pixels = np.stack([images.source.fitted(i, preprocess.geometry) for i in range(len(images))])
    x = center(to_batch(pixels), preprocess.size, Normalize(preprocess.mean, preprocess.std))
    expected = backbone.embed(x).numpy()
    assert features.x.shape == (108, 96)
    np.testing.assert_array_equal(features.y, images.labels)
    np.testing.assert_allclose(features.x, expected, rtol=1e-4, atol=1e-5)


def test_a_second_extraction_makes_no_forward_pass(digits_folder: Path) -> None:
    backbone, images = _tiny(), load_images(digits_folder)
    half = np.arange(0, 108, 2)
    assert _counted(backbone, lambda: extract(backbone, images, indices=half)) == 54
    assert _counted(backbone, lambda: extract(backbone, images, indices=half)) == 0
    assert _counted(backbone, lambda: extract(backbone, images)) == 54
    assert _counted(backbone, lambda: extract(backbone, images)) == 0


def _arrays(cache: Path) -> set[str]:
    return {folder.name for folder in (cache / "features").iterdir()}


def test_whatever_changes_the_numbers_changes_the_place(digits_folder: Path, cache: Path, tiny_npz: Path) -> None:
    images = load_images(digits_folder)
    extract(_tiny(), images, runtime=Runtime(precision="32"))
    assert len(_arrays(cache)) == 1
    extract(_tiny(), images, runtime=Runtime(precision="bf16"))
    assert len(_arrays(cache)) == 2
    extract(_tiny(size=40), images, runtime=Runtime(precision="32"))
    assert len(_arrays(cache)) == 3
    extract(_tiny(), load_images(tiny_npz), runtime=Runtime(precision="32"))
    assert len(_arrays(cache)) == 4
    changed = from_module(_tiny().module, name="other", features=96, preprocess=_tiny().preprocess)
    extract(changed, images, runtime=Runtime(precision="32"))
    assert len(_arrays(cache)) == 5


def test_one_changed_weight_is_extracted_again(digits_folder: Path, cache: Path, tmp_path: Path) -> None:
    images = load_images(digits_folder)
    first = extract(_tiny(), images)
    state = _state(_tiny().module)
    state["bn1.bias"][0] += 1.0
    torch.save(state, tmp_path / "a.pt")
    second = extract(load_backbone(f"test_resnet@{tmp_path / 'a.pt'}", image_size=SMALL), images)
    assert len(_arrays(cache)) == 2
    assert np.abs(first.x - second.x).max() > 1e-3


def test_bfloat16_is_near_float32(digits_folder: Path) -> None:
    images = load_images(digits_folder)
    exact, rounded = (extract(_tiny(), images, runtime=Runtime(precision=precision)).x for precision in ("32", "bf16"))
    assert 0 < np.abs(exact - rounded).max() < 0.05 * np.abs(exact).max()


def test_extraction_moves_no_weight_and_no_buffer(digits_folder: Path) -> None:
    backbone = _tiny("test_efficientnet")
    before = _state(backbone.module)
    extract(backbone, load_images(digits_folder), indices=np.arange(10))
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.module.state_dict().items())
    assert not backbone.module.training


def test_progress_counts_what_is_left_to_do(digits_folder: Path) -> None:
    backbone, images, seen = _tiny(), load_images(digits_folder), list[tuple[int, int]]()
    extract(backbone, images, indices=np.arange(8))
    extract(backbone, images, batch=40, runtime=Runtime(progress=lambda done, total: seen.append((done, total))))
    assert seen == [(40, 100), (80, 100), (100, 100)]


KILLED = """
import os, signal, sys
from acclimate.images import load_images
from acclimate.models import extract, load_backbone
from acclimate.storage.runtime import Runtime

def progress(done, total):
    if done >= 48:
        os.kill(os.getpid(), signal.SIGKILL)

backbone = load_backbone("random:test_resnet", image_size=32)
extract(backbone, load_images(sys.argv[1]), Runtime(precision="32", progress=progress), batch=16)
"""


def test_killed_in_the_middle_only_the_rest_is_done(digits_folder: Path, cache: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCLIMATE_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(digits_folder)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    backbone, images = _tiny(), load_images(digits_folder)
    resumed: list[npt.NDArray[np.float32]] = []
    assert (
        _counted(backbone, lambda: resumed.append(extract(backbone, images, runtime=Runtime(precision="32")).x))
        == 108 - 48
    )
    fresh = extract(backbone, images, runtime=Runtime(cache=tmp_path / "other", precision="32")).x
    np.testing.assert_allclose(resumed[0], fresh, rtol=1e-4, atol=1e-5)


# device and precision ----------------------------------------------------------------------------------------------


def test_unknown_and_missing_hardware_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from acclimate.models import choose_device, choose_precision

    with pytest.raises(InputError, match="unknown device 'gpu'"):
        choose_device("gpu")
    with pytest.raises(InputError, match=r"unknown precision 'fp16'.*one of: 16, 32, auto, bf16"):
        choose_precision("fp16", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="got device 'cuda', which this machine does not have; expected 'cpu'"):
        choose_device("cuda")
    assert choose_device("cpu") == "cpu"
    assert choose_precision("32", "cpu") == "32-true"

"""Layers and poolings: equal to what timm gives, from one forward pass, each in a place of its own in the cache."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RUNTIME
from torch import Tensor, nn

from acclimate.errors import ModelError
from acclimate.images import Images, load_images
from acclimate.models import Backbone, Preprocess, Tap, extract, extract_taps, from_module, layer_names, load_backbone
from acclimate.models import layers as module_under_test
from acclimate.storage.runtime import Runtime

SIZES = {"test_resnet": 64, "test_convnext": 64, "test_vit": 64, "test_vit2": 64, "test_efficientnet": 64}


def model(name: str) -> Backbone:
    return load_backbone(f"random:{name}", image_size=SIZES[name])


@pytest.fixture(scope="module")
def images(tiny_npz: Path) -> Images:
    return load_images(tiny_npz)


def batch(backbone: Backbone) -> Tensor:
    return torch.randn(3, 3, *backbone.preprocess.size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_the_last_layer_is_the_network_s_own_output(name: str) -> None:
    backbone = model(name)
    x, own = batch(backbone), backbone.embed(batch(backbone))
    assert torch.allclose(backbone.embed(x, layer="-1"), own, atol=1e-5)
    assert torch.allclose(backbone.embed(x, pooling="mean" if name == "test_resnet" else "cls"), own, atol=1e-5)


@pytest.mark.parametrize("name", SIZES)
def test_every_layer_is_what_a_hook_sees(name: str) -> None:
    backbone = model(name)
    network, x, seen = backbone.module, batch(backbone), {}
    names = layer_names(network)
    hooks = [
        network.get_submodule(layer).register_forward_hook(lambda m, i, o, layer=layer: seen.update({layer: o}))
        for layer in names
    ]
    with torch.inference_mode():
        network(x)
    for hook in hooks:
        hook.remove()
    for layer in names:
        output = seen[layer]
        if output.ndim == 3:
            with torch.inference_mode():
                output = network.norm(output)
            expected = output[:, network.num_prefix_tokens :].mean(1)
        else:
            expected = output.mean((2, 3))
        assert torch.allclose(backbone.embed(x, layer=layer, pooling="mean"), expected, atol=1e-4), layer


def test_last_blocks_are_those_of_dinov2_s_linear_evaluation() -> None:
    backbone = model("test_vit")
    x = batch(backbone)
    with torch.inference_mode():
        blocks = backbone.module.get_intermediate_layers(x, n=4, return_prefix_tokens=True, norm=True)
    tokens = [prefix[:, 0] for _, prefix in blocks]
    expected = torch.cat([*tokens, blocks[-1][0].mean(1)], dim=1)
    assert torch.allclose(backbone.embed(x, layer="last:4", pooling="cls+mean"), expected, atol=1e-5)
    assert torch.allclose(backbone.embed(x, layer="last:4", pooling="cls"), expected[:, :256], atol=1e-5)
    assert torch.equal(backbone.embed(x, layer="last:1"), backbone.embed(x, layer="-1"))


def test_registers_and_class_tokens_are_no_positions() -> None:
    backbone = model("test_vit2")  # a register, no class token, average pooling
    x = batch(backbone)
    with torch.inference_mode():
        tokens = backbone.module.forward_features(x)
    assert torch.allclose(backbone.embed(x, pooling="mean"), tokens[:, 1:].mean(1), atol=1e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_without_timm_s_method_hooks_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = model(name)
    x = batch(backbone)
    before = backbone.embed(x, layer="1", pooling="mean")
    monkeypatch.setattr(type(backbone.module), "forward_intermediates", None)
    after = backbone.embed(x, layer="1", pooling="mean")
    if name == "test_vit":  # a hook sees a block before the final norm
        assert after.shape == before.shape
        assert not torch.allclose(after, before, atol=1e-3)
        return
    assert torch.allclose(after, before, atol=1e-5)
    assert not any(m._forward_hooks for m in backbone.module.modules())


def test_all_layers_come_from_one_forward_pass(images: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    backbone = model("test_resnet")
    passes = []
    monkeypatch.setattr(
        module_under_test,
        "_layers",
        lambda n, x, w, real=module_under_test._layers: passes.append(len(x)) or real(n, x, w),
    )
    taps = [Tap(name) for name in layer_names(backbone.module)]
    found = extract_taps(backbone, images, taps, runtime=RUNTIME, batch=50)
    assert passes == [1, 50, 50, 8]  # one black image for the widths
    assert [f.x.shape for f in found] == [(108, 32), (108, 32), (108, 48), (108, 192), (108, 96)]
    for tap, features in zip(taps, found, strict=True):
        alone = extract(backbone, images, tap=tap, runtime=Runtime(device="cpu", cache=tmp_path))
        np.testing.assert_array_equal(alone.x, features.x)


def test_each_tap_has_its_own_place(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = model("test_vit")
    own = extract(backbone, images, runtime=RUNTIME).x.copy()
    mean = extract(backbone, images, tap=Tap(pooling="mean"), runtime=RUNTIME).x
    first = extract(backbone, images, tap=Tap("0"), runtime=RUNTIME).x
    assert not np.allclose(own, mean)
    assert not np.allclose(own, first)
    np.testing.assert_array_equal(extract(backbone, images, runtime=RUNTIME).x, own)
    monkeypatch.setattr(importlib.import_module("acclimate.models.features.forward"), "_forward", None)
    again = extract(backbone, images, tap=Tap("blocks.0", "cls"), runtime=RUNTIME).x  # the same by its name
    np.testing.assert_array_equal(again, first)


def test_the_network_s_own_output_has_the_same_bits_beside_others(images: Images, tmp_path: Path) -> None:
    backbone = model("test_resnet")
    alone = extract(backbone, images, runtime=RUNTIME)
    beside, _ = extract_taps(backbone, images, [Tap(), Tap("2")], runtime=Runtime(device="cpu", cache=tmp_path))
    np.testing.assert_array_equal(alone.x, beside.x)


@pytest.mark.parametrize(
    ("name", "layer", "pooling", "message"),
    [
        ("test_resnet", "last", "class", "unknown pooling 'class'; did you mean 'cls'"),
        ("test_resnet", "last", "cls", "got pooling 'cls', but ResNet has no class token; expected mean"),
        ("test_resnet", "layer5", "mean", "unknown layer 'layer5'; did you mean 'layer4'.*, a number below 5, last or"),
        ("test_resnet", "5", "mean", "unknown layer '5'.*a number below 5"),
        ("test_resnet", "last:0", "mean", "got layer 'last:0'; expected last:K with K of at least 1"),
        ("test_vit", "last:7", "cls", "got layer 'last:7', but VisionTransformer has 6 layers"),
    ],
)
def test_bad_taps(name: str, layer: str, pooling: str, message: str) -> None:
    backbone = model(name)
    with pytest.raises(ModelError, match=message):
        backbone.embed(batch(backbone), layer=layer, pooling=pooling)


def test_a_module_of_one_s_own_has_no_named_layers() -> None:
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    backbone = from_module(body, name="own", features=8, preprocess=Preprocess((16, 16)))
    x = torch.randn(2, 3, 16, 16)
    assert torch.allclose(backbone.embed(x, pooling="mean"), backbone.embed(x))
    with pytest.raises(ModelError, match=r"Headed does not say where its layers are .* or layer 'last'"):
        backbone.embed(x, layer="0")

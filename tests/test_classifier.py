"""The classifier: the same numbers after saving, in plain timm and in ONNX; predictions that a spreadsheet can open."""

from __future__ import annotations

import builtins
import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from acclimate.errors import InputError, ModelError
from acclimate.images import ArraySource, Images, load_images
from acclimate.models import Backbone, load_backbone, save_weights, to_batch
from acclimate.models.classifier import Classifier, Deployed, export_onnx, export_timm, predictions_csv
from acclimate.storage.runtime import Runtime
from acclimate.views import Normalize, center

CLASSES = ("cat", "dog", "=cmd|'/c calc'!A0")
# batch norm; layer norm with positions; a classifier that is a 1x1 convolution; two classifiers
ARCHITECTURES = ("test_resnet", "test_vit", "resnetv2_18", "deit_tiny_distilled_patch16_224")


def _trained(backbone: Backbone, seed: int = 0) -> nn.Module:
    """Return a network that looks trained: a classifier and running statistics that are not those of a start."""
    network = backbone.network(len(CLASSES))
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean") or not tensor.any():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return network


def _classifier(architecture: str = "test_resnet", size: int = 32) -> Classifier:
    backbone = load_backbone(f"random:{architecture}", image_size=size)
    return Classifier.of(_trained(backbone), CLASSES, backbone)


@pytest.fixture(scope="module")
def tiny() -> Classifier:
    return _classifier()


@pytest.fixture(scope="module")
def digits(digits_folder: Path) -> Images:
    return load_images(digits_folder)


def _batch(size: int, n: int = 5) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(7))


@torch.inference_mode()
def _logits(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = network(x)
    return logits


# save and load ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_saved_and_loaded_it_is_the_same_to_the_bit(architecture: str, tmp_path: Path) -> None:
    classifier = _classifier(architecture)
    classifier.save(tmp_path)
    again = Classifier.load(tmp_path)
    ours, theirs = classifier.network.state_dict(), again.network.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(_logits(classifier.network, _batch(32)), _logits(again.network, _batch(32)))
    assert again.classes == CLASSES
    assert again.backbone.preprocess == classifier.backbone.preprocess
    assert again.backbone.random_start
    assert Classifier.load(tmp_path / "weights.safetensors").classes == CLASSES


def test_a_classifier_starts_another_run_without_its_classes(tmp_path: Path, tiny: Classifier) -> None:
    tiny.save(tmp_path)
    backbone = load_backbone(tmp_path)
    network: Any = tiny.network
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features(_batch(32)), pre_logits=True)
    torch.testing.assert_close(backbone.embed(_batch(32)), expected)


def test_what_holds_no_classifier_is_named(tmp_path: Path, tiny: Classifier) -> None:
    with pytest.raises(ModelError, match="holds no classifier; expected the folder of a finished run"):
        Classifier.load(tmp_path)
    save_weights(tmp_path / "weights.safetensors", tiny.backbone.module, tiny.backbone.card())
    with pytest.raises(ModelError, match="has no classifier; expected weights from 'acclimate tune', not from 'adapt'"):
        Classifier.load(tmp_path)


# predictions --------------------------------------------------------------------------------------------------------


def test_probabilities_are_the_softmax_of_the_logits(tiny: Classifier, digits: Images) -> None:
    p = tiny.predict_proba(digits, runtime=Runtime(precision="32"), batch=50)
    preprocess = tiny.backbone.preprocess
    pixels = np.stack([digits.source.fitted(i, preprocess.geometry) for i in range(len(digits))])
    x = center(to_batch(pixels), preprocess.size, Normalize(preprocess.mean, preprocess.std))
    expected = _logits(tiny.network, x).softmax(1).numpy()
    assert p.shape == (108, 3)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(p, expected, rtol=1e-4, atol=1e-6)
    assert len({tuple(row) for row in p.round(6)}) > 50, "every image got the same answer"
    assert tiny.predict(digits) == [CLASSES[i] for i in p.argmax(1)]


def test_hflip_is_the_mean_of_image_and_mirror_image(tiny: Classifier, digits: Images) -> None:
    pixels = np.stack([digits.source.pixels(i) for i in range(30)])
    columns: dict[str, Any] = {"labels": digits.labels[:30], "classes": digits.classes, "splits": digits.splits[:30]}
    plain = Images("plain", ArraySource(pixels, digits.names[:30]), fingerprint="plain", **columns)
    mirror = Images("mirror", ArraySource(pixels[:, :, ::-1], digits.names[:30]), fingerprint="mirror", **columns)
    both = (tiny.predict_proba(plain) + tiny.predict_proba(mirror)) / 2
    np.testing.assert_allclose(tiny.predict_proba(plain, tta="hflip"), both, rtol=1e-4, atol=1e-6)
    assert np.abs(both - tiny.predict_proba(plain)).max() > 1e-3


def test_an_unknown_augmentation_is_named(tiny: Classifier, digits: Images) -> None:
    with pytest.raises(InputError, match="unknown test-time augmentation 'flip'; did you mean 'hflip'"):
        tiny.predict_proba(digits, tta="flip")


def test_hostile_names_stay_text_in_one_cell() -> None:
    names = ["=cmd|'/c calc'!A0", "a,b.png", 'q"uote.png', "two\nlines.png", "@sum(1)", "+1.png", "-1.png", "ü/é.png"]
    p = np.tile([0.2, 0.5, 0.3], (len(names), 1))
    p[0] = [0.1, 0.1, 0.8]
    text = predictions_csv(names, CLASSES, p)
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["path", "label", "confidence", "p_cat", "p_dog", f"p_{CLASSES[2]}"]
    assert len(rows) == 1 + len(names)
    assert rows[1] == [f"'{names[0]}", f"'{CLASSES[2]}", "0.800000", "0.100000", "0.100000", "0.800000"]
    assert [row[0].removeprefix("'") for row in rows[1:]] == names
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert [row[0] for row in rows[2:5]] == names[1:4], "ordinary names are not changed"


def test_predictions_need_a_row_for_each_name() -> None:
    with pytest.raises(ValueError, match="zip"):
        predictions_csv(["a", "b"], CLASSES, np.ones((1, 3)) / 3)


# plain timm ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_load_in_plain_timm(architecture: str, tmp_path: Path) -> None:
    classifier = _classifier(architecture)
    classifier.save(tmp_path)
    network = timm.create_model(
        architecture,
        num_classes=len(CLASSES),
        checkpoint_path=str(tmp_path / "weights.safetensors"),
        **classifier.backbone.arguments,
    ).eval()
    torch.testing.assert_close(_logits(network, _batch(32)), _logits(classifier.network, _batch(32)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_exported_folder_loads_in_plain_timm(architecture: str, tmp_path: Path) -> None:
    classifier = _classifier(architecture)
    folder = export_timm(classifier, tmp_path / "exported")
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    torch.testing.assert_close(_logits(network, _batch(32)), _logits(classifier.network, _batch(32)))
    config = timm.data.resolve_data_config(pretrained_cfg=network.pretrained_cfg)
    preprocess = classifier.backbone.preprocess
    assert config["input_size"][1:] == list(preprocess.size) or config["input_size"][1:] == preprocess.size
    assert tuple(config["mean"]) == preprocess.mean
    assert tuple(config["std"]) == preprocess.std
    assert (config["interpolation"], config["crop_pct"]) == (preprocess.interpolation, preprocess.crop_pct)
    assert list(network.pretrained_cfg["label_names"]) == list(CLASSES)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit"])
def test_exported_folder_loads_here_too(architecture: str, tmp_path: Path) -> None:
    classifier = _classifier(architecture)
    backbone = load_backbone(export_timm(classifier, tmp_path))
    assert backbone.preprocess == classifier.backbone.preprocess
    assert backbone.embed(_batch(32)).shape == classifier.backbone.embed(_batch(32)).shape


# ONNX ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_efficientnet"])
def test_onnx_gives_the_same_for_any_number_of_images(
    architecture: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    classifier = _classifier(architecture)
    checked = export_onnx(classifier, tmp_path / "deep" / "model.onnx")
    assert checked["max_difference"] < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "deep" / "model.onnx", providers=["CPUExecutionProvider"])
    deployed = Deployed(classifier.network, classifier.backbone.preprocess)
    for n in (1, 5):
        x = torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(n))
        theirs = session.run(None, {"image": x.numpy()})[0]
        np.testing.assert_allclose(theirs, _logits(deployed, x).numpy(), atol=1e-5)
        np.testing.assert_allclose(theirs.sum(1), 1, atol=1e-5)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model.onnx"]
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == ""


def test_deployed_takes_pixels_from_zero_to_one(tiny: Classifier) -> None:
    preprocess = tiny.backbone.preprocess
    raw = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x = center(raw, preprocess.size, Normalize(preprocess.mean, preprocess.std))
    expected = _logits(tiny.network, x).softmax(1)
    torch.testing.assert_close(_logits(Deployed(tiny.network, preprocess), raw / 255), expected, rtol=1e-4, atol=1e-5)


def test_a_graph_that_differs_is_not_kept(tiny: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    class Wrong:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def run(self, _: Any, inputs: dict[str, Any]) -> list[Any]:
            return [np.zeros((len(inputs["image"]), 3), np.float32)]

    monkeypatch.setattr(torch.onnx, "export", lambda *values, **_: Path(values[2]).write_bytes(b"graph"))
    monkeypatch.setattr(onnxruntime, "InferenceSession", Wrong)
    with pytest.raises(ModelError, match=r"the ONNX graph differs from torch by .*expected at most 1e-4"):
        export_onnx(tiny, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("missing", ["onnxruntime", "onnxscript"])
def test_without_the_extra_it_says_what_to_install(
    missing: str, tiny: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == missing:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=rf"needs '{missing}'; install it with: pip install 'acclimate\[onnx\]'"):
        export_onnx(tiny, tmp_path / "model.onnx")

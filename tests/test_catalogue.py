"""The catalogue: every paper's checkpoint, in its authors' layout, fills its architecture; and the way here is safe."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models import beit
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet, resnet50

from acclimate import list_models as models
from acclimate.catalogue import PaperModel, entries, paper_model, paper_models
from acclimate.errors import ModelError
from acclimate.models import load_backbone, load_strictly, read_weights
from acclimate.models.load.download import fetch
from acclimate.models.load.open import from_paper, paper_weights
from acclimate.models.load.weights import read_layout

MARKS = {
    *("jigsaw", "rotnet", "npid", "npid-pp", "pirl", "sela-v2", "clusterfit", "deepcluster-v2", "swav", "simclr"),
    *("moco-v2", "simsiam", "byol", "barlow-twins", "densecl", "dino-resnet50", "moco-v3-resnet50"),
    *("dino-vit-b16", "ibot", "moco-v3-vit-b16", "mae", "maskfeat", "beit-v2", "milan", "eva", "pixmim"),
}
ERICSSON = {
    *("insdis", "moco-v1", "pcl-v1", "pirl-pycontrast", "pcl-v2", "simclr-v1", "moco-v2", "simclr-v2", "sela-v2"),
    *("infomin", "byol-deepmind", "deepcluster-v2", "swav"),
}
NAMES = [model.name for model in paper_models()]

# The authors' own names -----------------------------------------------------------------------------------------------
# Written out from their model code, not from the catalogue: what each layout calls a tensor, what else its file has.

Names = list[tuple[str, str]]  # (timm's, the authors')


def _resnet(blocks: tuple[int, ...]) -> list[str]:
    with torch.device("meta"):
        state = ResNet(Bottleneck, list(blocks)).state_dict()
    return [name for name in state if not name.startswith("fc.")]


def _prefixed(prefix: str) -> Callable[[list[str]], Names]:
    return lambda names: [(name, prefix + name) for name in names]


BLOCK = {
    "norm1.weight": "ln1.weight",
    "norm1.bias": "ln1.bias",
    "attn.qkv.weight": "attn.qkv.weight",
    "attn.qkv.bias": "attn.qkv.bias",
    "attn.proj.weight": "attn.proj.weight",
    "attn.proj.bias": "attn.proj.bias",
    "norm2.weight": "ln2.weight",
    "norm2.bias": "ln2.bias",
    "mlp.fc1.weight": "ffn.layers.0.0.weight",
    "mlp.fc1.bias": "ffn.layers.0.0.bias",
    "mlp.fc2.weight": "ffn.layers.1.weight",
    "mlp.fc2.bias": "ffn.layers.1.bias",
}
AROUND = {
    "cls_token": "cls_token",
    "pos_embed": "pos_embed",
    "patch_embed.proj.weight": "patch_embed.projection.weight",
    "patch_embed.proj.bias": "patch_embed.projection.bias",
    "norm.weight": "ln1.weight",
    "norm.bias": "ln1.bias",
}


def _vit(depth: int) -> list[str]:
    return [*AROUND, *(f"blocks.{i}.{name}" for i in range(depth) for name in BLOCK)]


def _openmmlab_vit(names: list[str]) -> Names:
    depth = 1 + max(int(name.split(".")[1]) for name in names if name.startswith("blocks."))
    layers = [(f"blocks.{i}.{a}", f"backbone.layers.{i}.{b}") for i in range(depth) for a, b in BLOCK.items()]
    return [(a, f"backbone.{b}") for a, b in AROUND.items()] + layers


def _beit(depth: int) -> list[str]:
    block = [name for name in BLOCK if name != "attn.qkv.bias"]
    block += ["gamma_1", "gamma_2", "attn.q_bias", "attn.v_bias"]
    around = ["cls_token", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias"]
    around += ["rel_pos_bias.relative_position_bias_table"]
    return [*around, *(f"blocks.{i}.{name}" for i in range(depth) for name in block)]


def _beit_pairs(names: list[str]) -> Names:
    return [(f"fc_{name}" if name.startswith("norm.") else name, name) for name in names]


def _simclr_v2(names: list[str]) -> Names:
    """Name the tensors as nested Sequentials number them: stem, then blocks of conv, norm, conv, norm, conv, norm."""
    inside = {
        "conv1": "net.0",
        "bn1": "net.1.0",
        "conv2": "net.2",
        "bn2": "net.3.0",
        "conv3": "net.4",
        "bn3": "net.5.0",
    }
    inside |= {"downsample.0": "projection.shortcut", "downsample.1": "projection.bn.0"}
    pairs = []
    for name in names:
        owner, _, kind = name.rpartition(".")
        if not owner.startswith("layer"):
            pairs.append((name, f"net.0.{'0' if owner == 'conv1' else '1.0'}.{kind}"))
            continue
        layer, block, rest = owner.split(".", 2)
        pairs.append((name, f"net.{layer[5:]}.blocks.{block}.{inside[rest]}.{kind}"))
    return pairs


def _nested(*path: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def nest(table: dict[str, Any]) -> dict[str, Any]:
        for key in reversed(path):
            table = {key: table}
        return table

    return nest


@dataclasses.dataclass(frozen=True)
class Official:
    """A layout as its authors' code writes it."""

    pairs: Callable[[list[str]], Names]
    nest: Callable[[dict[str, Any]], dict[str, Any]]
    extras: tuple[str, ...]
    literal: tuple[str, ...]  # names that must be in the file of the real architecture


HEAD = ("fc.weight", "fc.bias")
OFFICIAL = {
    "torchvision": Official(_prefixed(""), _nested(), (), ("conv1.weight", "layer4.2.bn3.running_var")),
    "state-dict": Official(_prefixed(""), _nested("state_dict"), HEAD, ("layer3.5.conv2.weight",)),
    "vissl": Official(
        _prefixed("_feature_blocks."),
        _nested("classy_state_dict", "base_model", "model", "trunk"),
        (),
        ("_feature_blocks.conv1.weight", "_feature_blocks.layer1.0.downsample.1.running_mean"),
    ),
    "vissl-caffe2": Official(
        _prefixed("_feature_blocks."), _nested("model_state_dict"), HEAD, ("_feature_blocks.layer4.2.conv3.weight",)
    ),
    "swav": Official(
        _prefixed("module."),
        _nested(),
        (
            "module.projection_head.0.weight",
            "module.projection_head.3.bias",
            "module.prototypes.weight",
            "module.prototypes.prototypes0.weight",
        ),
        ("module.conv1.weight", "module.layer2.3.bn2.num_batches_tracked"),
    ),
    "moco": Official(
        _prefixed("module.encoder_q."),
        _nested("state_dict"),
        ("module.encoder_q.fc.0.weight", "module.encoder_q.fc.2.bias", "module.queue", "module.queue_ptr"),
        ("module.encoder_q.conv1.weight", "module.encoder_q.layer1.0.downsample.0.weight"),
    ),
    "moco-v3": Official(
        _prefixed("module.base_encoder."),
        _nested("state_dict"),
        (
            "module.base_encoder.fc.0.weight",
            "module.base_encoder.head.4.running_mean",
            "module.predictor.0.weight",
            "module.momentum_encoder.conv1.weight",
            "module.momentum_encoder.blocks.0.norm1.weight",
        ),
        (),
    ),
    "byol-pytorch": Official(_prefixed("module."), _nested("online_backbone"), (), ("module.layer1.2.bn1.bias",)),
    "openmmlab-resnet": Official(
        _prefixed("backbone."),
        _nested("state_dict"),
        ("data_preprocessor.mean", "neck.fc0.weight", "neck.bn1.running_var", "head.predictor.fc0.weight"),
        ("backbone.layer2.0.downsample.0.weight",),
    ),
    "openmmlab-vit": Official(
        _openmmlab_vit,
        _nested("state_dict"),
        ("data_preprocessor.std", "neck.decoder_embed.weight", "backbone.mask_token", "target_generator.weight_x"),
        ("backbone.patch_embed.projection.weight", "backbone.layers.11.ffn.layers.0.0.bias", "backbone.ln1.weight"),
    ),
    "timm-vit": Official(_prefixed(""), _nested(), (), ("blocks.11.mlp.fc2.bias", "pos_embed", "norm.weight")),
    "ibot": Official(_prefixed(""), _nested("state_dict"), ("head.last_layer.weight_g",), ("blocks.0.attn.qkv.bias",)),
    "mae": Official(
        _prefixed(""),
        _nested("model"),
        ("mask_token", "decoder_embed.weight", "decoder_blocks.0.attn.q.weight", "decoder_pos_embed"),
        ("blocks.0.attn.qkv.weight", "norm.bias"),
    ),
    "beit-v2": Official(
        _beit_pairs,
        _nested("model"),
        ("mask_token", "lm_head.weight", "cls_pt_layers.0.attn.qkv.weight", "rel_pos_bias.relative_position_index"),
        ("norm.weight", "rel_pos_bias.relative_position_bias_table", "blocks.11.attn.q_bias"),
    ),
    "pycontrast": Official(
        _prefixed("module.encoder."),
        _nested("model"),
        ("module.head.0.weight", "module.head_jig.fc1.weight"),
        ("module.encoder.layer3.5.conv1.weight",),
    ),
    "simclr-v2": Official(
        _simclr_v2,
        _nested("resnet"),
        HEAD,
        # from the key list of ssl-transfer
        (
            "net.0.0.weight",
            "net.0.1.0.running_var",
            "net.1.blocks.0.projection.shortcut.weight",
            "net.1.blocks.0.projection.bn.0.running_mean",
            "net.1.blocks.1.net.1.0.bias",
            "net.4.blocks.2.net.4.weight",
        ),
    ),
}


@functools.cache
def _shapes(architecture: str, **arguments: Any) -> Any:
    """Build an architecture of its real size, without memory for its tensors."""
    with torch.device("meta"):
        return timm.create_model(architecture, num_classes=0, **arguments)


@functools.cache
def _names(architecture: str, depth: int, blocks: tuple[int, ...]) -> list[str]:
    makers = {"resnet50": lambda: _resnet(blocks), "vit_base_patch16_224": lambda: _vit(depth)}
    return makers.get(architecture, lambda: _beit(depth))()


def _official(model: PaperModel, state: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """Return a backbone's tensors under its authors' names, with what else their file has."""
    layout = OFFICIAL[model.layout.name]
    pairs = layout.pairs(names)
    assert {timms for timms, _ in pairs} == set(state), "the names written here are not those of the architecture"
    return {theirs: state[timms] for timms, theirs in pairs} | {name: torch.zeros(2) for name in layout.extras}


SMALL: dict[str, dict[str, Any]] = {
    "resnet50": {"layers": (1, 2, 1, 1), "channels": (8, 16, 32, 64)},
    "vit_base_patch16_224": {"embed_dim": 24, "depth": 2, "num_heads": 2, "img_size": 64},
    "beitv2_base_patch16_224": {"embed_dim": 24, "depth": 2, "num_heads": 2, "img_size": 64},
}


def _small(name: str) -> PaperModel:
    """Return an entry whose architecture has fewer and narrower layers under the same names."""
    model = paper_model(name)
    preprocess = {**model.preprocess, "size": 64}
    arguments = {**model.arguments, **SMALL[model.architecture]}
    return dataclasses.replace(model, arguments=arguments, preprocess=preprocess)


def _state(model: PaperModel, seed: int = 0) -> dict[str, Tensor]:
    module = timm.create_model(model.architecture, num_classes=0, **model.arguments)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(tensor.shape, generator=generator) + 0.5 if tensor.is_floating_point() else tensor + 7
        for name, tensor in module.state_dict().items()
    }


def _file(model: PaperModel, folder: Path, *, name: str = "file.pth") -> tuple[Path, dict[str, Tensor]]:
    """Write a small checkpoint in the authors' layout; return it and the tensors a backbone must have of it."""
    state = _state(model)
    table: dict[str, Any] = _official(model, state, _names(model.architecture, 2, (1, 2, 1, 1)))
    if model.layout.name == "vissl-caffe2":
        table = {key: tensor.numpy() for key, tensor in table.items()}
    nested = OFFICIAL[model.layout.name].nest(table)
    torch.save(nested if nested is table else {**nested, "epoch": 3, "lr": np.float64(0.1)}, folder / name)
    return folder / name, state


# every entry ----------------------------------------------------------------------------------------------------------


def test_the_papers_models_are_there() -> None:
    assert len(MARKS) == 26
    assert {model.name for model in paper_models() if "marks2025" in model.studies} == MARKS
    assert {model.name for model in paper_models() if "ericsson2021" in model.studies} == ERICSSON
    assert set(NAMES) == MARKS | ERICSSON
    timms = {entry.name for entry in entries()}
    wanted = "resnet50.tv_in1k resnetv2_101x1_bit.goog_in21k efficientnet_b3.ra2_in1k efficientnet_b4.ra2_in1k"
    assert {f"timm:{name}" for name in wanted.split()} <= timms


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_complete(name: str) -> None:
    model = paper_model(name)
    assert bool(model.url) != bool(model.by_hand)
    assert re.match(r"https://[\w.-]+/\S+$", model.url or "https://a/b")
    assert re.match(r"(sha256:[0-9a-f]{8,64}|md5:[0-9a-f]{8,32})?$", model.checksum)
    assert model.licence
    assert model.source
    assert set(model.preprocess) == {"size", "crop_pct", "interpolation", "mean", "std"}
    assert model.layout.verified


@pytest.mark.parametrize("name", NAMES)
def test_the_authors_names_fill_the_real_architecture(name: str, tmp_path: Path) -> None:
    model = paper_model(name)
    module = _shapes(model.architecture, **model.arguments)
    assert sum(p.numel() for p in module.parameters()) == model.parameters
    assert getattr(module.global_pool, "pool_type", module.global_pool) == model.pooling
    table = _official(model, module.state_dict(), _names(model.architecture, 12, (3, 4, 6, 3)))
    assert set(OFFICIAL[model.layout.name].literal) <= set(table)
    assert set(model.layout.names) & set(table)
    torch.save(OFFICIAL[model.layout.name].nest(table), tmp_path / "a.pth")
    tensors = read_layout(tmp_path / "a.pth", model.layout)
    load_strictly(module, tensors, architecture=model.architecture, where=name, classifier=False)
    assert set(tensors) == set(module.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_comes_back_to_the_bit(name: str, tmp_path: Path) -> None:
    model = _small(name)
    file, state = _file(model, tmp_path)
    backbone = from_paper(model, file, name=f"paper:{name}")
    loaded = backbone.module.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    assert backbone.preprocess.size == (64, 64)
    assert backbone.preprocess.mean == tuple(model.preprocess["mean"])
    assert not backbone.random_start


def test_features_are_those_of_torchvisions_resnet(tmp_path: Path) -> None:
    theirs = resnet50()
    torch.save({f"module.{k}": v for k, v in theirs.state_dict().items() if "fc." not in k}, tmp_path / "a.pth.tar")
    backbone = load_backbone(f"paper:swav@{tmp_path / 'a.pth.tar'}")
    theirs.fc = nn.Identity()  # type: ignore[assignment]  # the usual way to take a classifier off
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(backbone.embed(x), theirs.eval()(x), rtol=1e-4, atol=1e-4)
    assert backbone.parameters == paper_model("swav").parameters
    assert backbone.preprocess.crop_pct == 0.875


@pytest.mark.parametrize("name", [entry.name for entry in entries() if entry.weights == "timm"])
def test_timms_own_file_fills_its_backbone(name: str) -> None:
    """The file on the hub has a classifier; all of it and nothing else may be left over."""
    with torch.device("meta"):
        backbone: Any = timm.create_model(name.removeprefix("timm:"), pretrained=False)
    whole = backbone.state_dict()
    backbone.reset_classifier(0)
    load_strictly(backbone, whole, architecture=name, where=name)
    entry = next(entry for entry in entries() if entry.name == name)
    assert sum(p.numel() for p in backbone.parameters()) == entry.parameters


def test_models_lists_them_with_family_and_licence() -> None:
    listed = {row["name"]: row for row in models()["models"]}
    assert listed["paper:mae"]["family"] == "masked"
    assert listed["paper:mae"]["licence"] == "cc-by-nc-4.0"
    assert listed["paper:mae"]["weights"] == "download"
    assert listed["paper:milan"]["weights"] == "by hand"
    assert {row["name"] for row in models(family="pretext")["models"]} == {"paper:jigsaw", "paper:rotnet"}


# files that do not fit ----------------------------------------------------------------------------------------------


def _refused(model: PaperModel, table: Any, folder: Path) -> str:
    torch.save(table, folder / "bad.pth")
    with pytest.raises(ModelError) as caught:
        from_paper(model, folder / "bad.pth", name="bad")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_module_prefix_or_a_wrong_nest_says_what_was_expected(tmp_path: Path) -> None:
    dino, moco, vissl = _small("dino-resnet50"), _small("moco-v2"), _small("simclr")
    state = _state(dino)
    message = _refused(dino, {f"module.{name}": tensor for name, tensor in state.items()}, tmp_path)
    assert "missing (" in message
    assert "All that is missing is there under 'module.'; expected 'conv1.weight' without it" in message
    message = _refused(moco, {"state_dict": state, "epoch": 1}, tmp_path)
    assert "not laid out as 'moco': expected names such as 'module.encoder_q.conv1.weight'" in message
    assert "under 'state_dict', got 'conv1.weight', 'bn1.weight', 'bn1.bias'" in message
    message = _refused(vissl, {"state_dict": state, "epoch": 1}, tmp_path)
    assert "under 'classy_state_dict.base_model.model.trunk', got 'state_dict', 'epoch'" in message
    for table in ({"state_dict": 3}, {"state_dict": {}}, {}, {"state_dict": [1]}):
        assert "got none" in (text := _refused(moco, table, tmp_path)) or "got 'state_dict'" in text


def test_a_prefix_in_a_plain_file_is_named(tmp_path: Path) -> None:
    state = load_backbone("random:test_resnet", image_size=32).module.state_dict()
    torch.save({f"encoder.{name}": tensor for name, tensor in state.items()}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"is there under 'encoder\.'; expected 'conv1\.0\.weight' without it"):
        load_backbone(f"test_resnet@{tmp_path / 'a.pt'}")


@pytest.mark.parametrize("name", ["swav", "eva", "simclr-v2", "beit-v2"])
def test_a_missing_and_a_left_over_tensor_are_named(name: str, tmp_path: Path) -> None:
    model = _small(name)
    file, state = _file(model, tmp_path)
    tensors = torch.load(file, weights_only=False)
    table = tensors
    for nest in model.layout.nest:
        table = table[nest]
    lost = OFFICIAL[model.layout.name].pairs(_names(model.architecture, 2, (1, 2, 1, 1)))[0]
    del table[lost[1]]
    table[f"{model.layout.prefix}stranger.weight"] = torch.zeros(1)
    message = _refused(model, tensors, tmp_path)
    assert f"missing (1): {lost[0]}; unexpected (1): stranger.weight" in message
    assert lost[0] in state


def test_two_names_for_one_tensor_are_refused(tmp_path: Path) -> None:
    model = _small("eva")
    file, _ = _file(model, tmp_path)
    table = torch.load(file, weights_only=False)
    table["state_dict"]["backbone.blocks.0.norm1.weight"] = torch.zeros(24)
    assert "holds 'blocks.0.norm1.weight' twice" in _refused(model, table, tmp_path)


def test_a_classifier_of_the_backbones_own_is_left_over_too(tmp_path: Path) -> None:
    model = _small("swav")
    table = {f"module.{name}": tensor for name, tensor in _state(model).items()} | {"module.fc.weight": torch.zeros(3)}
    assert "unexpected (1): fc.weight" in _refused(model, table, tmp_path)


def test_settings_and_numpy_numbers_beside_the_weights_are_read(tmp_path: Path) -> None:
    model = _small("infomin")
    state = _state(model)
    table = {f"module.encoder.{name}": tensor for name, tensor in state.items()}
    beside = {"opt": argparse.Namespace(lr=0.03, nested=argparse.Namespace(a=1)), "best": np.float32(0.7)}
    torch.save({"model": table, **beside, "losses": np.arange(3.0), "n": np.int64(3)}, tmp_path / "a.pth")
    loaded = from_paper(model, tmp_path / "a.pth", name="infomin").module.state_dict()
    assert torch.equal(loaded["conv1.weight"], state["conv1.weight"])


class Hostile:
    """What a pickle may hold: unpickling it writes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("where", ["top", "namespace", "array"])
def test_a_hostile_pickle_is_refused_and_not_run(where: str, tmp_path: Path) -> None:
    model, trap = _small("swav"), tmp_path / "trapped"
    hostile = Hostile(trap)
    hidden = {"top": hostile, "namespace": argparse.Namespace(a=hostile), "array": np.array([hostile], dtype=object)}
    message = _refused(model, {"extra": hidden[where]}, tmp_path)
    assert "holds a pickle that wants to run more than tensors; it is refused" in message
    assert not trap.exists()
    torch.load(tmp_path / "bad.pth", weights_only=False)
    assert trap.exists(), "the trap would not have worked"


def test_a_plain_table_needs_no_nest(tmp_path: Path) -> None:
    model = _small("simclr")
    state = _state(model)
    table = {f"_feature_blocks.{name}": tensor for name, tensor in state.items()}
    save_file(table, tmp_path / "a.safetensors")
    torch.save(table, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        loaded = from_paper(model, tmp_path / name, name="plain").module.state_dict()
        assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_old_suffixes_are_read(tmp_path: Path) -> None:
    for suffix in (".pth.tar", ".torch"):
        torch.save({"a": torch.zeros(1)}, tmp_path / f"a{suffix}")
        assert set(read_weights(tmp_path / f"a{suffix}")[0]) == {"a"}


# names ----------------------------------------------------------------------------------------------------------------


def test_an_unknown_model_of_a_paper_names_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"unknown model of a paper 'paper:swaf'; did you mean 'paper:swav'\?"):
        load_backbone("paper:swaf")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"weights file '.*no\.pth' does not exist; give 'paper:swav' to get it"):
        load_backbone(f"paper:swav@{tmp_path / 'no.pth'}")


def test_what_no_program_can_fetch_says_where_to_put_it(cache: Path, tmp_path: Path) -> None:
    model = _small("byol-deepmind")
    with pytest.raises(ModelError) as caught:
        paper_weights(model)
    message = str(caught.value)
    assert "cannot be downloaded by a program: get them as pretrain_res50x1.pkl of deepmind-research/byol" in message
    assert f"put them at '{cache / 'weights' / 'byol-deepmind'}.pth' or give 'paper:byol-deepmind@FILE'" in message
    (cache / "weights").mkdir()
    file, _ = _file(model, cache / "weights", name="byol-deepmind.pth")
    assert paper_weights(model) == file


# positions ------------------------------------------------------------------------------------------------------------


def test_positions_move_only_to_another_size(tmp_path: Path) -> None:
    model = _small("mae")
    file, state = _file(model, tmp_path)
    same = from_paper(model, file, name="mae", image_size=64).module.state_dict()
    assert torch.equal(same["pos_embed"], state["pos_embed"])
    larger = from_paper(model, file, name="mae", image_size=96)
    expected = resample_abs_pos_embed(state["pos_embed"], [6, 6], num_prefix_tokens=1)
    assert torch.equal(larger.module.state_dict()["pos_embed"], expected)
    assert torch.equal(expected[:, 0], state["pos_embed"][:, 0]), "the class token has no position to move"
    assert larger.arguments["img_size"] == 96
    assert larger.preprocess.size == (96, 96)
    assert larger.embed(torch.zeros(1, 3, 96, 96)).shape == (1, 24)


def test_beits_relative_positions_move_as_timms_do(tmp_path: Path) -> None:
    model = _small("beit-v2")
    file, state = _file(model, tmp_path)
    larger = from_paper(model, file, name="beit-v2", image_size=96)
    oracle = beit.checkpoint_filter_fn(dict(state), larger.module)  # type: ignore[no-untyped-call, unused-ignore]
    name = "rel_pos_bias.relative_position_bias_table"
    assert oracle[name].shape == (11 * 11 + 3, 2)
    assert torch.equal(larger.module.state_dict()[name], oracle[name])
    assert torch.isfinite(larger.embed(torch.zeros(1, 3, 96, 96))).all()


def test_without_another_size_a_wrong_grid_is_refused(tmp_path: Path) -> None:
    model = _small("mae")
    file, _ = _file(dataclasses.replace(model, arguments={**model.arguments, "img_size": 96}), tmp_path)
    with pytest.raises(ModelError, match=r"wrong shape \(1\): pos_embed \(1, 37, 24\) for \(1, 17, 24\)"):
        from_paper(model, file, name="mae")


# downloads ------------------------------------------------------------------------------------------------------------

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(BaseHTTPRequestHandler):
    """A file server on the loopback that can break off, change its file, and send elsewhere."""

    protocol_version = "HTTP/1.1"
    content: ClassVar[bytes] = CONTENT
    headers_sent: ClassVar[dict[str, str]] = {"ETag": '"one"'}
    break_after: ClassVar[list[int]] = []  # bytes to send before each of the next answers breaks off
    ranges: ClassVar[bool] = True
    seen: ClassVar[list[tuple[str, str]]] = []

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _moved(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        Server.seen.append((self.path, asked))
        if self.path.startswith("/to/"):
            return self._moved(self.path.removeprefix("/to/"))
        if self.path == "/missing":
            return self.send_error(404)
        start = self._start(asked)
        if start > len(self.content) or (asked and start == len(self.content)):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.content)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self._send(start)

    def _start(self, asked: str) -> int:
        same = self.headers.get("If-Range") in (None, self.headers_sent.get("ETag"))
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges and same else 0

    def _send(self, start: int) -> None:
        body = self.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.send_header("Content-Type", "text/html" if self.path == "/page" else "application/octet-stream")
        self.send_header("Content-Length", str(10**13 if self.path == "/huge" else len(body)))
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.path == "/huge":
            body = b""
        if self.break_after:
            body, self.close_connection = body[: self.break_after.pop(0)], True
        self.wfile.write(body)
        if len(body) < len(self.content) - start:
            self.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "*")
    fresh: dict[str, Any] = {"break_after": [], "seen": [], "ranges": True, "content": CONTENT}
    for name, value in {**fresh, "headers_sent": {"ETag": '"one"'}}.items():
        monkeypatch.setattr(Server, name, value)
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def _left(target: Path) -> set[str]:
    return {file.name.removeprefix(target.name) for file in target.parent.iterdir()} - {".lock"}


def _fails(url: str, target: Path, **more: Any) -> str:
    with pytest.raises(ModelError) as caught:
        fetch(url, target, **more)
    assert "\n" not in str(caught.value)
    assert not target.exists(), "half a file must not have the file's name"
    return str(caught.value)


def test_a_file_is_fetched_once_and_checked(server: str, tmp_path: Path) -> None:
    target, seen = tmp_path / "new" / "a.pth", list[tuple[int, int]]()
    sha = hashlib.sha256(CONTENT).hexdigest()
    fetch(f"{server}/a", target, checksum=f"sha256:{sha}", progress=lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert _left(target) == {""}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    for checksum in ("", f"sha256:{sha[:8]}", f"md5:{hashlib.md5(CONTENT).hexdigest()[:8].upper()}"):
        fetch(f"{server}/a", target, checksum=checksum)
    assert len(Server.seen) == 1


def test_a_broken_connection_is_taken_up_where_it_broke(server: str, tmp_path: Path) -> None:
    Server.break_after[:] = [1_000_000, 500_000]
    assert fetch(f"{server}/a", tmp_path / "a.pth").read_bytes() == CONTENT
    assert Server.seen == [("/a", ""), ("/a", "bytes=1000000-"), ("/a", "bytes=1500000-")]


def test_a_download_that_was_given_up_goes_on_in_the_next_command(server: str, tmp_path: Path) -> None:
    target = tmp_path / "a.pth"
    Server.break_after[:] = [100_000, 0]
    message = _fails(f"{server}/a", target)
    assert "0.1 MB are kept and the same command goes on from there" in message
    assert f"put it at '{target}'" in message
    assert _left(target) == {".part", ".part.json"}
    assert fetch(f"{server}/a", target).read_bytes() == CONTENT
    assert Server.seen[-1] == ("/a", "bytes=100000-")
    assert _left(target) == {""}


def test_a_part_of_another_version_is_not_gone_on_with(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, other = tmp_path / "a.pth", CONTENT[::-1]
    Server.break_after[:] = [100_000, 0]
    _fails(f"{server}/a", target)
    monkeypatch.setattr(Server, "content", other)
    monkeypatch.setattr(Server, "headers_sent", {"ETag": '"two"'})
    assert fetch(f"{server}/a", target).read_bytes() == other


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_a_version_without_a_name_starts_again(
    headers: dict[str, str], server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "headers_sent", headers)
    Server.break_after[:] = [100_000]
    assert fetch(f"{server}/a", tmp_path / "a.pth").read_bytes() == CONTENT
    assert [asked for _, asked in Server.seen] == ["", ""]


def test_a_server_without_ranges_starts_again(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "ranges", False)
    Server.break_after[:] = [100_000]
    assert fetch(f"{server}/a", tmp_path / "a.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("rest", [b"", b"too much"])
def test_a_part_that_is_whole_or_too_long(rest: bytes, server: str, tmp_path: Path) -> None:
    """Killed between the last byte and the new name; or the file on the server became shorter."""
    (tmp_path / "a.pth.part").write_bytes(CONTENT + rest)
    (tmp_path / "a.pth.part.json").write_text('{"version": "\\"one\\""}')
    assert fetch(f"{server}/a", tmp_path / "a.pth").read_bytes() == CONTENT


def test_another_checksum_is_refused_and_thrown_away(server: str, tmp_path: Path) -> None:
    target, sha = tmp_path / "a.pth", hashlib.sha256(CONTENT).hexdigest()
    message = _fails(f"{server}/a", target, checksum="sha256:00000000")
    assert f"has the sha256 {sha[:8]}..., expected 00000000; it was thrown away, try again" in message
    assert not (tmp_path / "a.pth.part").exists()
    target.write_bytes(b"put here by hand")
    with pytest.raises(ModelError, match=r"a\.pth' has the sha256 .*, expected 00000000; delete it and get it again"):
        fetch(f"{server}/a", target, checksum="sha256:00000000")
    assert target.exists(), "a file of the user's own is not deleted"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/missing", "the server answered 404 Not Found"),
        ("/page", "the server gave a web page, no weights"),
        ("/huge", "10000.0 GB are more than the 8.6 GB that weights may have"),
        ("/to/file:///etc/passwd", "'file:///etc/passwd' is not allowed"),
        ("/to/ftp://127.0.0.1/a", "the server sends on to 'ftp://127.0.0.1/a'"),
    ],
)
def test_what_is_no_weights_is_refused(path: str, message: str, server: str, tmp_path: Path) -> None:
    assert message in _fails(server + path, tmp_path / "a.pth")


def test_a_redirect_is_followed(server: str, tmp_path: Path) -> None:
    assert fetch(f"{server}/to/{server}/a", tmp_path / "a.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,a", "a.pth"])
def test_only_http_is_spoken(url: str, tmp_path: Path) -> None:
    assert "expected an address that begins with http:// or https://" in _fails(url, tmp_path / "a.pth")


def test_from_https_nothing_leads_down_to_http() -> None:
    from urllib.error import URLError
    from urllib.request import Request

    from acclimate.models.load.download import _Redirects

    with pytest.raises(URLError, match="only https, or http from http, is followed"):
        _Redirects().redirect_request(Request("https://a/b"), None, 302, "", {}, "http://a/b")


def test_offline_is_one_line_that_says_where_to_put_the_file(cache: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_backbone("paper:swav")
    message = str(caught.value)
    assert "cannot download 'https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar'" in message
    assert "this machine is offline" in message
    assert f"put it at '{cache / 'weights' / 'swav.tar'}', or give 'paper:swav@FILE'" in message
    assert "\n" not in message


def test_a_server_that_is_not_there_is_one_line(server: str, tmp_path: Path) -> None:
    assert "refused" in _fails("http://127.0.0.1:9/a", tmp_path / "a.pth").lower()


def test_two_at_once_fetch_it_once(server: str, tmp_path: Path) -> None:
    target = tmp_path / "a.pth"
    threads = [threading.Thread(target=fetch, args=(f"{server}/a", target)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert len(Server.seen) == 1


def test_a_name_downloads_loads_and_stays(
    server: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = dataclasses.replace(_small("moco-v3-vit-b16"), url=f"{server}/vit-b-300ep.pth.tar")
    file, state = _file(model, tmp_path)
    monkeypatch.setattr(Server, "content", file.read_bytes())
    monkeypatch.setattr("acclimate.models.load.open.paper_model", lambda name: model)
    for _ in range(2):
        backbone = load_backbone("paper:moco-v3-vit-b16")
        assert torch.equal(backbone.module.state_dict()["pos_embed"], state["pos_embed"])
    assert len(Server.seen) == 1
    assert (cache / "weights" / "moco-v3-vit-b16.tar").is_file()

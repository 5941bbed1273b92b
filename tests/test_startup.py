"""What is known without torch: remembered facts, and when they are forgotten; timm without torch's compiler."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from conftest import RUNTIME

from acclimate.errors import ModelError
from acclimate.images import load_images
from acclimate.models import Backbone, choose_device, extract, from_module, load_backbone, save_weights
from acclimate.models import device as device_module
from acclimate.models.backbone import Opening
from acclimate.models.load import names as facts_module
from acclimate.models.load.names import BackboneFacts
from acclimate.storage import facts as storage_facts
from acclimate.storage.facts import recall, remember

ZOO = "zoo:resnet-byol"


def python(code: str, *arguments: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def remembered(backbone: Backbone) -> bool:
    """Whether the network of a backbone has not been loaded so far."""
    return isinstance(backbone.__dict__["module"], Opening)


def facts_file(cache: Path) -> Path:
    """Return the one file of facts on a backbone."""
    (file,) = (file for file in (cache / "facts").iterdir() if "architecture" in file.read_text())
    return file


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a weights file that nobody has changed for a while."""
    path = tmp_path / "tiny.safetensors"
    backbone = load_backbone("random:test_resnet", image_size=32)
    save_weights(path, backbone.module, backbone.card())
    return path


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file count as finished at once."""
    monkeypatch.setattr(facts_module, "SETTLED", 0.0)


# facts of a backbone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [ZOO, "random:test_vit"])
def test_a_backbone_that_was_loaded_before_is_the_same(name: str) -> None:
    first, second = load_backbone(name), load_backbone(name)
    assert not remembered(first)
    assert remembered(second)
    assert repr(first) == repr(second)
    assert (first.parameters, first.outline) == (second.parameters, second.outline)
    assert second.card() == first.card()
    assert remembered(second), "nothing of that needs a network"
    state = first.module.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in second.module.state_dict().items())
    assert second.module is second.module
    assert second.outline == first.outline


def test_a_backbone_pickles_copies_and_is_replaced_as_before() -> None:
    load_backbone(ZOO)
    for change in (pickle.dumps, copy.deepcopy):
        backbone = load_backbone(ZOO)
        other: Any = change(backbone)
        other = pickle.loads(other) if isinstance(other, bytes) else other
        assert repr(other) == repr(backbone)
        assert not remembered(other)
    backbone = load_backbone(ZOO)
    renamed = backbone.named("mine")
    assert remembered(renamed)
    assert (renamed.name, renamed.digest) == ("mine", backbone.digest)
    network = torch.nn.Linear(2, 3)
    changed = dataclasses.replace(backbone, module=network, digest="other")
    assert changed.module is network
    assert (changed.name, changed.digest, changed.parameters) == (ZOO, "other", 9)


def test_features_in_the_cache_need_no_network(tiny_npz: Path) -> None:
    images = load_images(tiny_npz)
    features = extract(load_backbone("random:test_resnet", image_size=32), images, RUNTIME)
    backbone = load_backbone("random:test_resnet", image_size=32)
    np.testing.assert_array_equal(extract(backbone, images, RUNTIME).x, features.x)
    assert remembered(backbone)
    extract(backbone, images, RUNTIME, hflip=True)
    assert not remembered(backbone)


def _touched(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def _other_weights(path: Path) -> None:
    backbone = load_backbone("random:test_vit", image_size=32)
    save_weights(path, backbone.module, backbone.card())


@pytest.mark.parametrize("change", [_touched, _other_weights])
@pytest.mark.usefixtures("settled")
def test_a_changed_weights_file_is_loaded(change: Callable[[Path], None], weights: Path) -> None:
    assert not remembered(load_backbone(weights))
    assert remembered(load_backbone(weights))
    change(weights)
    changed = load_backbone(weights)
    assert not remembered(changed)
    assert changed.architecture == ("test_vit" if change is _other_weights else "test_resnet")


def test_a_file_that_was_just_written_is_not_relied_on(weights: Path) -> None:
    assert weights.stat().st_mtime > time.time() - 2
    load_backbone(weights)
    assert not remembered(load_backbone(weights))


def test_another_library_or_size_is_another_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    load_backbone(ZOO)
    assert remembered(load_backbone(ZOO))
    assert not remembered(load_backbone(ZOO, image_size=32))
    monkeypatch.setattr(storage_facts, "_libraries", lambda: ("0.1.0", "2.0", "another timm"))
    assert not remembered(load_backbone(ZOO))


def _damage(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damaged(file: Path) -> None:
        table = json.loads(file.read_text())
        change(table)
        file.write_text(json.dumps(table))

    return damaged


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"\xff{"),
        lambda file: file.write_text(""),
        _damage(lambda table: table.pop("digest")),
        _damage(lambda table: table.update(digest="7f")),
        _damage(lambda table: table.update(random_start="false")),
        _damage(lambda table: table.update(more=1)),
        _damage(lambda table: table["outline"].update(parameters="many")),
        _damage(lambda table: table["outline"].update(family="bird")),
        _damage(lambda table: table["preprocess"].update(size=[0, 64])),
        _damage(lambda table: table["preprocess"].update(size=[64.5, 64])),
        _damage(lambda table: table["preprocess"].update(crop_pct=0.0)),
        _damage(lambda table: table["preprocess"].update(std=[0.5, 0.5, 0.0])),
        _damage(lambda table: table["preprocess"].update(interpolation="guess")),
    ],
)
def test_damaged_facts_are_found_out_anew(damage: Callable[[Path], None], cache: Path) -> None:
    first = load_backbone(ZOO)
    content = facts_file(cache).read_bytes()
    file = facts_file(cache)
    damage(file)
    second = load_backbone(ZOO)
    assert not remembered(second)
    assert repr(second) == repr(first)
    assert file.read_bytes() == content


def test_facts_of_other_weights_are_dropped_with_one_line(cache: Path) -> None:
    load_backbone(ZOO)
    _damage(lambda table: table.update(digest="0" * 64))(facts_file(cache))
    with pytest.raises(ModelError, match=f"the weights of '{ZOO}' are not those that they were; give the command"):
        _ = load_backbone(ZOO).module
    assert not remembered(load_backbone(ZOO))


def test_nothing_is_remembered_where_that_is_not_wanted_or_not_possible(cache: Path) -> None:
    load_backbone(ZOO, remember=False)
    assert not list(cache.iterdir())
    (cache / "facts").write_text("in the way")
    assert load_backbone(ZOO).name == load_backbone(ZOO).name
    assert (cache / "facts").is_file()


def test_facts_lie_in_the_cache_that_is_given(tmp_path: Path, cache: Path) -> None:
    load_backbone(ZOO, cache=tmp_path)
    assert remembered(load_backbone(ZOO, cache=tmp_path))
    assert not remembered(load_backbone(ZOO))


def test_facts_on_weights_of_the_hub_hold_as_long_as_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: None
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--timm--test_resnet.r160_in1k"
    weights = folder / "snapshots" / ("0" * 40) / "model.safetensors"
    weights.parent.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    save_weights(weights, timm.create_model("test_resnet", num_classes=1000), {})
    name = "timm:test_resnet.r160_in1k"
    assert not remembered(load_backbone(name))
    assert remembered(load_backbone(name))
    os.utime(folder / "refs" / "main", ns=(1, 1))
    assert not remembered(load_backbone(name)), "the hub may have another version"


def test_a_module_of_the_users_own_is_what_it_is() -> None:
    tiny = load_backbone("random:test_resnet", image_size=32)
    own = from_module(tiny.module, name="own", features=96, preprocess=tiny.preprocess)
    assert own.outline.kind == "Headed"
    assert own.parameters == tiny.parameters


def test_facts_are_not_those_of_another_kind(cache: Path) -> None:
    remember(device_module.Processor(multiplies_bfloat16=True), "a")
    assert recall(BackboneFacts, "a") is None
    assert recall(device_module.Processor, "a") == device_module.Processor(multiplies_bfloat16=True)
    assert recall(device_module.Processor, "b") is None


# device -------------------------------------------------------------------------------------------------------------


def test_the_device_is_remembered_where_no_accelerator_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "_can_have_accelerator", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    device_module.remember_device()
    without_torch = {name: module for name, module in sys.modules.items() if name != "torch"}
    monkeypatch.setattr(device_module.sys, "modules", without_torch)
    answer = device_module._remembered()
    assert answer is not None
    assert choose_device() == "cpu"
    assert "torch" not in without_torch
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert device_module._remembered() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(device_module, "_can_have_accelerator", lambda: True)
    assert device_module._remembered() is None


def test_an_accelerator_is_never_remembered(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(device_module, "_can_have_accelerator", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    device_module.remember_device()
    assert not list(cache.iterdir())


# timm without torch's compiler --------------------------------------------------------------------------------------

LEAN = """
import sys, torch
disable = torch.compiler.disable
from acclimate.models.load.lean import COMPILER, HELPERS, import_timm
timm = import_timm()
assert COMPILER not in sys.modules and HELPERS not in sys.modules, "timm imported torch's compiler"
assert torch.compiler.disable is disable
assert import_timm() is timm is sys.modules["timm"]
x = torch.zeros(1, 3, 64, 64)
assert timm.create_model("test_resnet")(x).shape == (1, 1000)
assert COMPILER not in sys.modules, "a forward pass imported torch's compiler"
"""


def test_timm_is_imported_without_torchs_compiler() -> None:
    python(LEAN)


@pytest.mark.parametrize(
    "use",
    [
        "torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])",
        "import timm.data; timm.data.create_transform(64)",
        "timm.create_model('test_resnet', features_only=True, feature_cls='fx')(x)",
        "import torchvision; torchvision.ops.roi_align(x, [torch.tensor([[0., 0., 8., 8.]])], 2)",
        "from torchvision.ops.roi_align import is_compile_supported as asked\n"
        "from torch._dynamo.utils import is_compile_supported as real; assert asked('cpu') == real('cpu')",
        "from torch._dynamo import utils; assert type(utils) is type(sys) and utils.__spec__ is not None",
        "torch.compile(lambda x: x + 1, backend='eager')(x)",
        "timm.create_model('naflexvit_base_patch16_gap', embed_dim=32, depth=1, num_heads=2)(x)",
    ],
)
def test_everything_else_is_whole_after_it(use: str) -> None:
    python(f"{LEAN}\n{use}")


def test_who_has_the_compiler_keeps_it() -> None:
    python(
        "import torch, torch._dynamo.utils as u; "
        + LEAN.partition("timm = ")[0].replace("\n", "; ").strip("; ")
        + """
timm = import_timm()
assert sys.modules[HELPERS] is u
assert torch.compiler.disable is disable
"""
    )


# commands -----------------------------------------------------------------------------------------------------------

COMMAND = """
import contextlib, io, json, sys
from acclimate.commands import main
out = io.StringIO()
with contextlib.redirect_stdout(out):
    code = main(sys.argv[1:])
assert code == 0
loaded = [name for name in ("torch", "timm", "sklearn") if name in sys.modules]
print(json.dumps([json.loads(out.getvalue()), loaded]))
"""
CHANGING = {"seconds", "peak_memory_mb", "images_per_second"}


def answer(*arguments: str) -> tuple[dict[str, Any], list[str]]:
    """Run a command in a program of its own; return its document and what it imported of the heavy ones."""
    document, loaded = json.loads(python(COMMAND, *arguments, "--json"))
    return document, loaded


def _without_times(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in CHANGING}


@pytest.mark.parametrize("options", [("--score", "knn"), ("--layers", "all"), ("--score", "knn/marks")])
def test_a_score_of_features_in_the_cache_needs_no_torch(options: tuple[str, ...], digits_folder: Path) -> None:
    line = ("score", str(digits_folder), "--model", ZOO, "--device", "cpu", "--precision", "32", *options)
    first, loaded = answer(*line)
    assert "torch" in loaded
    second, loaded = answer(*line)
    assert loaded == []
    assert _without_times(second) == _without_times(first)


def test_plans_of_what_ran_before_need_no_torch(digits_folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "quick.toml"
    recipe.write_text('name = "quick"\n[[stages]]\nscope = "head"\nsteps = 2\nbatch = 8\nlr = 0.01\naugment = "none"\n')
    machine = ("--device", "cpu", "--precision", "32")
    two = ("rank", str(digits_folder), "--models", f"{ZOO},zoo:gn-leaves", "--final", str(recipe), *machine)
    one = ("tune", str(digits_folder), "--model", ZOO, "--recipe", str(recipe), *machine)
    _, loaded = answer(*two, "--dry-run")
    assert "torch" in loaded
    ranking, _ = answer(*two, "--out", str(tmp_path / "rank"))
    assert len(ranking["models"]) == 2
    plan, loaded = answer(*two, "--dry-run")
    assert loaded == []
    assert all(0 < line["trainable"] < line["total"] and line["expected_seconds"] > 0 for line in plan["models"])
    plan, loaded = answer(*one, "--dry-run")
    assert loaded == []
    assert plan["stages"][0]["expected_seconds"] > 0
    _, loaded = answer(*one, "--labels", "5", "--dry-run")
    assert "torch" in loaded, "another number of images takes another time"

"""Classifiers beyond one linear layer: what they compute, that each resumes to the bit, and what is saved of them."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from conftest import RUNTIME
from test_train import Killed, cut, job, journal, weights
from torch import nn

from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.images import Images
from acclimate.models import Backbone, load_backbone
from acclimate.models.classifier import Classifier, export_onnx, export_timm
from acclimate.models.heads import Head, Heads, Layered, settled, with_head
from acclimate.models.taps import HeadSpec, read_card
from acclimate.objectives import Supervised, SupervisedSettings
from acclimate.training import probabilities, train
from acclimate.training.recipe import Recipe, Stage, parse_recipe

PROBE = Stage(scope="head", augment="none", steps=4, batch=16, lr=0.1, optimizer="sgd", clip=0)
GRID = PROBE.model_copy(update={"rates": (0.01, 1.0, 3.0), "layers": ("1", "1+avg", "2", "2+avg"), "steps": 12})
STAGES = {
    "bn+linear": PROBE.model_copy(update={"head": "bn+linear", "augment": "light", "optimizer": "lars"}),
    "mlp": PROBE.model_copy(update={"head": "mlp", "normalize": "l2"}),
    "zscore": PROBE.model_copy(update={"normalize": "zscore", "augment": "light", "keep": "last"}),
    "rates": PROBE.model_copy(update={"rates": (0.01, 1.0), "augment": "light", "normalize": "zscore"}),
    "layers": GRID.model_copy(update={"steps": 4, "augment": "light"}),
    "depth": PROBE.model_copy(update={"scope": "all", "drop_path": 0.5, "layer_decay": 0.5, "head": "bn+linear"}),
    "steps": PROBE.model_copy(
        update={"scope": "all", "schedule": "steps", "drops": (0.5,), "nesterov": False, "momentum": 0.5, "lr": 0.01}
    ),
}


@pytest.mark.parametrize("name", STAGES)
def test_cut_and_resumed_equals_unbroken(
    name: str, resnet: Backbone, vit: Backbone, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    this = job(vit if name in ("layers", "depth") else resnet, images, STAGES[name])
    whole = train(this, tmp_path / "whole")
    with monkeypatch.context() as patch:
        cut(patch, 3)
        with pytest.raises(Killed):
            train(this, tmp_path / "cut", checkpoint_seconds=0)
    resumed = train(this, tmp_path / "cut")
    finished = train(this, tmp_path / "cut")  # from the checkpoint that the end wrote
    assert weights(resumed.network) == weights(whole.network) == weights(finished.network)
    assert resumed.chosen == whole.chosen == finished.chosen


@pytest.mark.parametrize("name", ["bn+linear", "mlp", "rates", "layers", "zscore"])
def test_frozen_means_frozen(name: str, vit: Backbone, resnet: Backbone, images: Images, tmp_path: Path) -> None:
    backbone = vit if name == "layers" else resnet
    trained = train(job(backbone, images, STAGES[name]), tmp_path).network.state_dict()
    assert all(torch.equal(tensor, trained[key]) for key, tensor in backbone.module.state_dict().items())


@pytest.mark.parametrize("name", ["bn+linear", "mlp", "zscore", "rates", "layers"])
def test_saved_and_loaded_predicts_the_same(
    name: str, resnet: Backbone, vit: Backbone, images: Images, tmp_path: Path
) -> None:
    backbone = vit if name == "layers" else resnet
    this = job(backbone, images, STAGES[name].model_copy(update={"augment": "none"}))
    trained = train(this, tmp_path / "run")
    expected = probabilities(trained.network, this, this.split.test)
    Classifier.of(trained.network, images.classes, backbone).save(tmp_path)
    loaded = Classifier.load(tmp_path)
    found = loaded.predict_views(images, indices=this.split.test, runtime=RUNTIME)[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(found, 1 / 3, atol=1e-3), "an untrained classifier proves nothing"
    again = load_backbone(tmp_path)  # the trunk of a run is a start for others, whatever stood on top
    assert again.digest == backbone.digest


@pytest.mark.parametrize("name", ["bn+linear", "zscore"])
def test_what_normalises_is_folded_for_timm(name: str, resnet: Backbone, images: Images, tmp_path: Path) -> None:
    trained = train(job(resnet, images, STAGES[name]), tmp_path / "run").network
    folder = export_timm(Classifier.of(trained, images.classes, resnet), tmp_path / "timm")
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(theirs(x), trained.eval()(x), rtol=1e-4, atol=1e-5)


def test_what_timm_has_not_is_refused_there_and_goes_to_onnx(vit: Backbone, images: Images, tmp_path: Path) -> None:
    stage = STAGES["layers"].model_copy(update={"augment": "none", "layers": ("2+avg",)})
    trained = train(job(vit, images, stage), tmp_path / "run").network
    classifier = Classifier.of(trained, images.classes, vit)
    with pytest.raises(ModelError, match=r"no classifier such as head 'linear', .* layers \['2\+avg'\].* onnx instead"):
        export_timm(classifier, tmp_path / "timm")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert export_onnx(classifier, tmp_path / "model.onnx")["max_difference"] < 1e-4


def test_each_of_several_is_what_it_would_be_alone(resnet: Backbone, images: Images, tmp_path: Path) -> None:
    """Thirteen rates at once, against a run of its own for each: same validation loss, and the best one stays."""
    rates = (*(a * 10.0**b for b in (-3, -2, -1, 0) for a in (1, 2, 5)), 10.0)
    together = train(job(resnet, images, PROBE.model_copy(update={"rates": rates})), tmp_path / "all")
    alone = {}
    for rate in rates[::4]:
        stage = PROBE.model_copy(update={"lr": PROBE.lr * rate, "keep": "last"})
        train(job(resnet, images, stage), tmp_path / str(rate))
        alone[rate] = journal(tmp_path / str(rate))[-1]["val_log_loss"]
    one = PROBE.model_copy(update={"lr": PROBE.lr * together.chosen["rate"]})
    same = train(job(resnet, images, one), tmp_path / "same")
    for key, tensor in same.network.state_dict().items():
        torch.testing.assert_close(together.network.state_dict()[key.replace("fc.", "fc.linear.")], tensor)
    best = min(line["val_log_loss"] for line in journal(tmp_path / "all") if "val_log_loss" in line)
    assert best <= min(alone.values()) + 1e-6
    assert len(set(alone.values())) == len(alone)


def test_several_compute_what_single_layers_do() -> None:
    torch.manual_seed(0)
    spec = HeadSpec(rates=(1.0, 2.0), layers=("1", "2"))
    heads = Heads(6, 3, spec=spec, columns={"1": slice(3, 6), "2": slice(0, 6)}, rates=spec.rates)
    for part in heads.linears:
        nn.init.normal_(part.weight)
    x = torch.randn(5, 6)
    every = heads.train()(x)
    assert every.shape == (5, 4, 3)
    for place, columns in enumerate([slice(3, 6), slice(3, 6), slice(0, 6), slice(0, 6)]):
        torch.testing.assert_close(every[:, place], heads.linears[place](x[:, columns]))
    heads.chosen.fill_(3)
    torch.testing.assert_close(heads.eval()(x), every[:, 3])
    assert heads.named() == {"rate": 2.0, "layers": "2"}


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_the_loss_of_several_is_the_sum_of_theirs_and_one_that_breaks_hurts_no_other(weights: str) -> None:
    torch.manual_seed(0)
    objective = Supervised(SupervisedSettings(label_smoothing=0.1, class_weights=weights))
    objective.setup(nn.Linear(2, 3), features=2, class_counts=[4, 2, 1])
    logits, labels = torch.randn(7, 2, 3), torch.tensor([0, 0, 0, 0, 1, 1, 2])
    objective.network = nn.Identity()
    alone = [F.cross_entropy(logits[:, i], labels, weight=objective.weight, label_smoothing=0.1) for i in range(2)]
    torch.testing.assert_close(objective.loss([logits], labels), alone[0] + alone[1])
    broken = logits.clone()
    broken[0, 1, 0] = math.nan
    broken.requires_grad_()
    loss = objective.loss([broken], labels)
    torch.testing.assert_close(loss, alone[0])
    loss.backward()
    assert broken.grad is not None
    assert broken.grad[:, 0].isfinite().all()
    broken = torch.full_like(logits, math.nan)
    assert not objective.loss([broken], labels).isfinite()


def test_layers_are_the_class_tokens_of_the_last_blocks() -> None:
    network = timm.create_model("test_vit", num_classes=3, img_size=32).eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, __, out: tokens.append(network.norm(out)))
    network.forward_features(x)
    layered = with_head(network, HeadSpec(layers=("2+avg",)), 3, (32, 32)).eval()
    found = layered.forward_features(x)
    mean = tokens[-1][:, 1:].mean(1)
    expected = torch.cat([tokens[-2][:, 0], tokens[-1][:, 0], mean], 1)
    torch.testing.assert_close(found, expected)


def test_without_a_class_token_the_mean_stands_for_it_once(resnet: Backbone) -> None:
    network = with_head(resnet.network(3), HeadSpec(layers=("1", "1+avg", "2"), rates=(1.0,)), 3, (32, 32))
    assert isinstance(network, Layered)
    assert isinstance(network.fc, Heads)
    assert list(network.fc.columns) == ["1", "2"]
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        last = network.eval().forward_features(x)[:, network.fc.columns["1"]]
        torch.testing.assert_close(last, resnet.module(x))


def test_chosen_layers_are_cut_out(vit: Backbone) -> None:
    network = with_head(vit.network(3), HeadSpec(layers=("1", "2+avg"), rates=(1.0, 2.0)), 3, (32, 32)).eval()
    heads = network.get_submodule("fc")
    assert isinstance(heads, Heads)
    for part in heads.linears:
        nn.init.normal_(part.weight, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 3, 32, 32)
    for place, words in enumerate([("1", 1.0), ("1", 2.0), ("2+avg", 1.0), ("2+avg", 2.0)]):
        heads.chosen.fill_(place)
        one, told = settled(network)
        assert (told["layers"], told["rate"]) == words
        torch.testing.assert_close(one.eval()(x), network(x))


def test_the_head_s_batch_norm_learns_where_the_backbone_s_is_frozen(
    resnet: Backbone, images: Images, tmp_path: Path
) -> None:
    stage = STAGES["bn+linear"].model_copy(update={"bn_stats": "frozen"})
    network = train(job(resnet, images, stage), tmp_path).network
    head = network.get_submodule("fc")
    assert isinstance(head, Head)
    assert isinstance(head.norm, nn.BatchNorm1d)
    assert head.norm.eps == 1e-6
    assert head.norm.weight is None
    assert head.norm.running_mean is not None
    assert head.norm.running_mean.abs().max() > 0


def test_zscore_is_measured_on_the_training_images(resnet: Backbone, images: Images, tmp_path: Path) -> None:
    this = job(resnet, images, STAGES["zscore"])
    head = train(this, tmp_path).network.get_submodule("fc")
    assert isinstance(head, Head)
    from acclimate.models import extract

    x = extract(resnet, images, runtime=RUNTIME).x[this.split.train].astype(np.float64)
    np.testing.assert_allclose(head.shift.numpy(), x.mean(0), rtol=2e-2, atol=2e-2)  # features are kept as float16
    np.testing.assert_allclose(head.scale.numpy(), 1 / (x.std(0) + 1e-6), rtol=2e-2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rates": [1.0], "scope": "all"}, "several classifiers at once are linear, on a frozen backbone"),
        ({"rates": [1.0], "clip": 1.0}, "expected scope 'head', head 'linear', keep 'best' and clip 0"),
        ({"rates": [0.0]}, "rates.0: Input should be greater than 0"),
        ({"layers": ["4 blocks"]}, r"got layers '4 blocks'; expected a number of last blocks such as '4', or '4\+avg'"),
        ({"layers": ["1"], "scope": "all"}, "'layers' are read from a frozen backbone; expected scope 'head', got"),
        ({"schedule": "steps"}, r"got schedule 'steps' with drops \[\]; 'steps' needs drops"),
        ({"drops": [0.5]}, r"got schedule 'cosine' with drops \[0.5\]"),
        ({"momentum": 0.0, "optimizer": "sgd"}, "got nesterov without momentum"),
        ({"head": "bn+linear", "batch": 1}, "no statistics of 1 image; expected a batch of at least 2"),
        ({"objective": "byol", "scope": "all", "head": "mlp"}, "objective 'byol' has no classifier; leave head"),
    ],
)
def test_settings_that_do_not_fit(values: dict[str, object], message: str) -> None:
    usual = {"scope": "head", "steps": 1, "lr": 0.1, "clip": 0.0}
    with pytest.raises(RecipeError, match=message):
        parse_recipe({"name": "bad", "stages": [usual | values]}, where="'bad'")


def test_heads_that_do_not_fit_a_network_or_a_split(resnet: Backbone, images: Images, tmp_path: Path) -> None:
    this = job(resnet, images, STAGES["rates"])
    with pytest.raises(DataError, match="trains several classifiers at once and has no validation image"):
        train(
            dataclasses.replace(this, split=dataclasses.replace(this.split, val=this.split.val[:0])),
            tmp_path / "a",
        )
    with pytest.raises(ModelError, match=r"got layers '9'; ResNet has"):
        with_head(resnet.network(3), HeadSpec(layers=("9",)), 3, (32, 32))
    distilled = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=3, img_size=32)
    with pytest.raises(ModelError, match="which has 2 classifiers; expected a network with one"):
        with_head(distilled, HeadSpec("mlp"), 3, (32, 32))
    with pytest.raises(ModelError, match="header is damaged: no head is"):
        read_card({"kind": "forest"})


def test_stages_share_one_head() -> None:
    stages = [json.loads(stage.model_dump_json(exclude_none=True)) for stage in (PROBE, STAGES["mlp"])]
    with pytest.raises(RecipeError, match="stages with labels share one classifier"):
        parse_recipe({"name": "bad", "stages": stages}, where="'bad'")
    two = [stage | {"rates": [1.0]} for stage in (stages[0], stages[0])]
    with pytest.raises(RecipeError, match="of several classifiers one is chosen at the end"):
        parse_recipe({"name": "bad", "stages": two}, where="'bad'")
    good = Recipe(name="good", stages=(GRID,))
    assert parse_recipe(tomllib.loads(good.to_toml()), where="'good'") == good

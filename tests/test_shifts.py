"""What `explain` measures: each number against its formula written out, and laws that any such number must keep."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import timm
import torch
from torch import nn

from acclimate.experiments import explanation as shifts
from acclimate.experiments.explanation.compare import NormChange, compare, draws, sentences, together
from acclimate.experiments.explanation.measures import (
    Layer,
    cka,
    countable,
    dead,
    gram,
    hoyer,
    log_variance_ratio,
    mean_shift,
    nearest_mean,
    separation,
)
from acclimate.experiments.explanation.record import FEATURES, places, record
from acclimate.models import Preprocess, load_backbone

RESNET_BLOCKS = ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]


def one(n: int) -> npt.NDArray[np.float64]:
    return np.ones((1, n))


def layer(x: npt.NDArray[Any]) -> Layer:
    """Return a layer without positions."""
    return Layer(x.astype(np.float32), x.mean(0), x.var(0), float((x == 0).mean()))


# ---- CKA


def hsic_1(k: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Equation 3 of Nguyen et al. 2021, as it is printed; the diagonals are zero."""
    n, ones = len(k), np.ones(len(k))
    trace = np.trace(k @ other)
    sums = (ones @ k @ ones) * (ones @ other @ ones) / ((n - 1) * (n - 2))
    return float((trace + sums - 2 / (n - 2) * (ones @ k @ other @ ones)) / (n * (n - 3)))


def plain_gram(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    k = x @ x.T
    np.fill_diagonal(k, 0)
    return k


def printed_cka(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    k, other = plain_gram(x), plain_gram(y)
    return hsic_1(k, other) / math.sqrt(hsic_1(k, k) * hsic_1(other, other))


def pair(n: int, seed: int = 0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)) + 3
    return x, np.maximum(x @ rng.normal(size=(6, 9)), 0) + rng.normal(size=(n, 9))


@pytest.mark.parametrize("n", [5, 40])
def test_cka_is_the_printed_formula(n: int) -> None:
    x, y = pair(n)
    assert cka(gram(x), gram(y), one(n))[0] == pytest.approx(np.clip(printed_cka(x, y), -1, 1), abs=1e-10)


def test_weighted_cka_averages_over_different_images_only() -> None:
    """Every pair, triple and quadruple of different images, one by one, with the products of their counts."""
    n, weights = 6, np.array([2.0, 0, 1, 3, 1, 1])
    x, y = pair(n)
    k, other = gram(x), gram(y)

    def mean(size: int, value: Any) -> float:
        chosen = list(itertools.permutations(range(n), size))
        counts = [float(np.prod(weights[list(c)])) for c in chosen]
        return sum(w * value(*c) for w, c in zip(counts, chosen, strict=True)) / sum(counts)

    def hsic(a: Any, b: Any) -> float:
        pairs = mean(2, lambda i, j: a[i, j] * b[i, j])
        triples = mean(3, lambda i, j, q: a[i, j] * b[i, q])
        return pairs + mean(4, lambda i, j, q, r: a[i, j] * b[q, r]) - 2 * triples

    expected = hsic(k, other) / math.sqrt(hsic(k, k) * hsic(other, other))
    assert abs(expected) < 1
    assert cka(k, other, weights[None])[0] == pytest.approx(expected, abs=1e-9)


def test_cka_sees_no_rotation_no_scale_and_no_offset() -> None:
    x, y = pair(30)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    assert cka(gram(x), gram(-4 * x @ rotation + 7), one(30))[0] == pytest.approx(1, abs=1e-9)
    stretched = x * np.array([9, 1, 1, 1, 1, 1])  # invertible, but not a rotation
    assert cka(gram(x), gram(stretched), one(30))[0] < 0.9
    turned = cka(gram(x @ rotation), gram(y), one(30))[0]
    assert turned == pytest.approx(cka(gram(x), gram(y), one(30))[0], abs=1e-9)


def test_cka_of_independent_features_is_zero_where_the_biased_one_is_not() -> None:
    rng = np.random.default_rng(0)
    values, biased = [], []
    for _ in range(60):
        x, y = rng.normal(size=(20, 50)), rng.normal(size=(20, 50))
        values.append(cka(gram(x), gram(y), one(20))[0])
        a, b = x - x.mean(0), y - y.mean(0)
        biased.append(np.sum((a.T @ b) ** 2) / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)))
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(60) + 1e-3
    assert np.mean(biased) > 0.5


def test_intervals_of_cka_hold_the_true_value_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    # y = x A: CKA of the population is ||A||^2 / (||I|| ||A'A||) with Frobenius norms, x being white.
    a = rng.normal(size=(5, 5))
    truth = np.sum(a**2) / (math.sqrt(5) * np.linalg.norm(a.T @ a))
    held = 0
    for trial in range(100):
        x = rng.normal(size=(60, 5))
        drawn = draws(np.full(60, -1), seed=trial, resamples=200)
        rows = compare({FEATURES: layer(x)}, {FEATURES: layer(x @ a)}, np.full(60, -1), drawn)
        held += rows[0]["cka"]["low"] <= truth <= rows[0]["cka"]["high"]
    assert 80 <= held <= 99  # of 90 expected: small samples, percentile ends


def test_cka_of_features_that_do_not_tell_images_apart_is_unknown() -> None:
    x = np.full((8, 3), 0.1, np.float32)
    assert np.isnan(cka(gram(x), gram(np.random.default_rng(0).normal(size=(8, 3))), one(8))[0])
    row = compare({FEATURES: layer(x)}, {FEATURES: layer(x)}, np.full(8, -1), draws(np.full(8, -1), seed=0))[0]
    assert (row["cka"], row["shift"], row["log_variance"]) == (None, None, None)


# ---- classes


def printed_separation(x: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], weights: Any = None) -> float:
    """1 - within / total by loops over pairs of different images, every class counting the same."""
    w = np.ones(len(x)) if weights is None else weights
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)

    def block(a: int, b: int) -> float:
        found = [
            (w[i] * w[j], 1 - unit[i] @ unit[j])
            for i in np.flatnonzero(labels == a)
            for j in np.flatnonzero(labels == b)
            if i != j
        ]
        return sum(c * d for c, d in found) / sum(c for c, _ in found)

    classes = np.unique(labels)
    within = np.mean([block(c, c) for c in classes])
    return float(1 - within / np.mean([block(a, b) for a in classes for b in classes]))


def classed() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(3), (6, 7, 11)))
    return rng.normal(size=(24, 5)) + np.eye(5)[labels] * 2, labels


def test_separation_is_the_formula_with_and_without_weights() -> None:
    x, labels = classed()
    assert separation(x, labels, one(24))[0] == pytest.approx(printed_separation(x, labels), abs=1e-12)
    weights = np.random.default_rng(1).integers(1, 4, 24).astype(float)
    weights[3] = 0
    expected = printed_separation(x, labels, weights)
    assert separation(x, labels, weights[None])[0] == pytest.approx(expected, abs=1e-12)


def test_separation_is_one_for_points_and_zero_on_average_for_noise() -> None:
    labels = np.repeat(np.arange(3), 4)
    assert separation(np.eye(3)[labels], labels, one(12))[0] == pytest.approx(1)
    rng = np.random.default_rng(0)
    values = [separation(rng.normal(size=(12, 5)), labels, one(12))[0] for _ in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(300) + 1e-3


def test_nearest_mean_leaves_the_image_out() -> None:
    x, labels = classed()
    expected = []
    for i in range(24):
        rest = np.arange(24) != i
        distance = [np.linalg.norm(x[i] - x[rest & (labels == c)].mean(0)) for c in np.unique(labels)]
        expected.append(np.unique(labels)[int(np.argmin(distance))] == labels[i])
    assert nearest_mean(x, labels).tolist() == expected
    assert 0 < sum(expected) < 24


def test_classes_of_one_image_and_images_without_label_are_not_asked() -> None:
    assert countable(np.array([0, 0, 1, -1, -1, 2, 2])).tolist() == [True, True, False, False, False, True, True]
    assert not countable(np.array([-1, -1])).any()


# ---- moments


def test_shift_variance_sparsity_by_hand() -> None:
    before = layer(np.array([[0.0, 1], [2, 5]]))  # means 1, 3; variances 1, 4
    after = layer(np.array([[3.0, 0], [7, 0]]))  # means 5, 0; variances 4, 0
    assert mean_shift(before, after) == pytest.approx(5 / math.sqrt(5))
    assert log_variance_ratio(before, after) == pytest.approx((math.log(4),) * 3)  # of the channel that lives
    assert (dead(before), dead(after)) == (0, 1)
    assert (before.zeros, after.zeros) == (0.25, 0.5)
    root = math.sqrt(2)
    by_image = [(root - 1) / (root - 1), (root - 7 / math.sqrt(29)) / (root - 1)]
    assert hoyer(before) == pytest.approx(np.mean(by_image))
    assert hoyer(after) == pytest.approx(1)


# ---- layers and recording


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return load_backbone("zoo:resnet-byol").module


def images(n: int = 24, side: int = 64) -> npt.NDArray[np.uint8]:
    """Return smooth noise, so that layers see something."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (n, 8, 8, 3))
    return np.kron(small, np.ones((1, side // 8, side // 8, 1))).astype(np.uint8)


def seen(network: nn.Module, pixels: npt.NDArray[np.uint8], **more: Any) -> dict[Any, Layer]:
    side = pixels.shape[1]
    found = record(network, Preprocess((side, side)), pixels, np.arange(len(pixels)), device="cpu", **more)
    return dict(found)


def names(network: nn.Module, kind: str) -> list[str]:
    return [place.name for place in places(network) if place.kind == kind]


def test_layers_have_timms_names_in_every_family() -> None:
    made = {name: timm.create_model(name, num_classes=0) for name in ("test_resnet", "test_vit", "test_convnext")}
    assert names(made["test_resnet"], "block") == RESNET_BLOCKS
    assert names(made["test_vit"], "block") == [f"blocks.{i}" for i in range(6)]
    depths = (1, 2, 4, 2)
    expected = [f"stages.{s}.blocks.{b}" for s, depth in enumerate(depths) for b in range(depth)]
    assert names(made["test_convnext"], "block") == expected
    norms = names(made["test_resnet"], "norm")
    assert norms == [n for n, m in made["test_resnet"].named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(names(made["test_vit"], "norm")) == 13
    assert {"stem.1", "stages.1.downsample.0", "stages.3.blocks.1.norm"} <= set(names(made["test_convnext"], "norm"))


@pytest.mark.parametrize(
    ("architecture", "side"), [("test_resnet", 64), ("test_vit", 160), ("test_convnext", 64), ("test_efficientnet", 64)]
)
def test_every_layer_is_recorded_with_its_own_channels(architecture: str, side: int) -> None:
    network = timm.create_model(architecture, num_classes=0)
    found = seen(network, images(4, side))
    assert {place.name for place in found} == {place.name for place in places(network)} | {"features"}
    modules = dict(network.named_modules())
    for place, got in found.items():
        assert got.pooled.shape == (4, len(got.mean)), place
        if place.kind == "norm":
            weight = modules[place.name].weight
            assert len(got.mean) == len(weight), place  # type: ignore[arg-type]  # a parameter
    last = [place for place in found if place.kind == "block"][-1]
    if architecture == "test_resnet":  # global average pooling of the last block is what the classifier sees
        assert np.allclose(found[last].pooled, found[FEATURES].pooled, atol=1e-6)


def test_moments_are_those_of_the_whole_feature_map_whatever_the_batch(resnet: nn.Module) -> None:
    pixels = images(10)
    kept: list[torch.Tensor] = []
    handle = resnet.get_submodule("layer2.0").register_forward_hook(lambda _m, _i, out: kept.append(out.clone()))
    small = seen(resnet, pixels, batch=3)
    handle.remove()
    whole = torch.cat(kept).double()  # (10, C, h, w)
    place = next(place for place in small if place.name == "layer2.0")
    for found in (small[place], seen(resnet, pixels, batch=32)[place]):
        assert np.allclose(found.mean, whole.mean((0, 2, 3)), atol=1e-6)
        assert np.allclose(found.variance, whole.var((0, 2, 3), correction=0), rtol=1e-5)
        assert found.zeros == pytest.approx(float((whole == 0).double().mean()))
        assert np.allclose(found.pooled, whole.mean((2, 3)), atol=1e-6)
    assert 0 < small[place].zeros < 1


def test_recording_leaves_the_network_as_it_was(resnet: nn.Module) -> None:
    network = copy.deepcopy(resnet).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    seen(network, images(4))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())


# ---- laws of the whole comparison

LABELS = np.arange(24) % 3


def rows_of(before: nn.Module, after: nn.Module, pixels: Any = None) -> dict[str, dict[str, Any]]:
    pixels = images() if pixels is None else pixels
    rows = compare(seen(before, pixels), seen(after, pixels), LABELS, draws(LABELS, seed=0, resamples=50))
    return {row["layer"]: row for row in rows}


@pytest.mark.parametrize("name", ["zoo:resnet-byol", "zoo:convnext-byol"])
def test_identical_networks_have_not_changed_at_all(name: str) -> None:
    network = load_backbone(name).module
    same = copy.deepcopy(network)
    rows = rows_of(network, same)
    for row in rows.values():
        assert (row["shift"], row["log_variance"]) == (0, {"low": 0, "median": 0, "high": 0}), row["layer"]
        assert [row["cka"][key] for key in ("value", "low", "high")] == pytest.approx([1, 1, 1], abs=1e-9)
        for key in ("dead", "zeros", "hoyer", "rank", "separation", "class_mean"):
            assert row[key]["before"] == row[key]["after"], (row["layer"], key)
        assert [row["separation"][key] for key in ("difference", "low", "high")] == [0, 0, 0]
    changed = shifts.changes(network, same)
    assert {change.layer for change in changed} == set(names(network, "norm"))
    assert all((c.length, c.sign_changed, c.largest) == (0, 0, 0) for c in changed)
    said = sentences(list(rows.values()), changed)
    assert "The norm scales did not change at all." in said
    assert "Every layer is the same as before: CKA 1 throughout." in said


def test_a_doubled_scale_shows_up_as_exactly_that(resnet: nn.Module) -> None:
    other = copy.deepcopy(resnet)
    norm = other.get_submodule("layer3.0.bn2")
    with torch.no_grad():
        norm.weight *= 2  # type: ignore[operator]  # a parameter
    changed = {(c.layer, c.role): c for c in shifts.changes(resnet, other)}
    scale = changed.pop(("layer3.0.bn2", "scale"))
    assert scale.relative == 1
    assert scale.after == pytest.approx(2 * scale.before)
    assert scale.sign_changed == 0
    assert all(c.length == 0 for c in changed.values())
    rows = rows_of(resnet, other)
    ends = [rows["layer3.0.bn2"]["log_variance"][key] for key in ("low", "median", "high")]
    assert ends == pytest.approx([math.log(4)] * 3, abs=1e-5)
    assert rows["layer3.0.bn2"]["cka"]["value"] == pytest.approx(1, abs=1e-4)  # a scale, and a shift that stays
    order = list(rows)
    earlier = order[: order.index("layer3.0.bn2")]
    assert len(earlier) > 5
    assert all(rows[name]["cka"]["value"] == pytest.approx(1, abs=1e-9) for name in earlier)
    assert rows["layer4.0"]["cka"]["value"] < 0.9999


def test_a_rotation_of_the_channels_leaves_cka_alone_and_moves_the_mean() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 8)) + 2
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    row = compare({FEATURES: layer(x)}, {FEATURES: layer(x @ rotation)}, LABELS, draws(LABELS, seed=0))[0]
    assert [row["cka"][key] for key in ("value", "low", "high")] == pytest.approx([1, 1, 1], abs=1e-6)
    assert row["rank"]["after"] == pytest.approx(row["rank"]["before"], rel=1e-4)
    assert row["separation"]["difference"] == pytest.approx(0, abs=1e-6)
    assert row["shift"] > 1


def test_the_order_of_the_images_does_not_matter(resnet: nn.Module) -> None:
    other = load_backbone("zoo:resnet-supervised").module
    order = np.random.default_rng(0).permutation(24)
    plain, drawn = images(), draws(LABELS, seed=0, resamples=2)
    first = compare(seen(resnet, plain), seen(other, plain), LABELS, drawn)
    mixed = plain[order]
    second = compare(seen(resnet, mixed), seen(other, mixed), LABELS[order], draws(LABELS[order], seed=0, resamples=2))
    for a, b in zip(first, second, strict=True):
        assert a["cka"]["value"] == pytest.approx(b["cka"]["value"], abs=1e-5)
        for key in ("shift", "width"):
            assert a[key] == pytest.approx(b[key], rel=1e-4)
        for key in ("rank", "separation", "class_mean", "hoyer", "zeros"):
            assert a[key]["after"] == pytest.approx(b[key]["after"], rel=1e-4, abs=1e-6), (a["layer"], key)


# ---- the norms themselves


def test_change_of_a_norm_by_hand() -> None:
    before, after = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    with torch.no_grad():
        before.weight.copy_(torch.tensor([3.0, 4.0]))
        after.weight.copy_(torch.tensor([3.0, -1.0]))
        after.bias.copy_(torch.tensor([0.0, 0.5]))
        after.running_mean += torch.tensor([1.0, 0.0])  # type: ignore[operator]  # a buffer
    found = {c.role: c for c in shifts.changes(nn.Sequential(before), nn.Sequential(after))}
    assert list(found) == ["scale", "shift", "mean", "variance"]
    scale = found["scale"]
    assert (scale.layer, scale.n, scale.length, scale.start) == ("0", 2, 5, 5)
    assert (scale.relative, scale.sign_changed, scale.largest) == (1, 0.5, 5)
    assert (scale.before, scale.after) == (3.5, 1)
    assert (found["shift"].relative, found["shift"].length) == (None, 0.5)  # it began at zero
    assert found["mean"].length == 1
    assert found["variance"].length == 0


def test_norms_without_running_statistics_have_scale_and_shift_alone() -> None:
    vit = timm.create_model("test_vit", num_classes=0)
    assert {c.role for c in shifts.changes(vit, vit)} == {"scale", "shift"}


def test_layers_together_are_one_long_vector() -> None:
    rows = [NormChange("a", "scale", 2, 3.0, 6.0, 0, 3, 1, 1), NormChange("b", "scale", 2, 4.0, 8.0, 0, 4, 1, 1)]
    assert together(rows) == pytest.approx(5 / 10)
    assert together([NormChange("a", "shift", 2, 3.0, 0.0, 0, 3, 1, 1)]) is None

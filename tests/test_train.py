"""The loop: exact resume after kill -9, frozen means frozen, guards, and the shortcut for frozen trunks."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RUNTIME

from acclimate.errors import DataError, InputError, ScopeError, TrainingError
from acclimate.images import Images, Split, make_split
from acclimate.models import Backbone, load_backbone
from acclimate.storage.runtime import Runtime
from acclimate.training import CHECKPOINT, Job, plan, probabilities, train
from acclimate.training.recipe import Recipe, Stage

ARCHITECTURE = "random:test_resnet"
HEAD = Stage(scope="head", augment="none", epochs=3, batch=16, lr=0.01)
FULL = Stage(scope="all", epochs=3, batch=16, lr=0.003, accumulate=2, weight_decay=0.01)
BYOL = Stage(objective="byol", scope="all", steps=6, batch=16, lr=0.001, options={"hidden": 32, "out": 16})
LONG = Recipe(name="long", stages=(BYOL, HEAD, FULL))


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(ARCHITECTURE, image_size=32)


def job(backbone: Backbone, images: Images, *stages: Stage, seed: int = 0) -> Job:
    return Job(backbone, Recipe(name="test", stages=stages), images, make_split(images), seed=seed, runtime=RUNTIME)


def weights(network: torch.nn.Module) -> dict[str, bytes]:
    return {name: t.contiguous().numpy().tobytes() for name, t in network.state_dict().items()}


def test_same_seed_same_bytes_and_another_seed_others(backbone: Backbone, images: Images, tmp_path: Path) -> None:
    first, again, other = (
        train(job(backbone, images, BYOL, HEAD, FULL, seed=seed), tmp_path / name).network
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert weights(first) == weights(again)
    assert weights(first) != weights(other)


class Killed(Exception):
    """Stands for a power cut: raised in the middle of a step, nothing is cleaned up."""


def cut(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Make the run die in its n-th optimizer step from now, after the gradients, before the update."""
    from acclimate.training import stage

    seen = {"steps": 0}
    real = stage.StageRun._checked

    def dying(self: stage.StageRun, loss: torch.Tensor, step: int) -> float | None:
        seen["steps"] += 1
        if seen["steps"] == after:
            raise Killed
        return real(self, loss, step)

    monkeypatch.setattr(stage.StageRun, "_checked", dying)


@pytest.mark.parametrize("after", [1, 4, 6, 7, 9, 14, 16, 18])
def test_cut_anywhere_and_resumed_equals_unbroken(
    backbone: Backbone, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Cut in each of three stages (6, 9 and 3 steps long), with a checkpoint after every step."""
    whole = train(job(backbone, images, BYOL, HEAD, FULL), tmp_path / "whole")
    with monkeypatch.context() as patch:
        cut(patch, after)
        with pytest.raises(Killed):
            train(job(backbone, images, BYOL, HEAD, FULL), tmp_path / "cut", checkpoint_seconds=0)
    resumed = train(job(backbone, images, BYOL, HEAD, FULL), tmp_path / "cut")
    assert weights(resumed.network) == weights(whole.network)
    assert [r.steps for r in resumed.reports] == [r.steps for r in whole.reports]
    steps = [(line["stage"], line["step"]) for line in journal(tmp_path / "cut")]
    assert steps == [(line["stage"], line["step"]) for line in journal(tmp_path / "whole")]


def journal(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_finished_run_is_not_done_again(backbone: Backbone, images: Images, tmp_path: Path) -> None:
    whole = train(job(backbone, images, HEAD), tmp_path)
    again = train(job(backbone, images, HEAD), tmp_path)
    assert weights(whole.network) == weights(again.network)
    assert whole.reports == again.reports


@pytest.mark.parametrize("stage", [BYOL, FULL], ids=["adaptation", "tuning"])
def test_kill_9_loses_nothing(
    stage: Stage, backbone: Backbone, images: Images, digits_folder: Path, tmp_path: Path
) -> None:
    """A real SIGKILL in the middle of a real process, wherever it happens to be."""
    long = stage.model_copy(update={"steps": 24, "epochs": None, "accumulate": 1})
    recipe = Recipe(name="test", stages=(long,))
    recipe.save(tmp_path / "recipe.toml")
    script = (
        "import sys; from pathlib import Path\n"
        "from acclimate.models import load_backbone; from acclimate.images import load_images, make_split\n"
        "from acclimate.catalogue import read; from acclimate.training import Job, train\n"
        "from acclimate.training.recipe import parse_recipe\n"
        "from acclimate.storage.runtime import Runtime\n"
        "data, recipe, out = sys.argv[1:]\n"
        "images = load_images(data)\n"
        f"backbone = load_backbone('{ARCHITECTURE}', image_size=32)\n"
        "stages = parse_recipe(read('protocols', recipe).values, where='here')\n"
        "job = Job(backbone, stages, images, make_split(images), runtime=Runtime(device='cpu'))\n"
        "train(job, Path(out), checkpoint_seconds=0)\n"
    )
    command = [sys.executable, "-c", script, str(digits_folder), str(tmp_path / "recipe.toml"), str(tmp_path / "cut")]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # another number of threads sums in another order
    process = subprocess.Popen(command, env={**os.environ, **threads})
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut" / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.15)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = torch.load(tmp_path / "cut" / CHECKPOINT, weights_only=True)["step"]
    assert 0 < done < 24, "the kill came too early or too late to prove anything"
    this = dataclasses.replace(job(backbone, images, long), recipe=recipe)
    whole = train(this, tmp_path / "whole")
    resumed = train(this, tmp_path / "cut")
    assert weights(resumed.network) == weights(whole.network)


def test_frozen_trunk_shortcut_equals_the_long_way(
    backbone: Backbone, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training the head on features computed once gives what running the network each step gives."""
    from acclimate.training import build

    short = train(job(backbone, images, HEAD), tmp_path / "short")
    monkeypatch.setattr(build, "can_cache_trunk", lambda network: False)
    long = train(job(backbone, images, HEAD), tmp_path / "long")
    for name, tensor in short.network.state_dict().items():
        torch.testing.assert_close(tensor, long.network.state_dict()[name], rtol=1e-4, atol=1e-6)
    assert short.reports[0].trainable == 96 * 3 + 3


def test_training_learns(backbone: Backbone, images: Images, tmp_path: Path) -> None:
    this = job(backbone, images, HEAD.model_copy(update={"epochs": 60}))
    trained = train(this, tmp_path)
    p = probabilities(trained.network, this, this.split.test)
    assert p.shape == (36, 3)
    assert np.allclose(p.sum(1), 1)
    assert (p.argmax(1) == images.labels[this.split.test]).mean() > 0.8


def test_best_on_validation_is_kept(backbone: Backbone, images: Images, tmp_path: Path) -> None:
    """With a rate that wrecks the network in the end, what comes back is the best evaluation, not the last."""
    wild = HEAD.model_copy(update={"epochs": 30, "lr": 3.0, "clip": 0.0})
    this = job(backbone, images, wild)
    trained = train(this, tmp_path)
    losses = [line["val_log_loss"] for line in journal(tmp_path) if "val_log_loss" in line]
    p = probabilities(trained.network, this, this.split.val)
    kept = -np.log(p[np.arange(len(p)), images.labels[this.split.val]]).mean()
    assert min(losses) < losses[-1], "the rate was not wild enough to prove anything"
    assert kept == pytest.approx(min(losses), rel=1e-4)


def test_early_stop(backbone: Backbone, images: Images, tmp_path: Path) -> None:
    wild = HEAD.model_copy(update={"epochs": 50, "lr": 3.0, "clip": 0.0, "patience": 2})
    report = train(job(backbone, images, wild), tmp_path).reports[0]
    assert report.epochs < 50


def test_accumulation_is_one_step_of_a_larger_batch(backbone: Backbone, images: Images, tmp_path: Path) -> None:
    """Without batch statistics, two batches of half the size give the gradient of the whole."""
    split = make_split(images)
    whole = np.sort(split.train)[:32]
    two = dataclasses.replace(split, train=whole, val=whole[:0])
    stage = Stage(scope="head", augment="none", steps=1, batch=32, lr=0.01, warmup=0.0, optimizer="sgd", clip=0.0)
    half = stage.model_copy(update={"batch": 16, "accumulate": 2})
    one, parts = (
        train(
            dataclasses.replace(job(backbone, images, s), split=two, runtime=Runtime(precision="32")),
            tmp_path / str(s.batch),
        )
        for s in (stage, half)
    )
    for name, tensor in one.network.state_dict().items():
        torch.testing.assert_close(tensor, parts.network.state_dict()[name], rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_loss_that_is_not_finite_stops_the_run(backbone: Backbone, images: Images, tmp_path: Path) -> None:
    hot = FULL.model_copy(update={"lr": 1e30, "clip": 0.0, "optimizer": "sgd", "warmup": 0.0, "epochs": 30})
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) at step .* Lower 'lr' of that stage"):
        train(job(backbone, images, hot), tmp_path)


def test_another_run_in_the_folder_is_refused(
    backbone: Backbone, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        cut(patch, 3)
        with pytest.raises(Killed):
            train(job(backbone, images, FULL), tmp_path, checkpoint_seconds=0)
    with pytest.raises(InputError, match="holds an unfinished run with another recipe, data, model or seed"):
        train(job(backbone, images, FULL, seed=1), tmp_path)


def test_linear_probe_does_not_move_the_backbone_by_one_bit(backbone: Backbone, images: Images, tmp_path: Path) -> None:
    augmented = HEAD.model_copy(update={"augment": "light"})  # the long way: images go through the network
    trained = train(job(backbone, images, augmented), tmp_path)
    before, after = backbone.module.state_dict(), trained.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(after["fc.weight"], torch.zeros_like(after["fc.weight"]))


def test_the_caller_s_random_numbers_are_left_alone(backbone: Backbone, images: Images, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(job(backbone, images, BYOL, HEAD), tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_plan_fails_before_any_work(backbone: Backbone, images: Images) -> None:
    parts = plan(job(backbone, images, BYOL, HEAD, FULL))
    assert [p.trainable for p in parts] == [372_688, 291, 372_688 + 291]
    with pytest.raises(ScopeError, match="matches no parameter"):
        plan(job(backbone, images, HEAD, FULL.model_copy(update={"scope": "re:nothing"})))


def test_a_stage_without_images(backbone: Backbone, images: Images, tmp_path: Path) -> None:
    empty = np.empty(0, np.int64)
    this = dataclasses.replace(job(backbone, images, HEAD), split=Split(empty, empty, empty, empty))
    with pytest.raises(DataError, match="has no images to train on"):
        train(this, tmp_path)


def test_float16_learns_and_resumes_to_the_bit(
    backbone: Backbone, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients are scaled up and down again: without that every step would be thousands of times too long."""

    def half(*stages: Stage) -> Job:
        return dataclasses.replace(job(backbone, images, *stages), runtime=Runtime("cpu", "16", quiet=True))

    sgd = FULL.model_copy(update={"optimizer": "sgd", "lr": 0.05, "accumulate": 1})
    whole, exact = train(half(sgd), tmp_path / "whole"), train(job(backbone, images, sgd), tmp_path / "exact")
    losses = [line["val_log_loss"] for line in journal(tmp_path / "whole") if "val_log_loss" in line]
    reference = [line["val_log_loss"] for line in journal(tmp_path / "exact") if "val_log_loss" in line]
    assert losses == pytest.approx(reference, rel=0.2)
    assert exact.precision != whole.precision
    with monkeypatch.context() as patch:
        cut(patch, 5)
        with pytest.raises(Killed):
            train(half(sgd), tmp_path / "cut", checkpoint_seconds=0)
    assert weights(train(half(sgd), tmp_path / "cut").network) == weights(whole.network)

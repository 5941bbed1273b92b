"""Adaptation that cannot harm: monitors, guard, head warm-up, anchors, small batches, exact resume for all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RUNTIME

from acclimate.errors import DataError, RecipeError, ScopeError
from acclimate.experiments.adaptation import Guard, adapt, agreement, feature_std, neighbour_overlap
from acclimate.images import Images, Split, load_images, make_split
from acclimate.models import Backbone, load_backbone
from acclimate.models.network import pooled, reset_classifier
from acclimate.models.scope import freeze, parse_scope, select, set_mode
from acclimate.objectives import BYOL, OBJECTIVES
from acclimate.protocols import Task
from acclimate.scores.estimates import prepare
from acclimate.scores.estimates.rank import rankme
from acclimate.storage.runtime import Runtime
from acclimate.training import Embed, Job, Look, plan, prepare_stage, train
from acclimate.training.recipe import Recipe, Stage

UNSUPERVISED = [name for name, (kind, _) in OBJECTIVES.items() if not kind.needs_labels]
ARCHITECTURES = {"mae": "random:test_vit"}  # which random network an objective is tried on; the rest: a small ResNet
HEADS = {"hidden": 32, "out": 16}


def backbone_for(objective: str, size: int = 32) -> Backbone:
    return load_backbone(ARCHITECTURES.get(objective, "random:test_resnet"), image_size=size)


def stage_for(objective: str, **values: object) -> Stage:
    """Return a short stage; every objective's own default settings."""
    scope = "stats" if OBJECTIVES[objective][0].gradient_free else "all"
    return Stage.model_validate({"objective": objective, "scope": scope, "batch": 8, "lr": 0.001, **values})


def recipe(*stages: Stage) -> Recipe:
    return Recipe(name="adapt", stages=stages)


def state(network: torch.nn.Module) -> dict[str, bytes]:
    return {name: t.contiguous().numpy().tobytes() for name, t in network.state_dict().items()}


class Killed(Exception):
    """Stands for a power cut in the middle of a step."""


def cut_in_the_third_step(job: Job, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until the gradients of the third step are there, with a checkpoint after each step before."""
    from acclimate.training import stage as loop

    real, seen = loop.StageRun._checked, []

    def dying(self: loop.StageRun, loss: torch.Tensor, step: int) -> float | None:
        seen.append(step)
        if len(seen) == 3:
            raise Killed
        return real(self, loss, step)

    with monkeypatch.context() as patch:
        patch.setattr(loop.StageRun, "_checked", dying)
        with pytest.raises(Killed):
            train(job, folder, checkpoint_seconds=0)


@pytest.mark.parametrize("objective", UNSUPERVISED)
def test_killed_and_resumed_equals_unbroken(
    objective: str, images: Images, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every objective, cut in its third of five steps with a checkpoint after each, ends in the same bytes."""
    job = Job(
        backbone_for(objective), recipe(stage_for(objective, steps=5, head_steps=1)), images, split, runtime=RUNTIME
    )
    whole = train(job, tmp_path / "whole")
    cut_in_the_third_step(job, tmp_path / "cut", monkeypatch)
    resumed = train(job, tmp_path / "cut")
    assert state(resumed.network) == state(whole.network)
    assert state(whole.network) != state(job.backbone.module)


@pytest.mark.parametrize("scope", ["norm", "bias", "last:1", "lora:2", "lora:2+last:1"])
def test_scopes_of_adaptation_leave_plain_weights(
    scope: str, images: Images, split: Split, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a scope names moves, what it does not is equal to the bit, adapters merge, and a cut run resumes exactly."""
    stage = stage_for("byol", scope=scope, steps=4, options=HEADS)
    job = Job(backbone, recipe(stage), images, split, runtime=RUNTIME)
    whole = train(job, tmp_path / "whole")
    before, after = backbone.module.state_dict(), whole.network.state_dict()
    assert list(before) == list(after)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    if "lora" not in scope:
        chosen = set(select(backbone.network(0), parse_scope(scope)).names)
        parameters = {name for name, _ in backbone.module.named_parameters()}
        assert moved & parameters <= chosen
    cut_in_the_third_step(job, tmp_path / "cut", monkeypatch)
    assert state(train(job, tmp_path / "cut").network) == state(whole.network)


def test_heads_warm_up_on_a_backbone_frozen_to_the_bit(
    images: Images, split: Split, backbone: Backbone, tmp_path: Path
) -> None:
    stage = stage_for("byol", steps=6, head_steps=4, options=HEADS)
    run = prepare_stage(Job(backbone, recipe(stage), images, split, runtime=RUNTIME), 0, tmp_path)
    start, heads = state(run.network), state(run.extra["projector"])
    for step in range(4):
        run.do_step(step)
        assert state(run.network) == start
    assert state(run.extra["projector"]) != heads
    assert not run.network.training
    run.do_step(4)
    assert state(run.network) != start
    assert run.network.training


def test_a_new_classifier_warms_up_too(images: Images, split: Split, backbone: Backbone, tmp_path: Path) -> None:
    stage = Stage(scope="all", steps=4, head_steps=2, batch=8, lr=0.01)
    run = prepare_stage(Job(backbone, recipe(stage), images, split, runtime=RUNTIME), 0, tmp_path)
    start = state(run.network)
    run.do_step(0)
    run.do_step(1)
    moved = {name for name, value in state(run.network).items() if value != start[name]}
    assert moved == {"fc.weight", "fc.bias"}


def test_l2_sp_and_distillation_hold_the_model_back(
    images: Images, split: Split, backbone: Backbone, tmp_path: Path
) -> None:
    def distance(name: str, **anchor: float) -> float:
        stage = stage_for("byol", steps=8, options=HEADS, **anchor)
        trained = train(Job(backbone, recipe(stage), images, split, runtime=RUNTIME), tmp_path / name)
        pairs = zip(trained.network.parameters(), backbone.module.parameters(), strict=True)
        return sum(float((p - q).detach().square().sum()) for p, q in pairs)

    free = distance("free")
    assert distance("held", l2_sp=100.0) < 0.8 * free
    assert distance("distilled", distill=0.0) == free


def test_anchor_is_the_formula(backbone: Backbone) -> None:
    """Alpha / 2 ||w - w0||^2, and 1 - cos of the features in evaluation mode; zero at the start."""
    from acclimate.training.optimizer import Anchor

    network = backbone.network(0)
    freeze(network, select(network, parse_scope("all")))
    set_mode(network)
    view = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    anchor = Anchor(network, l2_sp=0.5, distill=2.0)
    assert float(anchor.penalty(view).detach()) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        for p in network.parameters():
            p += 0.01
    buffers = [b.clone() for b in network.buffers()]
    got = float(anchor.penalty(view).detach())
    assert network.training
    assert all(torch.equal(a, b) for a, b in zip(buffers, network.buffers(), strict=True))
    numbers = sum(p.numel() for p in network.parameters())
    network.eval()
    with torch.no_grad():
        a, b = pooled(network, view), pooled(backbone.module, view)
    cosine = ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).mean()
    assert got == pytest.approx(0.25 * numbers * 1e-4 + 2.0 * (1 - float(cosine)), rel=1e-3)


def test_accumulated_batches_are_one_step_of_the_target(images: Images, split: Split, tmp_path: Path) -> None:
    """Without batch norm, 2 x 8 images are 16 at once: gradients are means, and the target moves once."""
    convnext = load_backbone("random:test_convnext", image_size=32)
    options = {**HEADS, "head_norm": "layer", "ema": 0.5}

    def run_with(batch: int, accumulate: int, name: str) -> object:
        stage = stage_for("byol", steps=3, batch=batch, accumulate=accumulate, options=options, optimizer="sgd", lr=0.1)
        job = Job(convnext, recipe(stage), images, split, runtime=Runtime(device="cpu", precision="32"))
        run = prepare_stage(job, 0, tmp_path / name)
        views = run.batches.views(split.pool[:16], 7)
        halves = [[v[:8] for v in views], [v[8:] for v in views]] if accumulate == 2 else [views]
        queue = iter(halves)
        run.batches.views = lambda chosen, seed: next(queue)  # type: ignore[method-assign]  # the same sixteen images
        run.do_step(1)
        return run

    once, twice = run_with(16, 1, "once"), run_with(8, 2, "twice")
    for key in ("projector", "targets"):
        for a, b in zip(once.extra[key].parameters(), twice.extra[key].parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch", [16, 64])
@pytest.mark.parametrize("architecture", ["random:test_resnet", "random:test_convnext"])
def test_small_batches_do_not_collapse(batch: int, architecture: str, tmp_path: Path) -> None:
    images = load_images("builtin:digits")
    task = Task(images, make_split(images))
    stage = stage_for("byol", steps=10, batch=batch, options={**HEADS, "head_norm": "layer"})
    document = adapt(task, load_backbone(architecture, image_size=32), RUNTIME, recipe(stage), tmp_path).document
    assert document["monitors"]["adapted"]["feature_std"] > 0.1 * document["monitors"]["start"]["feature_std"]


class Scripted:
    """A watch that says what it was told, and remembers when it was asked."""

    def __init__(self, values: dict[int, float], stop_at: int = -1) -> None:
        self.values, self.stop_at, self.asked = values, stop_at, []

    def look(self, embed: Embed, step: int) -> Look:
        self.asked.append(step)
        assert embed(np.arange(3)).shape[0] == 3
        return Look(
            {"value": self.values.get(step, 0.0)}, self.values.get(step, 0.0), "enough" * (step == self.stop_at)
        )


def test_a_watch_looks_from_step_0_and_its_best_step_comes_back(
    images: Images, split: Split, backbone: Backbone, tmp_path: Path
) -> None:
    job = Job(backbone, recipe(stage_for("byol", steps=6, options=HEADS)), images, split, runtime=RUNTIME)
    watch = Scripted({0: 0.0, 2: -1.0})
    trained = train(job, tmp_path / "a", watch=watch)
    assert watch.asked == [0, 1, 2, 3, 4, 5, 6]
    assert trained.reports[0].best_step == 2
    shorter = dataclasses.replace(job, recipe=recipe(stage_for("byol", steps=6, options=HEADS)))
    unwatched = train(shorter, tmp_path / "b")
    assert state(unwatched.network).items() == {k: v.numpy().tobytes() for k, v in trained.last.items()}.items()
    assert state(trained.network) != state(unwatched.network)
    lines = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "value" in line] == watch.asked


def test_a_watch_stops_a_stage_and_so_does_the_resumed_run(
    images: Images, split: Split, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(backbone, recipe(stage_for("byol", steps=6, options=HEADS)), images, split, runtime=RUNTIME)
    trained = train(job, tmp_path / "a", watch=Scripted({}, stop_at=3))
    assert (trained.reports[0].steps, trained.reports[0].stopped) == (3, "enough")

    def dying(self: object, position: object, *rest: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        from acclimate.training import run

        patch.setattr(run, "_next", dying)  # after the last look and its checkpoint, before the stage is closed
        with pytest.raises(Killed):
            train(job, tmp_path / "b", watch=Scripted({}, stop_at=3), checkpoint_seconds=0)
    resumed = train(job, tmp_path / "b", watch=Scripted({}, stop_at=3))
    assert resumed.reports[0].steps == 3
    assert state(resumed.network) == state(trained.network)


def test_collapse_is_caught(
    images: Images, split: Split, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Take BYOL's predictor away and let the target be the network itself: nothing prevents the constant solution."""

    def predictorless(self: BYOL, views: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        first, second = (pooled(self.network, view) for view in views)
        return (first - second).square().sum(1).mean() + 0.01 * first.square().sum(1).mean()

    monkeypatch.setattr(BYOL, "loss", predictorless)
    stage = stage_for("byol", steps=60, lr=0.03, warmup=0.0, batch=16, clip=0.0, options=HEADS)
    task = Task(images, split)
    outcome = adapt(task, backbone, RUNTIME, recipe(stage), tmp_path)
    looks = outcome.document["looks"]
    assert looks[-1]["step"] < 60, looks
    assert "features collapsed" in outcome.document["reason"]
    assert outcome.adapted.digest != backbone.digest
    if outcome.document["kept"] == "start":
        assert load_backbone(tmp_path).digest == backbone.digest


def test_the_start_model_comes_back_when_adaptation_only_harms(
    images: Images, split: Split, backbone: Backbone, tmp_path: Path
) -> None:
    """A start model that knows every label already, those of the probe too: BYOL can only take from it."""
    everything = dataclasses.replace(split, train=np.sort(np.concatenate([split.train, split.val])))
    supervised = Stage(scope="all", epochs=20, batch=16, lr=0.01, augment="none")
    trained = train(Job(backbone, recipe(supervised), images, everything, runtime=RUNTIME), tmp_path / "start")
    reset_classifier(trained.network, 0)
    start = dataclasses.replace(backbone, name="knows-all", module=trained.network, digest="knows-all")
    stage = stage_for("byol", steps=20, lr=0.01, batch=16, options=HEADS)
    outcome = adapt(Task(images, split), start, RUNTIME, recipe(stage), tmp_path / "run")
    looks = outcome.document["looks"]
    assert looks[0]["knn_agreement"] == 1
    assert min(look["knn_agreement"] for look in looks) < 0.95
    assert outcome.document["kept"] == "start"
    assert outcome.kept is start
    saved, ended = (load_backbone(tmp_path / "run" / f"{name}.safetensors").module for name in ("weights", "adapted"))
    assert state(saved) == state(start.module) != state(ended)
    reason = outcome.document["reason"]
    told = ("at no look was the kNN probe surely above", "the kNN probe fell by", "features collapsed")
    assert any(words in reason for words in told)


def test_the_guard_judges_alike_however_often_it_is_asked(images: Images, split: Split, backbone: Backbone) -> None:
    guard = Guard(Task(images, split), backbone, RUNTIME, steps=10)
    x = np.random.default_rng(0).normal(size=(len(guard.images), 8)).astype(np.float32)
    first = guard.judge(guard.see(x), 5)
    guard.judge(guard.see(np.ones_like(x)), 6)
    assert guard.judge(guard.see(x), 5) == first
    same = guard.judge(guard.start, 10)
    assert (same.value, same.stop) == (0.0, "")
    assert guard.judge(guard.see(np.ones_like(x)), 10).stop.startswith("features collapsed: their spread fell from")


def test_luck_is_not_called_better(images: Images, split: Split) -> None:
    """Features of the start model with a little noise: some looks gain, next to none gains surely."""
    start = load_backbone("zoo:resnet-supervised", image_size=32)
    guard = Guard(Task(images, split), start, RUNTIME, steps=10)
    x = np.asarray(guard.task.features(start, RUNTIME, guard.images).x[guard.images])
    rng = np.random.default_rng(0)
    noisy = [x + 0.2 * x.std(0) * rng.normal(size=x.shape).astype(np.float32) for _ in range(40)]
    looks = [guard.judge(guard.see(seen), 5) for seen in noisy]
    assert sum(look.values["knn_gain"] > 0 for look in looks) >= 4
    assert sum(look.value < 0 for look in looks) <= 4


def test_the_linear_probe_has_a_veto(images: Images, split: Split) -> None:
    """Neighbours that agree more do not count where a linear classifier loses."""
    start = load_backbone("zoo:resnet-supervised", image_size=32)
    guard = Guard(Task(images, split), start, RUNTIME, steps=10)
    better = dataclasses.replace(guard.start, agreement=np.minimum(guard.start.agreement + 0.3, 1))
    kept = guard.judge(dataclasses.replace(better, linear=guard.start.linear + 0.01), 5)
    vetoed = guard.judge(dataclasses.replace(better, linear=guard.start.linear - 0.01), 5)
    assert kept.value < 0 == vetoed.value
    assert (kept.values["linear_gain"], vetoed.values["linear_gain"]) == (0.01, -0.01)


def test_too_few_labels_are_no_labels(images: Images, split: Split, backbone: Backbone) -> None:
    few = dataclasses.replace(split, train=split.train[::12], val=split.val[::5])
    guard = Guard(Task(images, few), backbone, RUNTIME, steps=10)
    assert (guard.few, guard.probes) == (True, False)
    assert not len(guard.start.agreement)


def test_labelled_images_are_drawn_evenly_over_classes() -> None:
    from acclimate.experiments.adaptation.guard import _some

    labels = np.array([0] * 90 + [1] * 6 + [2] * 4)
    chosen = _some(np.arange(100), labels, 15, np.random.default_rng(0))
    assert np.bincount(labels[chosen]).tolist() == [6, 5, 4]
    assert len(np.unique(chosen)) == 15


def test_anchor_of_adapters_is_about_the_weights(backbone: Backbone) -> None:
    from acclimate.models.scope import prepare
    from acclimate.training.optimizer import Anchor

    network, scope = backbone.network(0), parse_scope("lora:2")
    prepare(network, scope)
    freeze(network, select(network, scope))
    anchor = Anchor(network, l2_sp=1.0, distill=0.0)
    view = torch.zeros(1, 3, 32, 32)
    adapters = [p for p in network.parameters() if p.requires_grad]
    with torch.no_grad():
        for p in adapters:
            p += (p != 0) * 1.0  # A moves, B stays zero: the weights are what they were
    assert float(anchor.penalty(view)) == 0
    with torch.no_grad():
        for p in adapters:
            p += 0.1
    assert float(anchor.penalty(view).detach()) > 0


def test_a_falling_probe_stops_only_after_the_transient(images: Images, split: Split) -> None:
    start = load_backbone("zoo:resnet-supervised", image_size=32)
    guard = Guard(Task(images, split), start, RUNTIME, steps=10)
    noise = np.random.default_rng(0).normal(size=(len(guard.images), 32)).astype(np.float32)
    assert guard.judge(guard.see(noise), 2).stop == ""
    late = guard.judge(guard.see(noise), 9)
    assert late.stop.startswith("the kNN probe fell by")
    assert late.value == 0


def test_without_labels_the_last_sound_step_is_taken(images: Images, split: Split, backbone: Backbone) -> None:
    none = split.train[:0]
    blind = Task(images, dataclasses.replace(split, train=none, val=none))
    guard = Guard(blind, backbone, RUNTIME, steps=10)
    x = np.random.default_rng(0).normal(size=(len(guard.images), 8)).astype(np.float32)
    early, late = (guard.judge(guard.see(x), step) for step in (4, 8))
    assert late.value < early.value < 0
    assert "knn_gain" not in late.values
    assert guard.judge(guard.see(np.ones_like(x)), 9).value == float("inf")


def test_bad_pools(images: Images, split: Split, backbone: Backbone, tmp_path: Path) -> None:
    task = Task(images, split)
    with pytest.raises(DataError, match=r"pool of \d+ images and batches of 4096; expected a batch no larger than"):
        adapt(task, backbone, RUNTIME, recipe(stage_for("byol", steps=1, batch=4096)), tmp_path / "a")
    lone = dataclasses.replace(task, split=dataclasses.replace(split, pool=split.pool[:1]))
    with pytest.raises(DataError, match="got 1 images to adapt to; expected at least 2 outside val and test"):
        adapt(lone, backbone, RUNTIME, recipe(stage_for("byol", steps=1)), tmp_path / "b")


def test_an_architecture_that_cannot_is_one_line(images: Images, split: Split, backbone: Backbone) -> None:
    job = Job(backbone, recipe(stage_for("mae", steps=1)), images, split, runtime=RUNTIME)
    with pytest.raises(RecipeError, match="vision transformer") as error:
        plan(job)
    assert "\n" not in str(error.value)
    convnext = load_backbone("random:test_convnext", image_size=32)
    with pytest.raises(ScopeError, match="batch norm"):
        plan(Job(convnext, recipe(stage_for("norm-stats", epochs=1)), images, split, runtime=RUNTIME))


def test_a_gradient_free_stage_needs_its_own_scope() -> None:
    with pytest.raises(ValueError, match="'stats' trains nothing and is the scope of 'norm-stats'"):
        Stage(objective="byol", scope="stats", steps=1, lr=0.1)
    with pytest.raises(ValueError, match="'stats' trains nothing and is the scope of 'norm-stats'"):
        Stage(objective="norm-stats", scope="all", steps=1, lr=0.1)


def test_agreement_counts_neighbours_with_the_same_label() -> None:
    bank = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    asked = np.array([[1, 0.05], [0, 2]], np.float32)
    got = agreement(bank, np.array([0, 1, 1]), asked, np.array([0, 1]), k=2)
    assert got.tolist() == [0.5, 1.0]
    assert agreement(bank, np.array([0, 1, 1]), asked, np.array([0, 1]), k=99)[1] == pytest.approx(2 / 3)


def test_monitors_are_their_formulas() -> None:
    x = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    assert feature_std(x) == pytest.approx(1, abs=0.05)
    assert feature_std(np.ones((10, 16), np.float32)) == 0
    assert 14 < rankme(prepare(x)) <= 16.01
    assert rankme(prepare(np.outer(np.arange(1, 9), np.ones(16)).astype(np.float32))) == pytest.approx(1, abs=0.01)
    turned = x @ np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))[0].astype(np.float32)
    assert neighbour_overlap(x, turned) == pytest.approx(1, abs=0.01)
    assert neighbour_overlap(x, np.random.default_rng(2).normal(size=(200, 16)).astype(np.float32)) < 0.2

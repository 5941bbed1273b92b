"""Schedules: laws of pure functions of the step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from acclimate.objectives.parts import ema_momentum
from acclimate.storage.store import step_seed
from acclimate.training.schedule import batch_indices, learning_rate, steps_per_epoch


def test_rate_warms_up_then_falls_to_zero() -> None:
    rates = [learning_rate(step, 100, base=1.0, warmup=10) for step in range(101)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)


def test_momentum_rises_to_one() -> None:
    assert ema_momentum(0, start=0.9) == pytest.approx(0.9)
    assert ema_momentum(0.5, start=0.9) == pytest.approx(0.95)
    assert ema_momentum(1, start=0.9) == 1


@pytest.mark.parametrize(("n", "batch"), [(100, 10), (103, 10), (5, 8), (8, 8), (1, 1)])
def test_an_epoch_is_a_permutation(n: int, batch: int) -> None:
    images = np.arange(1000, 1000 + n)
    steps = steps_per_epoch(n, batch)
    drawn = np.concatenate([batch_indices(images, step, batch=batch, seed=3) for step in range(steps)])
    assert len(np.unique(drawn)) == len(drawn) == min(steps * batch, n)
    assert set(drawn) <= set(images)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    images = np.arange(50)
    first = batch_indices(images, 7, batch=10, seed=0)
    assert np.array_equal(first, batch_indices(images, 7, batch=10, seed=0))
    assert not np.array_equal(first, batch_indices(images, 2, batch=10, seed=0))  # the same place, an epoch before
    assert not np.array_equal(first, batch_indices(images, 7, batch=10, seed=1))


def test_seeds_differ_by_every_part() -> None:
    seeds = {step_seed("a", i, j) for i in range(20) for j in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)

"""Intervals and ties: coverage by simulation, agreement with plain loops, and laws."""

from __future__ import annotations

import ast
import doctest
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats as oracle

from acclimate.errors import DataError
from acclimate.stats import (
    Interval,
    at_level,
    bootstrap_interval,
    intervals,
    mean_interval,
    model_set,
    outer_percentiles,
    paired_difference,
    paired_over,
    percentile_interval,
    ranks_with_ties,
    resampling,
    share_interval,
    student,
    ties,
    two_way_curves,
)


def correctness(m: int, n: int, accuracy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Right or wrong of m models on n images; hard images are hard for all."""
    latent = np.sqrt(0.75) * rng.normal(size=n) + np.sqrt(0.25) * rng.normal(size=(m, n))
    return (oracle.norm.cdf(latent) < accuracy[:, None]).astype(float)


@pytest.mark.parametrize("n", [6, 25])
def test_intervals_cover_at_small_n(n: int) -> None:
    rng = np.random.default_rng(n)
    hits = 0
    for trial in range(400):
        got = bootstrap_interval(rng.normal(size=n), seed=trial, resamples=400)
        hits += got.low < 0 < got.high
    # 90% asked for; binomial standard deviation of the estimate is 1.5%.
    assert 0.85 <= hits / 400 <= 0.95


def test_large_samples_agree_with_the_normal_interval() -> None:
    values = np.random.default_rng(0).exponential(size=4000)
    got = bootstrap_interval(values, seed=0, level=0.95)
    half = 1.96 * values.std() / np.sqrt(4000)
    assert got.mean == pytest.approx(values.mean())
    assert [got.low, got.high] == pytest.approx([got.mean - half, got.mean + half], abs=0.12 * half)


def test_intervals_stay_in_range_grow_with_level_and_repeat() -> None:
    values = np.array([1.0] * 19 + [0.0])
    narrow, wide = (bootstrap_interval(values, level=level, seed=0) for level in (0.5, 0.99))
    assert 0 <= wide.low <= narrow.low <= narrow.mean <= narrow.high <= wide.high <= 1
    assert bootstrap_interval(values, seed=7) == bootstrap_interval(values, seed=7)
    assert bootstrap_interval(np.ones(30), seed=0) == (1, 1, 1)


def test_blocks_do_not_change_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(200)
    whole = bootstrap_interval(values, seed=1)
    monkeypatch.setattr(resampling, "BLOCK_BYTES", 24 * 200 * 7)
    assert bootstrap_interval(values, seed=1) == pytest.approx(whole, abs=1e-12)


def test_pairing_sees_what_separate_intervals_do_not() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(size=300)
    a, b = hard + 0.1 + 0.1 * rng.normal(size=300), hard + 0.1 * rng.normal(size=300)
    assert paired_difference(a, b, seed=0).low > 0
    assert bootstrap_interval(a, seed=0).low < bootstrap_interval(b, seed=0).high
    there, back = paired_difference(a, b, seed=0), paired_difference(b, a, seed=0)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=2e-3)


def test_means_and_shares_have_the_intervals_of_scipy() -> None:
    values = np.random.default_rng(3).random(12).tolist()
    for level in (0.9, 0.95):
        wanted = oracle.t.interval(level, 11, loc=np.mean(values), scale=oracle.sem(values))
        assert mean_interval(values, level)[1:3] == pytest.approx(wanted)
        exact = oracle.binomtest(37, 50).proportion_ci(level, method="wilson")
        assert share_interval(37 / 50, 50, level) == pytest.approx((exact.low, exact.high))
    assert student([0, 4]).tolist() == pytest.approx([np.nan, oracle.t.ppf(0.95, 4)], nan_ok=True)
    assert mean_interval([0.5]) == (0.5, None, None, 1)


def test_a_normal_interval_moves_to_another_level() -> None:
    narrow = at_level(Interval(2.0, *oracle.norm.interval(0.95, 2, 3)), 0.95, 0.9)
    assert narrow == pytest.approx((2.0, *oracle.norm.interval(0.9, 2, 3)))


def test_percentiles_leave_out_or_keep_what_is_not_finite() -> None:
    values = np.array([*range(1, 20), np.nan], dtype=float)
    assert percentile_interval(values, level=0.8) == pytest.approx((2.8, 17.2))
    assert outer_percentiles(np.array([-np.inf, *range(18), np.inf]), 0.8) == (0.0, 17.0)
    assert outer_percentiles(np.array([-np.inf, 1.0, np.inf])) == (-np.inf, np.inf)


def test_two_way_curves_share_their_draws_and_spread_as_wide_as_one_mean_does() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 4, 1)) + 0.1 * rng.normal(size=(1, 4, 50))
    curves = two_way_curves(np.concatenate([values, values + 1]), seed=0)
    assert curves[:, 1] - curves[:, 0] == pytest.approx(np.ones(2000))
    low, high = outer_percentiles(curves[:, 0])
    wanted = paired_over(values[0], seed=0)
    assert high - low == pytest.approx(wanted.high - wanted.low, rel=0.1)


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.02), (3, 0.2), (5, 0.05)])
def test_two_way_intervals_cover(seeds: int, spread: float) -> None:
    rng = np.random.default_rng(seeds)
    hits = 0
    for trial in range(300):
        values = spread * rng.normal(size=(seeds, 1)) + 0.5 * rng.normal(size=150)
        values = values + 0.3 * rng.normal(size=(seeds, 150))
        got = paired_over(values, seed=trial, resamples=300)
        hits += got.low < 0 < got.high
    assert 0.85 <= hits / 300 <= 0.98


def test_two_way_interval_is_wider_than_one_that_forgets_the_seeds() -> None:
    rng = np.random.default_rng(0)
    values = 0.2 * rng.normal(size=(4, 1)) + 0.1 * rng.normal(size=(4, 400))
    both, images = paired_over(values, seed=0), bootstrap_interval(values.mean(axis=0), seed=0)
    assert both.mean == pytest.approx(images.mean)
    assert both.high - both.low > 5 * (images.high - images.low)
    assert paired_over(np.ones((3, 5)), seed=0) == (1, 1, 1)


@pytest.mark.parametrize(
    ("n", "accuracy", "tied"),
    [
        (150, np.full(6, 0.85), 6),
        (300, 0.85 - 0.01 * np.arange(8), 1),
        (400, np.repeat([0.85, 0.7], [3, 3]), 3),
    ],
)
def test_every_best_model_is_in_the_set_as_often_as_promised(n: int, accuracy: np.ndarray, tied: int) -> None:
    rng = np.random.default_rng(n)
    trials, kept, sizes = 250, 0, []
    for trial in range(trials):
        got = model_set(correctness(len(accuracy), n, accuracy, rng), seed=trial, resamples=300)
        kept += got.in_set[:tied].all()
        sizes.append(got.in_set.sum())
    # 90% asked for, binomial standard deviation 1.9%.
    assert kept / trials >= 0.85
    if tied == 3:
        # A set of everything would cover too: clearly worse models must be gone.
        assert np.mean(sizes) < 3.5


def test_the_set_is_that_of_the_published_procedure() -> None:
    values = np.random.default_rng(3).normal(size=(7, 200)) - 0.05 * np.arange(7)[:, None]
    got = model_set(values, seed=5, resamples=500)
    # The procedure as written, on the same resamples: all pairs of the surviving models at every step.
    noise, alive, p, highest = intervals.mean_noise(values, 500, 5), list(range(7)), {}, 0.0
    while len(alive) > 1:
        pairs = [(i, j) for i in alive for j in alive if i != j]
        error = {(i, j): (values[i] - values[j]).std() / np.sqrt(200) for i, j in pairs}
        t = {(i, j): (values[j] - values[i]).mean() / error[i, j] for i, j in pairs}
        under_equality = np.max([np.abs(noise[:, i] - noise[:, j]) / error[i, j] for i, j in pairs], axis=0)
        largest, (worst, _) = max((t[pair], pair) for pair in pairs)
        highest = max(highest, (1 + (under_equality >= largest).sum()) / 501)
        p[worst] = highest
        alive.remove(worst)
    p[alive[0]] = 1.0
    assert got.p == pytest.approx([p[i] for i in range(7)])
    assert np.array_equal(got.in_set, got.p > 0.1)
    assert got.best == alive[0] == values.mean(axis=1).argmax()


def test_order_of_models_does_not_matter_and_losses_turn_it_round() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(6, 250)) + 0.15 * np.arange(6)[:, None]
    order = rng.permutation(6)
    first = model_set(values, seed=2)
    assert model_set(values[order], seed=2).p == pytest.approx(first.p[order])
    turned = model_set(-values, seed=2, larger_is_better=False)
    assert turned.p == pytest.approx(first.p)
    assert turned.best == first.best
    assert np.all((first.low <= first.means) & (first.means <= first.high))


def test_identical_models_share_everything() -> None:
    one = (np.random.default_rng(0).random(80) < 0.7).astype(float)
    got = model_set(np.stack([one, one, one, np.zeros(80)]), seed=0)
    assert got.in_set.tolist() == [True, True, True, False]
    assert got.best == 0
    certain = model_set(np.stack([np.zeros(50), np.ones(50)]), seed=0)
    assert certain.in_set.tolist() == [False, True]
    assert model_set(one[None], seed=0).in_set.tolist() == [True]


def test_ranks_are_shared_by_what_cannot_be_separated() -> None:
    accuracy = np.array([0.3, 0.9, 0.6, 0.9, 0.6])
    image = np.arange(400)
    values = np.stack([(image * step) % 400 < 400 * a for step, a in zip((1, 3, 7, 9, 11), accuracy, strict=True)])
    assert values.mean(axis=1).tolist() == accuracy.tolist()
    ranks = ranks_with_ties(values, seed=0)
    assert ranks.tolist() == [5, 1, 3, 1, 3]
    assert np.array_equal(ranks == 1, model_set(values, seed=0).in_set)
    assert ranks_with_ties(1 - values, seed=0, larger_is_better=False).tolist() == ranks.tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_interval(np.ones(1), seed=0), r"shape \(1,\); expected >= 2"),
        (lambda: bootstrap_interval(np.ones((2, 2)), seed=0), r"shape \(2, 2\); expected >= 2"),
        (lambda: bootstrap_interval(np.array([1, np.nan]), seed=0), r"value nan at \(1,\) is not finite"),
        (lambda: bootstrap_interval(np.ones(3), level=90, seed=0), "level is 90; expected a probability"),
        (lambda: bootstrap_interval(np.ones(3), resamples=0, seed=0), "resamples is 0"),
        (lambda: paired_difference(np.ones(3), np.ones(4), seed=0), r"shapes \(3,\) and \(4,\)"),
        (lambda: paired_over(np.ones((1, 9)), seed=0), r"shape \(1, 9\); expected >= 2 x >= 2"),
        (lambda: model_set(np.ones((3, 1)), seed=0), r"shape \(3, 1\); expected >= 1 x >= 2"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()


def test_the_examples_in_the_documentation() -> None:
    results = [doctest.testmod(module, extraglobs={"np": np}) for module in (resampling, intervals, ties)]
    assert min(result.attempted for result in results) > 0
    assert sum(result.failed for result in results) == 0


RESAMPLE = {"multinomial", "stdtrit", "ndtr", "ndtri", "ppf", "percentile", "nanpercentile", "quantile", "nanquantile"}
SOURCE = ROOT / "src" / "acclimate"


def resampled_in(path: Path) -> set[str]:
    """Return the names of `RESAMPLE` that a file uses as a name, an attribute or an import."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return names & RESAMPLE


def test_no_other_room_resamples_or_takes_a_quantile_of_its_own() -> None:
    uses = {path.relative_to(SOURCE).as_posix(): resampled_in(path) for path in SOURCE.rglob("*.py")}
    assert len(uses) > 200
    here = set().union(*(names for path, names in uses.items() if path.startswith("stats/")))
    assert here >= {"multinomial", "stdtrit", "quantile"}, "the test looks for names that nobody uses"
    elsewhere = {path: names for path, names in uses.items() if names and not path.startswith("stats/")}
    # Quartiles over the channels of a layer describe it; they are no interval.
    assert elsewhere == {"experiments/explanation/measures.py": {"quantile"}}

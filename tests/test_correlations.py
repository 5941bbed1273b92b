"""Agreement of two columns: the fast path against scipy on every resample, and the laws that no reference covers."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from acclimate.comparison import STATISTICS, correlate
from acclimate.comparison.groups import pair_agreement
from acclimate.comparison.references import ceiling, static_list
from acclimate.comparison.resamples import make_resamples
from acclimate.comparison.sides import ScoreColumn
from acclimate.stats import benjamini_hochberg, holm, midranks, percentile_interval, permutation_p, spearman
from acclimate.stats.correlations import logit, ones, pearson

CORRELATIONS = {
    "pearson": lambda x, y: stats.pearsonr(x, y).statistic,
    "spearman": lambda x, y: stats.spearmanr(x, y).statistic,
    "kendall": lambda x, y: stats.kendalltau(x, y).statistic,
    "weighted_tau": lambda x, y: stats.weightedtau(x, y).statistic,
}


def others(x: np.ndarray, y: np.ndarray, top: int) -> dict[str, float]:
    """Return what scipy has not, by the definition: all pairs, sorted lists."""
    pairs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i in range(len(x)) for j in range(i)]
    told = [(1 + a * b) / 2 for a, b in pairs if b]
    first = [set(np.argsort(-v, kind="stable")[:top]) for v in (x, y)]
    return {
        "agreement": float(np.mean(told)) if told else math.nan,
        "top_k_overlap": len(first[0] & first[1]),
        "regret": y.max() - y[np.argmax(x)],
    }


def counts_of(n: int, resamples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)


def column(runs: np.ndarray, dataset: str = "d", sign: float = 1.0, metric: str = "accuracy") -> ScoreColumn:
    seeds = tuple(str(s) for s in range(runs.shape[1]))
    return ScoreColumn("p", dataset, metric, "", runs, seeds, sign, np.full(runs.shape, ""))


# the fast path ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # scipy warns of constant resamples
@pytest.mark.parametrize(("n", "levels"), [(3, 2), (5, 3), (12, 4), (26, 6), (26, 10**6)])
def test_every_resample_is_what_scipy_says(n: int, levels: int) -> None:
    rng = np.random.default_rng(n + levels)
    x, y = (rng.integers(0, levels, (n, 2)) / 7 for _ in range(2))
    counts = counts_of(n, 40)
    found = correlate(x, y, counts)
    checked = 0
    for b, drawn in enumerate(np.repeat(np.arange(n), c.astype(int)) for c in counts):
        for i, j in np.ndindex(2, 2):
            for name, reference in CORRELATIONS.items():
                assert found[name][b, i, j] == pytest.approx(
                    reference(x[drawn, i], y[drawn, j]), abs=1e-10, nan_ok=True
                ), (name, b, i, j)
                checked += 1
            expected = others(x[drawn, i], y[drawn, j], 3)
            for name, value in expected.items():
                assert found[name][b, i, j] == pytest.approx(value, abs=1e-10, nan_ok=True), (name, b, i, j)
    assert checked == 40 * 4 * 4


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=12),
    st.integers(1, 5),
)
def test_the_point_estimate_is_the_definition(pairs: list[tuple[int, int]], top: int) -> None:
    x, y = np.array(pairs, dtype=float).T
    found = {name: values.item() for name, values in correlate(x[:, None], y[:, None], ones(len(x)), top=top).items()}
    expected = {**{name: of(x, y) for name, of in CORRELATIONS.items()}, **others(x, y, top)}
    assert found.keys() == expected.keys() == STATISTICS.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-10, nan_ok=True), name


def test_leaving_out_is_a_count_of_zero_and_a_missing_cell_is_left_out_too() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 9, 1))
    without = correlate(x[1:], y[1:], ones(8))
    zero = ones(9)
    zero[0, 0] = 0
    gone = x.copy()
    gone[0] = np.nan
    for name in STATISTICS:
        assert correlate(x, y, zero)[name].item() == pytest.approx(without[name].item(), abs=1e-12)
        assert correlate(gone, y, ones(9))[name].item() == pytest.approx(without[name].item(), abs=1e-12)
    assert pearson(gone, y, ones(9)).item() == pytest.approx(without["pearson"].item(), abs=1e-12)


def test_columns_with_other_missing_cells_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    x[:2, 1], y[3, 1], x[:, 2] = np.nan, np.nan, np.nan
    counts = counts_of(10, 20)
    together = correlate(x, y, counts)
    for i, j in np.ndindex(3, 2):
        alone = correlate(x[:, [i]], y[:, [j]], counts)
        for name in STATISTICS:
            np.testing.assert_allclose(together[name][:, i, j], alone[name][:, 0, 0], atol=1e-12)
    assert np.isnan(together["spearman"][:, 2]).all()
    assert np.isfinite(together["spearman"][:, :2]).all()


def test_a_constant_column_has_no_correlation_however_it_is_rounded() -> None:
    x = np.full((6, 1), 0.1)
    y = np.arange(6.0)[:, None] / 10
    found = correlate(x, y, counts_of(6, 30))
    for name in CORRELATIONS:
        assert np.isnan(found[name]).all()
    constant_target = correlate(y, x, ones(6))
    assert math.isnan(constant_target["agreement"].item())
    assert constant_target["regret"].item() == 0


def test_large_tables_take_the_other_branch_to_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 40, (330, 1)).astype(float), rng.integers(0, 40, (330, 1)).astype(float)
    found = {name: values.item() for name, values in correlate(x, y, ones(330)).items()}
    for name, reference in CORRELATIONS.items():
        assert found[name] == pytest.approx(reference(x[:, 0], y[:, 0]), abs=1e-10)
    cheap = correlate(x, y, ones(330), pairs=False)
    assert cheap["spearman"].item() == found["spearman"]
    assert np.isnan(cheap["kendall"]).all()


def test_arguments_are_not_changed() -> None:
    rng = np.random.default_rng(4)
    x, y, counts = rng.normal(size=(8, 2)), rng.normal(size=(8, 2)), counts_of(8, 5)
    x[0, 0] = np.nan
    before = [v.copy() for v in (x, y, counts)]
    correlate(x, y, counts)
    for old, new in zip(before, (x, y, counts), strict=True):
        np.testing.assert_array_equal(old, new)


def test_log_odds_are_those_of_fractions_and_of_percent() -> None:
    fractions = np.array([0.2, np.nan, 0.9])
    expected = np.log(fractions / (1 - fractions))
    np.testing.assert_allclose(logit(fractions, percent=False), expected)
    np.testing.assert_allclose(logit(100 * fractions, percent=True), expected)
    assert logit(np.array([0.5, 1.0]), percent=False) is None
    assert logit(np.array([0.0, 50.0]), percent=True) is None


def test_pairs_within_and_across_groups_add_up_to_all_pairs() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 12))
    same = (np.arange(12)[:, None] % 3 == np.arange(12)[None] % 3).astype(float)
    counts = counts_of(12, 7)
    inside, outside = (pair_agreement(x, y, counts, m) for m in (same, 1 - same))
    pairs = [np.einsum("bi,ij,bj->b", counts, m * (1 - np.eye(12)), counts) for m in (same, 1 - same)]
    everything = correlate(x[:, None], y[:, None], counts)["agreement"][:, 0, 0]
    np.testing.assert_allclose((inside * pairs[0] + outside * pairs[1]) / sum(pairs), everything)


# chance -------------------------------------------------------------------------------------------------------------


def test_exact_permutations_agree_with_scipy() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, 6))
    linear, ranked = permutation_p(x, y, permutations=100, seed=0)
    for found, of in ((linear, stats.pearsonr), (ranked, stats.spearmanr)):
        reference = stats.permutation_test(
            (x,), lambda v, of=of: of(v, y).statistic, permutation_type="pairings", n_resamples=np.inf
        )
        # scipy doubles the smaller tail; two-sided is here at least as far from zero.
        far = np.abs(reference.null_distribution) >= abs(reference.statistic) - 1e-12
        assert len(far) == 720
        assert found == pytest.approx(far.mean())


def test_p_values_are_uniform_when_nothing_is_there() -> None:
    rng = np.random.default_rng(7)
    p = [permutation_p(*rng.normal(size=(2, 12)), permutations=200, seed=i)[1] for i in range(300)]
    assert stats.kstest(p, "uniform").pvalue > 0.001
    assert permutation_p(np.arange(12.0), np.arange(12.0), permutations=999, seed=0) == (0.001, 0.001)
    assert all(math.isnan(v) for v in permutation_p(np.ones(5), np.arange(5.0), permutations=9, seed=0))


def test_midranks_and_one_correlation_agree_with_scipy() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.choice([0.1, 0.2, 0.3, 0.4], size=12), rng.random(12)
    x[5] = np.nan
    assert midranks(x).tolist() == pytest.approx(stats.rankdata(x, nan_policy="omit").tolist(), nan_ok=True)
    there = np.isfinite(x)
    assert spearman(x[there], y[there]) == pytest.approx(float(stats.spearmanr(x[there], y[there]).statistic))
    assert spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert spearman([1.0, 2.0], [1.0, 2.0]) is None


def test_corrections_are_those_of_their_papers() -> None:
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    there = np.isfinite(p)
    np.testing.assert_allclose(benjamini_hochberg(p)[there], stats.false_discovery_control(p[there]))
    # Holm (1979) by hand: 0.005 * 4, 0.01 * 3, 0.03 * 2, then 0.04, which may not be below the one before.
    np.testing.assert_allclose(holm(p), [0.03, np.nan, 0.06, 0.06, 0.02])
    assert np.isnan(holm(np.array([np.nan]))).all()


# resampling, ceiling, baseline ---------------------------------------------------------------------------------------


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Bivariate normal, n = 14, where Spearman's truth is known: 90 % of the intervals within Monte Carlo error."""
    rng, rho, hits, trials = np.random.default_rng(8), 0.7, 0, 200
    truth = 6 / math.pi * math.asin(rho / 2)
    for trial in range(trials):
        z = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 14)
        drawn = correlate(z[:, :1], z[:, 1:], counts_of(14, 400, trial), pairs=False)["spearman"][:, 0, 0]
        found = percentile_interval(drawn, n=14, level=0.9)
        assert found is not None
        hits += found[0] <= truth <= found[1]
    assert 0.85 <= hits / trials <= 1.0


def test_an_interval_of_mostly_undefined_resamples_is_none() -> None:
    assert percentile_interval(np.array([np.nan, np.nan, 0.5]), n=10) is None
    assert percentile_interval(np.array([0.5, 0.5, np.nan]), n=10) == (0.5, 0.5)


def test_seeds_are_drawn_for_all_models_and_spread_as_wide_as_they_should() -> None:
    rng = np.random.default_rng(9)
    runs = rng.normal(size=(100, 3))
    draws = make_resamples(100, [column(runs)], None, resamples=400, seed=0)
    blocks = list(draws.blocks())
    assert len(blocks) == 40
    assert sum(len(counts) for _, counts in blocks) == 400
    values = np.stack([draws.values(column(runs), k) for k, _ in blocks])
    # The variance of a mean of three runs is 1/3; two thirds of it would be seen without the stretch.
    assert values.var(axis=0).mean() == pytest.approx(1 / 3, rel=0.3)
    np.testing.assert_allclose(draws.values(column(runs), -1), runs.mean(axis=1))


def test_one_seed_draws_models_only() -> None:
    draws = make_resamples(5, [column(np.ones((5, 1)))], None, resamples=100, seed=0)
    ((k, counts),) = draws.blocks()
    assert (k, counts.shape) == (-1, (100, 5))
    assert (counts.sum(axis=1) == 5).all()


def test_the_ceiling_is_what_a_perfect_proxy_reaches() -> None:
    """With many models and known noise: the correlation of the truth with one noisy mean of three."""
    rng = np.random.default_rng(10)
    truth = rng.normal(size=400)
    runs = truth[:, None] + rng.normal(scale=0.8, size=(400, 3))
    found = ceiling(column(runs), np.arange(400), top=3, seed=0)
    assert found["noise"] == pytest.approx(0.8, rel=0.05)
    assert found["pearson"] == pytest.approx(1 / math.sqrt(1 + 0.64 / 3), abs=0.02)
    assert found["seeds"] == 3
    assert found["reason"] is None


def test_the_ceiling_without_noise_is_one_and_without_seeds_unknown() -> None:
    runs = np.repeat(np.arange(6.0)[:, None], 2, axis=1)
    found = ceiling(column(runs), np.arange(6), top=3, seed=0)
    assert (found["spearman"], found["regret"]) == (1.0, 0.0)
    alone = ceiling(column(runs[:, :1]), np.arange(6), top=3, seed=0)
    assert alone["spearman"] is None
    assert alone["reason"] == "'p' on 'd' was run with one seed only"


def test_the_static_list_never_sees_the_data_set_itself() -> None:
    here, there = column(np.array([[3.0], [2.0], [1.0]]), "here"), column(np.array([[1.0], [2.0], [3.0]]), "there")
    losses = column(np.array([[9.0], [1.0], [5.0]]), "losses", sign=-1.0)
    assert static_list(here, [here]) is None
    only = static_list(here, [here, there])
    assert only is not None
    assert list(np.argsort(only)) == [0, 1, 2]
    both = static_list(here, [here, there, losses])
    assert both is not None
    # Ranks 1, 2, 3 there and 1, 3, 2 by losses; a rank r of 3 is (r - 1/2) / 3.
    np.testing.assert_allclose(both, [1 / 6, 2 / 3, 2 / 3])


def test_a_thousand_models_are_measured_in_seconds() -> None:
    rng = np.random.default_rng(11)
    x = rng.normal(size=(1000, 1))
    y = x + rng.normal(size=(1000, 1))
    started = time.process_time()
    drawn = correlate(x, y, counts_of(1000, 500))["weighted_tau"]
    assert time.process_time() - started < 20
    assert np.isfinite(drawn).all()

"""Statistics: one prediction's numbers, intervals, rank correlations, and what chance does.

No other room resamples. `LEVEL` is that of every interval that is shown, `METRICS` all that is said of a metric.
"""

from acclimate.stats.chance import benjamini_hochberg, holm, permutation_p
from acclimate.stats.correlations import LEAST_MODELS, STATISTICS, correlate, midranks, spearman
from acclimate.stats.intervals import (
    Interval,
    MeanInterval,
    at_level,
    bootstrap_interval,
    mean_interval,
    outer_percentiles,
    paired_difference,
    paired_over,
    percentile_interval,
    share_interval,
    two_way_curves,
)
from acclimate.stats.metrics import METRICS, Metric, larger_is_better, measure
from acclimate.stats.quantiles import LEVEL, normal, student
from acclimate.stats.resampling import RESAMPLES, bootstrap_counts, poisson_counts
from acclimate.stats.ties import ModelSet, model_set, ranks_with_ties

__all__ = [
    "LEAST_MODELS",
    "LEVEL",
    "METRICS",
    "RESAMPLES",
    "STATISTICS",
    "Interval",
    "MeanInterval",
    "Metric",
    "ModelSet",
    "at_level",
    "benjamini_hochberg",
    "bootstrap_counts",
    "bootstrap_interval",
    "correlate",
    "holm",
    "larger_is_better",
    "mean_interval",
    "measure",
    "midranks",
    "model_set",
    "normal",
    "outer_percentiles",
    "paired_difference",
    "paired_over",
    "percentile_interval",
    "permutation_p",
    "poisson_counts",
    "ranks_with_ties",
    "share_interval",
    "spearman",
    "student",
    "two_way_curves",
]

"""Metrics against scikit-learn, against loops written from the definitions, and against laws."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from sklearn import metrics as oracle

from acclimate.errors import DataError
from acclimate.stats import metrics
from acclimate.stats.metrics import METRICS, Metric, auc, calibration_error, larger_is_better, log_losses, measure


def predictions(n: int, classes: int, seed: int, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    if ties:
        logits = np.round(logits)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("ties", [False, True])
def test_agrees_with_scikit_learn(classes: int, ties: bool) -> None:
    p, y = predictions(500, classes, seed=classes, ties=ties)
    got = measure(p, y, n_classes=classes)
    predicted = p.argmax(axis=1)
    assert list(got) == [name for name, metric in METRICS.items() if metric.of is not None]
    assert got["accuracy"] == pytest.approx(oracle.accuracy_score(y, predicted), abs=1e-12)
    assert got["balanced_accuracy"] == pytest.approx(oracle.balanced_accuracy_score(y, predicted), abs=1e-12)
    assert got["log_loss"] == pytest.approx(oracle.log_loss(y, p), abs=1e-9)
    assert got["macro_f1"] == pytest.approx(oracle.f1_score(y, predicted, average="macro"), abs=1e-12)
    theirs = oracle.roc_auc_score(y, p[:, 1]) if classes == 2 else oracle.roc_auc_score(y, p, multi_class="ovr")
    assert got["auc"] == pytest.approx(theirs, abs=1e-12)


def test_a_new_metric_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "errors", Metric("errors", lambda p: float((~p.right).sum()), larger_is_better=False))
    p, y = predictions(50, 3, seed=0)
    assert measure(p, y, n_classes=3)["errors"] == (p.argmax(axis=1) != y).sum()
    assert not larger_is_better("errors")
    assert larger_is_better("a metric of another program")


def test_macro_f1_with_absent_and_never_predicted_classes() -> None:
    p, y = predictions(60, 8, seed=1)
    keep = (y != 3) & (p.argmax(axis=1) != 3) & (y != 5)
    p, y = p[keep], y[keep]
    got = measure(p, y, n_classes=8)
    assert got["macro_f1"] == pytest.approx(oracle.f1_score(y, p.argmax(1), average="macro", zero_division=0))
    present = np.unique(y)
    theirs = np.mean([oracle.roc_auc_score(y == c, p[:, c]) for c in present])
    assert got["auc"] == pytest.approx(theirs, abs=1e-12)


def test_calibration_error_is_the_published_sum() -> None:
    p, y = predictions(700, 5, seed=2)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    expected = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            expected += inside.sum() / 700 * abs(right[inside].mean() - confidence[inside].mean())
    assert measure(p, y, n_classes=5)["ece"] == pytest.approx(expected, abs=1e-12)


def test_calibration_error_of_hand_made_cases() -> None:
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0.0
    assert calibration_error(np.array([1.0, 1.0]), np.array([False, False])) == 1.0
    # Over- and under-confidence cancel inside a bin and add up across bins.
    assert calibration_error(np.array([0.9, 0.9]), np.array([True, False])) == pytest.approx(0.4)
    assert calibration_error(np.array([0.5, 0.9]), np.array([True, False])) == pytest.approx((0.5 + 0.9) / 2)


def test_log_loss_is_clipped_at_float32_epsilon() -> None:
    p = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert log_losses(p, np.array([0, 1])) == pytest.approx([0.0, 23 * math.log(2)])
    assert math.copysign(1, log_losses(p, np.array([0, 1]))[0]) == 1


def test_one_class_present_has_no_auc_but_all_else() -> None:
    p, _ = predictions(20, 3, seed=4)
    got = measure(p, np.full(20, 2), n_classes=3)
    assert math.isnan(got.pop("auc"))
    assert all(math.isfinite(value) for value in got.values())


def test_auc_laws() -> None:
    p, y = predictions(200, 2, seed=5)
    assert auc(p, y) == pytest.approx(auc(p[:, ::-1], 1 - y))
    assert auc(np.full((200, 2), 0.5), y) == 0.5
    assert auc(p**3, y) == auc(p, y)


@pytest.mark.parametrize("classes", [2, 6])
def test_renaming_classes_and_reordering_images_change_nothing(classes: int) -> None:
    p, y = predictions(300, classes, seed=6)
    rng = np.random.default_rng(0)
    names, order = rng.permutation(classes), rng.permutation(300)
    renamed = np.empty_like(p)
    renamed[:, names] = p
    first = measure(p, y, n_classes=classes)
    assert measure(renamed[order], names[y][order], n_classes=classes) == pytest.approx(first)


def test_float32_agrees_with_float64_and_inputs_stay() -> None:
    p, y = predictions(300, 7, seed=7)
    kept = p.copy()
    half = measure(p.astype(np.float32), y.astype(np.int32), n_classes=7)
    assert half == pytest.approx(measure(p, y, n_classes=7), abs=1e-5)
    assert np.array_equal(p, kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, y: (p[:, :2], y), r"probabilities have shape \(9, 2\); expected \(n, 3\)"),
        (lambda p, y: (p, y[:-1]), r"labels have shape \(8,\); expected \(9,\)"),
        (lambda p, y: (p[:0], y[:0]), "no predictions to measure"),
        (lambda p, y: (p, y.astype(float)), "labels have type float64; expected integers"),
        (lambda p, y: (p, np.where(np.arange(9) == 4, -1, y)), r"label -1 of row 4 is outside 0\.\.2"),
        (lambda p, y: (p, np.where(np.arange(9) == 6, 3, y)), r"label 3 of row 6 is outside 0\.\.2"),
        (
            lambda p, y: (np.where(np.arange(9)[:, None] == 5, np.nan, p), y),
            "row 5 of the prob.* no distribution",
        ),
        (lambda p, y: (np.where(np.arange(9)[:, None] == 2, p * 1.01, p), y), "row 2 .* sum 1.01"),
        (lambda p, y: (p - np.array([1.0, 0.0, -1.0]), y), "row 0 .*smallest -"),
    ],
)
def test_bad_input_is_named(change, message) -> None:
    p, y = predictions(9, 3, seed=8)
    with pytest.raises(DataError, match=message):
        measure(*change(p, y), n_classes=3)


def test_the_example_in_the_documentation() -> None:
    result = doctest.testmod(metrics, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0

"""Contract of every member of PROBES: a new score is tested because it is there."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError

from acclimate.errors import DataError
from acclimate.scores import PROBES
from acclimate.scores.base import Law
from acclimate.scores.probes.normalise import NORMALISERS

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
EVERY = pytest.mark.parametrize("name", PROBES)


def blobs(n: int = 150, d: int = 12, classes: int = 4, *, seed: int = 0, noise: float = 1.0) -> Split:
    """Return train and validation features and labels of Gaussian classes; every class occurs in both."""
    rng = np.random.default_rng(seed)
    y = np.arange(2 * n) % classes
    centres = 1.5 * rng.normal(size=(classes, d)) / np.sqrt(d / 8)
    x = (3 + centres[y] + noise * rng.normal(size=(2 * n, d))).astype(np.float32)
    return x[:n], y[:n], x[n:], y[n:]


def predict(name: str, split: Split, x: np.ndarray | None = None, *, n_classes: int = 4) -> np.ndarray:
    fitted = PROBES[name].fit(*split, n_classes=n_classes, seed=0)
    return fitted.predict_proba(split[2] if x is None else x)


def check_distributions(p: np.ndarray, shape: tuple[int, int]) -> None:
    assert p.shape == shape
    assert p.dtype == np.float64
    assert np.all(p >= 0)
    assert np.allclose(p.sum(axis=1), 1, atol=1e-9)


@EVERY
def test_learns_and_gives_distributions(name: str) -> None:
    split = blobs()
    p = predict(name, split)
    check_distributions(p, (150, 4))
    assert (p.argmax(axis=1) == split[3]).mean() > 0.8


@EVERY
def test_noise_features_give_chance(name: str) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(600, 10)), rng.integers(0, 3, 600)
    queries = rng.normal(size=(3000, 10))
    right = predict(name, (x[:300], y[:300], x[300:], y[300:]), queries, n_classes=3).argmax(axis=1)
    # Labels that had nothing to do with the features: three standard deviations around one third.
    assert abs((right == rng.integers(0, 3, 3000)).mean() - 1 / 3) < 3 * np.sqrt(2 / 9 / 3000)


@EVERY
def test_settings_are_json_and_the_name_is_the_key(name: str) -> None:
    fitted = PROBES[name].fit(*blobs(), n_classes=4, seed=0)
    assert fitted.name == name
    assert json.loads(json.dumps(fitted.settings, allow_nan=False)) == fitted.settings


@EVERY
def test_repeats_to_the_bit_and_changes_no_input(name: str) -> None:
    split = blobs()
    copies = [part.copy() for part in split]
    assert np.array_equal(predict(name, split), predict(name, split))
    assert all(np.array_equal(a, b) for a, b in zip(split, copies, strict=True))
    for part in split:
        part.flags.writeable = False
    predict(name, split)


@EVERY
def test_later_changes_of_the_inputs_do_not_reach_the_fitted_score(name: str) -> None:
    x, y, x_val, y_val = blobs()
    fitted = PROBES[name].fit(x, y, x_val, y_val, n_classes=4, seed=0)
    query = x_val.copy()
    before = fitted.predict_proba(query)
    for part in (x, y, x_val, y_val):
        part[:] = 0
    assert np.array_equal(fitted.predict_proba(query), before)


def moved(law: str, split: Split) -> tuple[Split, np.ndarray]:
    """Return the split after what a law allows, and the place that each class went to."""
    x, y, x_val, y_val = (part.copy() for part in split)
    rng, names = np.random.default_rng(1), np.arange(4)
    if law == "order":
        order = rng.permutation(len(y))
        return (x[order], y[order], x_val, y_val), names
    if law == "labels":
        names = np.array([2, 0, 3, 1])
        return (x, names[y], x_val, names[y_val]), names
    change = {
        "columns": lambda part: part[:, np.random.default_rng(2).permutation(12)],
        "rotation": lambda part: part @ np.linalg.qr(np.random.default_rng(3).normal(size=(12, 12)))[0],
        "shift": lambda part: part + np.linspace(-30, 40, 12),
        "scale": lambda part: part * 37.5,
    }[law]
    return (change(x.astype(float)), y, change(x_val.astype(float)), y_val), names


@pytest.mark.parametrize(("name", "law"), [(name, law) for name in PROBES for law in sorted(PROBES[name].laws)])
def test_keeps_the_laws_it_declares(name: str, law: str) -> None:
    split = blobs(noise=1.5)
    other, names = moved(law, split)
    assert not np.array_equal(names, range(4)) or not np.array_equal(other[0], split[0])
    assert np.allclose(predict(name, other)[:, names], predict(name, split), atol=2e-4)


@pytest.mark.parametrize(
    ("name", "settings", "law"),
    [
        ("knn", {"metric": ["cosine"]}, "shift"),
        ("ncm", {"metric": ["cosine"]}, "shift"),
        ("ridge", {}, "rotation"),
        ("logistic", {}, "rotation"),
    ],
)
def test_a_law_that_is_not_declared_can_break(name: str, settings: dict, law: str) -> None:
    assert law not in PROBES[name].laws
    options = PROBES[name].settings.model_validate(settings)
    split = blobs(noise=1.5)
    split = (split[0] * np.arange(1, 13), split[1], split[2] * np.arange(1, 13), split[3])
    other, _ = moved(law, split)
    one, there = (
        PROBES[name].fit(*part, n_classes=4, seed=0, settings=options).predict_proba(part[2]) for part in (split, other)
    )
    assert not np.allclose(one, there, atol=2e-3)


def test_the_laws_are_all_looked_at() -> None:
    assert set(get_args(Law)) == set().union(*(score.laws for score in PROBES.values()))


@EVERY
def test_every_member_says_what_it_is(name: str) -> None:
    score = PROBES[name]
    assert score.meaning.endswith(".")
    assert 40 < len(score.meaning) < 200
    defaults = score.settings()
    assert type(defaults).model_validate_json(defaults.model_dump_json()) == defaults
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        score.settings.model_validate({"neighbors": 3})
    with pytest.raises(ValidationError, match="frozen"):
        defaults.normalise = "l2"


@EVERY
@pytest.mark.parametrize("normalise", NORMALISERS)
def test_every_member_takes_every_normaliser(name: str, normalise: str) -> None:
    split = blobs()
    settings = PROBES[name].settings.model_validate({"normalise": normalise})
    fitted = PROBES[name].fit(*split, n_classes=4, seed=0, settings=settings)
    p = fitted.predict_proba(split[2])
    check_distributions(p, (150, 4))
    assert (p.argmax(axis=1) == split[3]).mean() > 0.8
    assert fitted.settings["normalise"] == normalise
    # The same as normalising first.
    first = NORMALISERS[normalise].fit(split[0])
    x, x_val = (first.of(part).transform(part.astype(float)) for part in (split[0], split[2]))
    plain = PROBES[name].settings.model_validate({"normalise": "none"})
    beforehand = PROBES[name].fit(x, split[1], x_val, split[3], n_classes=4, seed=0, settings=plain)
    assert np.allclose(beforehand.predict_proba(x_val), p, atol=1e-4)


@EVERY
def test_an_images_prediction_does_not_depend_on_its_companions(name: str) -> None:
    split = blobs()
    fitted = PROBES[name].fit(*split, n_classes=4, seed=0)
    together = fitted.predict_proba(split[2])
    alone = np.concatenate([fitted.predict_proba(split[2][i : i + 1]) for i in range(20)])
    assert np.allclose(alone, together[:20], atol=1e-6)


@EVERY
@pytest.mark.parametrize("classes", [4, 12])  # a tenth of the columns, as in the largest benchmarks
def test_memory_is_below_twice_the_features(name: str, classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, x_val, y_val = blobs(20_000, 128, classes, noise=2.0)
    # What does not grow with the features, the working memory of a block, is made small beside them.
    monkeypatch.setattr("acclimate.scores.base.BLOCK_BYTES", 2**20)
    monkeypatch.setattr("acclimate.scores.probes.neighbours.CACHE_BYTES", 2**18)
    predict(name, blobs())  # modules that are loaded late count for nothing
    tracemalloc.start()
    try:
        PROBES[name].fit(x, y, x_val[:1000], y_val[:1000], n_classes=classes, seed=0).predict_proba(x_val[:1000])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * x.nbytes


@EVERY
def test_float32_and_float64_agree(name: str) -> None:
    x, y, x_val, y_val = blobs()
    wide = predict(name, (x.astype(float), y, x_val.astype(float), y_val.astype(np.int32)))
    assert np.allclose(wide, predict(name, (x, y, x_val, y_val)), atol=1e-6)


@EVERY
@pytest.mark.parametrize(("n", "d"), [(12, 200), (4, 30), (2, 1), (20, 20)])
def test_fewer_images_than_columns_and_one_per_class(name: str, n: int, d: int) -> None:
    classes = min(n, 4)
    split = blobs(n, d, classes, noise=0.1)
    p = predict(name, split, n_classes=classes)
    check_distributions(p, (n, classes))
    if d > 1:
        assert (p.argmax(axis=1) == split[3]).all()


@EVERY
def test_a_class_that_training_never_saw_is_never_predicted(name: str) -> None:
    x, y, x_val, y_val = blobs()
    ids = np.array([0, 2, 3, 6])
    p = predict(name, (x, ids[y], x_val, ids[y_val]), n_classes=8)
    check_distributions(p, (150, 8))
    assert np.all(p[:, [1, 4, 5, 7]] < 1e-6)
    assert np.allclose(p[:, ids], predict(name, (x, y, x_val, y_val)), atol=1e-9)
    # Validation may hold such a class: it is wrong, and its log loss is finite.
    y_val = np.where(np.arange(150) < 3, 7, ids[y_val])
    check_distributions(predict(name, (x, ids[y], x_val, y_val), n_classes=8), (150, 8))


@EVERY
def test_constant_columns_and_equal_images_are_harmless(name: str) -> None:
    x, y, x_val, y_val = blobs()
    x, x_val = (np.concatenate([part, np.full((150, 1), 0.1, np.float32)], axis=1) for part in (x, x_val))
    x[:, 3] = x_val[:, 3] = 0
    p = predict(name, (x, y, x_val, y_val))
    check_distributions(p, (150, 4))
    assert (p.argmax(axis=1) == y_val).mean() > 0.75
    check_distributions(predict(name, (np.ones_like(x), y, np.ones_like(x), y_val)), (150, 4))
    check_distributions(predict(name, (np.zeros_like(x), y, np.zeros_like(x), y_val)), (150, 4))


@EVERY
def test_imbalance_and_offset_are_harmless(name: str) -> None:
    x, y, x_val, y_val = blobs(400)
    few = (y != 1) | (np.arange(400) < 20)
    offset = np.float32(500)
    p = predict(name, (x[few] + offset, y[few], x_val + offset, y_val))
    assert (p.argmax(axis=1) == y_val).mean() > 0.75


@EVERY
def test_blocks_do_not_change_anything(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    split = blobs()
    whole = predict(name, split)
    monkeypatch.setattr("acclimate.scores.base.BLOCK_BYTES", 2000)
    assert np.allclose(predict(name, split), whole, atol=2e-3)


def spoil(position: int, row: int, value: float):
    def change(split: Split) -> Split:
        parts = [part.copy() for part in split]
        parts[position][row, 5] = value
        return tuple(parts)

    return change


@EVERY
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil(0, 7, np.nan), "row 7 of the training features has nan in column 5; expected finite"),
        (spoil(2, 149, -np.inf), "row 149 of the validation features has -inf in column 5"),
        (lambda s: (s[0][:, :3], *s[1:]), "validation features have 12 columns; expected 3"),
        (lambda s: (s[0][0], *s[1:]), r"training features have shape \(12,\); expected \(n, d\)"),
        (lambda s: (*s[:2], s[2][:0], s[3][:0]), r"validation features have shape \(0, 12\)"),
        (lambda s: (s[0].astype(int), *s[1:]), "training features have type int64; expected float"),
        (lambda s: (s[0], s[1][1:], *s[2:]), r"training labels have shape \(149,\); expected \(150,\)"),
        (lambda s: (s[0], s[1] * 1.0, *s[2:]), "training labels have type float64; expected integers"),
        (lambda s: (s[0], s[1] - 1, *s[2:]), r"training label -1 of row 0 is outside 0\.\.3"),
        (lambda s: (*s[:3], s[3] + 1), r"validation label 4 of row 1 is outside 0\.\.3"),
        (lambda s: (s[0], s[1] * 0 + 2, *s[2:]), "all 150 training labels are class 2; .* two classes"),
    ],
)
def test_bad_input_is_named(name: str, change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        PROBES[name].fit(*change(blobs()), n_classes=4, seed=0)


@EVERY
def test_bad_queries_are_named(name: str) -> None:
    fitted = PROBES[name].fit(*blobs(), n_classes=4, seed=0)
    with pytest.raises(DataError, match="features have 3 columns; expected 12"):
        fitted.predict_proba(np.ones((2, 3)))
    with pytest.raises(DataError, match="row 1 of the features has nan"):
        fitted.predict_proba(np.array([[1.0] * 12, [np.nan] * 12]))


def test_importing_scores_imports_neither_torch_nor_scipy() -> None:
    code = "import sys, acclimate.scores; print({'torch', 'scipy', 'sklearn', 'pandas'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"

"""Contract of every member of ESTIMATES: what it promises holds, and what it cannot use is named."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import tracemalloc

import numpy as np
import pytest

import acclimate.scores
from acclimate.errors import DataError
from acclimate.scores.estimates import ESTIMATES, Prepared, estimate, prepare, spectrum, table

Arrays = dict[str, np.ndarray]
EVERY = pytest.mark.parametrize("name", ESTIMATES)
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


def arrays(n: int = 90, d: int = 24, classes: int = 4, *, seed: int = 0, noise: float = 1.0) -> Arrays:
    """Return x (n, d), y (n,), p (n, 6) and views (20, 3, d) of Gaussian classes of three sizes with an offset."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.permutation(np.arange(n) % (classes + 1)), classes - 1)
    x = 0.3 + rng.normal(size=(classes, d))[y] * 0.5 + noise * rng.normal(size=(n, d)) * np.linspace(1.5, 0.5, d)
    logits = x @ rng.normal(size=(d, 6)) / np.sqrt(d)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    views = x[: min(n, 20), None] + 0.3 * rng.normal(size=(min(n, 20), 3, d))
    return {"x": x, "y": y, "p": p, "views": views}


def of(name: str, data: Arrays, **changed: np.ndarray) -> np.ndarray:
    """Return the estimate as an array of one number or more."""
    inputs = {**data, **changed}
    return np.atleast_1d(estimate(name, prepare(inputs["x"], inputs["y"], p=inputs["p"], views=inputs["views"])))


def in_bounds(name: str, value: np.ndarray, prepared: Prepared) -> None:
    low, high = ESTIMATES[name].extent.bounds(prepared)
    assert np.all(value >= low - 1e-9), (value, low)
    assert np.all(value <= high + 1e-9), (value, high)


def rotation(d: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(9).normal(size=(d, d)))[0]


def change(promise: str, data: Arrays) -> Arrays:
    """Return the data changed in the way of one promise."""
    rng = np.random.default_rng(7)
    n, d = data["x"].shape
    x, views = data["x"], data["views"]
    if promise == "order":
        rows, images = rng.permutation(n), rng.permutation(len(views))
        return {"x": x[rows], "y": data["y"][rows], "p": data["p"][rows], "views": views[images][:, ::-1]}
    if promise == "labels":
        return {**data, "y": np.array([11, 2, 30, 5])[data["y"]]}
    if promise == "columns":
        columns, sources = rng.permutation(d), rng.permutation(data["p"].shape[1])
        return {**data, "x": x[:, columns], "views": views[..., columns], "p": data["p"][:, sources]}
    if promise == "rotation":
        return {**data, "x": x @ rotation(d), "views": views @ rotation(d)}
    moved = rng.normal(size=d) if promise == "shift" else 0.0
    factor = 37.0 if promise == "scale" else 1.0
    return {**data, "x": factor * x + moved, "views": factor * views + moved}


PROMISES = [(name, promise) for name, member in ESTIMATES.items() for promise in sorted(member.promises)]


@pytest.mark.parametrize(("name", "promise"), PROMISES)
def test_what_is_promised_changes_nothing(name: str, promise: str) -> None:
    data = arrays()
    assert np.allclose(of(name, change(promise, data)), of(name, data), **CLOSE)


@pytest.mark.parametrize(("name", "promise"), [p for p in PROMISES if "nleep" not in p[0]])
def test_what_is_promised_holds_with_fewer_images_than_columns(name: str, promise: str) -> None:
    data = arrays(40, 90)
    assert np.allclose(of(name, change(promise, data)), of(name, data), rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "promise"),
    [("logme", "shift"), ("transrate", "scale"), ("lda", "scale"), ("rankme", "shift"), ("parc", "rotation")],
)
def test_what_is_not_promised_is_not_there(name: str, promise: str) -> None:
    data = arrays()
    assert not np.allclose(of(name, change(promise, data)), of(name, data), rtol=1e-3)


@EVERY
def test_the_classes_help_and_the_number_is_in_its_range(name: str) -> None:
    data = arrays(noise=0.6)
    prepared = prepare(data["x"], data["y"], p=data["p"], views=data["views"])
    value = np.atleast_1d(estimate(name, prepared))
    in_bounds(name, value, prepared)
    shuffled = of(name, data, y=np.random.default_rng(3).permutation(data["y"]))
    if "labels" not in ESTIMATES[name].needs:
        assert np.array_equal(shuffled, value)
    elif ESTIMATES[name].better != "neither" and not name.startswith("nc2"):
        assert (value > shuffled).all() == (ESTIMATES[name].better == "larger")
        assert not np.allclose(value, shuffled)


@EVERY
def test_a_class_without_images_does_not_count(name: str) -> None:
    data = arrays()
    assert np.allclose(of(name, data, y=data["y"] * 3 + 2), of(name, data), **CLOSE)


@EVERY
def test_constant_columns_are_harmless(name: str) -> None:
    data = arrays()
    for constant in (0.0, 0.1):
        wide = {
            key: np.concatenate([data[key], np.full((*data[key].shape[:-1], 2), constant)], -1)
            for key in ("x", "views")
        }
        value = of(name, data, **wide)
        assert np.isfinite(value).all()
        in_bounds(name, value, prepare(wide["x"], data["y"]))
    if name in ("hscore", "parc", "alpha-req", "nc1", "nc4", "logme-intercept"):
        assert np.allclose(value, of(name, data), **CLOSE) or name in ("parc",)


@EVERY
@pytest.mark.parametrize(("n", "d"), [(30, 200), (40, 40), (4, 30), (4, 3), (24, 1)])
def test_fewer_images_than_columns_and_one_per_class(name: str, n: int, d: int) -> None:
    """A number in its range, or one line that says what is missing."""
    data = arrays(n, d)
    data["y"] = np.arange(n) % 4
    prepared = prepare(data["x"], data["y"], p=data["p"], views=data["views"])
    if (name == "ncti" and n == 4) or (name == "alpha-req" and min(n - 1, d) < 20):
        with pytest.raises(DataError, match="; expected"):
            estimate(name, prepared)
        return
    value = np.atleast_1d(estimate(name, prepared))
    assert not np.isnan(value).any()
    in_bounds(name, value, prepared)


@EVERY
def test_equal_images_are_harmless(name: str) -> None:
    data = arrays()
    for x in (np.ones_like(data["x"]), np.zeros_like(data["x"])):
        prepared = prepare(x, data["y"], p=data["p"], views=np.ones_like(data["views"]))
        try:
            value = np.atleast_1d(estimate(name, prepared))
        except DataError:
            assert name in ("ncti", "alpha-req")
            continue
        assert not np.isnan(value).any()


@EVERY
def test_float32_and_float64_agree(name: str) -> None:
    data = {key: value.astype(np.float32) if key != "y" else value for key, value in arrays().items()}
    wide = {key: value.astype(np.float64) if key != "y" else value for key, value in data.items()}
    assert np.allclose(of(name, data), of(name, wide), rtol=1e-5, atol=1e-6)


@EVERY
def test_repeats_to_the_bit_and_changes_no_input(name: str) -> None:
    data = arrays()
    copies = {key: value.copy() for key, value in data.items()}
    for value in data.values():
        value.flags.writeable = False
    assert np.array_equal(of(name, data), of(name, data))
    assert all(np.array_equal(data[key], copies[key]) for key in data)


@EVERY
def test_large_inputs_take_another_way_to_the_same_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, wide = arrays(), arrays(40, 90)
    expected = [of(name, data), of(name, wide)]
    for module in ("spectrum", "pactran", "logme"):
        monkeypatch.setattr(f"acclimate.scores.estimates.{module}.SMALL", 0)
    monkeypatch.setattr("acclimate.scores.estimates.parc.EXACT", 0)
    monkeypatch.setattr("acclimate.scores.estimates.prepared.PASS_BYTES", 3000)
    monkeypatch.setattr("acclimate.scores.estimates.spectrum.GRAM_BYTES", 3000)
    monkeypatch.setattr("acclimate.scores.estimates.spectrum.PANEL", 5)
    near = {"parc": 1e-3, "pactran": 1e-4}.get(name, 1e-5)
    assert np.allclose(of(name, data), expected[0], rtol=near, atol=1e-8)
    if "nleep" not in name:
        assert np.allclose(of(name, wide), expected[1], rtol=near, atol=1e-8)


def spoil(key: str, row: int, value: float):
    def changed(data: Arrays) -> Arrays:
        part = data[key].copy()
        part[row, 2] = value
        return {**data, key: part}

    return changed


@EVERY
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (spoil("x", 7, np.nan), "row 7 of the features has nan in column 2; expected finite"),
        (spoil("x", 89, -np.inf), "row 89 of the features has -inf in column 2"),
        (spoil("p", 3, np.inf), "row 3 of the source predictions has inf"),
        (lambda data: {**data, "x": data["x"][0]}, r"features have shape \(24,\); expected \(n, d\)"),
        (lambda data: {**data, "y": data["y"][1:]}, r"labels have shape \(89,\); expected \(90,\)"),
        (lambda data: {**data, "y": data["y"] * 1.0}, "labels have type float64; expected integers"),
        (lambda data: {**data, "y": data["y"] * 0 + 2}, "all 90 labels are class 2; expected two classes"),
        (lambda data: {**data, "p": 2 * data["p"]}, "row 0 of the source predictions sums to 2 .* apply a softmax"),
        (lambda data: {**data, "p": data["p"][1:]}, r"source predictions have shape \(89, 6\); expected \(90, z\)"),
        (lambda data: {**data, "views": data["views"][:, :1]}, r"views have shape \(20, 1, 24\); expected \(m, q, d\)"),
    ],
)
def test_bad_input_is_named(name: str, changed, message: str) -> None:
    with pytest.raises(DataError, match=message):
        of(name, changed(arrays()))


def test_a_member_that_lacks_something_says_what() -> None:
    prepared = prepare(arrays()["x"])
    warnings = {row.name: row.warning for row in table(prepared) if row.value is None}
    assert set(warnings) == {name for name, member in ESTIMATES.items() if member.needs}
    assert warnings["logme"] == "needs labels y (n,)"
    with pytest.raises(DataError, match=r"lidar needs views \(m, q, d\)"):
        estimate("lidar", prepared)
    with pytest.raises(DataError, match="unknown estimate 'hscor'; did you mean 'hscore'"):
        estimate("hscor", prepared)
    with pytest.raises(DataError, match=r"leep needs source predictions p \(n, z\)"):
        estimate("leep", prepare(arrays()["x"], arrays()["y"]))


def test_the_table_is_the_members_and_warns_where_they_are_worthless() -> None:
    wide = arrays(40, 90)
    rows = {row.name: row for row in table(prepare(wide["x"], wide["y"], p=wide["p"], views=wide["views"]))}
    assert list(rows) == list(ESTIMATES)
    assert all(np.array_equal(np.atleast_1d(rows[name].value), of(name, wide)) for name in ("hscore", "sfda", "logme"))
    for name in ("hscore", "sfda", "ped", "lda-fisher", "nc1"):
        assert "worthless here: with n <= d (40 <= 90)" in (rows[name].warning or ""), name
    assert rows["logme"].warning is None
    few = {row.name: row for row in table(prepare(np.eye(8, 3), np.arange(8) % 4), ["gbc", "nleep"])}
    assert "the smallest class has 2 images" in (few["gbc"].warning or "")


def test_logme_of_noise_does_not_grow_with_the_width() -> None:
    """The defect of the widely copied code: -0.27, 1.06, 12.1, 45.1 for these widths."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 10
    values = [estimate("logme", prepare(rng.normal(size=(200, d)), y)) for d in (64, 256, 768, 2048)]
    assert max(values) < min(values) + 0.1
    informative = np.eye(64)[y] * 3 + rng.normal(size=(200, 64))
    assert estimate("logme", prepare(informative, y)) > max(values)


def test_parc_of_many_images_is_that_of_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = arrays(700, 16)
    exact = of("parc", data)
    monkeypatch.setattr("acclimate.scores.estimates.parc.EXACT", 0)
    assert abs(of("parc", data) - exact) < 1e-3


def test_memory_stays_below_twice_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    for block in ("prepared.PASS_BYTES", "spectrum.GRAM_BYTES"):
        monkeypatch.setattr(f"acclimate.scores.estimates.{block}", 2**19)  # in proportion to features of 8 MB
    rng = np.random.default_rng(0)
    n, d = 4000, 512
    y = np.arange(n) % 10
    x = (rng.normal(size=(10, d))[y] + rng.normal(size=(n, d)) / np.sqrt(np.arange(1, d + 1))).astype(np.float32)
    p = np.full((n, 50), 0.02, np.float32)
    small = prepare(x[:300, :40], y[:300], p=p[:300])
    table(small)  # what libraries allocate when they are imported is not counted
    tracemalloc.start()
    try:
        prepared = prepare(x, y, p=p)
        for name, member in ESTIMATES.items():
            if "views" not in member.needs:
                tracemalloc.reset_peak()
                estimate(name, prepared)
                assert tracemalloc.get_traced_memory()[1] < 2 * x.nbytes, name
                prepared.forget("centred")
                prepared.forget("uncentred")
    finally:
        tracemalloc.stop()


def test_every_example_is_run() -> None:
    modules = [module.name for module in pkgutil.walk_packages(acclimate.scores.__path__, "acclimate.scores.")]
    results = {name: doctest.testmod(importlib.import_module(name)) for name in modules}
    assert [name for name, result in results.items() if result.failed] == []
    functions = {getattr(member.function, "func", member.function) for member in ESTIMATES.values()}
    assert all(">>>" in (function.__doc__ or "") for function in functions)
    assert sum(result.attempted for result in results.values()) > 2 * len(functions)


def test_the_spectrum_is_that_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    for n, d in ((60, 20), (20, 50)):
        data = arrays(n, d)
        centred = data["x"] - data["x"].mean(axis=0)
        s = np.linalg.svd(centred, compute_uv=False)
        for size in (2**20, 0):
            monkeypatch.setattr(spectrum, "SMALL", size)
            prepared = prepare(data["x"], data["y"])
            assert np.allclose(prepared.centred.values, s**2, atol=1e-9)
            along = (prepared.rows - prepared.mean) @ prepared.centred.vectors(5)
            assert np.allclose(np.linalg.norm(along, axis=0), s[:5])

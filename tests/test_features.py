from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.errors import DataError
from acclimate.storage.features import Features, feature_key, load_features, open_feature_store, save_features

X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 1, -1, 1])


def test_features_are_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "features.npz"
    save_features(
        Features(X, Y),
        path,
        classes=("cat", "dög"),
        names=["a", "b", "c", "d"],
        splits=np.array(["train", "", "test", "val"]),
    )
    back = load_features(path)
    np.testing.assert_array_equal(back.x, X)
    np.testing.assert_array_equal(back.y, Y)
    assert len(back) == 4
    with np.load(path, allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["classes", "name", "split", "x", "y"]
        assert arrays["classes"].tolist() == ["cat", "dög"]
        assert arrays["split"].tolist() == ["train", "", "test", "val"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite(value: float) -> None:
    x = X.copy()
    x[2, 1] = x[3, 0] = value
    with pytest.raises(DataError, match="2 of 4 rows hold NaN or infinity, first row 2"):
        Features(x, Y)


def test_opposite_infinities_do_not_hide_each_other_and_large_values_are_fine() -> None:
    with pytest.raises(DataError, match="first row 0"):
        Features(np.array([[np.inf, -np.inf]], np.float32), np.array([0]))
    largest = np.finfo(np.float32).max
    Features(np.full((2, 100), largest, np.float32), np.array([0, 1]))


@pytest.mark.parametrize(
    ("x", "y", "text"),
    [
        (X[0], Y, r"must be float32 of shape \(n, d\), got float32 of \(3,\)"),
        (X.astype(np.float64), Y, "must be float32 of shape"),
        (X, Y[:3], r"labels must be int64 of shape \(4,\).* got int64 of shape \(3,\)"),
        (X, Y.astype(np.int32), "labels must be int64"),
        (X, Y - 1, "must be -1 .* or more, got -2"),
    ],
)
def test_features_that_do_not_fit(x: Any, y: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        Features(x, y)


def test_save_wants_one_name_a_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names must have one entry for each of 4 rows, got 1"):
        save_features(Features(X, Y), tmp_path / "f.npz", classes=(), names=["a"], splits=[""] * 4)


def test_load_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    with pytest.raises(DataError, match=r"no features file .*f\.npz; make one with: acclimate embed"):
        load_features(path)
    path.write_text("hello")
    with pytest.raises(DataError, match="is not a features file"):
        load_features(path)
    np.save(tmp_path / "f.npy", X)
    with pytest.raises(DataError, match="is not a features file"):
        load_features(tmp_path / "f.npy")
    np.savez(path, x=X)
    with pytest.raises(DataError, match="has no x and y"):
        load_features(path)
    np.savez(path, x=X, y=np.array(["a", "b", "c", "d"]))
    with pytest.raises(DataError, match="x must be numbers and y whole numbers, got float32 and <U1"):
        load_features(path)


def test_load_never_runs_a_pickle(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    np.savez(tmp_path / "f.npz", x=np.array([Trap()], dtype=object), y=Y[:1])
    with pytest.raises(DataError, match="is not a features file"):
        load_features(tmp_path / "f.npz")
    assert not (tmp_path / "sprung").exists()


def test_key_changes_with_everything_that_matters() -> None:
    base: dict[str, Any] = {
        "weights": "w",
        "preprocessing": {"size": 224, "mean": [0.5]},
        "fingerprint": "f",
        "pooling": "avg",
        "precision": "float32",
    }
    changes: dict[str, Any] = {
        "weights": "v",
        "preprocessing": {"size": 256, "mean": [0.5]},
        "fingerprint": "g",
        "pooling": "max",
        "precision": "bfloat16",
    }
    keys = {feature_key(**(base | {name: value})) for name, value in changes.items()} | {feature_key(**base)}
    assert len(keys) == 6
    swapped = base | {"preprocessing": {"mean": [0.5], "size": 224}}
    assert feature_key(**swapped) == feature_key(**base)


def test_feature_store_goes_on_where_it_stopped(tmp_path: Path, cache: Path) -> None:
    store = open_feature_store("key", 4, 3, cache=tmp_path, meta={"model": "m"})
    assert store.folder == tmp_path / "features" / "key"
    assert store.array.dtype == np.float32
    store.write(np.array([1, 3]), X[[1, 3]])
    again = open_feature_store("key", 4, 3, cache=tmp_path, meta={"model": "m"})
    assert again.missing().tolist() == [0, 2]
    assert open_feature_store("key", 4, 3, cache=None, meta={}).folder == cache / "features" / "key"

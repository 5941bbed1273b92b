"""Rows: what goes in comes out, a row is there whole or not at all, and many may write at once."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acclimate.errors import DataError
from acclimate.storage.results import COLUMNS, PARTS, Predictions, Result, Results, part_codes, row_key, versions

IDENTITY = {"weights": "w" * 24, "fingerprint": "f" * 24, "protocol": "knn", "seed": 3, "labels": "10"}


def row(**changes) -> Result:
    result = Result(
        model="zoo:tiny",
        dataset="leaves",
        metrics={"val": {"accuracy": 0.5, "auc": math.nan}, "test": {"accuracy": 1 / 3, "auc": 0.75}},
        settings={"lr": 0.1, "steps": (1, 2), "name": "ä"},
        trainable=10,
        total=100,
        random_start=False,
        versions=versions(),
        seconds=1.5,
        images_per_second=None,
        peak_memory_mb=12.5,
        device="cpu",
        precision="float32",
        created="2025-01-01T00:00:00+00:00",
        **IDENTITY,
    )
    return replace(result, **changes)


def predictions(m: int = 4) -> Predictions:
    p = np.full((m, 2), 0.5, np.float32)
    return Predictions(p, np.arange(m) % 2, 10 * np.arange(m))


def test_parts_come_back_and_an_old_file_has_none(tmp_path: Path) -> None:
    results, sent = Results(tmp_path), row()
    results.append(sent, predictions())
    assert results.predictions(sent.key).part is None
    part = np.concatenate([part_codes("val", 1), part_codes("test", 3)])
    results.append(sent, replace(predictions(), part=part))
    got = results.predictions(sent.key).part
    assert got is not None
    assert [PARTS[code] for code in got] == ["val", "test", "test", "test"]
    for wrong in (part[:3], part + 2):
        with pytest.raises(DataError, match="places among train, val, test"):
            results.append(sent, replace(predictions(), part=wrong))


def test_a_row_comes_back_as_it_went_in(tmp_path: Path) -> None:
    results, sent = Results(tmp_path / "new" / "folder"), row(chosen={"k": np.int64(5)})
    assert results.rows() == []
    assert not results.has(sent.key)
    results.append(sent, predictions())
    (got,) = results.rows()
    assert got.key == sent.key
    assert results.has(sent.key)
    assert got.chosen == {"k": 5}
    assert got.metrics["test"] == sent.metrics["test"]
    assert math.isnan(got.metrics["val"]["auc"])
    same = {"metrics": {}, "settings": {}, "chosen": {}}
    assert replace(got, **same) == replace(sent, **same)
    assert results.get(sent.key).settings == {"lr": 0.1, "steps": [1, 2], "name": "ä"}
    stored = results.predictions(sent.key)
    assert stored.probabilities.dtype == np.float32
    assert np.array_equal(stored.index, [0, 10, 20, 30])
    assert np.array_equal(stored.labels, [0, 1, 0, 1])


def test_files_are_those_of_the_documentation_and_strict_json(tmp_path: Path) -> None:
    Results(tmp_path).append(row(), predictions())
    (path,) = (tmp_path / "rows").iterdir()
    assert path.name == f"{row().key}.json"
    assert [p.name for p in (tmp_path / "predictions").iterdir()] == [f"{row().key}.npz"]

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    document = json.loads(path.read_text(), parse_constant=refuse)
    assert document["metrics"]["val"]["auc"] is None
    assert document["predictions"] is True


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"labels": None},
        {"protocol": "bn"},
        {"weights": "x"},
        {"fingerprint": "x"},
        {"settings": {}},
    ],
)
def test_identity_changes_the_key(change) -> None:
    assert row(**change).key != row().key


@pytest.mark.parametrize(
    "change",
    [{"seconds": 9.0}, {"model": "other name"}, {"metrics": {}}, {"chosen": {"k": 1}}, {"created": ""}],
)
def test_what_came_out_does_not_change_the_key(change) -> None:
    assert row(**change).key == row().key


def test_the_key_is_known_before_the_run() -> None:
    assert row_key(**IDENTITY, settings={"name": "ä", "steps": [1, 2], "lr": 0.1}) == row().key


def test_the_same_run_again_takes_the_place_of_the_old_row(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.append(row(), predictions())
    results.append(row(seconds=2.0))
    assert [r.seconds for r in results.rows()] == [2.0]
    assert len(results.predictions(row().key).labels) == 4


def test_folders_merge_by_copying(tmp_path: Path) -> None:
    for worker in (1, 2):
        Results(tmp_path / str(worker)).append(row(seed=worker))
    for path in (tmp_path / "1" / "rows").iterdir():
        (tmp_path / "2" / "rows" / path.name).write_bytes(path.read_bytes())
    assert [r.seed for r in Results(tmp_path / "2").rows()] == [1, 2]


def test_long_format(tmp_path: Path) -> None:
    results = Results(tmp_path)
    assert list(results.frame().columns) == list(COLUMNS)
    results.append(row())
    frame = results.frame()
    assert len(frame) == 4
    one = frame[(frame.split == "test") & (frame.metric == "accuracy")]
    assert one.value.item() == pytest.approx(1 / 3)
    assert one.labels.item() == "10"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "is no result row"),
        (lambda text: "[]", "is no result row"),
        (lambda text: text.replace('"seconds"', '"second"'), "is no result row .*second"),
        (lambda text: text.replace('"seed": 3', '"seed": 4'), "was changed: its content has the key"),
    ],
)
def test_damaged_rows_are_named(tmp_path: Path, damage, message: str) -> None:
    results = Results(tmp_path)
    results.append(row())
    path = tmp_path / "rows" / f"{row().key}.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=row().key + r"\.json " + message):
        results.rows()


def test_damaged_and_missing_predictions_are_named(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.append(row())
    with pytest.raises(DataError, match=r"has no predictions .*run it again"):
        results.predictions(row().key)
    results.append(row(), predictions())
    path = tmp_path / "predictions" / f"{row().key}.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="npz is damaged"):
        results.predictions(row().key)
    with pytest.raises(DataError, match="no row abc in"):
        results.get("abc")


def test_bad_rows_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written as JSON"):
        Results(tmp_path).append(row(chosen={"loss": math.inf}), predictions())
    wrong = replace(predictions(), index=np.arange(3))
    with pytest.raises(DataError, match=r"predictions have shapes .* expected \(m, C\), \(m,\) and \(m,\)"):
        Results(tmp_path).append(row(), wrong)
    assert list(tmp_path.rglob("*.*")) == []


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_results import predictions, row
from acclimate.storage.results import Results
first, last = int(sys.argv[2]), int(sys.argv[3])
for seed in range(first, last):
    Results(Path(sys.argv[1])).append(row(seed=seed), predictions(2000))
    if seed == first:
        print("ready", flush=True)
"""


def writer(folder: Path, first: int, last: int) -> subprocess.Popen[str]:
    code = WRITER.format(tests=str(Path(__file__).parent))
    arguments = [sys.executable, "-c", code, str(folder), str(first), str(last)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    # The ranges overlap: some rows are written by both.
    both = [writer(tmp_path, 0, 40), writer(tmp_path, 20, 60)]
    for process in both:
        process.communicate(timeout=120)
        assert process.returncode == 0
    results = Results(tmp_path)
    assert [r.seed for r in results.rows()] == list(range(60))
    assert all(len(results.predictions(r.key).labels) == 2000 for r in results.rows())


def test_kill_9_leaves_no_half_row(tmp_path: Path) -> None:
    for attempt, wait in enumerate((0.0, 0.03)):
        with writer(tmp_path, 10**6 * attempt, 10**6 * (attempt + 1)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(wait)
            os.kill(process.pid, signal.SIGKILL)
    results = Results(tmp_path)
    found = results.rows()
    assert len(found) >= 2
    assert all(len(results.predictions(r.key).labels) == 2000 for r in found)
    results.append(row())
    assert len(results.rows()) == len(found) + 1


def test_versions_import_nothing() -> None:
    code = (
        "import sys, acclimate.storage.results as r; "
        "print(sorted(r.versions())); print({'torch', 'pandas'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["['acclimate', 'numpy', 'python', 'timm', 'torch']", "set()"]

"""Published tables through the command line: the reference correlations to 1e-6, and the row a paper printed."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from acclimate.commands import main

pytestmark = pytest.mark.shared

TABLES = {
    "ericsson2021": "ericsson2021_paper_tables.csv",
    "mmselfsup": "mmselfsup_protocols.csv",
    "timm": "timm_imagenet_shifts.csv",
}
NUMBERS = {
    "n_models": "n_models",
    "pearson": "pearson",
    "spearman": "spearman",
    "kendall_tau_b": "kendall",
    "weighted_tau": "weighted_tau",
    "top3_overlap": "top_k_overlap",
    "regret_of_argmax_x": "regret",
}


def compared(*arguments: str) -> dict[str, Any]:
    """Return the document of ``acclimate compare``, with few resamples: intervals are not what is looked at here."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["compare", *arguments, "--resamples", "100", "--json"])
    assert code == 0, err.getvalue()
    found = json.loads(out.getvalue(), parse_constant=pytest.fail)
    assert isinstance(found, dict)
    return found


def arguments_of(row: dict[str, str]) -> list[str]:
    """Return what to ask for a row of the references, whose names of protocols and scopes are its maker's."""
    proxy, target, scope = row["protocol_x"], row["protocol_y"], row["scope"]
    if scope == "VOC0712_detection AP":
        prefix, where = "det_fasterrcnn_fpn_", ["--dataset", "VOC0712_detection", "--metric", "AP"]
        return ["--proxy", prefix + proxy, "--target", prefix + target, *where]
    source, arrow, other = scope.partition("->")
    where = ["--dataset", source, *(["--target-dataset", other] if arrow else [])]
    if row["source"] == "timm":
        where += ["--metric", "top1"]
    if row["protocol_x"].startswith("fewshot"):  # beside the accuracy is the half width of its interval
        where += ["--where", "metric!=ci95_halfwidth"]
    return ["--proxy", proxy, "--target", target, *where]


def references(shared: Path, source: str) -> list[dict[str, str]]:
    with (shared / "oracles" / "reference_correlations.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["source"] == source]


@pytest.mark.parametrize(("source", "rows"), [("ericsson2021", 67), ("mmselfsup", 7)])
def test_reference_correlations(shared: Path, source: str, rows: int) -> None:
    found = references(shared, source)
    assert len(found) == rows
    for row in found:
        _check(shared, row)


@pytest.mark.parametrize("row", range(7))
def test_reference_correlations_of_1556_models(shared: Path, row: int) -> None:
    found = references(shared, "timm")
    assert len(found) == 7
    _check(shared, found[row])


def _check(shared: Path, row: dict[str, str]) -> None:
    got = compared(str(shared / "oracles" / TABLES[row["source"]]), *arguments_of(row))
    for theirs, ours in NUMBERS.items():
        assert got[ours] == pytest.approx(float(row[theirs]), abs=1e-6), (row["scope"], theirs)


@pytest.mark.parametrize(
    ("target", "metric", "printed", "exact"),
    [
        ("linear_lbfgs", "ece_unscaled", -0.77, -0.772),
        ("linear_lbfgs", "ece_scaled", -0.59, -0.590),
        ("finetune_5k_sgd", "ece_unscaled", -0.90, -0.896),
        ("finetune_5k_sgd", "ece_scaled", -0.59, -0.595),
    ],
)
def test_the_row_that_ericsson_et_al_printed(
    shared: Path, target: str, metric: str, printed: float, exact: float
) -> None:
    """ImageNet accuracy against calibration error, Pearson of log odds; the paper cuts or rounds -0.595 to -0.59."""
    got = compared(
        str(shared / "oracles" / TABLES["ericsson2021"]),
        *("--proxy", "linear_reported_by_authors", "--dataset", "ImageNet"),
        *("--target", target, "--target-dataset", "avg10_manyshot", "--metric", f"top1,{metric}"),
    )
    assert got["pearson_logit"] == pytest.approx(exact, abs=5e-4)
    assert got["pearson_logit"] == pytest.approx(printed, abs=6e-3)
    turned = compared(
        str(shared / "oracles" / TABLES["ericsson2021"]),
        *("--proxy", "linear_reported_by_authors", "--dataset", "ImageNet"),
        *("--target", target, "--target-dataset", "avg10_manyshot", "--metric", f"top1,{metric}"),
        *("--smaller-is-better", metric),
    )
    assert turned["pearson_logit"] == pytest.approx(-got["pearson_logit"])

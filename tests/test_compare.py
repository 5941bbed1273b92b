"""`acclimate compare`: what it answers on tables whose truth is known, and every bad table in one clear line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats

import acclimate
from acclimate.commands import main
from acclimate.storage.results import PARTS, Predictions, Result, Results

Rows = list[dict[str, Any]]
PAGE = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
FEW = ("--resamples", "200")


def call(*arguments: str | Path) -> tuple[int, str, str]:
    """Run a command in this process and return its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def compared(table: Path, *arguments: str, proxy: str = "knn", target: str = "finetune") -> dict[str, Any]:
    """Return the document of the command, which must be strict JSON."""
    code, out, err = call("compare", table, "--proxy", proxy, "--target", target, *FEW, *arguments, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out, parse_constant=pytest.fail)
    assert isinstance(found, dict)
    return found


def complaint(table: Path | str, *arguments: str, proxy: str = "knn", target: str = "finetune") -> str:
    """Return the one line on stderr of a command with bad input."""
    code, out, err = call("compare", table, "--proxy", proxy, "--target", target, *FEW, *arguments)
    assert (code, out) == (2, ""), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err.removeprefix("acclimate: ").rstrip("\n")


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write rows as CSV; columns are those of all rows."""
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows_of(values: dict[str, Sequence[float]], dataset: str = "birds", metric: str = "accuracy", **more: Any) -> Rows:
    """Return rows of protocol -> one value a model."""
    return [
        {"model": f"m{i}", "dataset": dataset, "protocol": name, "metric": metric, "value": v, **more}
        for name, column in values.items()
        for i, v in enumerate(column)
    ]


@pytest.fixture
def simple(tmp_path: Path) -> Callable[[Rows], Path]:
    """Return a function that writes a table into this test's folder."""
    return lambda rows: write(tmp_path / "table.csv", rows)


KNN, FINETUNE = [0.61, 0.55, 0.70, 0.66, 0.52, 0.73], [0.80, 0.78, 0.88, 0.81, 0.79, 0.86]
GOOD = rows_of({"knn": KNN, "finetune": FINETUNE})


# answers ------------------------------------------------------------------------------------------------------------


def test_numbers_are_those_of_scipy(simple: Callable[[Rows], Path]) -> None:
    found = compared(simple(GOOD))
    assert found["n_models"] == 6
    assert found["models"] == [f"m{i}" for i in range(6)]
    assert found["spearman"] == pytest.approx(stats.spearmanr(KNN, FINETUNE).statistic)
    assert found["pearson"] == pytest.approx(stats.pearsonr(KNN, FINETUNE).statistic)
    assert found["kendall"] == pytest.approx(stats.kendalltau(KNN, FINETUNE).statistic)
    assert found["weighted_tau"] == pytest.approx(stats.weightedtau(KNN, FINETUNE).statistic)
    odds = [np.log(np.array(v) / (1 - np.array(v))) for v in (KNN, FINETUNE)]
    assert found["pearson_logit"] == pytest.approx(stats.pearsonr(*odds).statistic)
    assert found["regret"] == pytest.approx(0.02)
    assert found["regret_unit"] == "fraction"
    assert "costs 2 points" in found["verdict"]
    for name in ("spearman", "regret", "agreement"):
        span = found["intervals"][name]
        assert span["low"] <= found[name] <= span["high"]


def test_the_same_seed_gives_the_same_answer_and_another_one_another(simple: Callable[[Rows], Path]) -> None:
    table = simple(GOOD)
    first, again, other = (compared(table, "--seed", seed) for seed in ("1", "1", "2"))
    assert first["intervals"] == again["intervals"] != other["intervals"]
    assert first["spearman"] == other["spearman"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_every_format_gives_the_same_answer(tmp_path: Path, suffix: str) -> None:
    import pandas as pd

    path, frame = tmp_path / f"table{suffix}", pd.DataFrame(GOOD).assign(seed=0)
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".jsonl":
        path.write_text(frame.to_json(orient="records", lines=True), encoding="utf-8")
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    assert compared(path)["pearson"] == pytest.approx(stats.pearsonr(KNN, FINETUNE).statistic)


def test_python_and_command_line_agree(simple: Callable[[Rows], Path], tmp_path: Path) -> None:
    table = simple(GOOD)
    code, _, _ = call(
        "compare", table, "--proxy", "knn", "--target", "finetune", *FEW, "--out", tmp_path / "new" / "out"
    )
    assert code == 0
    written = json.loads((tmp_path / "new" / "out" / "compare.json").read_text("utf-8"), parse_constant=pytest.fail)
    document = acclimate.compare(table, proxy="knn", target="finetune", resamples=200)
    changing = ("seconds", "out")
    assert {k: v for k, v in written.items() if k not in changing} == {
        k: v for k, v in json.loads(json.dumps(document)).items() if k not in changing
    }


def test_losses_are_turned_round(simple: Callable[[Rows], Path]) -> None:
    losses = rows_of({"knn": [1 - v for v in KNN]}, metric="log_loss")
    found = compared(simple([*losses, *rows_of({"finetune": FINETUNE})]))
    assert found["spearman"] == pytest.approx(stats.spearmanr(KNN, FINETUNE).statistic)
    assert found["notes"][0] == "less is better in log_loss: turned round, so that agreement is positive"
    named = rows_of({"knn": [1 - v for v in KNN]}, metric="top1_error")
    table = simple([*named, *rows_of({"finetune": FINETUNE})])
    asked = compared(table)
    assert asked["spearman"] < 0
    assert "if not, say --smaller-is-better top1_error" in asked["notes"][0]
    assert compared(table, "--smaller-is-better", "top1_error")["spearman"] == -asked["spearman"]


def many(n: int = 30, *, seeds: int = 3, noise: float = 0.02, seed: int = 0) -> Rows:
    """Return three data sets on which `good` follows the finetuned quality and `random` nothing."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=n)
    rows: Rows = []
    for dataset in ("birds", "cars", "cells"):
        truth = 0.7 + 0.05 * quality + (0.05 * rng.normal(size=n) if dataset == "cells" else 0)
        columns = {"good": truth + 0.01 * rng.normal(size=n), "random": rng.uniform(0.4, 0.6, n)}
        for s in range(seeds):
            columns["finetune"] = truth + noise * rng.normal(size=n)
            names = columns if s == 0 else ("finetune",)
            rows += [row for name in names for row in rows_of({name: columns[name]}, dataset, seed=s)]
    for row in rows:
        i = int(row["model"][1:])
        row.update(family=f"family-{i % 2}", parameters=10**6 * (i + 1))
    return rows


def test_a_good_proxy_is_trusted_and_a_random_one_is_not(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", many())
    good = compared(table, proxy="good,random")
    assert good["trust"] == "yes"
    assert good["verdict"].startswith(
        "Yes: 'good' can be trusted to order models as 'finetune' does, on average over 3"
    )
    assert [line["proxy"] for line in good["proxies"]] == ["good", "random"]
    assert good["proxies"][1]["ahead"]["spearman"]["high"] < 0
    assert all(line["p"]["holm"] < 0.05 for line in good["datasets"] if line["proxy"] == "good")
    p = [[line["p"][name] for name in ("spearman", "bh", "holm")] for line in good["datasets"]]
    assert all(np.all(np.diff(row) >= -1e-12) for row in p)
    assert good["comparisons"] == 6
    poor = compared(table, proxy="random")
    assert poor["trust"] == "no"
    assert poor["static_baseline"]["ahead"]["spearman"]["high"] < 0
    assert "the static list alone gives" in poor["verdict"]


def test_few_models_cannot_tell(simple: Callable[[Rows], Path]) -> None:
    found = compared(simple(rows_of({"knn": [3, 1, 2, 4], "finetune": [30, 10, 40, 20]}, metric="score")))
    assert found["trust"] == "cannot tell"
    assert found["verdict"].startswith(
        "Cannot tell whether 'knn' orders models as 'finetune' does on 'birds'. Spearman"
    )


def test_the_ceiling_comes_from_the_seeds_and_is_lower_when_they_differ_more(tmp_path: Path) -> None:
    quiet, loud = (compared(write(tmp_path / f"{s}.csv", many(noise=s)), proxy="good") for s in (0.005, 0.06))
    assert 0.9 < quiet["ceiling"]["spearman"] <= 1
    assert loud["ceiling"]["spearman"] < quiet["ceiling"]["spearman"] - 0.1
    assert loud["ceiling"]["noise"] == pytest.approx(0.06, rel=0.2)
    assert loud["drawn"] == ["models", "seeds"]
    alone = compared(write(tmp_path / "alone.csv", many(seeds=1)), proxy="good")
    assert alone["ceiling"]["spearman"] is None
    assert alone["drawn"] == ["models"]
    assert any("noise ceiling unknown: 'finetune' on 'birds' was run with one seed only" in n for n in alone["notes"])


def test_the_static_list_is_the_mean_rank_elsewhere_and_by_size_the_largest_first(tmp_path: Path) -> None:
    rows = many(12, seeds=1)
    found = compared(write(tmp_path / "t.csv", rows), "--dataset", "cells", proxy="good")
    by = {(r["dataset"], r["protocol"], r["model"]): r["value"] for r in rows}
    names = [f"m{i}" for i in range(12)]
    ranks = np.mean([stats.rankdata([by[d, "finetune", m] for m in names]) for d in ("birds", "cars")], axis=0)
    target = [by["cells", "finetune", m] for m in names]
    assert found["static_baseline"]["spearman"] == pytest.approx(stats.spearmanr(ranks, target).statistic)
    assert found["size_baseline"]["spearman"] == pytest.approx(stats.spearmanr(range(12), target).statistic)
    proxy = [by["cells", "good", m] for m in names]
    lead = stats.spearmanr(proxy, target).statistic - found["static_baseline"]["spearman"]
    assert found["static_baseline"]["ahead"]["spearman"]["difference"] == pytest.approx(lead)


def test_one_model_that_carries_the_answer_is_named(simple: Callable[[Rows], Path]) -> None:
    x, y = [1, 2, 3, 4, 5, 90], [3, 5, 1, 4, 2, 90]
    found = compared(simple(rows_of({"knn": x, "finetune": y}, metric="score")))
    first = found["influence"]["most"][0]
    assert first["model"] == "m5"
    assert first["pearson"] == pytest.approx(stats.pearsonr(x[:5], y[:5]).statistic)
    assert first["spearman"] == pytest.approx(stats.spearmanr(x[:5], y[:5]).statistic)
    assert first["change"] == pytest.approx(first["spearman"] - found["spearman"])


def test_groups_are_looked_at_within_and_across(tmp_path: Path) -> None:
    """Within a family the proxy is perfect, across families it is wrong: the trap of mixed pools."""
    within, shift = np.arange(8.0), np.repeat([0.0, 100.0], 4)
    rows = rows_of({"knn": within + shift, "finetune": within - shift}, metric="score")
    for row in rows:
        row["backbone"] = "resnet" if int(row["model"][1:]) < 4 else "vit"
    found = compared(write(tmp_path / "t.csv", rows), "--by", "backbone")
    assert [(g["group"], g["n_models"], g["spearman"]) for g in found["groups"]["groups"]] == [
        ("resnet", 4, pytest.approx(1)),
        ("vit", 4, pytest.approx(1)),
    ]
    assert found["groups"]["pairs"]["within"][0]["agreement"] == 1
    assert found["groups"]["pairs"]["across"][0]["agreement"] == 0
    code, out, _ = call(
        "compare", tmp_path / "t.csv", "--proxy", "knn", "--target", "finetune", "--by", "backbone", *FEW
    )
    assert code == 0
    assert "Pairs across backbone: 'knn' orders 0%" in " ".join(out.split())


def test_settings_of_the_proxy_are_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20)
    rows = [
        *rows_of({"knn": truth + 0.1 * rng.normal(size=20)}, metric="score", normalise="yes"),
        *rows_of({"knn": truth + 3 * rng.normal(size=20)}, metric="score", normalise="no"),
        *rows_of({"finetune": truth}, metric="score"),
    ]
    table = write(tmp_path / "t.csv", rows)
    found = compared(table, "--by", "normalise")
    assert [line["proxy"] for line in found["proxies"]] == ["knn [normalise=no]", "knn [normalise=yes]"]
    assert found["proxies"][1]["ahead"]["spearman"]["low"] > 0
    assert found["groups"] is None
    yes = compared(table, "--where", "normalise!=no")
    assert yes["spearman"] == found["proxies"][1]["spearman"]


# in and out of domain -----------------------------------------------------------------------------------------------


def test_the_matrix_and_its_averages_by_kind_of_shift(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", many())
    (tmp_path / "shifts.csv").write_text("dataset,shift\nbirds,categorical\ncars,style\ncells,both\n")
    found = compared(table, "--ood", "--shifts", str(tmp_path / "shifts.csv"), proxy="good")
    cells = {(c["source"], c["dataset"]): c for c in found["ood"]["cells"]}
    assert len(cells) == 9
    averages = {line["part"]: line for line in found["ood"]["averages"]}
    assert list(averages) == ["in domain", "out of domain", "categorical", "style", "both"]
    outside = [c["spearman"] for (a, b), c in cells.items() if a != b]
    assert averages["out of domain"]["spearman"] == pytest.approx(np.mean(outside))
    assert averages["both"]["spearman"] == pytest.approx(
        np.mean([cells[a, "cells"]["spearman"] for a in ("birds", "cars")])
    )
    assert averages["in domain"]["cells"] == 3
    change = found["ood"]["change"][0]["spearman"]
    assert change["difference"] == pytest.approx(np.mean(outside) - averages["in domain"]["spearman"])
    assert change["high"] < 0
    assert "read on another data set it gives" in found["verdict"]
    assert found["comparisons"] == 9
    one = compared(table, "--dataset", "birds", "--target-dataset", "cells", proxy="good")
    assert one["spearman"] == pytest.approx(cells["birds", "cells"]["spearman"])
    assert one["verdict"].split(".")[0].endswith("on 'cells', read on 'birds'")


def test_a_proxys_lead_in_and_out_of_domain(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", many())
    ood = compared(table, "--ood", proxy="random,good")["ood"]
    spearman = {(line["proxy"], line["part"]): line["spearman"] for line in ood["averages"]}
    assert [(line["proxy"], line["part"]) for line in ood["ahead"]] == [
        ("good", "in domain"),
        ("good", "out of domain"),
    ]
    for line in ood["ahead"]:
        lead = spearman["good", line["part"]] - spearman["random", line["part"]]
        assert line["spearman"]["difference"] == pytest.approx(lead)
        assert line["spearman"]["low"] < lead < line["spearman"]["high"]
    assert ood["ahead"][0]["spearman"]["low"] > 0
    assert compared(table, "--ood", proxy="good")["ood"]["ahead"] == []


def test_shifts_of_pairs_and_of_a_column(tmp_path: Path) -> None:
    (tmp_path / "shifts.csv").write_text("source,dataset,shift\nbirds,cells,far\n")
    found = compared(
        write(tmp_path / "t.csv", many(8)), "--ood", "--shifts", str(tmp_path / "shifts.csv"), proxy="good"
    )
    assert {(c["source"], c["dataset"]) for c in found["ood"]["cells"] if c["shift"]} == {("birds", "cells")}
    rows = [{**row, "shift": "style" if row["dataset"] == "cells" else ""} for row in many(8)]
    column = compared(write(tmp_path / "t.csv", rows), "--ood", proxy="good")
    assert {c["dataset"] for c in column["ood"]["cells"] if c["shift"] == "style"} == {"cells"}
    rows[0]["shift"], rows[1]["shift"] = "style", "both"
    said = complaint(write(tmp_path / "t.csv", rows), "--ood", proxy="good")
    assert said.startswith("'birds' has the shifts 'style' and 'both'; expected one kind for each data set")
    (tmp_path / "shifts.csv").write_text("dataset,shift\nbrids,far\n")
    said = complaint(tmp_path / "t.csv", "--ood", "--shifts", str(tmp_path / "shifts.csv"), proxy="good")
    assert said.startswith("the shifts name the data set 'brids', which the table has not; expected birds, cars, cells")
    said = complaint(tmp_path / "t.csv", "--ood", "--shifts", str(tmp_path / "none.csv"), proxy="good")
    assert said.endswith("expected a CSV file with the columns dataset and shift")


# a folder of our own ------------------------------------------------------------------------------------------------


def _stored(
    folder: Path, model: int, protocol: str, seed: int, rng: np.random.Generator, *, with_parts: bool = False
) -> None:
    """Keep a row with the predictions of 40 validation and 60 test images, right with a model's own chance.

    Of a file with parts the row has no log loss, by which the border of a file without them is found.
    """
    from acclimate.stats.metrics import measure as measured

    labels = np.arange(100) % 2
    right = rng.random(100) < 0.55 + 0.05 * model
    sure = rng.uniform(0.6, 0.9, 100)
    truly = np.where(right, sure, 1 - sure)
    p = np.where(labels[:, None] == np.arange(2), truly[:, None], 1 - truly[:, None]).astype(np.float32)
    parts = {"val": slice(0, 40), "test": slice(40, 100)}
    left_out = ("log_loss",) if with_parts else ()
    row = Result(
        model=f"m{model}",
        dataset="leaves",
        protocol=protocol,
        seed=seed,
        metrics={
            name: {k: v for k, v in measured(p[at], labels[at], n_classes=2).items() if k not in left_out}
            for name, at in parts.items()
        },
        settings={"normalise": "l2"},
        labels=None,
        trainable=0,
        total=1000 * (model + 1),
        random_start=False,
        fingerprint="f" * 24,
        weights=f"{model:024}",
        versions={},
        seconds=1.0,
        images_per_second=None,
        peak_memory_mb=None,
        device="cpu",
        precision="float32",
        created="2025-01-01T00:00:00+00:00",
    )
    part = np.repeat([PARTS.index("val"), PARTS.index("test")], [40, 60]).astype(np.uint8) if with_parts else None
    Results(folder).append(row, Predictions(p, labels, np.arange(100), part))


@pytest.mark.parametrize("with_parts", [False, True])
def test_a_results_folder_draws_seeds_and_test_images_and_keeps_the_test_split_for_the_target(
    with_parts: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for model in range(6):
        for seed in (0, 1):
            _stored(tmp_path, model, "finetune", seed, rng, with_parts=with_parts)
        _stored(tmp_path, model, "knn", 0, rng, with_parts=with_parts)
    found = compared(tmp_path)
    assert found["splits"] == {"proxy": ["val"], "target": ["test"]}
    assert found["drawn"] == ["models", "seeds", "images"]
    assert found["size_baseline"] is not None
    rows = Results(tmp_path).rows()
    mean = {
        p: [
            np.mean([r.metrics[s]["accuracy"] for r in rows if (r.model, r.protocol) == (f"m{m}", p)]) for m in range(6)
        ]
        for p, s in (("knn", "val"), ("finetune", "test"))
    }
    assert found["spearman"] == pytest.approx(stats.spearmanr(mean["knn"], mean["finetune"]).statistic)
    f1 = compared(tmp_path, "--metric", "macro_f1")
    assert f1["drawn"] == ["models", "seeds"]
    for row in rows:
        (tmp_path / "predictions" / f"{row.key}.npz").unlink()
    without = compared(tmp_path)
    assert without["drawn"] == ["models", "seeds"]
    assert without["spearman"] == found["spearman"]
    assert without["intervals"] != found["intervals"]


def test_drawn_images_are_the_same_for_every_model_and_average_to_the_metric(tmp_path: Path) -> None:
    from acclimate.comparison import StoredImages
    from acclimate.comparison.sides import ScoreColumn

    rng = np.random.default_rng(1)
    for model in range(3):
        _stored(tmp_path, model, "knn", 0, rng)
    rows = Results(tmp_path).rows()
    for metric in ("accuracy", "log_loss", "balanced_accuracy"):
        runs = np.array([[row.metrics["test"][metric]] for row in rows])
        keys = np.array([[row.key] for row in rows])
        column = ScoreColumn("knn", "leaves", metric, "test", runs, ("0",), 1.0, keys)
        images = StoredImages(Results(tmp_path), 0)
        assert images.covers(column)
        drawn = np.stack([images.draw(column, k) for k in range(300)])
        np.testing.assert_allclose(drawn.mean(axis=0), runs, atol=0.02)
        assert drawn.std(axis=0).min() > 0
        twice = np.concatenate([column.runs, column.runs])
        double = ScoreColumn("knn", "leaves", metric, "test", twice, ("0",), 1.0, np.concatenate([keys, keys]))
        again = images.draw(double, 7)
        assert again is not None
        np.testing.assert_array_equal(again[:3], again[3:])
    assert not images.covers(ScoreColumn("knn", "leaves", "auc", "test", runs, ("0",), 1.0, keys))


# bad and awkward tables ---------------------------------------------------------------------------------------------


def test_missing_cells_are_left_out_in_pairs_and_counted(tmp_path: Path) -> None:
    rows = [dict(row) for row in (*GOOD, *rows_of({"knn": KNN, "finetune": FINETUNE}, "cars"))]
    rows[1]["value"] = ""  # m1, knn on birds
    del rows[-1]  # m5, finetune on cars
    found = compared(write(tmp_path / "t.csv", rows))
    by = {line["dataset"]: line for line in found["datasets"]}
    assert (by["birds"]["n_models"], by["cars"]["n_models"], found["n_models"]) == (5, 5, 6)
    rest = [i for i in range(6) if i != 1]
    expected = stats.spearmanr(np.array(KNN)[rest], np.array(FINETUNE)[rest]).statistic
    assert by["birds"]["spearman"] == pytest.approx(expected)
    assert found["missing"][0]["without"] == {"proxy": ["m1"], "target": []}
    assert "'knn' on 'birds': 1 without the proxy (m1); measured on the 5 that have both" in found["notes"]
    assert "'knn' on 'cars': 1 without the target (m5); measured on the 5 that have both" in found["notes"]
    assert "1 rows have no value and count as missing" in found["notes"]


def test_data_sets_that_lack_the_same_models_share_a_sentence(tmp_path: Path) -> None:
    more = [row for name in ("cars", "dogs") for row in rows_of({"knn": KNN, "finetune": FINETUNE}, name)]
    lacking = ("m1", "knn", "birds"), ("m1", "knn", "cars")
    kept = [row for row in (*GOOD, *more) if (row["model"], row["protocol"], row["dataset"]) not in lacking]
    found = compared(write(tmp_path / "t.csv", kept))
    assert "'knn' on 'birds', 'cars': 1 without the proxy (m1); measured on the 5 that have both" in found["notes"]


@pytest.mark.parametrize("nothing", ["", "nan", "NaN", "NA", "n/a", "null"])
def test_nan_is_a_missing_cell(simple: Callable[[Rows], Path], nothing: str) -> None:
    rows = [dict(row) for row in GOOD]
    rows[0]["value"] = nothing
    assert compared(simple(rows))["n_models"] == 5


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_models(simple: Callable[[Rows], Path], n: int) -> None:
    rows = rows_of({"knn": KNN[:n], "finetune": FINETUNE})
    rows += rows_of({"knn": KNN}, "cars")
    said = complaint(simple(rows), "--dataset", "birds") if n else complaint(simple(rows))
    if n == 0:
        assert said == (
            "'knn' is on cars and 'finetune' on birds: no data set has both; say which with --dataset and "
            "--target-dataset"
        )
    else:
        assert said == (
            f"'knn' and 'finetune' share {n} model{'s' * (n != 1)} on 'birds'; expected at least 3: fewer have no "
            "correlation to speak of. Add rows of more models"
        )


def test_every_proxy_needs_models(simple: Callable[[Rows], Path]) -> None:
    said = complaint(simple([*GOOD, *rows_of({"probe": KNN[:2]})]), proxy="knn,probe")
    assert said.startswith("'probe' and 'finetune' share 2 models on 'birds'; expected at least 3")
    said = complaint(simple([*GOOD, *rows_of({"probe": KNN}, "cars")]), proxy="knn,probe")
    assert said.startswith("'probe' and 'finetune' share 0 models on the data sets of 'finetune'; expected at least 3")


def test_a_constant_column_is_said_not_nan(simple: Callable[[Rows], Path]) -> None:
    found = compared(simple(rows_of({"knn": KNN, "finetune": [0.1] * 6})))
    assert found["spearman"] is None
    assert found["intervals"]["spearman"] is None
    assert found["trust"] == "cannot tell"
    assert "'finetune' on 'birds' is 0.1 for all 6 models: correlations with it are undefined" in found["notes"]
    assert "correlations are undefined (6 models)" in found["verdict"]
    code, out, _ = call(
        "compare",
        simple(rows_of({"knn": [1] * 6, "finetune": FINETUNE})),
        *FEW,
        "--proxy",
        "knn",
        "--target",
        "finetune",
    )
    assert code == 0
    assert "nan" not in out.lower()


def test_duplicates_that_agree_are_one_and_that_disagree_are_named(simple: Callable[[Rows], Path]) -> None:
    assert compared(simple([*GOOD, GOOD[2]]))["n_models"] == 6
    said = complaint(simple([*GOOD, {**GOOD[2], "value": 0.5}]))
    assert said == (
        "rows 3 and 13 disagree: 'knn' on 'birds', accuracy, model 'm2' is 0.7 and 0.5; delete one of them, or tell "
        "runs apart by a column 'seed'"
    )
    seeded = [{**row, "seed": 4} for row in GOOD]
    said = complaint(simple([*seeded, {**seeded[2], "value": 0.5}]))
    assert "model 'm2', seed 4 is 0.7 and 0.5; delete one of them" in said
    told = [{**row, "norm": "l2"} for row in GOOD]
    said = complaint(simple([*told, {**told[2], "value": 0.5, "norm": "none"}]))
    assert said.endswith("they differ in 'norm': choose with --where norm=l2, or compare with --by norm")


def test_percent_among_fractions_is_asked_about(simple: Callable[[Rows], Path]) -> None:
    rows = [dict(row) for row in GOOD]
    rows[3]["value"], rows[4]["value"] = 66, 52
    said = complaint(simple(rows))
    assert said == (
        "'knn' on 'birds', accuracy: 2 values look like percent (rows 4, 5) and 4 like fractions; if all are in one "
        "unit say --unit percent (or fraction, other), else add a column 'unit' with fraction or percent"
    )
    said = complaint(simple(rows), "--unit", "fraction")
    assert said.startswith("row 4 ('knn' on 'birds', accuracy) is 66; expected 0 to 1, as the unit is fraction")
    for row in rows:
        row["unit"] = "percent" if row["value"] > 1 else "fraction"
    assert compared(simple(rows))["spearman"] == pytest.approx(stats.spearmanr(KNN, FINETUNE).statistic)
    rows[0]["unit"] = "points"
    said = complaint(simple(rows))
    assert "row 1 of" in said
    assert "has the unit 'points'; expected fraction, percent or an empty cell" in said


def test_percent_near_zero_is_not_taken_for_fractions(simple: Callable[[Rows], Path]) -> None:
    low = [0.4, 0.9, 1.6, 3.0, 8.0, 40.0]
    found = compared(simple(rows_of({"knn": low, "finetune": low}, metric="top1")))
    assert (found["regret_unit"], found["spearman"]) == ("percent", pytest.approx(1))
    gap = compared(simple(rows_of({"knn": [0.4, 30, 40, 50], "finetune": [1, 2, 3, 4]})), "--unit", "other")
    assert gap["pearson_logit"] is None


def test_a_thousand_models(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    rows = rows_of({"knn": x, "finetune": x + rng.normal(size=1000)}, metric="score")
    table = write(tmp_path / "t.csv", rows)
    started = time.process_time()
    found = compared(table)
    assert time.process_time() - started < 20
    assert found["n_models"] == 1000
    assert found["intervals"]["spearman"]["high"] - found["intervals"]["spearman"]["low"] < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"proxy": "knnn"}, "unknown protocol 'knnn'; did you mean 'knn'? Expected one of: finetune, knn"),
        ({"target": "fintune"}, "unknown protocol 'fintune'; did you mean 'finetune'?"),
        ({"more": ["--dataset", "brids"]}, "unknown dataset of knn 'brids'; did you mean 'birds'?"),
        ({"more": ["--target-dataset", "crs"]}, "unknown target data set of finetune 'crs'"),
        ({"more": ["--metric", "acuracy"]}, "unknown metric of finetune 'acuracy'; did you mean 'accuracy'?"),
        ({"more": ["--by", "famly"]}, "unknown column 'famly'; expected one of: dataset, metric, protocol"),
        ({"more": ["--where", "split"]}, "got --where 'split'; expected COLUMN=VALUE or COLUMN!=VALUE"),
        ({"more": ["--where", "splt=test"]}, "unknown column 'splt'"),
        ({"more": ["--where", "dataset=bird"]}, "unknown value of dataset 'bird'; did you mean 'birds'?"),
        ({"more": ["--unit", "percents"]}, "unknown unit 'percents'; did you mean 'percent'?"),
        ({"more": ["--level", "90"]}, "level is 90.0; expected a probability between 0 and 1, such as 0.9"),
        ({"proxy": "knn@10"}, "got the protocol 'knn@10', but the table has no column 'labels'; expected 'knn'"),
        (
            {"more": ["--by", "protocol"]},
            "the column 'protocol' neither groups models nor tells settings of 'knn' apart",
        ),
        ({"proxy": " , "}, "got no proxy; expected the name of a protocol, such as --proxy knn"),
    ],
)
def test_bad_questions(simple: Callable[[Rows], Path], change: dict[str, Any], message: str) -> None:
    said = complaint(simple(GOOD), *change.pop("more", []), **change)
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "model,dataset,protocol,metric,values\n", "has no column 'value': it has model, dataset, protocol,"),
        ("t.csv", "model,dataset,protocol,metric,values\n", "rename 'values'"),
        ("t.csv", "model,dataset,protocol,metric,value\n", "has no rows; expected one line for each model"),
        ("t.csv", "", "expected a table in .csv format"),
        ("t.csv", "model,dataset,protocol,metric,value\na,b,c,d,good\n", "has the value 'good'; expected a number"),
        (
            "t.csv",
            "model,dataset,protocol,metric,value\na,b,c,d,inf\n",
            "has the value 'inf'; expected a finite number",
        ),
        ("t.csv", "model,dataset,protocol,metric,value\n,b,c,d,1\n", "row 1 of"),
        ("t.jsonl", '{"model": "a"\n', "line 1: Expecting"),
        ("t.jsonl", "[1]\n", "line 1 is no object"),
        ("t.parquet", "no parquet", "expected a table in .parquet format"),
        ("t.xlsx", "x", "as a results table; expected .csv, .tsv, .parquet, .jsonl, .ndjson, or a folder with rows/"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert message in complaint(tmp_path / name)


def test_no_file_and_an_empty_folder(tmp_path: Path) -> None:
    assert complaint(tmp_path / "none.csv").endswith("or a results folder")
    assert "has no rows/; expected a folder that rank, curve or study wrote" in complaint(tmp_path)


def test_choices_that_are_left_open_are_asked_about(simple: Callable[[Rows], Path]) -> None:
    two = [*GOOD, *rows_of({"knn": KNN}, metric="top5"), *rows_of({"knn": KNN}, metric="top1")]
    assert compared(simple(two))["proxy_metric"] == ["accuracy"]
    said = complaint(simple([row for row in two if row["metric"] != "accuracy" or row["protocol"] != "knn"]))
    assert said == "'knn' on 'birds' has the metrics top1, top5; choose one, such as --metric top1"
    budgets = [{**row, "labels": b} for row in GOOD for b in ("5", "10")]
    said = complaint(simple(budgets))
    assert said == "'finetune' has rows with the label budgets 10, 5; choose one, such as finetune@10"
    assert compared(simple(budgets), proxy="knn@5", target="finetune@10")["n_models"] == 6
    splits = [{**row, "split": s} for row in GOOD for s in ("a", "b")]
    said = complaint(simple(splits))
    assert said == "'finetune' has rows of the splits 'a', 'b'; choose one, such as --where split=b"


def test_a_data_set_that_nobody_asked_for_is_left_out_with_a_word(simple: Callable[[Rows], Path]) -> None:
    odd = [row for m in ("ece_scaled", "ece_plain") for row in rows_of({"knn": KNN, "finetune": KNN}, "cars", m)]
    found = compared(simple([*GOOD, *odd]))
    assert [line["dataset"] for line in found["datasets"]] == ["birds"]
    assert any(note.startswith("left out: 'knn' on 'cars' has the metrics") for note in found["notes"])


def test_tied_first_places_are_said(simple: Callable[[Rows], Path]) -> None:
    found = compared(simple(rows_of({"knn": [3, 9, 9, 1], "finetune": [1, 5, 7, 2]}, metric="score")))
    assert found["regret"] == 2
    assert (
        "2 models share the first place of 'knn' on 'birds': the regret is that of the first in the table"
        in (found["notes"])
    )


def test_hostile_names_are_text(simple: Callable[[Rows], Path]) -> None:
    rows = [{**row, "model": f"[red]{row['model']}[/]", "dataset": "[bold]=cmd|' /C calc'!A0"} for row in GOOD]
    rows += [{**row, "dataset": "[/]", "[x]": "[y]"} for row in rows]
    asked = ("--proxy", "knn", "--target", "finetune", "--ood", "--by", "[x]", *FEW)
    code, out, err = call("compare", simple(rows), *asked)
    assert (code, err) == (0, "")
    for text in ("[red]m", "[bold]=cmd", "[/]", "[x]", "[y]"):
        assert text in out


# the page -----------------------------------------------------------------------------------------------------------


def block(marker: str) -> str:
    """Return the code block of the page behind a comment."""
    found = re.search(rf"<!-- {marker} -->\n```\w*\n(.*?)```", PAGE, re.DOTALL)
    assert found, marker
    return found.group(1)


def test_the_page_runs_and_shows_what_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    exec(block("run: table"), {})
    printed = []
    for line in block("run: commands").replace("\\\n", " ").splitlines():
        code, out, err = call(*shlex.split(line)[1:])
        assert code == 0, err
        printed.append(" ".join(out.split()))
    for part in ("table", "verdict"):
        assert " ".join(block(f"output: {part}").split()) in printed[2]
    assert (tmp_path / "comparison" / "compare.json").is_file()

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tables import DATASETS, PROTOCOLS, column_of, lines, write_table
from test_report import HOSTILE, Page, row, table_of, write

from acclimate.errors import DataError
from acclimate.reports import report
from acclimate.reports.page import render_markdown
from acclimate.reports.read.collect import collect
from acclimate.reports.read.foresight import ask, target_of
from acclimate.reports.read.frames import table_of as frame_of
from acclimate.reports.read.grid import ALL, Grid, RankColumn, build
from acclimate.reports.read.ranks import board, headline, ranks_of
from acclimate.reports.sections import build as sections_of
from acclimate.stats import mean_interval


def grid_of(path: Path) -> Grid:
    frame, problems = frame_of(collect(path))
    assert frame is not None
    assert problems == []
    grid = build(frame)
    assert grid is not None
    return grid


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("table") / "results.csv", lines())


@pytest.fixture(scope="module")
def grid(table: Path) -> Grid:
    return grid_of(table)


def measure_of(grid: Grid, protocol: str, metric: str = "accuracy") -> int:
    return next(i for i, m in enumerate(grid.measures) if (m.protocol, m.metric) == (protocol, metric))


def values(rows: list[dict[str, Any]], **wanted: str) -> list[float]:
    return [r["value"] for r in rows if all(r[key] == value for key, value in wanted.items())]


# ---- the grid


def test_cells_are_means_over_seeds_with_students_interval(grid: Grid) -> None:
    rows, checked = lines(), 0
    for protocol, (d, dataset), (m, model) in itertools.product(
        PROTOCOLS, enumerate(grid.datasets), enumerate(grid.models)
    ):
        column = column_of(grid, measure_of(grid, protocol), d)
        assert column is not None
        wanted = mean_interval(values(rows, protocol=protocol, dataset=dataset, model=model))
        assert (column.mean[m], column.low[m], column.high[m], column.runs[m]) == pytest.approx(
            (wanted.mean, wanted.low, wanted.high, wanted.n)
        )
        checked += 1
    assert checked == 3 * 3 * 12


def test_means_over_data_sets_are_compared_pair_by_pair(grid: Grid) -> None:
    k = measure_of(grid, "finetune")
    parts = np.stack([column_of(grid, k, d).mean for d in range(3)])  # type: ignore[union-attr]
    whole = column_of(grid, k, ALL)
    assert whole is not None
    assert whole.mean == pytest.approx(parts.mean(axis=0))
    best = int(np.argmax(whole.mean))
    p = np.array([[stats.ttest_rel(a, b).pvalue if a is not b else 1.0 for b in parts.T] for a in parts.T])
    ahead = whole.mean[None] - whole.mean[:, None]
    got = ranks_of(whole, True)
    assert got.first.tolist() == (1 + ((p < 0.1) & (ahead > 0)).sum(axis=1)).tolist()
    assert got.last.tolist() == (12 - ((p < 0.1) & (ahead < 0)).sum(axis=1)).tolist()
    reaches = (whole.low <= whole.mean[best]) & (whole.mean[best] <= whole.high)
    differs = [i == best or stats.ttest_rel(parts[:, i], parts[:, best]).pvalue >= 0.1 for i in range(12)]
    assert reaches.tolist() == differs


def test_a_model_without_one_data_set_has_no_mean_over_all(tmp_path: Path) -> None:
    rows = [r for r in lines() if (r["model"], r["dataset"]) != ("vit-1", "cells")]
    grid = grid_of(write_table(tmp_path / "r.csv", rows))
    column = column_of(grid, measure_of(grid, "knn"), ALL)
    assert column is not None
    assert np.flatnonzero(np.isnan(column.mean)).tolist() == [grid.models.index("vit-1")]
    assert grid.notes == ["Means over all data sets leave out models that were not measured on each of them."]


def test_costs_sizes_and_families_are_read(grid: Grid) -> None:
    rows = lines()
    assert list(grid.groups) == ["family"]
    assert grid.groups["family"] == [model.split("-")[0] for model in grid.models]
    assert grid.sizes is not None
    assert grid.sizes.tolist() == [(m + 1) * 10**6 for m in range(12)]
    assert grid.cost == "seconds"
    one = [r["seconds"] for r in rows if (r["model"], r["dataset"], r["protocol"]) == ("resnet-0", "cells", "knn")]
    assert grid.costs["knn", DATASETS.index("cells")][0] == pytest.approx(sum(one) / 3)


def test_a_metric_may_be_the_cost(tmp_path: Path) -> None:
    rows = [{k: r[k] for k in ("model", "dataset", "protocol", "metric", "value", "seed")} for r in lines()]
    rows += [r | {"metric": "elapsed_time", "value": 9.0} for r in rows]
    grid = grid_of(write_table(tmp_path / "r.csv", rows))
    assert grid.cost == "elapsed_time"
    assert {m.metric for m in grid.measures} == {"accuracy"}
    assert grid.costs["", 0].tolist() == [9.0] * 12


def test_without_a_column_names_tell_families(tmp_path: Path) -> None:
    rows = [{k: v for k, v in r.items() if k != "family"} for r in lines()]
    grid = grid_of(write_table(tmp_path / "r.csv", rows))
    assert list(grid.groups) == ["name begins with"]
    assert set(grid.groups["name begins with"]) == {"resnet", "vit", "swin"}


def test_settings_of_one_protocol_become_protocols(tmp_path: Path) -> None:
    rows = [r | {"normalised": "yes"} for r in lines(4)]
    rows += [r | {"normalised": "no", "value": r["value"] / 2} for r in lines(4) if r["protocol"] == "knn"]
    grid = grid_of(write_table(tmp_path / "r.csv", rows))
    names = {m.protocol for m in grid.measures}
    assert names == {"knn [normalised=yes]", "knn [normalised=no]", "linear", "finetune"}
    assert grid.notes == []


def test_label_budgets_become_protocols(tmp_path: Path) -> None:
    rows = [r | {"labels": budget} for r in lines(4) for budget in ("10", "100%")]
    grid = grid_of(write_table(tmp_path / "r.csv", rows))
    assert {m.protocol for m in grid.measures} == {f"{p}@{b}" for p in PROTOCOLS for b in ("10", "100%")}


def test_rows_that_disagree_are_averaged_aloud(tmp_path: Path) -> None:
    rows = lines(3)
    again = [r | {"value": r["value"] / 2} for r in rows[:2]]
    grid = grid_of(write_table(tmp_path / "r.csv", [*rows, *again, *rows[5:9]]))
    assert grid.notes == ["2 cells have several values for one seed, and nothing tells them apart: averaged."]


# ---- ranks


def brute(mean: list[float], low: list[float], high: list[float]) -> list[tuple[int, int, int]]:
    n = len(mean)
    return [
        (
            1 + sum(mean[j] > mean[i] for j in range(n)),
            1 + sum(low[j] > high[i] for j in range(n)),
            n - sum(high[j] < low[i] for j in range(n)),
        )
        for i in range(n)
    ]


@pytest.mark.parametrize("higher", [True, False])
def test_ranks_and_what_they_could_be_agree_with_counting(higher: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(2, 12))
        mean, half = rng.integers(0, 8, n) / 4, rng.integers(0, 6, n) / 8
        got = ranks_of(RankColumn(0, 0, mean, mean - half, mean + half, np.full(n, 3)), higher)
        sign = 1 if higher else -1
        ends = np.sort(np.stack([sign * (mean - half), sign * (mean + half)]), axis=0)
        wanted = brute((sign * mean).tolist(), *ends.tolist())
        assert list(zip(got.rank, got.first, got.last, strict=True)) == wanted


def test_one_run_leaves_every_rank_open_where_others_have_intervals() -> None:
    nan = float("nan")
    mean, low, high = np.array([3.0, 2, 1]), np.array([2.9, nan, 0.9]), np.array([3.1, nan, 1.1])
    got = ranks_of(RankColumn(0, 0, mean, low, high, np.array([3, 1, 3])), True)
    assert list(zip(got.first.tolist(), got.last.tolist(), strict=True)) == [(1, 2), (1, 3), (2, 3)]
    bare = np.full(3, nan)
    assert not ranks_of(RankColumn(0, 0, mean, bare, bare, np.ones(3, int)), True).first.any()


def test_the_leaderboard_opens_with_the_target_over_all_data_sets(grid: Grid) -> None:
    assert target_of(grid, None) == "finetune"
    column = headline(grid, "finetune")
    assert (grid.measures[column.measure].protocol, column.dataset) == ("finetune", ALL)
    made = board(grid, column)
    assert made.metric == "finetune accuracy"
    assert made.dataset == "average over 3 data sets"
    assert [entry.final for entry in made.entries] == sorted((e.final or 0.0 for e in made.entries), reverse=True)
    best = made.entries[0]
    for entry in made.entries:
        assert entry.tied is (entry.reach is not None and entry.reach[0] == 1)
        assert entry.high is not None
        assert not entry.tied or entry.high >= (best.final or 1)


# ---- trust


def test_the_dearest_is_the_target_where_no_name_says_so(tmp_path: Path) -> None:
    path = write_table(tmp_path / "r.csv", lines(4, names={"finetune": "norm"}))
    assert target_of(grid_of(path), None) == "norm"
    even = write_table(tmp_path / "even.csv", [r | {"seconds": 1} for r in lines(4, names={"finetune": "norm"})])
    assert target_of(grid_of(even), None) is None
    with pytest.raises(DataError, match=r"unknown protocol 'norn'; did you mean 'norm'\?"):
        target_of(grid_of(path), "norn")


def test_the_matrix_agrees_with_scipy(grid: Grid) -> None:
    trust, why = ask(grid, "finetune")
    assert why == ""
    assert trust is not None
    assert [m.proxy for m in trust.matrices] == ["knn", "linear"]
    for matrix in trust.matrices:
        for s, d in itertools.product(range(3), range(3)):
            x, y = column_of(grid, measure_of(grid, matrix.proxy), s), column_of(grid, measure_of(grid, "finetune"), d)
            assert x is not None
            assert y is not None
            wanted = stats.spearmanr(x.mean, y.mean).statistic
            assert matrix.spearman[s, d] == pytest.approx(wanted)
            assert matrix.low[s, d] < wanted < matrix.high[s, d]
            assert matrix.regret[s, d] == pytest.approx(y.mean.max() - y.mean[np.argmax(x.mean)])
    inside = next(a for a in trust.averages if (a["proxy"], a["part"]) == ("knn", "in domain"))
    assert inside["spearman"] == pytest.approx(np.diag(trust.matrices[0].spearman).mean())
    assert inside["spearman"] == pytest.approx(trust.answer["spearman"])
    assert {a["cells"] for a in trust.averages if a["part"] == "out of domain"} == {6}


def test_declared_shifts_are_averaged_by_kind(tmp_path: Path) -> None:
    kinds = {"birds": "style", "cells": "both", "roads": "style"}
    path = write_table(tmp_path / "r.csv", [r | {"shift": kinds[r["dataset"]]} for r in lines()])
    trust, _ = ask(grid_of(path), "finetune")
    assert trust is not None
    cells = {a["part"]: a["cells"] for a in trust.averages if a["proxy"] == "knn"}
    assert cells == {"in domain": 3, "out of domain": 6, "style": 4, "both": 2}


def test_groups_are_measured_by_themselves(table: Path) -> None:
    made = table_of(sections_of(collect(table)), "groups-table")
    assert made.caption == "Within groups by family"
    assert {cells[0].text for cells in made.rows} == {"resnet", "vit", "swin"}


@pytest.mark.parametrize(
    ("keep", "why"),
    [
        (lambda r: r["protocol"] == "finetune", "there is one protocol only"),
        (lambda r: r["model"] in ("resnet-0", "vit-1"), "nothing says which is which; say --target PROTOCOL"),
        (
            lambda r: r["protocol"] == "finetune" or r["model"] in ("resnet-0", "vit-1"),
            "no other protocol shares 3 models on one data set with 'finetune'",
        ),
    ],
)
def test_why_trust_cannot_be_told_is_said_in_one_line(tmp_path: Path, keep: Any, why: str) -> None:
    made = sections_of(collect(write_table(tmp_path / "r.csv", [r for r in lines() if keep(r)])))
    assert "trust" not in [section.key for section in made.sections]
    assert f"Whether a cheap protocol foresees an expensive one: {why}." in made.absent


# ---- tables as they come


def test_a_folder_with_a_table_gives_every_section(table: Path) -> None:
    made = sections_of(collect(table.parent))
    assert [s.key for s in made.sections] == ["leaderboard", "trust", "domains", "bump", "cost", "cells", "provenance"]
    assert made.subtitle == "324 rows · 12 models · 3 data sets"
    assert "ranks first of 12 on average over 3 data sets, with a finetune accuracy of 0." in made.summary[0]
    assert any("'knn' orders models as 'finetune' does" in s or "'knn' can be trusted" in s for s in made.summary)
    assert made.absent == [
        "Learning curves: no run with a log.",
        "Label efficiency: no curve.json of the command curve.",
        "Feature shift: no run that explain looked into.",
    ]
    text = render_markdown(made)
    assert "| Rank | Could be | Model |" in text
    assert "## Left out" in text


def test_every_format_makes_the_same_page(tmp_path: Path, table: Path) -> None:
    frame = pd.read_csv(table)
    frame.to_csv(tmp_path / "results.tsv", sep="\t", index=False)
    frame.to_parquet(tmp_path / "results.parquet")
    (tmp_path / "results.jsonl").write_text("\n".join(json.dumps(r) for r in lines()))
    wanted = Page(report(table).read_text()).data["grid"]
    pages = [report(tmp_path / f"results{suffix}") for suffix in (".tsv", ".parquet", ".jsonl")]
    assert {page.name for page in pages} == {"results-report.html"}
    for suffix in (".tsv", ".parquet", ".jsonl"):
        assert Page(report(tmp_path / f"results{suffix}").read_text()).data["grid"] == wanted, suffix


def test_the_copy_that_a_study_keeps_of_its_rows_counts_once(tmp_path: Path) -> None:
    for i, model in enumerate(("a", "b")):
        write(tmp_path / "rows" / f"{i}.json", row(model, "knn", 0, 0.5 + i / 10))
    write(tmp_path / "study.json", {"command": "study"})
    write_table(tmp_path / "results.csv", lines(3))
    assert grid_of(tmp_path).models == ["a", "b"]


def test_a_table_that_cannot_be_used_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    write_table(tmp_path / "bad.csv", [r | {"value": "high"} for r in lines(2)])
    write_table(tmp_path / "good.csv", lines(3))
    made = sections_of(collect(tmp_path))
    said = "row 1 of 'bad.csv' has the value 'high'; expected a number, or an empty cell if there is none."
    assert made.warnings == [f"Left out: bad.csv. {said}"]
    assert made.subtitle.startswith("81 rows")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([r | {"value": "high"} for r in lines(2)], r"row 1 of 'r\.csv' has the value 'high'"),
        (lines(1), "the table has numbers of one model only; expected two or more"),
        ([r | {"value": ""} for r in lines(3)], "the table has numbers of one model only"),
    ],
    ids=["no number", "one model", "no value"],
)
def test_only_a_table_that_cannot_be_used_is_an_error(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        report(write_table(tmp_path / "r.csv", rows))


def test_other_files_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("who,when\nme,now\n")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"or put a results table \(\.csv.*model, dataset, protocol, metric, value"):
        report(tmp_path)
    with pytest.raises(DataError, match=r"cannot report on the file .*notes\.csv'; expected a folder, or a results"):
        report(tmp_path / "notes.csv")


def test_what_compare_left_is_shown(tmp_path: Path) -> None:
    from acclimate import compare

    path = write_table(tmp_path / "elsewhere" / "r.csv", lines())
    found = compare(path, proxy="knn,linear", target="finetune", ood=True, resamples=200, out=tmp_path / "out")
    made = sections_of(collect(tmp_path / "out"))
    assert made.summary == [found["verdict"]]
    assert [cells[0].text for cells in table_of(made, "compare-table").rows][:2] == ["knn", "linear"]
    assert [cells[1].text for cells in table_of(made, "compare-ood-table").rows][:2] == ["in domain", "out of domain"]


def test_the_lead_of_a_list_is_the_other_way_round(table: Path) -> None:
    trust, _ = ask(grid_of(table), "finetune")
    assert trust is not None
    made = table_of(sections_of(collect(table)), "trust-table")
    at = [column.title for column in made.columns].index("Against the first")
    by_list = next(cells for cells in made.rows if cells[0].text == "a list by size")
    ahead = trust.answer["size_baseline"]["ahead"]["spearman"]["difference"]
    assert by_list[at].value == pytest.approx(-ahead)
    assert by_list[at].value == pytest.approx(trust.answer["size_baseline"]["spearman"] - trust.answer["spearman"])


def test_hostile_names_in_a_table_are_text(tmp_path: Path) -> None:
    names = dict(zip(("resnet-0", "birds", "knn", "vit"), HOSTILE, strict=True))
    page = report(write_table(tmp_path / "r.csv", lines(names=names))).read_text()
    parsed = Page(page)
    assert not parsed.attributes("img")
    assert all(not name.startswith("on") for _, a in parsed.tags for name in a)
    assert len(parsed.scripts) == 3
    grid = parsed.data["grid"]
    assert HOSTILE[0] in grid["models"]
    assert HOSTILE[1] in grid["datasets"]
    assert HOSTILE[3] in grid["groups"][0]["groups"]
    assert "</script><img" not in page


def test_many_models_and_a_constant_column_are_fine(tmp_path: Path) -> None:
    rows = [
        {
            "model": f"m{i}",
            "dataset": "d",
            "protocol": p,
            "metric": "accuracy",
            "value": 0.5 if p == "knn" else i / 1000,
        }
        for i in range(1000)
        for p in ("knn", "finetune")
    ]
    made = sections_of(collect(write_table(tmp_path / "r.csv", rows)))
    notes = next(s for s in made.sections if s.key == "trust").notes
    assert any("is 0.5 for all 1000 models" in note for note in notes)
    assert "800 more rows in `report.html`" in render_markdown(made)


def test_of_very_many_data_sets_the_first_are_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"model": f"m{i}", "dataset": f"d{d}", "protocol": p, "metric": "accuracy", "value": round(rng.random(), 4)}
        for i in range(4)
        for d in range(40)
        for p in ("knn", "finetune")
    ]
    trust, _ = ask(grid_of(write_table(tmp_path / "r.csv", rows)), "finetune")
    assert trust is not None
    assert "the first 30 of 40 data sets are compared" in trust.notes
    assert trust.answer["cells"] == len(trust.datasets) == 30


def test_the_command_takes_a_table_and_a_target(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from acclimate.commands import main

    assert main(["report", str(table), "--target", "linear", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["out"] == str(table.with_name("results-report.html"))
    assert Page(Path(document["out"]).read_text()).data["grid"]["trust"]["target"] == "linear"
    assert main(["report", str(table), "--target", "linaer"]) == 2
    assert "unknown protocol 'linaer'; did you mean 'linear'?" in capsys.readouterr().err


@pytest.mark.shared
def test_the_matrix_of_a_published_table_has_its_correlations(shared: Path) -> None:
    path = shared / "oracles" / "ericsson2021_paper_tables.csv"
    trust, _ = ask(grid_of(path), "finetune_5k_sgd")
    assert trust is not None
    found = {matrix.proxy: matrix for matrix in trust.matrices}
    references = pd.read_csv(shared / "oracles" / "reference_correlations.csv", dtype=str)
    references = references[(references["source"] == "ericsson2021") & (references["protocol_y"] == "finetune_5k_sgd")]
    checked = 0
    for line in references.itertuples():
        source, _, other = str(line.scope).partition("->")
        if line.protocol_x not in found or not {source, other or source} <= set(trust.datasets):
            continue
        s, d = trust.datasets.index(source), trust.datasets.index(other or source)
        assert found[line.protocol_x].spearman[s, d] == pytest.approx(float(line.spearman), abs=1e-6)
        assert found[line.protocol_x].regret[s, d] == pytest.approx(float(line.regret_of_argmax_x), abs=1e-6)
        checked += 1
    assert checked >= 11


def test_percent_among_fractions_is_said_at_the_top(tmp_path: Path) -> None:
    rows = lines()
    mixed = [r | {"value": 100 * r["value"]} if i % 7 == 0 else r for i, r in enumerate(rows)]
    made = sections_of(collect(write_table(tmp_path / "r.csv", mixed)))
    assert len(made.warnings) == 3
    assert "values look like percent (rows " in made.warnings[0]
    assert made.warnings[0].endswith("like fractions: add a column 'unit' with fraction or percent.")
    assert sections_of(collect(write_table(tmp_path / "fine.csv", rows))).warnings == []


def test_of_several_metrics_without_accuracy_the_first_is_compared(tmp_path: Path) -> None:
    rows = [r | {"metric": metric} for r in lines() for metric in ("top1", "top5")]
    trust, why = ask(grid_of(write_table(tmp_path / "r.csv", rows)), "finetune")
    assert why == ""
    assert trust is not None
    assert trust.answer["metric"] == ["top1"]


def test_a_best_model_that_was_run_once_says_so(tmp_path: Path) -> None:
    rows = [r for r in lines(4) if r["dataset"] == "birds" and (r["model"] != "swin-2" or r["seed"] == 0)]
    rows = [r | {"value": 0.99} if r["model"] == "swin-2" else r for r in rows]
    made = sections_of(collect(write_table(tmp_path / "r.csv", rows)))
    assert made.summary[0].endswith("with a finetune accuracy of 0.990 (no interval: it was measured once).")

"""What a report says of adapting: monitors, what was kept, learning curves of the final stage, the three-way table."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from test_report import (
    LOOKS,
    SCRIPT,
    Page,
    built,
    keys,
    look,
    metrics,
    page_of,
    table_of,
    write,
    write_adapt,
    write_run,
)

from acclimate.reports.draw.blocks import Report


def chart_of(made: Report, key: str) -> Any:
    return next(chart for section in made.sections for chart in section.charts if chart.key == key)


# ---- adaptation


def test_monitors_are_drawn_against_the_start_with_the_kept_step_marked(tmp_path: Path) -> None:
    write_adapt(tmp_path / "a", looks=LOOKS)
    chart = chart_of(built(tmp_path), "monitors-0")
    spread, rank, overlap, agreement = chart.figure["data"]
    assert spread["x"] == [6 * i for i in range(11)]
    assert spread["y"][0] == 0.91
    assert rank["y"][:6] == [1, 1, 1.2, 1.5, 1.8, 2]  # a multiple of the start's
    assert overlap["y"][5] == pytest.approx(0.6)
    assert agreement["y"][5] == pytest.approx(0.6)
    assert all(
        [i for i, mark in enumerate(t["marker"]["symbol"]) if mark == "diamond"] == [5] for t in chart.figure["data"]
    )
    layout = chart.figure["layout"]
    assert [s["y0"] for s in layout["shapes"] if s["line"]["dash"] == "dash"] == [0.91, 1, 1, 0.5]
    assert [s["x0"] for s in layout["shapes"] if s["line"]["dash"] == "dot"] == [30] * 4
    assert [a["text"] for a in layout["annotations"]][1] == "RankMe, start (60.0) = 1"
    assert chart.caption.startswith("Step 30 of 60 was kept (diamond, dotted line). From the start to there: ")
    assert "RankMe 60.0 → 120.0; neighbours in common 1.000 → 0.600; kNN agreement 0.500 → 0.600" in chart.caption


def test_monitors_of_a_kept_start_mark_step_0(tmp_path: Path) -> None:
    write_adapt(tmp_path / "a", kept="start", looks=LOOKS)
    chart = chart_of(built(tmp_path), "monitors-0")
    assert [trace["marker"]["symbol"].index("diamond") for trace in chart.figure["data"]] == [0] * 4
    assert chart.caption.startswith("The start model was kept")
    assert "RankMe 60.0 → 90.0" in chart.caption  # the last step's: what was not kept


def test_monitors_share_axes_that_do_not_overlap_and_do_not_blow_up_noise(tmp_path: Path) -> None:
    still = [look(0, 0.0), look(10, 0.001), look(20, -0.001)]
    write_adapt(tmp_path / "a", looks=[{k: v for k, v in one.items() if not k.startswith("knn")} for one in still])
    figure = chart_of(built(tmp_path), "monitors-0").figure
    axes = [figure["layout"][name] for name in ("yaxis", "yaxis2", "yaxis3")]
    assert "yaxis4" not in figure["layout"]  # no labels, no kNN
    assert figure["layout"]["xaxis"]["anchor"] == "y3"
    assert [trace["yaxis"] for trace in figure["data"]] == ["y", "y2", "y3"]
    ends = [axis["domain"] for axis in axes]
    assert all(0 <= low < high <= 1 for low, high in ends)
    assert all(above[0] > below[1] for above, below in itertools.pairwise(ends))
    assert [axis["range"][1] - axis["range"][0] for axis in axes] == [
        pytest.approx(width, abs=1e-5) for width in (0.116, 0.232, 0.232)
    ]


def test_looks_of_later_stages_follow_on(tmp_path: Path) -> None:
    write_adapt(tmp_path / "a", looks=[*LOOKS, look(0, 0.5, 1), look(20, 1.0, 1), look(40, 0.2, 1)])
    document = json.loads((tmp_path / "a" / "run.json").read_text())
    document["stages"] += [{"objective": "byol", "scope": "norm", "steps": 40, "best_step": 20}]
    write(tmp_path / "a" / "run.json", document)
    chart = chart_of(built(tmp_path), "monitors-0")
    assert chart.figure["data"][0]["x"][-4:] == [60, 60, 80, 100]
    assert chart.caption.startswith("Step 80 of 100 was kept")


def test_adaptation_table_has_the_pool_the_twins_the_step_and_the_reason(tmp_path: Path) -> None:
    write_adapt(tmp_path / "a", looks=LOOKS)
    write_adapt(tmp_path / "old")
    made = built(tmp_path)
    table = table_of(made, "adapt-table")
    cells = [dict(zip([c.title for c in table.columns], line, strict=True)) for line in table.rows]
    assert (cells[0]["Pool"].text, cells[0]["Pool"].note) == ("4,120", "3 twins dropped")
    assert (cells[0]["Kept"].text, cells[0]["Kept"].note) == ("adapted", "step 30")
    assert cells[0]["In common"].text == "0.60"
    assert cells[0]["Reason"].text.startswith("kNN on held-out images")
    assert (cells[1]["Pool"].text, cells[1]["Pool"].note, cells[1]["Kept"].note) == ("–", "", "")
    assert table.records[0]["images.dropped_twins"] == 3
    assert table.records[0]["kept_step"] == 30
    assert [chart.key for chart in made.sections[0].charts] == ["monitors-0"]  # nobody looked at the old one
    chosen = table_of(made, "choices-table")
    assert [[cell.text for cell in line] for line in chosen.rows] == [["batch", "128", "a quarter of the pool"]]


def test_many_adaptations_are_drawn_up_to_a_limit_that_is_said(tmp_path: Path) -> None:
    for i in range(26):
        write_adapt(tmp_path / f"run{i:02}", looks=LOOKS)
    section = built(tmp_path).sections[0]
    assert len(section.charts) == 24
    assert section.words[1] == "The first 24 of 26 runs are drawn; the table has all of them."
    assert len(section.tables[0].rows) == 26


def test_hostile_names_in_an_adaptation_are_text(tmp_path: Path) -> None:
    write_adapt(tmp_path / "<img src=x onerror=alert(1)>", looks=LOOKS, why=SCRIPT)
    parsed = Page(page_of(tmp_path))
    assert not parsed.attributes("img")
    assert len(parsed.scripts) == 3
    text = "".join(parsed.text)
    assert "Monitors of <img src=x onerror=alert(1)>" in text
    assert f"a quarter of the pool{SCRIPT}" in text
    assert "<img" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_console_says_what_an_adaptation_changed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from acclimate.commands.shell import find_command, print_document

    write_adapt(tmp_path / "a", looks=LOOKS)
    facts = json.loads((tmp_path / "a" / "run.json").read_text())
    print_document(facts, find_command("adapt"), as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "Kept: adapted. kNN on held-out images: accuracy 0.780 -> 0.801, log loss 0.700 -> 0.662" in said
    assert "Feature std 0.910 -> 0.910, RankMe 60.2 -> 71.0, 60% of neighbours in common with the start model." in said
    assert "Pool: 4,120 images, 3 near-duplicates of held-out images dropped" in said


# ---- the proof

THREE = ("zoo:leaf-byol", "adapted", "zoo:other")
TWO_STAGES = [("supervised", "head", 0.01), ("supervised", "all", 1.0)]


def write_proof(folder: Path, tta: bool = True) -> None:
    """Write what `curve` leaves: three models, two trainings, two budgets, three seeds, and the runs behind them."""
    points = []
    for at, model in enumerate(THREE):
        for training in ("head", "full"):
            for labels, amount in (("5", 5.0), ("100%", 80.0)):
                for seed in range(3):
                    values = metrics(0.5 + 0.1 * at + 0.01 * seed + amount / 1000) | {"auc_positive": 0.9}
                    del values["balanced_accuracy"], values["ece"]
                    plain = {name: value - 0.02 for name, value in values.items()}
                    point = {"model": model, "training": training, "labels": labels, "per_class": amount, "seed": seed}
                    points.append(point | values | ({"plain": plain} if tta else {}))
    models = [{"model": model, "random_start": False} for model in THREE]
    write(
        folder / "curve.json",
        {"command": "curve", "base": THREE[0], "models": models, "points": points, "verdict": "See below."},
    )
    for at, model in enumerate(THREE):
        for labels in ("5", "100%"):
            for seed in range(2):
                place = folder / "runs" / f"m{at}-{labels.strip('%')}-{seed}"
                write_run(place, "staged", 0.6 + at / 10, TWO_STAGES, model=model, labels=labels, seed=seed)


def test_base_adapted_and_other_stand_in_one_table_without_and_with_mirrors(tmp_path: Path) -> None:
    from scipy import stats

    write_proof(tmp_path)
    table = table_of(built(tmp_path), "models-table")
    titles = ("Log loss", "Macro F1", "AUC", "AUC pos/neg", "Accuracy")
    assert [c.title for c in table.columns] == ["Model", *(t for name in titles for t in (name, f"{name}, TTA"))]
    names = [(line[0].text, line[0].note) for line in table.rows]
    assert names == [
        (model, f"{how}{', base' if model == THREE[0] else ''}")
        for how in ("head only", "full finetuning")
        for model in THREE
    ]
    assert "100% of the labels" in table.caption
    adapted = dict(zip([c.title for c in table.columns], table.rows[1], strict=True))
    assert adapted["Accuracy"].text == "0.670"  # 0.5 + 0.1 + 0.01 + 0.08, less 0.02
    assert adapted["Accuracy, TTA"].text == "0.690"
    seeds = [0.68, 0.69, 0.70]
    half = stats.sem(seeds) * stats.t.ppf(0.95, 2)
    assert adapted["Accuracy, TTA"].note == f"±{half:.3f}"
    assert table.records[1]["tta accuracy low"] == pytest.approx(0.69 - half)
    assert table.records[1]["plain accuracy"] == pytest.approx(0.67)


def test_without_mirrors_the_table_has_one_column_a_metric(tmp_path: Path) -> None:
    write_proof(tmp_path, tta=False)
    table = table_of(built(tmp_path), "models-table")
    assert [c.title for c in table.columns] == ["Model", "Log loss", "Macro F1", "AUC", "AUC pos/neg", "Accuracy"]
    assert "TTA" not in table.caption
    assert table.rows[1][5].text == "0.690"


def test_a_curve_shows_the_final_stages_of_its_finetuning_at_the_largest_budget(tmp_path: Path) -> None:
    write_proof(tmp_path)
    made = built(tmp_path)
    assert "recipes" not in keys(made)  # the runs are points of the curve, not runs of their own
    chart = chart_of(made, "labels-final-val_log_loss")
    traces = chart.figure["data"]
    assert [trace["legendgroup"] for trace in traces] == ["g0", "g0", "g1", "g1", "g2", "g2"]
    assert all(trace["x"] == [10, 20, 30, 40, 50, 60] for trace in traces)  # the second stage's own steps
    assert traces[3]["hovertext"][0].startswith("adapted, seed 1<br>step 10: ")
    assert "100% of the labels" in chart.caption
    assert [swatch.name for swatch in next(s for s in made.sections if s.key == "labels").legend] == list(THREE)


def test_several_tuned_runs_share_a_chart_of_their_final_stages(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "staged", 0.7, TWO_STAGES)
    write_run(tmp_path / "b", "staged", 0.8, [("byol", "all", 1.0), *TWO_STAGES], model="adapted")
    write_run(tmp_path / "c", "finetune", 0.6, [("supervised", "all", 1.0)], model="zoo:other")
    section = next(s for s in built(tmp_path).sections if s.key == "learning")
    assert [swatch.name for swatch in section.legend] == [
        "staged · zoo:leaf-byol",
        "staged · adapted",
        "finetune · zoo:other",
    ]
    (chart,) = (chart for chart in section.charts if chart.key == "final-val_log_loss")
    assert [trace["x"] for trace in chart.figure["data"]] == [[10, 20, 30, 40, 50, 60]] * 3
    assert [trace["legendgroup"] for trace in chart.figure["data"]] == ["g0", "g1", "g2"]
    last = [json.loads(line) for line in (tmp_path / "b" / "metrics.jsonl").read_text().splitlines()[:-1]]
    assert chart.figure["data"][1]["y"] == [
        round(point["val_log_loss"], 6) for point in last if point["stage"] == 2 and "val_log_loss" in point
    ]


def test_runs_of_one_stage_have_no_second_chart_of_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, name, 0.7, [("supervised", "all", 1.0)])
    (section,) = (s for s in built(tmp_path).sections if s.key == "learning")
    assert [chart.key for chart in section.charts] == ["curve-loss-0", "curve-val_accuracy", "curve-val_log_loss"]


def test_the_only_curve_below_is_shown_and_of_several_it_is_said(tmp_path: Path) -> None:
    write_proof(tmp_path / "one")
    made = built(tmp_path)
    assert "labels" in keys(made)
    assert chart_of(made, "labels-final-val_accuracy").figure["data"]
    assert not made.warnings
    write_proof(tmp_path / "two")
    write_run(tmp_path / "c", "finetune", 0.6, [("supervised", "all", 1.0)])
    made = built(tmp_path)
    assert "labels" not in keys(made)
    assert made.warnings == [
        "Left out: the label-efficiency curves in one and two. One page shows one curve; "
        "make a report of each of these folders."
    ]

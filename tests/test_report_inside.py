"""What a report says of the inside of a run: charts over its layers, tables, and nothing where nobody looked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_report import SCRIPT, Page, built, keys, page_of, table_of, write, write_inside, write_run

from acclimate.reports.draw.blocks import Chart, Report, Section


def section_of(made: Report) -> Section:
    return next(section for section in made.sections if section.key == "inside")


def chart_of(made: Report, key: str) -> Chart:
    return next(chart for chart in section_of(made).charts if chart.key == key)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "bn", "bn", 0.84, [("supervised", "head+norm", 0.0091)])
    write_inside(tmp_path / "bn")
    return tmp_path


def test_without_explain_there_is_no_section(tmp_path: Path) -> None:
    write_run(tmp_path / "bn", "bn", 0.84, [("supervised", "head+norm", 0.0091)])
    assert "inside" not in keys(built(tmp_path))


def test_blocks_are_a_line_and_norms_are_dots_with_intervals(folder: Path) -> None:
    figure = chart_of(built(folder), "inside-0-cka").figure
    norms, blocks = figure["data"]
    assert (norms["mode"], blocks["mode"]) == ("markers", "lines+markers")
    assert norms["x"] == [0, 1, 3, 4, 6, 7]
    assert blocks["x"] == [2, 5, 8, 9]
    assert blocks["y"] == pytest.approx([0.9, 0.8, 0.7, 0.65])
    assert blocks["error_y"]["arrayminus"] == pytest.approx([0.1] * 4)
    assert blocks["error_y"]["array"][3] == pytest.approx(0.7 / 6, abs=1e-6)
    assert blocks["hovertext"][0] == "layer1.0<br>CKA 0.900 (0.800 to 0.933)"
    axis = figure["layout"]["xaxis"]
    assert dict(zip(axis["tickvals"], axis["ticktext"], strict=True)) == {
        0: "layer1",
        3: "layer2",
        6: "layer3",
        9: "features",
    }


def test_labels_below_the_layers_never_crowd(folder: Path) -> None:
    document = json.loads((folder / "bn" / "explain.json").read_text())
    document["layers"] = [document["layers"][0] | {"group": f"blocks.{i}"} for i in range(48)]
    write(folder / "bn" / "explain.json", document)
    assert chart_of(built(folder), "inside-0-shift").figure["layout"]["xaxis"]["tickvals"] == list(range(0, 48, 4))


def test_before_and_after_are_two_lines_over_the_blocks(folder: Path) -> None:
    before, after = chart_of(built(folder), "inside-0-rank").figure["data"]
    assert before["x"] == after["x"] == [2, 5, 8, 9]
    assert before["y"] == [10] * 4
    assert after["y"] == pytest.approx([10.2, 10.4, 10.6, 10.7])
    legend = {swatch.group: swatch.name for swatch in section_of(built(folder)).legend}
    assert (legend[before["legendgroup"]], legend[after["legendgroup"]]) == ("before", "after")
    assert chart_of(built(folder), "inside-0-classes").figure["data"][1]["y"][-1] == pytest.approx(0.54)


def test_a_shift_that_began_at_zero_is_not_drawn_but_said(folder: Path) -> None:
    made = built(folder)
    scales, shifts = chart_of(made, "inside-0-norms").figure["data"]
    assert (len(scales["x"]), len(shifts["x"])) == (6, 5)
    assert scales["hovertext"][-1] == "layer3.0.bn2<br>scale: changed by 2.6 times its length"
    table = table_of(made, "inside-0-norms-table")
    assert [cell.text for cell in table.rows[1]][:4] == ["layer1.0.bn1", "shift", "from zero", "12.5%"]
    assert table.rows[0][2].text == "10.0%"
    assert table.records[1]["relative"] is None


def test_tables_have_every_layer_and_the_unrounded_numbers(folder: Path) -> None:
    table = table_of(built(folder), "inside-0-table")
    assert len(table.rows) == len(table.records) == 10
    cells = dict(zip([column.title for column in table.columns], table.rows[2], strict=True))
    assert (cells["Layer"].text, cells["Layer"].note) == ("layer1.0", "block")
    assert (cells["CKA"].text, cells["CKA"].note) == ("0.900", "0.800 to 0.933")
    assert cells["Zeros"].text == "0.00 → 0.25"
    assert cells["Zeros"].note == "Hoyer 0.10 → 0.20"
    assert cells["Effective rank"].text == "10.0 → 10.2"
    record = table.records[2]
    assert record["cka.high"] == pytest.approx(1 - 0.2 / 3)
    assert {"run", "group", "dead.after", "log_variance.median", "separation.low", "class_mean.before"} <= set(record)


def test_the_words_name_the_start_and_the_images(folder: Path) -> None:
    said = section_of(built(folder)).words
    assert "The run against its start zoo:leaf-byol, on 512 images of eurosat (val):" in said
    assert "Class separation 0.40 → 0.54." in said


def test_several_runs_are_named_and_drawn_up_to_a_limit_that_is_said(tmp_path: Path) -> None:
    for i in range(8):
        write_run(tmp_path / f"run{i}", "bn", 0.8, [("supervised", "head+norm", 0.01)])
        write_inside(tmp_path / f"run{i}")
    section = section_of(built(tmp_path))
    assert len(section.charts) == 6 * 5
    assert len(section.tables) == 8 * 2
    assert section.charts[0].title == "CKA with the start, run0"
    assert "The first 6 of 8 runs are drawn; the tables have all of them." in section.words


def test_an_unlabelled_or_broken_document_shows_what_it_has(folder: Path) -> None:
    document: dict[str, Any] = json.loads((folder / "bn" / "explain.json").read_text())
    for row in document["layers"]:
        row |= {"separation": None, "class_mean": None, "log_variance": None, "cka": None, "shift": "much"}
    document["affine"] = "none"
    write(folder / "bn" / "explain.json", document)
    made = section_of(built(folder))
    assert [chart.key for chart in made.charts] == ["inside-0-rank"]
    assert [cell.text for cell in made.tables[0].rows[0]][1:4] == ["–", "–", "–"]
    (folder / "bn" / "explain.json").write_text("{")
    found = built(folder)
    assert "inside" not in keys(found)
    assert any("bn/explain.json" in warning for warning in found.warnings)


def test_hostile_names_are_text(tmp_path: Path) -> None:
    write_run(tmp_path / "bn", "bn", 0.84, [("supervised", "head+norm", 0.0091)])
    write_inside(tmp_path / "bn", SCRIPT)
    parsed = Page(page_of(tmp_path))
    assert not parsed.attributes("img")
    assert len(parsed.scripts) == 3
    assert f"layer1.0.bn1{SCRIPT}" in "".join(parsed.text)
    assert "<img" not in (tmp_path / "report.md").read_text(encoding="utf-8")

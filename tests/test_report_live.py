"""The live part of a report in a real browser: filters, hover, paging, and numbers that agree with Python's."""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browser import missing, resize
from PIL import Image
from scipy import stats
from tables import column_of, lines, write_table
from test_report import HOSTILE
from test_report_browser import LIVE, download, open_page, requested, show, wait

from acclimate.reports import report
from acclimate.reports.read.collect import collect
from acclimate.reports.read.frames import table_of
from acclimate.reports.read.grid import Grid, build
from acclimate.reports.read.ranks import board

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(missing()), reason=missing() or "Chromium is here"),
]

CHARTS = ["leaderboard-chart", "trust-chart", "domains-chart", "bump-chart", "cost-chart"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("live") / "results.csv", lines(models=30))


@pytest.fixture(scope="module")
def page(table: Path) -> Path:
    return report(table)


@pytest.fixture(scope="module")
def grid(table: Path) -> Grid:
    frame, _ = table_of(collect(table))
    made = build(frame)  # type: ignore[arg-type]
    assert made is not None
    return made


def choose(driver: Chrome, css: str, value: str) -> None:
    """Choose an option as a reader would, and wait for what follows."""
    script = (
        "const s = document.querySelector(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change'));"
    )
    driver.execute_script(script, css, value)
    show(driver)


def cells_of(driver: Chrome, key: str) -> list[list[str]]:
    script = (
        "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
        ".map(r => [...r.cells].map(c => c.querySelector('bdi').textContent))"
    )
    return driver.execute_script(script, key)


def points(driver: Chrome, key: str) -> int:
    return driver.execute_script("return document.querySelectorAll(`#${arguments[0]} .point`).length", key)


def press_group(driver: Chrome, k: int) -> None:
    driver.execute_script(f"document.querySelector(\"#filters .legend [data-number='{k}']\").click()")
    show(driver)


@pytest.mark.parametrize(("width", "dark"), [(360, True), (390, False), (1280, False)])
def test_every_live_chart_is_drawn_in_silence(driver: Chrome, page: Path, width: int, dark: bool) -> None:
    open_page(driver, page, width, dark=dark, fresh=True)
    assert driver.get_log("browser") == []
    assert requested(driver) == [page.as_uri()]
    drawn = driver.execute_script(LIVE)
    assert [chart["key"] for chart in drawn] == CHARTS
    assert all(chart["points"] > 0 and chart["width"] > 200 and chart["caption"] for chart in drawn), drawn
    wide, inner = driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= inner == width
    assert driver.execute_script("return document.querySelectorAll('*').length") < 6000


def test_what_is_far_away_waits(driver: Chrome, page: Path) -> None:
    resize(driver, 1280, 900)
    driver.get("about:blank")
    driver.get(page.as_uri())
    wait(driver, "return document.documentElement.dataset.drawn")
    assert driver.execute_script("return document.querySelectorAll('#cost-chart .point').length") == 0


# Where on the window a drawn point of a chart is.
PLACE = """
const point = document.getElementById(arguments[0]).querySelectorAll(".point")[arguments[1]];
point.scrollIntoView({ block: "center", behavior: "instant" });
const box = point.getBoundingClientRect();
return [box.x + box.width / 2, box.y + box.height / 2];
"""


# Where on the window a cell of the matrix of three data sets is.
CELL = """
const image = document.querySelector("#domains-chart .heatmaplayer image");
image.scrollIntoView({ block: "center", behavior: "instant" });
const box = image.getBoundingClientRect();
return [box.x + (arguments[1] + 0.3) * box.width / 3, box.y + (arguments[0] + 0.3) * box.height / 3];
"""


def move(driver: Chrome, x: float, y: float) -> None:
    """Move the mouse to a place on the window, from beside it."""
    for dx in (30, 0):
        driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x + dx, "y": y})
        time.sleep(0.1)


@pytest.mark.parametrize("key", ["leaderboard-chart", "trust-chart", "bump-chart", "cost-chart"])
def test_a_mouse_over_a_point_shows_the_models_name(driver: Chrome, page: Path, grid: Grid, key: str) -> None:
    open_page(driver, page)
    x, y = driver.execute_script(PLACE, key, 3)
    move(driver, x, y)
    told = f"return document.querySelector('#{key} .hoverlayer').textContent"
    text = wait(driver, told)
    assert any(model in text for model in grid.models), text
    assert "0." in text


def test_hover_over_the_matrix_shows_interval_and_models(driver: Chrome, page: Path) -> None:
    open_page(driver, page)
    x, y = driver.execute_script(CELL, 0, 1)
    move(driver, x, y)
    text = wait(driver, "return document.querySelector('#domains-chart .hoverlayer').textContent")
    assert "birds → cells" in text
    assert "30 models" in text
    assert driver.execute_script("return document.querySelectorAll('#domains-chart .shapelayer path').length") == 3


@pytest.mark.parametrize(("dataset", "protocol"), [("-1", "finetune"), ("-1", "knn"), ("2", "finetune"), ("0", "knn")])
def test_the_chosen_leaderboard_is_pythons(driver: Chrome, page: Path, grid: Grid, dataset: str, protocol: str) -> None:
    open_page(driver, page, fresh=True)
    choose(driver, "#filter-dataset", dataset)
    choose(driver, "[data-control=protocol]", protocol)
    k = next(i for i, m in enumerate(grid.measures) if m.protocol == protocol)
    column = column_of(grid, k, int(dataset))
    assert column is not None
    wanted = board(grid, column).entries
    shared = [entry.rank for entry in wanted]
    shown = cells_of(driver, "leaderboard-table")
    assert len(shown) == 25
    for cells, entry in zip(shown, wanted, strict=False):
        assert cells[2] == entry.name
        assert cells[0] == f"{entry.rank}{'=' if shared.count(entry.rank) > 1 else ''}"
        assert entry.reach is not None
        first, last = entry.reach
        assert cells[1] == (f"{first} to {last}" if last > first else str(first))
        assert float(cells[3]) == pytest.approx(entry.final, abs=0.0006)
    tied = driver.execute_script("return document.querySelectorAll('#leaderboard-table .badge.tie').length")
    assert tied == sum(entry.tied for entry in wanted[:25]) > 0


def test_a_family_can_be_hidden_everywhere(driver: Chrome, page: Path) -> None:
    open_page(driver, page, fresh=True)
    before = {key: points(driver, key) for key in ("leaderboard-chart", "trust-chart", "cost-chart")}
    assert before == {"leaderboard-chart": 30, "trust-chart": 30, "cost-chart": 90}
    press_group(driver, 0)
    hidden = driver.execute_script("return document.querySelector('#filters .legend [aria-pressed=false]').textContent")
    name = hidden.strip("●")
    assert {key: points(driver, key) for key in before} == {k: n * 2 // 3 for k, n in before.items()}
    for key in ("leaderboard-table", "cells-table"):
        assert all(name not in "".join(cells) for cells in cells_of(driver, key))
    said = driver.execute_script("return document.getElementById('leaderboard-chart-words').textContent")
    assert "20 of 30 models pass the filters; ranks are among all." in said
    press_group(driver, 0)
    assert {key: points(driver, key) for key in before} == before


def test_part_of_a_name_filters_and_nothing_left_says_so(driver: Chrome, page: Path) -> None:
    open_page(driver, page, fresh=True)
    box = driver.find_element("id", "filter-text")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", box)
    box.send_keys("ViT-1")
    time.sleep(0.4)  # the page waits for the end of the word
    show(driver)
    names = {f"vit-{m}" for m in (1, 10, 13, 16, 19)}
    assert {cells[2] for cells in cells_of(driver, "leaderboard-table")} == names
    box.send_keys("000")
    time.sleep(0.4)
    show(driver)
    count = driver.find_element("css selector", "#leaderboard-table .count").text
    assert count == "No row passes the filters."
    for key in CHARTS[:2]:
        assert driver.find_element("id", f"{key}-words").text == "No model passes the filters."
    assert driver.get_log("browser") == []


def test_other_data_sets_and_proxies_can_be_drawn(driver: Chrome, page: Path, grid: Grid) -> None:
    open_page(driver, page, fresh=True)
    choose(driver, "[data-control=proxy]", "1")
    choose(driver, "[data-control=at]", "2")
    choose(driver, "[data-control=source]", "0")
    title = driver.find_element("id", "trust-chart-title").text
    assert title == "linear on birds against finetune on roads"
    k = {m.protocol: i for i, m in enumerate(grid.measures)}
    x, y = column_of(grid, k["linear"], 0), column_of(grid, k["finetune"], 2)
    assert x is not None
    assert y is not None
    rho = float(stats.spearmanr(x.mean, y.mean).statistic)
    assert f"over all 30 models {rho:.3f} (90% interval" in driver.find_element("id", "trust-chart-words").text
    drawn = driver.execute_script("return document.getElementById('trust-chart').data.flatMap(t => t.x)")
    assert sorted(drawn) == pytest.approx(sorted(x.mean), abs=1e-5)
    bars = driver.execute_script("return document.querySelectorAll('#trust-chart .errorbar path').length")
    assert bars == 60


def test_the_front_is_what_nothing_beats(driver: Chrome, page: Path, grid: Grid) -> None:
    open_page(driver, page, fresh=True)
    every = []
    for k, measure in enumerate(grid.measures):
        column = column_of(grid, k, -1)
        assert column is not None
        costs = grid.costs[measure.protocol, -1]
        every += [(name, measure.protocol, c, v) for name, c, v in zip(grid.models, costs, column.mean, strict=True)]
    best = [a for a in every if not any(b[2] <= a[2] and b[3] >= a[3] and b != a for b in every)]
    shown = cells_of(driver, "front-table")
    assert {(cells[0], cells[1]) for cells in shown} == {(a[0], a[1]) for a in best}
    choose(driver, "[data-control=price]", "parameters")
    assert cells_of(driver, "front-table")[0][2] == "1,000,000"


def test_ranks_change_as_scipy_ranks(driver: Chrome, page: Path, grid: Grid) -> None:
    open_page(driver, page, fresh=True)
    choose(driver, "[data-control=across]", "datasets")
    traces = driver.execute_script(
        "return document.getElementById('bump-chart').data.map(t => [t.hovertext[0].split('<br>')[1], t.y])"
    )
    k = next(i for i, m in enumerate(grid.measures) if m.protocol == "finetune")
    means = np.stack([column_of(grid, k, d).mean for d in range(3)])  # type: ignore[union-attr]
    ranks = stats.rankdata(-means, axis=1, method="min")
    assert len(traces) == 24
    for name, drawn in traces:
        assert drawn == ranks[:, grid.models.index(name)].tolist()


def test_groups_differ_in_more_than_colour(driver: Chrome, page: Path) -> None:
    open_page(driver, page)
    looks = driver.execute_script(
        "return document.getElementById('trust-chart').data.map(t => [t.marker.symbol, t.marker.color])"
    )
    assert len({symbol for symbol, _ in looks}) == len({colour for _, colour in looks}) == 3
    glyphs = driver.execute_script("return [...document.querySelectorAll('#filters .glyph')].map(g => g.textContent)")
    assert len(set(glyphs)) == 3


def test_pages_sorting_and_csv_of_a_live_table(driver: Chrome, page: Path, grid: Grid, tmp_path: Path) -> None:
    open_page(driver, page, fresh=True)
    count = "return document.querySelector('#cells-table .count').textContent"
    assert driver.execute_script(count) == "1 to 25 of 270"
    step = driver.find_element("css selector", "#cells-table [data-step='1']")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", step)
    step.send_keys("\n")  # from the keyboard
    assert driver.execute_script(count) == "26 to 50 of 270"
    sort = "document.querySelector(\"#cells-table [data-column='4']\")"
    driver.execute_script(f"{sort}.focus()")
    driver.switch_to.active_element.send_keys("\n")
    driver.switch_to.active_element.send_keys("\n")  # the focus stays on the heading
    assert driver.execute_script(f"return {sort}.closest('th').ariaSort") == "descending"
    shown = [float(cells[4]) for cells in cells_of(driver, "cells-table")]
    assert shown == sorted(shown, reverse=True)
    head, *body = download(driver, "cells-table", tmp_path)
    assert head == ["Model", "Data set", "Protocol", "Metric", "Value", "Low", "High", "Seeds"]
    assert len(body) == 270
    at = {
        (m.protocol, d): column_of(grid, k, i) for k, m in enumerate(grid.measures) for i, d in enumerate(grid.datasets)
    }
    for line in body:
        column = at[line[2], line[1]]
        assert column is not None
        assert float(line[4]) == pytest.approx(column.mean[grid.models.index(line[0])], rel=1e-5)


def test_copy_takes_the_rows_that_pass_the_filters(driver: Chrome, page: Path) -> None:
    open_page(driver, page, fresh=True)
    press_group(driver, 1)
    driver.execute_script("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    driver.execute_script("document.querySelector('[data-copy=leaderboard-table]').click()")
    copied = wait(driver, "return window.copied").splitlines()
    assert copied[0].split("\t")[:3] == ["Rank", "Could be", "Model"]
    assert len(copied) == 21


def test_filters_are_reached_with_the_tab_key(driver: Chrome, page: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    open_page(driver, page, fresh=True)
    driver.execute_script("document.querySelector('#filters summary').focus()")
    reached = []
    for _ in range(5):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        reached.append(driver.execute_script("return document.activeElement.id || document.activeElement.textContent"))
    assert reached[:2] == ["filter-dataset", "filter-text"]
    assert reached[2].startswith("●")
    names = driver.execute_script(
        "return [...document.querySelectorAll('main select, main input')]"
        ".filter(e => !e.labels[0]?.textContent.trim()).length"
    )
    assert names == 0


def test_hostile_names_stay_text_in_live_charts_and_tables(driver: Chrome, tmp_path: Path) -> None:
    names = dict(zip(("resnet-0", "birds", "knn", "vit"), HOSTILE, strict=True))
    names |= {"resnet-3": HOSTILE[1], "swin-2": HOSTILE[3], "cells": HOSTILE[0], "roads": "__proto__"}
    names |= {"accuracy": HOSTILE[0], "linear": "constructor"}
    rows = [{HOSTILE[1] if key == "family" else key: value for key, value in r.items()} for r in lines(names=names)]
    page = report(write_table(tmp_path / "r.csv", [r | {"": "x", "other": r["model"][-1]} for r in rows]))
    open_page(driver, page, fresh=True)
    assert driver.get_log("browser") == []
    assert driver.execute_script("return document.querySelectorAll('svg a, main img').length") == 0
    assert len(driver.execute_script(LIVE)) == 5
    text = driver.find_element("tag name", "main").text
    for name in HOSTILE:
        assert name in text
    assert driver.execute_script("return window.hit || 0") == 0
    _, *body = download(driver, "cells-table", tmp_path / "saved")
    assert {"'" + HOSTILE[3]} & {line[0] for line in body}
    assert not any(cell[:1] in "=+@\t\r" for line in body for cell in line if cell)


# Tick labels of a chart that lie on each other or outside of the page.
CROWDED = """
return [...document.querySelectorAll(".plot")].flatMap((plot) => {
  const sides = [".xtick text", ".ytick text", ".annotation-text"].map((css) => [...plot.querySelectorAll(css)]);
  const wide = document.documentElement.clientWidth;
  return sides.flatMap((texts) => {
    const boxes = texts.filter((t) => t.textContent).map((t) => [t.textContent, t.getBoundingClientRect(), t]);
    const turned = (t) => /rotate\\((?!0[,)])/.test(t.getAttribute("transform") || "");
    const off = boxes.filter(([, b]) => b.left < -1 || b.right > wide + 1);
    const out = off.map(([text]) => plot.id + " outside: " + text);
    const over = boxes.slice(1).filter(([, b, t], k) => {
      const a = boxes[k][1];
      if (turned(t)) return false;
      return a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
    });
    return [...out, ...over.map(([text]) => plot.id + " covered: " + text)];
  });
});
"""


def picture(driver: Chrome, key: str) -> Any:
    """Return the pixels (h, w, 3) of one chart."""
    box = driver.execute_script(
        "for (const bar of document.querySelectorAll('.bar, .filters')) bar.style.position = 'static';"
        "const b = document.getElementById(arguments[0]).getBoundingClientRect();"
        "return {x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height, scale: 1}",
        key,
    )
    settings = {"format": "png", "clip": box, "captureBeyondViewport": True}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", settings)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB"))


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1280, True)])
def test_a_picture_of_each_chart_is_one_that_can_be_read(driver: Chrome, page: Path, width: int, dark: bool) -> None:
    open_page(driver, page, width, dark=dark, fresh=True)
    assert driver.execute_script(CROWDED) == []
    ground = np.array([0x14, 0x16, 0x1A] if dark else [0xFB, 0xFA, 0xF7])
    blue = np.array([0x56, 0xB4, 0xE9] if dark else [0x00, 0x72, 0xB2])
    for key in CHARTS:
        pixels = picture(driver, key).astype(int)
        far = np.abs(pixels - ground).max(axis=2)
        assert (far < 6).mean() > (0.1 if key == "domains-chart" else 0.5), f"{key}: the ground is not to be seen"
        assert (far > 90).mean() > 0.002, f"{key}: nothing stands out"
        drawn = np.abs(pixels - blue).max(axis=2) < 40
        assert drawn.sum() > 50, f"{key}: no blue mark"
        rows = np.flatnonzero((far > 60).any(axis=1))
        assert rows.max() - rows.min() > 0.6 * len(pixels), f"{key}: most of its height is empty"

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import missing, prefer, resize
from test_report import FORMULA, LINK, SCRIPT, TEMPLATE, built, write_all

from acclimate.reports import report

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(missing()), reason=missing() or "Chromium is here"),
]

# Every chart: a drawing, and as many drawn points as its figure has.
DRAWN = """
const figures = JSON.parse(document.getElementById("data").textContent).charts;
return Object.entries(figures).map(([key, figure]) => {
  const place = document.getElementById(key);
  const box = place.querySelector(".main-svg").getBoundingClientRect();
  return {
    key, width: box.width, height: box.height,
    plotted: place.classList.contains("js-plotly-plot"),
    traces: place.querySelectorAll(".scatterlayer .trace").length,
    points: place.querySelectorAll(".scatterlayer .point").length,
    expected_traces: figure.data.length,
    expected_points: figure.data.reduce((n, trace) => n + trace.x.length, 0),
  };
});
"""


# Every chart that the page makes by itself.
LIVE = """
return [...document.querySelectorAll(".plot[data-view]")].map((place) => ({
  key: place.id, points: place.querySelectorAll(".point, .heatmaplayer image").length,
  width: place.querySelector(".main-svg").getBoundingClientRect().width,
  caption: document.getElementById(place.id + "-words").textContent,
}));
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages")
    made = {name: write_all(root / name / "demo", hostile=name == "hostile") for name in ("plain", "hostile")}
    return {name: report(folder) for name, folder in made.items()}


def open_page(driver: Chrome, page: Path, width: int = 1280, dark: bool = False, fresh: bool = False) -> None:
    """Show a page and wait for its charts; it is loaded anew where asked for or where another is there."""
    prefer(driver, dark=dark)
    size = driver.execute_script("return innerWidth")
    if not fresh and driver.current_url == page.as_uri() and size == width:
        # the page hears of another preference a little later
        wait(driver, f"return document.documentElement.dataset.theme === '{'dark' if dark else 'light'}'")
        show(driver)
        return
    resize(driver, width, 900)
    driver.get_log("browser")
    driver.get_log("performance")
    driver.get(page.as_uri())
    show(driver)


# What is far from the window is not drawn: go to each place in turn.
NEXT = """
const waits = (place) => place.dataset.drawn === undefined && !place.closest("details:not([open])");
const place = [...document.querySelectorAll(".plot, .paged")].find(waits);
if (place) place.scrollIntoView({ block: "center", behavior: "instant" });
return !place && document.documentElement.dataset.drawn !== undefined;
"""


def show(driver: Chrome) -> None:
    """Wait until everything on the page was in sight and is drawn."""
    wait(driver, NEXT)


def wait(driver: Chrome, script: str, seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (got := driver.execute_script(script)):
        assert time.monotonic() < end, f"nothing came of: {script}"
        time.sleep(0.05)
    return got


def requested(driver: Chrome) -> list[str]:
    """Return the addresses that the browser asked for, but for pieces of the page itself."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [address for address in sent if not address.startswith(("data:", "blob:"))]


@pytest.mark.parametrize(("name", "width"), [("plain", 360), ("hostile", 360), ("plain", 1280)])
def test_page_draws_every_chart_in_silence(driver: Chrome, pages: dict[str, Path], name: str, width: int) -> None:
    page = pages[name]
    open_page(driver, page, width, fresh=True)
    assert driver.get_log("browser") == []
    assert requested(driver) == [page.as_uri()]
    assert driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    drawn = driver.execute_script(DRAWN)
    sections = built(page.parent).sections
    assert len(drawn) == sum(not chart.view for section in sections for chart in section.charts)
    live = driver.execute_script(LIVE)
    assert len(live) == sum(bool(chart.view) for section in sections for chart in section.charts)
    assert all(chart["points"] > 0 and chart["width"] > 200 and chart["caption"] for chart in live), live
    for chart in drawn:
        assert chart["plotted"], chart
        assert chart["traces"] == chart["expected_traces"] > 0, chart
        assert chart["points"] == chart["expected_points"] > 0, chart
        assert chart["width"] > 200, chart
        assert chart["height"] > 100, chart
    wide, inner = driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert inner == width
    assert wide <= width


def test_policy_stops_network_and_injected_code(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["plain"])
    insert = "<img src=x onerror='window.hit=1'><p onclick='window.hit=1' id=bait>"
    script = """
    const done = arguments[1], seen = [];
    document.addEventListener("securitypolicyviolation", (e) => seen.push(e.effectiveDirective));
    document.body.insertAdjacentHTML("beforeend", arguments[0]);
    document.getElementById("bait").click();
    const late = document.createElement("script");
    late.textContent = "window.hit = 1";
    document.body.append(late);
    fetch("http://127.0.0.1:9/").catch(() => setTimeout(() => done([seen, window.hit || 0]), 200));
    """
    seen, hit = driver.execute_async_script(script, insert)
    driver.get("about:blank")
    driver.get_log("browser")  # what this test caused
    assert hit == 0
    assert {"connect-src", "img-src", "script-src-attr", "script-src-elem"} <= set(seen)


def colours(driver: Chrome) -> list[str]:
    return driver.execute_script(
        "const css = (e, p) => getComputedStyle(e)[p];"
        "const plot = document.querySelector('#leaderboard-chart');"
        "return [css(document.body, 'backgroundColor'), css(plot.querySelector('.ytick text'), 'fill'),"
        "css(plot.querySelector('.point'), 'fill'), document.documentElement.dataset.theme];"
    )


def test_theme_follows_the_reader_and_the_button(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["plain"])
    light = colours(driver)
    assert light[3] == "light"
    prefer(driver, dark=True)
    wait(driver, "return document.documentElement.dataset.theme === 'dark'")
    show(driver)
    dark = colours(driver)
    assert all(a != b for a, b in zip(light, dark, strict=True))
    driver.find_element("id", "theme").click()
    show(driver)
    assert colours(driver) == light
    assert driver.find_element("id", "theme").get_attribute("aria-pressed") == "false"
    assert driver.get_log("browser") == []
    driver.get("about:blank")  # from here on the page would keep the chosen theme


def download(driver: Chrome, key: str, folder: Path) -> list[list[str]]:
    settings = {"behavior": "allow", "downloadPath": str(folder)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", settings)
    button = driver.find_element("css selector", f"[data-csv='{key}']")
    driver.execute_script("arguments[0].closest('details')?.setAttribute('open', '')", button)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", button)
    button.click()
    end = time.monotonic() + 15
    while not (files := [file for file in folder.glob("*.csv") if file.stat().st_size]):
        assert time.monotonic() < end, "no file was saved"
        time.sleep(0.05)
    with files[0].open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_csv_holds_every_row_unrounded(driver: Chrome, pages: dict[str, Path], tmp_path: Path) -> None:
    open_page(driver, pages["plain"])
    head, *body = download(driver, "rows-table", tmp_path)
    assert len(body) == 10
    assert {"model", "protocol", "seed", "metrics.val.accuracy", "fingerprint", "random_start"} <= set(head)
    values = [float(line[head.index("metrics.val.accuracy")]) for line in body]
    assert sorted(values)[:2] == [0.41, 0.41 + 0.04]  # every digit, as a float prints


def test_csv_of_the_layers_has_what_explain_measured(driver: Chrome, pages: dict[str, Path], tmp_path: Path) -> None:
    open_page(driver, pages["plain"])
    head, *body = download(driver, "inside-0-table", tmp_path)
    assert [line[head.index("layer")] for line in body][-2:] == ["layer3.0", "features"]
    assert {"cka.low", "rank.after", "log_variance.median", "separation.difference"} <= set(head)
    assert float(body[-1][head.index("cka.value")]) == 1 - 0.7 / 2


def test_csv_runs_no_formula_and_keeps_hostile_names(driver: Chrome, pages: dict[str, Path], tmp_path: Path) -> None:
    open_page(driver, pages["hostile"])
    head, *body = download(driver, "recipes-table", tmp_path)
    names = [line[head.index("recipe")] for line in body]
    assert "'" + FORMULA in names
    for line in body:
        assert not any(cell[:1] in "=+@\t\r" for cell in line if cell)
    assert len({len(line) for line in [head, *body]}) == 1


def test_hostile_names_are_read_as_text(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["hostile"])
    seen = driver.find_element("tag name", "main").text
    for name in (SCRIPT, LINK, TEMPLATE, FORMULA):
        assert name in seen
    assert driver.find_elements("css selector", "img, a[href^='javascript']") == []
    ticks = driver.execute_script(
        "return [...document.querySelectorAll('#leaderboard-chart .ytick text')].map(t => t.textContent)"
    )
    assert any(tick.startswith("</script>") for tick in ticks), ticks
    links = driver.execute_script("return document.querySelectorAll('svg a').length")
    assert links == 0


def test_hover_shows_hostile_names_as_text(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["hostile"])
    hover = (
        "const plot = document.querySelector('#map-0'), i = arguments[0];"
        "Plotly.Fx.hover(plot, [{curveNumber: i, pointNumber: 0}]);"
        "return plot.querySelector('.hoverlayer').textContent;"
    )
    shown = []
    for i in range(5):
        shown.append(driver.execute_script(hover, i))
        time.sleep(0.1)  # Plotly answers one hover in 50 ms
    assert any(SCRIPT in text for text in shown), shown
    assert any(LINK in text for text in shown), shown
    assert any(TEMPLATE in text for text in shown), shown
    assert driver.execute_script("return document.querySelectorAll('svg a').length") == 0


def test_legend_hides_and_shows_in_all_charts_of_its_section(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["plain"])
    plots = "[...document.querySelectorAll('#maps .plot')]"
    count = f"return {plots}.map(p => p.querySelectorAll('.trace').length).join()"
    before = driver.execute_script(count)
    button = driver.find_element("css selector", "#maps .legend button")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", button)
    button.send_keys("\n")  # from the keyboard
    assert button.get_attribute("aria-pressed") == "false"
    fewer = ",".join(str(int(n) - 1) for n in before.split(","))
    wait(driver, f"{count} === '{fewer}'")
    driver.execute_script("document.getElementById('theme').click()")
    show(driver)
    assert driver.execute_script(count) == fewer, "a change of theme must not bring it back"
    driver.execute_script("arguments[0].click()", button)
    show(driver)
    assert driver.execute_script(count) == before
    driver.get("about:blank")  # the theme was chosen by hand


def test_columns_sort_by_number_with_gaps_last(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["plain"])
    head = driver.find_elements("css selector", "#leaderboard-table th")[2]
    cells = "[...document.querySelectorAll('#leaderboard-table tbody tr')].map(r => r.cells[2])"
    read = f"return {cells}.map(c => c.querySelector('bdi').textContent)"
    button = head.find_element("tag name", "button")
    driver.execute_script("arguments[0].click()", button)
    assert driver.execute_script(read) == ["0.530", "0.790", "0.851", "0.862", "–"]
    assert head.get_attribute("aria-sort") == "ascending"
    driver.execute_script("arguments[0].click()", button)
    assert driver.execute_script(read) == ["0.862", "0.851", "0.790", "0.530", "–"]


def test_copy_puts_a_table_on_the_clipboard_and_says_so(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["plain"])
    driver.execute_script("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    driver.execute_script("document.querySelector('[data-copy=leaderboard-table]').click()")
    copied = wait(driver, "return window.copied")
    assert copied.splitlines()[0].split("\t")[:2] == ["rank", "model"]
    assert len(copied.splitlines()) == 6
    assert driver.find_element("id", "say").text == "Copied 5 rows"


def test_page_prints_white_and_whole(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["plain"], dark=True)
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert colours(driver)[3] == "light"
    assert driver.execute_script("return [...document.querySelectorAll('details')].every(d => d.open)")
    driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert colours(driver)[3] == "dark"


def test_every_control_has_a_name_and_can_be_reached(driver: Chrome, pages: dict[str, Path]) -> None:
    open_page(driver, pages["plain"])
    unnamed = driver.execute_script(
        "return [...document.querySelectorAll('main button, header button, nav a')]"
        ".filter(e => !(e.textContent || e.ariaLabel).trim() || e.tabIndex < 0).length"
    )
    assert unnamed == 0
    headings = driver.execute_script("return [...document.querySelectorAll('h1, h2, h3')].map(h => h.tagName)")
    assert headings[0] == "H1"
    assert headings.count("H1") == 1

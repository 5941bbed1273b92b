from __future__ import annotations

import base64
import hashlib
import importlib
import json
import random
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from acclimate.errors import DataError
from acclimate.reports import draw, report
from acclimate.reports.draw.blocks import Report, Section
from acclimate.reports.read.collect import collect
from acclimate.reports.read.material import Material
from acclimate.reports.sections import SECTIONS, build
from acclimate.stats import METRICS, Metric

SCRIPT = "</script><img src=x onerror=alert(1)>"
LINK = '<a href="javascript:alert(2)">press</a>'
TEMPLATE = "{{7*7}}%{x}"
FORMULA = "=cmd()"
HOSTILE = (SCRIPT, LINK, TEMPLATE, FORMULA)


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def metrics(accuracy: float) -> dict[str, float]:
    return {
        "accuracy": accuracy,
        "balanced_accuracy": accuracy - 0.01,
        "log_loss": 2.2 * (1 - accuracy),
        "macro_f1": accuracy - 0.02,
        "auc": 0.5 + accuracy / 2,
        "ece": 0.04,
    }


def row(model: str, protocol: str, seed: int, accuracy: float, labels: str | None = None) -> dict[str, Any]:
    return {
        "model": model,
        "dataset": "eurosat",
        "protocol": protocol,
        "seed": seed,
        "metrics": {"val": metrics(accuracy), "test": metrics(accuracy - 0.015)},
        "settings": {"k": 20},
        "labels": labels,
        "trainable": 1290,
        "total": 366_000,
        "random_start": model.startswith("random:"),
        "seconds": 3.2,
        "images_per_second": 812.0,
        "peak_memory_mb": 410.0,
        "fingerprint": "ab12cd34",
        "weights": "99ff00",
        "versions": {"acclimate": "0.1.0", "torch": "2.9.0"},
        "device": "cpu",
    }


def ranked(model: str, rank: int, knn: float, final: float | None, in_set: bool) -> dict[str, Any]:
    return {
        "model": model,
        "rank": rank,
        "proxies": {"knn": knn, "logistic": knn + 0.04},
        "final": final,
        "low": None if final is None else final - 0.03,
        "high": None if final is None else final + 0.028,
        "in_set": in_set,
        "seconds": 12.5,
        "random_start": model.startswith("random:"),
    }


def write_rank(folder: Path, models: list[dict[str, Any]]) -> None:
    document = {
        "command": "rank",
        "version": "0.1.0",
        "seconds": 83.0,
        "seed": 0,
        "device": "cpu",
        "data": "eurosat",
        "final": "bn",
        "models": models,
        "best": models[0]["model"],
        "confidence_set": [m["model"] for m in models if m["in_set"]],
        "seconds_spent": 80.0,
    }
    write(folder / "rank.json", document)


def write_run(
    folder: Path,
    recipe: str,
    accuracy: float,
    stages: list[tuple[str, str, float]],
    n: int = 400,
    model: str = "zoo:leaf-byol",
    labels: str = "10",
    seed: int = 0,
) -> None:
    rng = random.Random(recipe)
    steps = 60
    document = {
        "command": "tune",
        "version": "0.1.0",
        "run": str(folder),
        "recipe": recipe,
        "model": model,
        "random_start": False,
        "data": "eurosat",
        "fingerprint": "ab12cd34",
        "images": {"train": 100, "val": n, "test": n},
        "labels": labels,
        "seed": seed,
        "classes": ["forest", "river"],
        "stages": [
            {
                "objective": objective,
                "scope": scope,
                "trainable": int(366_000 * share),
                "total": 366_000,
                "epochs": 20.0,
                "steps": steps,
                "seconds": 9.5,
            }
            for objective, scope, share in stages
        ],
        "val": metrics(accuracy),
        "test": metrics(accuracy - 0.01),
        "seconds": 10.5 * len(stages),
    }
    write(folder / "run.json", document)
    lines = []
    for stage, (objective, _, _) in enumerate(stages):
        for step in range(5, steps + 1, 5):
            done = (step + stage * steps) / (steps * len(stages))
            start = 2.0 if objective == "supervised" else 3.4
            point = {"stage": stage, "step": step, "loss": start * 0.3**done + rng.uniform(0, 0.08)}
            if step % 10 == 0 and objective == "supervised":
                point["val_accuracy"] = accuracy * (1 - 0.5 * 0.05**done) + rng.uniform(-0.01, 0.01)
                point["val_log_loss"] = 2.2 * (1 - accuracy) + 0.8 * 0.1**done
            lines.append(json.dumps(point))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"stage": 0, "st')  # killed while writing


def look(step: int, moved: float, stage: int = 0) -> dict[str, Any]:
    return {
        "stage": stage,
        "step": step,
        "feature_std": 0.91 - 0.1 * moved,
        "rankme": 60.0 * (1 + moved),
        "neighbour_overlap": 1 - 0.4 * moved,
        "knn_agreement": 0.5 + 0.1 * moved,
        "knn_gain": 0.1 * moved,
    }


LOOKS = [look(6 * i, moved) for i, moved in enumerate((0, 0, 0.2, 0.5, 0.8, 1.0, 0.9, 0.9, 0.8, 0.7, 0.5))]


def write_adapt(folder: Path, kept: str = "adapted", looks: list[dict[str, Any]] | None = None, why: str = "") -> None:
    """Write a run of adaptation: without looks as it was before there were any, with looks as it is now."""
    seen = {"feature_std": 0.91, "rankme": 60.2, "knn_accuracy": 0.78, "knn_log_loss": 0.7}
    write_run(folder, "adapt", 0.5, [("byol", "all", 1.0)])
    document = json.loads((folder / "run.json").read_text())
    del document["val"], document["test"], document["labels"], document["images"]
    document |= {"command": "adapt", "method": "byol", "scope": "all", "kept": kept}
    document["reason"] = f"{why}kNN on held-out images: accuracy 0.780 -> 0.801, log loss 0.700 -> 0.662"
    document["monitors"] = {"start": seen, "adapted": seen | {"rankme": 71.0}, "neighbour_overlap": 0.6}
    if looks:
        document["looks"] = looks
        document["stages"][0]["best_step"] = 30 if kept == "adapted" else 0
        document["images"] = {"pool": 4120, "dropped_twins": 3}
        document["choices"] = {f"batch{why}": {"value": 128, "why": f"a quarter of the pool{why}"}}
    write(folder / "run.json", document)


def inside_layer(layer: str, group: str, kind: str, moved: float) -> dict[str, Any]:
    apart = {"before": 0.4, "after": 0.4 + moved / 5, "difference": moved / 5, "low": 0.0, "high": 0.3}
    return {
        "layer": layer,
        "group": group,
        "kind": kind,
        "width": 64,
        "shift": moved,
        "log_variance": {"low": -moved, "median": 0.1, "high": moved},
        "dead": {"before": 0, "after": 1},
        "zeros": {"before": 0.0, "after": 0.25},
        "hoyer": {"before": 0.1, "after": 0.2},
        "rank": {"before": 10.0, "after": 10.0 + moved},
        "cka": {"value": 1 - moved / 2, "low": 0.9 - moved / 2, "high": 1 - moved / 3},
        "separation": apart,
        "class_mean": apart,
    }


def write_inside(folder: Path, bad: str = "") -> None:
    """Write what `explain` leaves in a run."""
    layers = [
        inside_layer(f"layer{stage}.0{name}{bad}", f"layer{stage}{bad}", kind, stage / 5)
        for stage in (1, 2, 3)
        for name, kind in ((".bn1", "norm"), (".bn2", "norm"), ("", "block"))
    ]
    affine = [
        {
            "layer": row["layer"],
            "group": row["group"],
            "role": role,
            "n": 64,
            "relative": None if (role, i) == ("shift", 0) else 0.1 + i / 2,
            "sign_changed": 0.125,
            "largest": 0.5,
            "before": 1.0,
            "after": 0.9,
        }
        for i, row in enumerate(row for row in layers if row["kind"] == "norm")
        for role in ("scale", "shift", "mean", "variance")
    ]
    document = {
        "command": "explain",
        "start": f"zoo:leaf-byol{bad}",
        "data": f"eurosat{bad}",
        "part": "val",
        "images": 512,
        "level": 0.9,
        "layers": [*layers, inside_layer(f"features{bad}", f"features{bad}", "features", 0.7)],
        "affine": affine,
        "summary": [f"Class separation 0.40 -> 0.54.{bad}"],
        "notes": [],
    }
    write(folder / "explain.json", document)


def curve_points(gain: float, base: str = "zoo:leaf-byol", adapted: str = "adapted") -> list[dict[str, Any]]:
    rng = random.Random(0)
    points = []
    for labels, level in (("1", 0.42), ("5", 0.63), ("10", 0.71), ("100%", 0.86)):
        for seed in range(3):
            noise = rng.uniform(-0.02, 0.02)
            for model, more in ((base, 0.0), (adapted, gain + rng.uniform(-0.004, 0.004))):
                accuracy = level + noise + more
                points.append({"model": model, "labels": labels, "seed": seed, **metrics(accuracy)})
    return points


def write_map(folder: Path, classes: list[str], models: tuple[str, ...] = ("zoo:leaf-byol", "adapted")) -> None:
    rng = random.Random(1)
    maps = []
    for spread, model in enumerate(models, start=1):
        labels = [i % len(classes) for i in range(240)] + [-1] * 40
        angle = [label * 1.1 for label in labels]
        maps.append(
            {
                "model": model,
                "x": [spread * (a % 3) + rng.gauss(0, 0.4) for a in angle],
                "y": [spread * (a * 0.7 % 2) + rng.gauss(0, 0.4) for a in angle],
                "label": labels,
                "split": ["train" if i % 2 else "val" for i in range(280)],
            }
        )
    write(folder / "map.json", {"maps": maps, "classes": classes})


def write_all(folder: Path, hostile: bool = False) -> Path:
    """Write everything a demo leaves; with ``hostile``, every name is an attack."""
    bad = SCRIPT if hostile else "zoo:tiny-supervised"
    models = [
        ranked("zoo:leaf-byol", 1, 0.78, 0.862, True),
        ranked(bad, 1, 0.76, 0.851, True),
        ranked(LINK if hostile else "zoo:dead-leaves", 3, 0.70, 0.79, False),
        ranked(TEMPLATE if hostile else "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k", 4, 0.66, None, False),
        ranked("random:resnet10t", 5, 0.41, 0.53, False),
    ]
    write_rank(folder, models)
    for m in models:
        for protocol in ("knn", "logistic"):
            value = row(m["model"], protocol, 0, m["proxies"][protocol])
            write(
                folder / "rows" / f"{hashlib.md5(repr((m['model'], protocol)).encode()).hexdigest()}.json",
                value,
            )
    write_run(folder / "linear", "linear", 0.80, [("supervised", "head", 0.0035)])
    write_run(folder / "bn", "bn", 0.84, [("supervised", "head+norm", 0.0091)])
    write_run(folder / "finetune", FORMULA if hostile else "finetune", 0.853, [("supervised", "all", 1.0)])
    staged = [("supervised", "head", 0.0035), ("supervised", "all", 1.0)]
    write_run(folder / "staged", "staged", 0.868, staged)
    write_adapt(folder / "adapted", looks=LOOKS, why=SCRIPT if hostile else "")
    write_inside(folder / "bn", SCRIPT if hostile else "")
    points = curve_points(0.03, adapted=SCRIPT + " adapted" if hostile else "adapted")
    write(folder / "curve.json", {"points": points, "verdict": "Adaptation helped with few labels."})
    write_map(folder, list(HOSTILE) if hostile else ["forest", "river", "highway", "pasture", "sea lake"])
    return folder


def page_of(folder: Path) -> str:
    return report(folder).read_text(encoding="utf-8")


def built(folder: Path) -> Report:
    return build(collect(folder))


class Page(HTMLParser):
    """What an HTML parser sees: the elements, the text of scripts, and the visible text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.text: list[str] = []
        self._inside: str | None = None
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            kind, before = self.scripts[-1]
            self.scripts[-1] = (kind, before + data)
        else:
            self.text.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(next(text for kind, text in self.scripts if kind == "application/json"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = write_all(tmp_path_factory.mktemp("story") / "demo")
    return folder, page_of(folder)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = write_all(tmp_path_factory.mktemp("attack") / "demo", hostile=True)
    return folder, page_of(folder)


def keys(made: Report) -> list[str]:
    return [section.key for section in made.sections]


def table_of(made: Report, key: str) -> Any:
    return next(table for section in made.sections for table in section.tables if table.key == key)


# ---- the whole


def test_a_demo_folder_gives_every_section_and_both_files(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    expected = "leaderboard proxies bump cost recipes adaptation learning inside labels maps rows provenance"
    assert " ".join(keys(built(folder))) == expected
    assert (folder / "report.html").is_file()
    assert "## Leaderboard" in (folder / "report.md").read_text(encoding="utf-8")


def test_a_report_is_the_same_every_time_and_does_not_read_itself(demo: tuple[Path, str]) -> None:
    folder, page = demo
    assert page_of(folder) == page


def test_page_is_below_six_megabytes_and_refers_to_nothing_outside(demo: tuple[Path, str]) -> None:
    folder, page = demo
    assert (folder / "report.html").stat().st_size < 6_000_000
    parsed = Page(page)
    for _, attributes in parsed.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:,")), (name, target)
    assert not re.search(r"@import|url\(", next(re.finditer(r"<style>.*?</style>", page, re.S)).group())


def test_policy_allows_exactly_the_scripts_of_the_page(demo: tuple[Path, str]) -> None:
    parsed = Page(demo[1])
    policy = next(a["content"] for a in parsed.attributes("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    runnable = [text for kind, text in parsed.scripts if kind is None]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in runnable]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "unsafe-eval" not in policy


def test_every_chart_and_table_has_its_place_and_its_data(demo: tuple[Path, str]) -> None:
    made, parsed = built(demo[0]), Page(demo[1])
    charts = {chart.key for section in made.sections for chart in section.charts}
    tables = {table.key for section in made.sections for table in section.tables}
    assert len(charts) == 21
    places = {a["id"]: a.get("data-view") for a in parsed.attributes("div") if a.get("class") == "plot"}
    assert set(places) == charts
    assert set(parsed.data["charts"]) == {key for key, view in places.items() if view is None}
    assert {view for view in places.values() if view} == {"bump", "cost"}
    lists = {a["id"] for a in parsed.attributes("div") if a.get("class") == "table paged"}
    assert lists == {"front-table"}
    assert set(parsed.data["tables"]) == tables - lists
    assert all(figure["data"] for figure in parsed.data["charts"].values())
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_importing_and_writing_a_report_needs_no_torch(tmp_path: Path) -> None:
    write_rank(tmp_path, [ranked("a", 1, 0.7, 0.8, True), ranked("b", 2, 0.6, 0.7, False)])
    code = (
        "import sys, time; t = time.perf_counter(); import acclimate.reports as r\n"
        "s = time.perf_counter() - t\n"
        "assert not {'torch', 'plotly', 'jinja2', 'numpy'} & set(sys.modules), 'import'\n"
        "from pathlib import Path; r.report(Path(sys.argv[1]))\n"
        "assert 'torch' not in sys.modules, 'report'; print(s)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.0


# ---- what may be missing or broken


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing to report in .*looked for rank\.json, curve\.json.*rows/\*\.json"):
        report(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot report on '.*nowhere': no such folder"):
        report(tmp_path / "nowhere")


def test_only_broken_files_are_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "rank.json").write_text('{"models": [')
    with pytest.raises(DataError, match=r"could not read rank\.json"):
        report(tmp_path)


@pytest.mark.parametrize(
    ("make", "sections"),
    [
        (
            lambda d: write_rank(d, [ranked("a", 1, 0.7, 0.8, True), ranked("b", 2, 0.6, None, False)]),
            "leaderboard",
        ),
        (lambda d: write_run(d / "x", "bn", 0.8, [("supervised", "norm", 0.01)]), "recipes learning"),
        (lambda d: write_run(d, "bn", 0.8, [("supervised", "norm", 0.01)]), "recipes learning"),
        (lambda d: write_adapt(d / "a"), "adaptation learning"),
        (lambda d: write(d / "curve.json", {"points": curve_points(0.0), "verdict": "no"}), "labels"),
        (lambda d: write_map(d, ["a", "b"]), "maps"),
        (lambda d: write(d / "findings.json", {"sentences": ["It works."]}), ""),
        (lambda d: write(d / "sub" / "rows" / "k.json", row("a", "knn", 0, 0.5)), "rows"),
    ],
    ids=["rank", "run below", "run itself", "adapt", "curve", "map", "findings", "one row"],
)
def test_sections_without_data_are_left_out(tmp_path: Path, make: Any, sections: str) -> None:
    make(tmp_path)
    made = built(tmp_path)
    assert [key for key in keys(made) if key != "provenance"] == sections.split()
    assert Page(page_of(tmp_path)).data.keys() == {"charts", "tables"}


def test_a_broken_file_is_named_on_the_page_and_the_rest_is_shown(tmp_path: Path) -> None:
    write(tmp_path / "rows" / "good.json", row("a", "knn", 0, 0.5))
    (tmp_path / "rows" / "bad.json").write_text("{")
    (tmp_path / "map.json").write_bytes(b"\xff\xfe")
    assert built(tmp_path).warnings == ["Left out, because they could not be read: map.json and rows/bad.json."]


@pytest.mark.parametrize("value", [None, "x", 3, [], {}, [[1]], ["x"], True, {"a": {"b": [None]}}])
def test_documents_of_the_wrong_shape_break_nothing(tmp_path: Path, value: Any) -> None:
    fields = (
        "models",
        "points",
        "maps",
        "stages",
        "val",
        "metrics",
        "classes",
        "best",
        "monitors",
        "images",
        "final",
        "looks",
        "choices",
        "verdicts",
        "comparisons",
        "base",
        "ood",
        "static_baseline",
        "target",
        "results",
    )
    document = dict.fromkeys(
        (*fields, "confidence_set", "verdict", "data", "kept", "recipe", "seconds", "labels"), value
    )
    names = ("rank.json", "curve.json", "map.json", "run.json", "rows/k.json", "findings.json", "compare.json")
    for name in names:
        write(tmp_path / name, document | {"sentences": ["something"]})
    deeper = {
        "model": value,
        "x": value,
        "y": value,
        "label": value,
        "log_loss": value,
        "seed": value,
        "proxies": value,
    }
    write(tmp_path / "b" / "run.json", {"stages": [deeper], "val": deeper})
    looks = [{"stage": value, "step": value, "rankme": value, "feature_std": value}] * 2
    stages = [{"best_step": value, "steps": value}]
    odd = {"kept": "adapted", "looks": looks, "stages": stages, "images": {"pool": value, "dropped_twins": value}}
    write(tmp_path / "c" / "run.json", odd | {"choices": {"lr": {"value": value, "why": value}}})
    compared = [deeper | {"training": value, "plain": value}]
    write(
        tmp_path / "d" / "curve.json", {"command": "curve", "base": value, "points": compared, "comparisons": [deeper]}
    )
    write(tmp_path / "d" / "runs" / "r" / "run.json", {"model": value, "labels": value, "stages": value})
    (tmp_path / "b" / "metrics.jsonl").write_text(json.dumps({"stage": value, "step": value, "loss": value}))
    write(tmp_path / "rank.json", {"models": [deeper | {"rank": value, "final": value, "in_set": value}]})
    write(tmp_path / "curve.json", {"points": [deeper | {"labels": value}]})
    compared = [{"proxy": value, "intervals": value, "ahead": {"spearman": value}, "n_models": value}]
    averages = [{"proxy": value, "part": value, "cells": value, "intervals": {"spearman": value}}]
    write(tmp_path / "compare.json", {"proxies": compared, "ood": {"averages": averages}})
    write(tmp_path / "map.json", {"maps": [deeper], "classes": value})
    assert report(tmp_path).is_file()


def test_numbers_that_are_not_finite_become_gaps(tmp_path: Path) -> None:
    bad = ranked("b", 2, float("nan"), float("inf"), False)
    write_rank(tmp_path, [ranked("a", 1, 0.7, 0.8, True), bad])
    page = page_of(tmp_path)
    assert "NaN" not in json.dumps(Page(page).data)
    assert table_of(built(tmp_path), "leaderboard-table").rows[1][2].text == "–"


# ---- honesty


def test_the_top_set_shares_the_first_rank_and_is_marked(demo: tuple[Path, str]) -> None:
    rows = table_of(built(demo[0]), "leaderboard-table").rows
    assert [cells[0].text for cells in rows] == ["1=", "1=", "3", "4", "5"]
    marks = [[badge.text for badge in cells[1].badges] for cells in rows]
    tie = "cannot be told apart from the best"
    assert marks == [[tie], [tie], [], [], ["randomly initialised"]]


def test_a_lone_winner_is_called_the_best(tmp_path: Path) -> None:
    write_rank(tmp_path, [ranked("a", 1, 0.7, 0.9, True), ranked("b", 2, 0.6, 0.7, False)])
    made = built(tmp_path)
    assert [b.text for b in table_of(made, "leaderboard-table").rows[0][1].badges] == ["best"]
    assert made.summary == [
        "a ranks first of 2 on eurosat, with a validation accuracy after bn of 0.900 (90% interval 0.870 to 0.928).",
        "Every other candidate that was measured in full is behind it by more than chance explains.",
    ]


def test_random_starts_are_said_loudly_everywhere(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    expected = "random:resnet10t is randomly initialised: no pretrained weights stand behind these numbers."
    assert built(folder).warnings == [expected]
    assert "randomly initialised" in (folder / "report.md").read_text(encoding="utf-8")


def rows_board(folder: Path, values: dict[str, list[float]]) -> list[list[str]]:
    for model, accuracies in values.items():
        for seed, accuracy in enumerate(accuracies):
            write(folder / "rows" / f"{model}{seed}.json", row(model, "bn", seed, accuracy))
    table = table_of(built(folder), "leaderboard-table")
    at = [column.title for column in table.columns].index("Model")
    return [[cells[0].text, cells[at].text] for cells in table.rows]


def test_without_a_ranking_rows_make_a_leaderboard_over_seeds(tmp_path: Path) -> None:
    values = {"low": [0.5, 0.52, 0.51], "high": [0.9, 0.88, 0.89], "near": [0.87, 0.91, 0.88]}
    assert rows_board(tmp_path, values) == [["1=", "high"], ["1=", "near"], ["3", "low"]]


def test_one_seed_gives_no_interval_and_says_so(tmp_path: Path) -> None:
    assert rows_board(tmp_path, {"a": [0.8], "b": [0.7]}) == [["1", "a"], ["2", "b"]]
    assert built(tmp_path).summary == [
        "a ranks first of 2 on eurosat, with a validation accuracy of 0.800 (no interval: it was measured once).",
        "Nothing here says how sure that order is: no intervals were measured.",
    ]


def test_adaptation_that_did_not_help_is_said(tmp_path: Path) -> None:
    write_adapt(tmp_path / "a", kept="start")
    assert "Adaptation in a did not help, and the starting weights were kept: kNN" in built(tmp_path).summary[0]


def test_where_the_program_spoke_the_numbers_speak_in_their_sections(tmp_path: Path) -> None:
    folder = write_all(tmp_path / "demo")
    before = built(folder)
    write(folder / "findings.json", {"sentences": ["One.", "Two."]})
    made = built(folder)
    assert made.summary == ["One.", "Two."]
    words = " ".join(line for section in made.sections for line in section.words)
    assert all(sentence in words for sentence in before.summary if not sentence.startswith("Adaptation in"))


def test_recipes_are_compared_only_with_the_same_labels(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "linear", 0.70, [("supervised", "head", 0.01)], n=4000)
    write_run(tmp_path / "b", "bn", 0.80, [("supervised", "norm", 0.01)], n=4000)
    write_run(tmp_path / "c", "finetune", 0.95, [("supervised", "all", 1.0)])
    document = json.loads((tmp_path / "c" / "run.json").read_text())
    write(tmp_path / "c" / "run.json", document | {"labels": "100%"})
    (said,) = built(tmp_path).summary
    assert said.startswith(
        "Of 2 finetuning runs with 10 labels per class, bn has the highest validation accuracy: 0.800"
    )
    assert said.endswith("Its interval meets none of the others.")


def test_the_trained_share_stands_beside_the_recipe(demo: tuple[Path, str]) -> None:
    rows = table_of(built(demo[0]), "recipes-table").rows
    assert rows[0][0].text == "staged"
    assert rows[0][0].note == "head 0.35%, then all 100%"


def test_a_new_metric_is_shown_because_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Metric("share of cats", lambda predicted: 0.25, digits=1)
    monkeypatch.setitem(METRICS, "cats", line)
    write_run(tmp_path, "bn", 0.8, [("supervised", "norm", 0.01)])
    document = json.loads((tmp_path / "run.json").read_text())
    document["test"]["cats"] = 0.25
    write(tmp_path / "run.json", document)
    points = [point | {"cats": 0.5} for point in curve_points(0.03)]
    write(tmp_path / "curve.json", {"base": "zoo:leaf-byol", "points": points})
    made = built(tmp_path)
    recipes, models = table_of(made, "recipes-table"), table_of(made, "models-table")
    at = [column.title for column in recipes.columns].index("Test share of cats")
    assert recipes.rows[0][at].text == "0.2"
    assert recipes.records[0]["test cats"] == 0.25
    assert "Share of cats" in [column.title for column in models.columns]


def test_learning_curves_join_stages_and_mark_them(demo: tuple[Path, str]) -> None:
    section = next(s for s in built(demo[0]).sections if s.key == "learning")
    charts = {chart.title: chart.figure["data"] for chart in section.charts}
    assert list(charts) == [
        "Training loss, byol",
        "Training loss, supervised",
        "Validation accuracy",
        "Validation log loss",
        "Validation accuracy, final stage",
        "Validation log loss, final stage",
    ]
    staged = charts["Training loss, supervised"][-1]
    assert staged["x"] == [*range(5, 125, 5)]
    assert staged["marker"]["symbol"].count("diamond") == 1
    assert staged["marker"]["symbol"][12] == "diamond"


def test_long_logs_are_thinned_but_keep_their_end(tmp_path: Path) -> None:
    write_run(tmp_path, "bn", 0.8, [("supervised", "norm", 0.01)])
    lines = [json.dumps({"stage": 0, "step": i, "loss": 1 / (i + 1)}) for i in range(5001)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    (trace,) = built(tmp_path).sections[1].charts[0].figure["data"]
    assert len(trace["x"]) <= 602
    assert (trace["x"][0], trace["x"][-1]) == (0, 5000)


def test_paths_below_the_folder_are_shortened(tmp_path: Path) -> None:
    write_rank(tmp_path, [ranked(str(tmp_path / "adapted"), 1, 0.7, 0.9, True), ranked("b", 2, 0.6, 0.7, False)])
    assert str(tmp_path) not in page_of(tmp_path)
    assert built(tmp_path).summary[0].startswith("adapted ranks first")


# ---- the list of sections


def test_a_file_that_draws_sections_has_its_line() -> None:
    files = sorted(path.stem for path in Path(draw.__file__).parent.glob("[!_]*.py"))
    modules = [importlib.import_module(f"{draw.__name__}.{name}") for name in files]
    drawing = [module for module in modules if hasattr(module, "sections")]
    assert len(drawing) > 8
    assert [module.__name__ for module in drawing if module.sections not in SECTIONS] == []


def test_a_section_is_shown_because_it_has_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def weather(material: Material) -> list[Section]:
        return [Section("weather", "Weather", [f"{len(material.contents.runs)} runs in the rain."])]

    write_run(tmp_path, "bn", 0.8, [("supervised", "norm", 0.01)])
    monkeypatch.setattr("acclimate.reports.sections.SECTIONS", (weather, *SECTIONS))
    assert built(tmp_path).sections[0].words == ["1 runs in the rain."]
    assert "Weather</h2>" in page_of(tmp_path)


# ---- one level


def words_of(page: str) -> str:
    """Return all of a page that is not Plotly's own script."""
    parsed = Page(page)
    return "\n".join([*parsed.text, *(text for _, text in parsed.scripts if "plotly.js v" not in text[:300])])


def episodes(model: str, accuracy: float) -> dict[str, Any]:
    numbers = {"accuracy": accuracy, "accuracy_low": accuracy - 0.0098, "accuracy_high": accuracy + 0.0098}
    return row(model, "fewshot", 0, accuracy) | {"metrics": {"val": numbers, "test": numbers}}


def test_every_interval_of_a_page_has_one_level(tmp_path: Path) -> None:
    folder = write_all(tmp_path / "demo")
    points = [point | {"training": "head", "per_class": 1} for point in curve_points(0.03)]
    compared = {"model": "adapted", "base": "zoo:leaf-byol", "training": "head", "labels": "1", "said": "better"}
    curve = {"base": "zoo:leaf-byol", "points": points, "comparisons": [compared], "verdicts": []}
    write(folder / "curve.json", curve)
    for i, model in enumerate(("a", "b")):
        write(folder / "rows" / f"episodes{i}.json", episodes(model, 0.5 + i / 10))
        for seed in (0, 1):
            write(folder / "rows" / f"{model}{seed}.json", row(model, "bn", seed, 0.7 + i / 10 + seed / 100))
    text = words_of(page_of(folder))
    shown = re.findall(r"[\d.]+% interval", text)
    assert len(shown) > 5
    assert set(shown) == {"90% interval"}
    assert "95%" not in text
    assert "95%" not in (folder / "report.md").read_text(encoding="utf-8")


def test_the_interval_of_episodes_is_brought_to_the_level_of_the_page(tmp_path: Path) -> None:
    for i, model in enumerate(("a", "b")):
        write(tmp_path / "rows" / f"{i}.json", episodes(model, 0.5 + i / 10))
    made = built(tmp_path)
    half = 0.0098 * 1.644854 / 1.959964
    cells = table_of(made, "rows-table").rows[0]
    assert cells[5].note == f"{0.5 - half:.3f} to {0.5 + half:.3f}"
    assert made.grid is not None
    assert {measure["metric"] for measure in made.grid["measures"]} == {"accuracy"}


# ---- hostile names


def test_hostile_names_are_text_and_nothing_else(hostile: tuple[Path, str]) -> None:
    page = hostile[1]
    parsed = Page(page)
    assert not parsed.attributes("img")
    assert all(not (a.get("href") or "").startswith("javascript:") for a in parsed.attributes("a"))
    assert all(not name.startswith("on") for _, a in parsed.tags for name in a)
    assert len(parsed.scripts) == 3
    text = "".join(parsed.text)
    for name in HOSTILE:
        assert name in text
    assert "49" not in re.findall(r"\{\{.*?\}\}|\b49\b", text)
    assert len(page) < 6_000_000


def test_plotly_gets_no_markup_from_names(hostile: tuple[Path, str]) -> None:
    tags = re.compile(r"<(?!br>)")

    def check(value: Any, key: str = "") -> int:
        if isinstance(value, dict):
            assert "hovertemplate" not in value
            assert "texttemplate" not in value
            return sum(check(item, name) for name, item in value.items())
        if isinstance(value, list):
            return sum(check(item, key) for item in value)
        if isinstance(value, str):
            assert not tags.search(value), (key, value)
            return "&lt;" in value
        return 0

    assert check(Page(hostile[1]).data["charts"]) > 20


def test_markdown_of_hostile_names_has_no_markup_and_no_broken_table(hostile: tuple[Path, str]) -> None:
    text = (hostile[0] / "report.md").read_text(encoding="utf-8")
    assert "<" not in text
    assert "](" not in text
    heads = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")]
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.M)
    assert heads
    assert all(len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1 for block in blocks)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\u202eb", "a\\u202eb"),
        ("a\nb", "a\\u000ab"),
        ("a\x00b", "a\\u0000b"),
        ("क्‍ष", "क्‍ष"),
        ("a\ud800b", "a\\ud800b"),
    ],
)
def test_invisible_characters_are_spelt_out(tmp_path: Path, name: str, shown: str) -> None:
    write_rank(tmp_path, [ranked(name, 1, 0.7, 0.9, True), ranked("b", 2, 0.6, 0.7, False)])
    page = page_of(tmp_path)
    assert shown in page
    assert name == shown or name not in page


def test_script_json_cannot_end_its_element() -> None:
    from acclimate.reports.page import script_json

    value = {"</script>": ["<!--", "&amp;", "\u2028\u2029", "]]>"]}
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_a_large_folder_is_reported_quickly(tmp_path: Path) -> None:
    for i in range(300):
        write(tmp_path / "rows" / f"{i}.json", row(f"m{i % 60}", "bn", i // 60, 0.5 + i / 1000))
    started = time.perf_counter()
    page_of(tmp_path)
    assert time.perf_counter() - started < 10

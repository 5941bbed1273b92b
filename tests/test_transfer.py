"""The study of transfer: its plan, domains, a miniature that resumes, its table, and the page made of that."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from studies.transfer import __main__ as command
from studies.transfer import design, domains, table
from studies.transfer.design import PROTOCOLS, TARGET, Model
from studies.transfer.domains import DOMAINS, Domain
from studies.transfer.page import MARKS, PAGE, best, fill, results, stamp

from acclimate.catalogue import zoo_names
from acclimate.errors import DataError
from acclimate.experiments.study.ledger import Ledger
from acclimate.images import load_images, make_split

RESNET = Model("random:test_resnet", "random", "resnet", "batch", 372688)
VIT = Model("random:test_vit", "random", "vit", "layer", 371008)
COMMON = [name for name, protocol in PROTOCOLS.items() if not protocol.networks]


# the plan -----------------------------------------------------------------------------------------------------------


def test_the_plan_is_every_model_on_every_domain_and_bn_paper_for_resnets(tmp_path: Path) -> None:
    plans = [design.plan(seed, tmp_path, {one.name: one for one in (RESNET, VIT)}, DOMAINS) for seed in (0, 1)]
    cells = [(cell.model, cell.data, cell.protocol) for cell in plans[0].cells]
    expected = {
        (model.name, f"{domain}-0.npz", protocol.file)
        for model in (RESNET, VIT)
        for domain in DOMAINS
        for protocol in PROTOCOLS.values()
        if not protocol.networks or model is RESNET
    }
    assert len(DOMAINS) >= 6
    assert set(cells) == expected
    assert len(cells) == len(expected)
    assert not {cell.id for cell in plans[0].cells} & {cell.id for cell in plans[1].cells}
    assert {cell.seed for cell in plans[1].cells} == {1}


def test_every_embedded_model_and_a_random_start_of_its_architecture_take_part() -> None:
    names = design.model_names()
    assert set(zoo_names()) < set(names)
    assert {"random:test_resnet", "random:test_convnext"} <= set(names)
    assert design.describe("random:test_resnet") == RESNET
    leaves, supervised = (design.describe(f"zoo:resnet-{name}") for name in ("leaves", "supervised"))
    assert (leaves.family, supervised.family) == ("byol, procedural", "supervised")
    assert design.describe("zoo:convnext-byol").norm == "layer"


# the domains --------------------------------------------------------------------------------------------------------


def grouped(folder: Path) -> Path:
    """Make a folder of two classes with a manifest: 30 groups of 4 images each, each group in one class."""
    from PIL import Image

    rng = np.random.default_rng(0)
    (folder / "cells").mkdir()
    rows = ["path,label,group"]
    for i in range(120):
        Image.fromarray(rng.integers(0, 255, (8, 12, 3), np.uint8)).save(folder / "cells" / f"{i}.png")
        rows.append(f"{i}.png,{'ab'[i // 4 % 2]},g{i // 4}")
    (folder / "cells" / "manifest.csv").write_text("\n".join(rows))
    return folder


def test_a_seed_draws_training_images_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "DOMAINS", {"cells": Domain("cells", "", "other images")})
    monkeypatch.setattr(domains, "TRAIN", 20)
    files = [
        domains.prepare("cells", seed, grouped(tmp_path) if not seed else tmp_path, tmp_path, 8) for seed in (0, 1)
    ]
    first, second = (dict(np.load(file)) for file in files)
    for part in ("val", "test"):
        assert np.array_equal(first[f"x_{part}"], second[f"x_{part}"])
    assert first["x_train"].shape == second["x_train"].shape == (20, 8, 8, 3)
    assert not np.array_equal(first["x_train"], second["x_train"])
    before = files[0].read_bytes()
    files[0].unlink()
    assert domains.prepare("cells", 0, tmp_path, tmp_path, 8).read_bytes() == before


def test_parts_share_no_group_and_classes_are_drawn(tmp_path: Path) -> None:
    images = load_images(grouped(tmp_path) / "cells")
    assert images.groups is not None
    tested = domains.with_test(images)
    assert 0 < (tested.splits == "test").sum() < len(images) / 2
    split = domains.parts(images, np.array([0, 1]), 0)
    groups = {part: set(images.groups[indices].tolist()) for part, indices in split.items()}
    assert not groups["train"] & groups["val"]
    assert not groups["test"] & (groups["train"] | groups["val"])
    only = domains.parts(images, np.array([1]), 0)
    assert {int(label) for indices in only.values() for label in images.labels[indices]} == {1}
    assert domains.chosen_classes(7, 0).tolist() == list(range(7))
    assert len(domains.chosen_classes(100, 20)) == 20


# a miniature of it --------------------------------------------------------------------------------------------------


@pytest.fixture
def small(digits_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make it a study of one domain, three models and two steps; return the folder of its table and page."""
    one = {"digits": Domain(digits_folder.name, "three digits", "other images")}
    for module in (command, domains):
        monkeypatch.setattr(module, "DOMAINS", one)
    (tmp_path / "protocols").mkdir()
    for file in (design.HERE / "protocols").glob("*.toml"):
        short = re.sub(r"steps = \d+", "steps = 2", file.read_text(encoding="utf-8")).replace(
            "batch = 64", "batch = 16"
        )
        (tmp_path / "protocols" / file.name).write_text(short, encoding="utf-8")
    monkeypatch.setattr(design, "HERE", tmp_path)
    monkeypatch.setattr(design, "SEEDS", 2)
    monkeypatch.setattr(design, "SIDE", 32)
    monkeypatch.setattr(design, "model_names", lambda: ("random:test_resnet", "random:test_vit", "zoo:resnet-byol"))
    monkeypatch.setattr(table, "TABLE", tmp_path / "results.csv")
    monkeypatch.setattr(command, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n", encoding="utf-8")
    return tmp_path


def test_a_miniature_resumes_and_its_rows_can_be_checked(
    small: Path, digits_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data", str(digits_folder.parent), "--out", str(small / "out")]
    assert command.main([*given, "--seeds", "0"]) == 0
    rows = {path: path.stat().st_mtime_ns for path in (small / "out" / "rows").iterdir()}
    assert len(rows) == 3 * len(COMMON) + 2
    first = table.read(small / "results.csv")
    assert command.main(given) == 0
    again = {path: path.stat().st_mtime_ns for path in (small / "out" / "rows").iterdir()}
    assert len(again) == 2 * len(rows)
    assert rows.items() <= again.items(), "a finished cell is not measured again"
    lines = table.read(small / "results.csv")
    assert set(first) < set(lines)
    page = (small / "page.md").read_text(encoding="utf-8")
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "3 models with seed 0, 3 models with seed 1" in page
    check = [*given[:2], "--seeds", "0", "--check", "digits", "zoo:resnet-byol"]
    capsys.readouterr()
    assert command.main(check) == 0
    assert "17 of 17 rows came out the same" in capsys.readouterr().out
    wrong = [(*line[:4], "0.9999", *line[5:]) if line[2] == "norm" else line for line in lines]
    table.write(small / "results.csv", wrong)
    assert command.main(check) == 1
    assert "15 of 17 rows came out the same" in capsys.readouterr().out
    assert command.main([*given[:2], "--check", "digit", "zoo:resnet-byol"]) == 2
    assert "unknown domain 'digit'; did you mean 'digits'?" in capsys.readouterr().err
    assert command.main([*given[:2], "--check", "digits", "zoo:resnet-leaves"]) == 2
    assert "the table has no rows of 'zoo:resnet-leaves' on 'digits'" in capsys.readouterr().err
    plan = design.plan(0, small / "out" / "domains", {RESNET.name: RESNET}, ["digits"])
    assert len(Ledger(small / "out").rows(plan)) == len(PROTOCOLS)


# the page, from made-up numbers -------------------------------------------------------------------------------------

Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Return what writes a table of 12 models on 3 domains where each proxy follows finetuning with its own noise."""

    def write(noise: dict[str, float], seeds: int = 2, missing: int = 0) -> Path:
        rng, lines = np.random.default_rng(0), []
        quality = rng.normal(size=12)
        for domain in ("eurosat", "sketch", "wbc"):
            own = quality + 0.3 * rng.normal(size=12)
            for name in PROTOCOLS:
                for seed in range(seeds):
                    seen = own + (noise.get(name, 0.3) if name != TARGET else 0.05) * rng.normal(size=12)
                    for i, value in enumerate(seen):
                        kind = ("resnet", "batch") if i % 2 else ("vit", "layer")
                        groups = ("random" if i > 9 else "byol", *kind, str(1000 + i))
                        for split in ("val", "test") if name != TARGET else ("test",):
                            if (i % 2 or name != "bn-paper") and not (seed and domain == "wbc" and i < missing):
                                share = f"{0.5 + 0.08 * value:.4f}"
                                lines.append((f"m{i}", domain, name, "accuracy", share, str(seed), split, *groups))
        table.write(tmp_path / "made.csv", lines)
        return tmp_path / "made.csv"

    return write


@pytest.mark.parametrize(
    ("noise", "verdict"),
    [
        ({"norm": 0.02, "linear": 2.0, "head": 0.02}, "**Yes**: the lead is +"),
        ({"norm": 2.0, "linear": 0.02}, "**No, it predicts worse**: the lead is -"),
        ({"norm": 0.3, "linear": 0.3}, "**It cannot be told apart**"),
    ],
)
def test_the_page_answers_as_the_numbers_are(made: Made, noise: dict[str, float], verdict: str) -> None:
    page = results(made(noise), resamples=200)
    assert verdict in page.split("Against `head`")[0]
    assert "12 models with seed 0, 12 models with seed 1" in page
    assert "What 12 small models cannot show" in page
    assert "on 6 ResNets" not in page
    assert "only the 6 ResNets have" in page
    assert "**2 random starts are among them.**" in page
    assert "nan" not in page
    assert "None" not in page


def test_the_best_out_of_domain_is_named() -> None:
    apart, unclear = {"difference": 0.3, "low": 0.1, "high": 0.5}, {"difference": 0.1, "low": -0.1, "high": 0.3}
    said = best(["knn", "linear", "norm"], {"knn": unclear, "norm": None})
    assert "**Yes, by the mean**: `knn`, `linear` come first" in said
    assert "No proxy can be told apart from linear probing" in said
    said = best(["few-shot", "linear", "knn"], {"few-shot": apart, "knn": unclear})
    assert "**Not by the mean**: `few-shot`, `linear` come first" in said
    assert "Clearly apart from linear probing: `few-shot`." in said


def test_only_what_is_complete_counts(made: Made) -> None:
    frame = table.complete(made({}, missing=4))
    assert sorted(frame.groupby("seed")["model"].nunique().items()) == [("0", 12), ("1", 8)]


def test_too_few_models_and_a_page_without_marks_are_said(made: Made, tmp_path: Path) -> None:
    path = made({})
    lines = [line for line in table.read(path) if line[0] in ("m0", "m1")]
    table.write(path, lines)
    with pytest.raises(DataError, match="has 2 complete models; expected at least 3"):
        results(path)
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(DataError, match="has no '<!-- results: begin -->' followed by"):
        fill(tmp_path / "page.md", path)


# what is committed --------------------------------------------------------------------------------------------------


def test_the_committed_table_is_sound() -> None:
    with table.TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == table.COLUMNS
    assert table.TABLE.stat().st_size < 500_000
    keys = [tuple(row[name] for name in ("model", "dataset", "protocol", "seed", "split")) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {row["dataset"] for row in rows} == set(DOMAINS)
    assert {row["protocol"] for row in rows} == set(PROTOCOLS)
    assert {row["model"] for row in rows} <= set(design.model_names())
    assert all(0 <= float(row["value"]) <= 1 for row in rows)
    assert {row["backbone"] for row in rows if row["protocol"] == "bn-paper"} == {"resnet"}
    assert {row["split"] for row in rows if row["protocol"] == TARGET} == {"test"}
    for name in {row["model"] for row in rows}:
        about = {tuple(row[c] for c in table.COLUMNS[7:]) for row in rows if row["model"] == name}
        model = design.describe(name)
        assert about == {(model.family, model.backbone, model.norm, str(model.parameters))}


def test_the_page_is_not_stale() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.partition(f"{MARKS[0]}\n")[2].startswith(stamp(table.TABLE)), "run: python -m studies.transfer --page"


def test_the_drawn_parts_are_those_of_the_program(digits_folder: Path) -> None:
    """The file of a domain needs no further split: what the program makes of it is what was drawn."""
    images = load_images(digits_folder)
    drawn = domains.parts(images, np.arange(3), 0)
    split = make_split(images, seed=0)
    assert set(drawn["train"].tolist()) <= set(split.train.tolist())
    assert drawn["val"].tolist() == split.val.tolist()
    assert drawn["test"].tolist() == split.test.tolist()

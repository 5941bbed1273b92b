"""Protocols and layers on the command line: what is printed, what is refused, and a page that is not stale."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from test_cli import call, complaint

import acclimate
from acclimate import catalogue
from acclimate.catalogue import names, plain_names
from acclimate.errors import AcclimateError, InputError, ModelError, RecipeError
from acclimate.protocols import find_protocol, protocol_names
from acclimate.scores import PROBES

QUIET: dict[str, Any] = {"quiet": True, "device": "cpu"}
CHOOSING = """
name = "own/grid"
source = "this test"
deviations = []
labels = "50%"
[[stages]]
scope = "head"
augment = "none"
epochs = 10
lr = 0.01
[choose]
lr = [0.001, 0.01, 0.1]
"""


def score(data: Path, name: str = "knn", model: str = "random:test_resnet", **more: Any) -> dict[str, Any]:
    return acclimate.score(data, model=model, score=name, **QUIET, **more)


def test_protocols_lists_all_and_shows_one() -> None:
    listed = call("protocols", "--json").document["protocols"]
    assert [one["name"] for one in listed] == list(protocol_names())
    assert {one["kind"] for one in listed} == {"score", "recipe", "episodes"}
    assert all(one["source"] for one in listed)
    shown = call("protocols", "logreg/dinov2")
    assert shown.code == 0
    assert "refit = True" in shown.out
    assert shown.out.count("deviates:") == len(find_protocol("logreg/dinov2").deviations or ())
    assert "scope = head" in call("protocols", "linear").out
    assert "1 whole" not in call("protocols").out
    assert "knn/marks-zscore" in call("protocols").out


def test_a_protocol_is_scored_with_its_scale(digits_folder: Path) -> None:
    found = score(digits_folder, "knn/dino", scale=0.5)
    settings = found["settings"]["knn/dino"]
    assert (settings["scale"], settings["settings"]["k"]) == (0.5, [10, 200])
    assert settings["features"] == "default"
    assert 0 <= found["value"] <= 1
    assert set(found["metrics"]["knn/dino"]) == {"val"}


def test_settings_of_a_plain_score(digits_folder: Path) -> None:
    found = score(digits_folder, "logistic", settings={"normalise": "l2", "c": "0.1,1"})
    assert found["settings"]["logistic"]["settings"]["normalise"] == "l2"
    assert [point["C"] for point in found["chosen"]["logistic"]["path"]] == [0.1, 1.0]


@pytest.mark.parametrize("model", ["random:test_resnet", "random:test_vit", "random:test_convnext"])
def test_all_layers_and_which_is_best(digits_folder: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = score(digits_folder, "knn", model, layers="all")
    lines = found["layers"]
    best = max(lines, key=lambda line: (line["accuracy"], -line["log_loss"]))
    assert (found["best"], found["value"], found["d"]) == (best["layer"], best["accuracy"], best["d"])
    assert any(f"the best of {len(lines)} layers was chosen on the validation images" in w for w in found["warnings"])
    for line in (lines[0], lines[-1]):
        alone = score(digits_folder, "knn", model, layers=line["layer"], pooling=line["pooling"])
        assert alone["value"] == line["accuracy"]
        assert alone["settings"]["knn"]["features"] == f"{line['layer']}/{line['pooling']}"


def test_layers_are_shown_as_a_table(digits_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    called = call("score", digits_folder, "--model", "random:test_resnet", "--layers", "0,layer2,-1")
    assert called.code == 0
    assert all(name in called.out for name in ("act1", "layer2", "layer4", "Best on validation:", "optimistic"))


def test_tune_with_a_protocol_that_chooses(digits_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(CHOOSING, encoding="utf-8")
    arguments = [digits_folder, "--model", "random:test_resnet", "--recipe", file, "--scale", "0.5"]
    plan = call("tune", *arguments, "--dry-run", "--json").document
    assert plan["stages"][0]["epochs"] == 5
    assert plan["images"]["train"] == 30
    found = call("tune", *arguments, "--out", tmp_path / "run", "--json").document
    assert (found["recipe"], found["scale"]) == ("own/grid", 0.5)
    assert [point["lr"] for point in found["chosen"]["points"]] == [0.001, 0.1]
    assert found["val"]["accuracy"] == max(point["val_accuracy"] for point in found["chosen"]["points"])
    assert 0 <= found["test"]["accuracy"] <= 1
    predicted = acclimate.predict(tmp_path / "run", digits_folder, out=tmp_path / "p.csv", **QUIET)
    assert predicted["n"] == 108


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"name": "knn/dyno"}, RecipeError, "unknown score 'knn/dyno'; did you mean 'knn/dino'"),
        ({"name": "linear"}, InputError, "'linear' trains the model; expected a score, or: acclimate tune --recipe"),
        ({"name": "knn", "scale": 0.5}, RecipeError, r"got scale 0\.5 for 'knn', which is no preset"),
        ({"name": "knn/dino", "scale": 2}, RecipeError, "got scale 2; expected more than 0 and at most 1"),
        ({"name": "knn/dino", "settings": {"k": 3}}, RecipeError, "got settings for 'knn/dino', whose settings are"),
        ({"settings": {"normalize": "l2"}}, RecipeError, "score 'knn': unknown setting 'normalize'; did you mean"),
        ({"name": "all", "layers": "all"}, InputError, "got several layers for more than one classifier; expected one"),
        ({"layers": "layer9"}, ModelError, "unknown layer 'layer9'"),
        ({"layers": "0,,1"}, InputError, "got layers '0,,1'; expected last, all, or names with commas"),
        (
            {"pooling": "max"},
            ModelError,
            r"unknown pooling 'max'; did you mean 'mean'\? Expected one of: cls, cls\+mean",
        ),
    ],
)
def test_bad_scores(digits_folder: Path, arguments: dict[str, Any], kind: type[AcclimateError], message: str) -> None:
    with pytest.raises(kind, match=message):
        score(digits_folder, **arguments)


def test_bad_names_are_one_line(digits_folder: Path, tmp_path: Path) -> None:
    said = complaint(call("protocols", "knn/dyno"))
    assert "unknown protocol 'knn/dyno'; did you mean 'knn/dino'" in said
    tuned = ("tune", digits_folder, "--model", "random:test_resnet", "--recipe")
    assert "'knn/dino' trains nothing; expected a recipe, or: acclimate score --score" in complaint(
        call(*tuned, "knn/dino")
    )
    assert "got scale 0.5 for 'linear', which is no preset" in complaint(call(*tuned, "linear", "--scale", "0.5"))
    file = tmp_path / "grid.toml"
    file.write_text(CHOOSING.replace("lr = [", "l_r = ["), encoding="utf-8")
    assert "choose: unknown key 'l_r'; did you mean 'lr'" in complaint(call(*tuned, file))
    file.write_text(CHOOSING, encoding="utf-8")
    assert "got a label budget of 10% for 'own/grid', which takes 50%" in complaint(
        call(*tuned, file, "--labels", "10%")
    )


def test_protocols_page_is_not_stale() -> None:
    spec = importlib.util.spec_from_file_location("make_protocols", ROOT / "docs" / "make_protocols.py")
    assert spec
    assert spec.loader
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.PAGE.read_text("utf-8") == maker.page(), "run: python docs/make_protocols.py"
    assert maker.page().count("\n## `") == len(names("protocols")) - len(plain_names()) > len(PROBES)


def test_the_list_says_of_a_protocol_what_it_says_of_itself() -> None:
    """The list reads files alone, without checking them; the protocols themselves are the reference."""
    cards = catalogue.protocol_cards({name: probe.meaning for name, probe in PROBES.items()})
    assert [card["name"] for card in cards] == list(protocol_names())
    own = {name: find_protocol(name).card() for name in protocol_names() if name not in catalogue.ALIASES}
    assert [card for card in cards if card["name"] in own] == list(own.values())
    old = {card["name"]: card for card in cards if card["name"] not in own}
    for name, new in catalogue.ALIASES.items():
        assert old[name] == {**own[new], "name": name, "source": f"deprecated name of {new}", "deviations": []}

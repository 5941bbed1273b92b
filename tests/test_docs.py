"""The documentation is run: README commands as they stand, the recipe it shows, and a CLI page that is not stale."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from acclimate.commands import main
from acclimate.training.recipe import parse_recipe

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS = 120


def block(name: str) -> str:
    """Return the code block of README.md marked ``<!-- run: NAME -->``."""
    match = re.search(rf"<!-- run: {name} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert match, f"README.md has no block marked 'run: {name}'"
    return match.group(1)


def commands(text: str) -> list[str]:
    r"""Return the commands of a block, one a line, or on several lines that end in ``\``."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture
def photos(tmp_path: Path, flower_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with ``photos`` (two classes) and ``new-photos`` (without labels)."""
    shutil.copytree(flower_folder, tmp_path / "photos")
    shutil.copytree(flower_folder / "china", tmp_path / "new-photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_readme_commands(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command exits with 0 and leaves what the README says; the weights load into plain timm."""
    lines = commands(block("commands"))
    assert len(lines) == 7
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "acclimate"
        assert main(arguments) == 0, f"{line}\n{capsys.readouterr().err}"
    for left in ("ranking/report.html", "adapted/weights.safetensors", "predictions.csv", "run/model.onnx"):
        assert (photos / left).stat().st_size > 100, left
    namespace: dict[str, object] = {}
    exec(block("timm"), namespace)
    assert namespace["model"].num_features == 96  # type: ignore[attr-defined]  # whatever timm made


def test_readme_looks_closer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protocols, layers, what a run changed, a study and what its table says, one after the other."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.toml").write_text(block("study"), encoding="utf-8")
    for line in commands(block("closer")):
        assert main(shlex.split(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    printed = capsys.readouterr().out
    for word in ("Sirotkin", "logme", "layer4", "class separation", "Spearman"):
        assert word in printed, word


def test_readme_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for line in commands(block("curve")):
        assert main(shlex.split(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    assert "worth about" in capsys.readouterr().out
    assert "Worth" in (tmp_path / "proof" / "report.html").read_text("utf-8")


def test_the_page_of_studies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its study runs with its commands."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"<!-- run: (\S+) -->\n```\w*\n(.*?)```", page, re.DOTALL))
    (tmp_path / "study.toml").write_text(blocks["study.toml"], encoding="utf-8")
    for line in commands(blocks["commands"]):
        assert main(shlex.split(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    said = capsys.readouterr().out
    assert "12 cells of 2 models on 1 data sets: 12 open" in said
    assert "Study digits: 12 of 12 cells" in said
    assert (tmp_path / "digits" / "report.html").is_file()


def test_readme_python(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, object] = {}
    exec(block("python"), namespace)
    assert "knn" in capsys.readouterr().out
    assert namespace["features"].x.shape == (1797, 96)  # type: ignore[attr-defined]  # Features


def test_readme_recipe() -> None:
    recipe = parse_recipe(tomllib.loads(block("recipe")), where="of the README")
    assert [stage.scope for stage in recipe.stages] == ["head+norm", "head+last:1"]


def long_lines(text: str) -> list[str]:
    """Return the lines of Markdown that are too long; a row of a table cannot break."""
    return [line for line in text.splitlines() if len(line) > COLUMNS and not line.startswith("|")]


def test_no_line_of_markdown_is_longer_than_120_columns() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    pages = {name: (ROOT / name).read_text(encoding="utf-8") for name in listing.stdout.split("\0") if name}
    assert {"README.md", "CHANGELOG.md", "docs/protocols.md", "benchmarks/README.md"} <= set(pages)
    assert {name: lines for name, text in pages.items() if (lines := long_lines(text))} == {}


def test_a_long_line_of_markdown_is_seen() -> None:
    word = "x" * COLUMNS
    assert long_lines(f"{word}\n| {word} |\n{word}y\n") == [f"{word}y"]


def test_links_lead_somewhere() -> None:
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
    ]
    links = [
        (page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    ]
    assert links
    assert not [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]


def test_cli_page_is_not_stale() -> None:
    spec = importlib.util.spec_from_file_location("make_cli", ROOT / "docs" / "make_cli.py")
    assert spec
    assert spec.loader
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.PAGE.read_text("utf-8") == maker.page(), "run: python docs/make_cli.py"

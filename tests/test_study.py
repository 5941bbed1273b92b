"""The study of adaptation, in miniature: every cell is measured, kept, and written into the page between its marks."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def study(digits_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script with one small domain and a page of its own."""
    spec = importlib.util.spec_from_file_location("study_of_adaptation", ROOT / "studies" / "adaptation.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{module.MARKS[0]}\nold\n{module.MARKS[1]}\nafter\n", encoding="utf-8")
    domain = module.Domain(digits_folder.name, "document", "three digits")
    for name, value in (("PAGE", page), ("DOMAINS", {"digits": domain}), ("LABELS", ("2", "4")), ("SEEDS", 2)):
        monkeypatch.setattr(module, name, value)
    return module


def test_miniature(study: ModuleType, digits_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    arguments = ["--data", str(digits_folder.parent), "--out", str(out), "--steps", "6", "--size", "32"]
    monkeypatch.setattr(sys, "argv", ["adaptation.py", *arguments, "--model", "random:test_resnet"])
    assert study.main() == 0
    page = study.PAGE.read_text(encoding="utf-8")
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    for method in study.METHODS:
        assert f"| digits | random:test_resnet | 32 | {method} |" in page
    result = json.loads(next(out.glob("*.json")).read_text(encoding="utf-8"))
    assert {point["labels"] for point in result["curve"]["points"]} == {"2", "4"}
    assert result["runs"]["norm only"]["steps"] == 2
    runs = {path: path.stat().st_mtime_ns for path in out.rglob("run.json")}
    assert len(runs) == len(study.METHODS)
    assert study.main() == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("run.json")} == runs
    assert study.PAGE.read_text(encoding="utf-8") == page


def test_the_page_has_its_marks() -> None:
    page = (ROOT / "docs" / "adaptation.md").read_text(encoding="utf-8")
    assert page.index("<!-- results: begin -->") < page.index("<!-- results: end -->")

"""Record the golden files anew: ``python tests/make_golden.py [NAME ...]``, for a change that is meant.

Look at the difference before it is committed: each line of it is something that a user's script may lean on.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import test_documents
import test_errors
import test_first_house
import test_names
from goldens import settled, write_golden
from make_first_house import unpack


def _compared(folder: Path) -> Any:
    unpack(test_first_house.FIXTURES, folder)
    with settled(folder):
        return {name: test_first_house.compared(name) for name in test_first_house.COMPARED}


def _documents(folder: Path) -> Any:
    return test_documents.shapes(folder)


def _errors(folder: Path) -> Any:
    return test_errors.complaints(folder)


def _names(folder: Path) -> Any:
    with settled(folder):
        return test_names.names()


MAKERS: dict[str, Callable[[Path], Any]] = {
    "compared": _compared,
    "documents": _documents,
    "errors": _errors,
    "names": _names,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or MAKERS:
        with tempfile.TemporaryDirectory() as place:
            made = Path(place) / "work"
            made.mkdir()
            write_golden(name, MAKERS[name](made))

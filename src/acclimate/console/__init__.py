"""How a document is shown: as JSON for programs, as tables and sentences for people.

To show a new command: a function in a file of this folder, and its line in `PAINTERS`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from acclimate.commands.shared import Document
from acclimate.console import explaining, looking, many, runs, studying

PAINTERS: dict[str, Callable[[Console, Document], None]] = {
    "score": looking.score,
    "embed": looking.embed,
    "explain": explaining.explain,
    "tune": runs.tune,
    "adapt": runs.adapt,
    "predict": runs.predict,
    "export": runs.export,
    "rank": many.rank,
    "curve": many.curve,
    "demo": many.demo,
    "study": studying.study,
}
# Plans of dry runs that have a form of their own.
PLANS: dict[str, Callable[[Console, Document], None]] = {"study": studying.plan}


def show(document: Document, *, as_json: bool) -> None:
    """Print a command's document on stdout."""
    if as_json:
        json.dump(_finite(document), sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    console = Console()
    command = document["command"]
    painter = PLANS.get(command, looking.dry) if document.get("dry_run") else PAINTERS[command]
    painter(console, document)


def _finite(value: Any) -> Any:
    """Return the same with NaN and infinity as null: JSON has neither."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

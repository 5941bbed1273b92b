"""The names of timm's architectures, read from its source: a wrong name is answered before torch is imported."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import re
import sys
from pathlib import Path
from typing import Final

from acclimate.errors import ModelError

_REGISTERED: Final = re.compile(r"^@register_model\s+def (\w+)\(", re.MULTILINE)


def require_architecture(architecture: str) -> None:
    """Check that timm has an architecture; a tag of its weights may follow after a dot.

    timm itself answers where it is imported. Else its source does: a name that it spells nowhere is unknown, any other
    is checked again when the model is built.

    Raises
    ------
    ModelError
        For a name that timm does not know; the nearest ones are named.
    """
    name = architecture.partition(".")[0]
    timm = sys.modules.get("timm")
    if not (timm.is_model(name) if timm is not None else _is_spelled(name)):
        raise ModelError(unknown_architecture(architecture))


def unknown_architecture(architecture: str) -> str:
    """Return the message for a name that timm does not know; the nearest ones are named."""
    near = difflib.get_close_matches(architecture.partition(".")[0], architecture_names(), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    return (
        f"got model '{architecture}', which is neither an embedded model (zoo:NAME), a timm name nor a file{hint} "
        "'acclimate models' lists good ones"
    )


def architecture_names() -> list[str]:
    """Return the names that timm registers, without those it has given up, in the order of ``timm.list_models``."""
    timm = sys.modules.get("timm")
    return list(timm.list_models()) if timm is not None else sorted(_REGISTERED.findall(_source()))


def _is_spelled(name: str) -> bool:
    """Whether timm's source defines an architecture or quotes its name, as it does with those that it has renamed."""
    return re.search(rf"(?:^def |[\"']){re.escape(name)}(?:\(|[\"'])", _source(), re.MULTILINE) is not None


@functools.cache
def _source() -> str:
    """Return the source of timm's architectures; a read takes milliseconds, an import seconds."""
    package = importlib.util.find_spec("timm")
    folders = package.submodule_search_locations if package is not None else None
    files = sorted(file for folder in folders or () for file in Path(folder, "models").glob("*.py"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)

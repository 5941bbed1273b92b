"""What names of models and of data can be, told without numpy, torch and timm: a wrong one is answered at once.

timm's names are read from timm's own files, where each stands under ``@register_model``: importing timm takes seconds.
Where it is imported already it is asked itself, so that a model which a user's program registered counts as well.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import re
import sys
from pathlib import Path
from typing import Final

from acclimate.catalogue import paper_model, zoo_weights
from acclimate.catalogue.read import names
from acclimate.errors import DataError, ModelError, unknown

SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz", ".tar", ".torch")  # of weights files

_REGISTERED: Final = re.compile(r"^@register_model\ndef (\w+)", re.MULTILINE)
_RENAMED: Final = re.compile(r"^register_model_deprecations\(__name__, \{(.*?)\}\)", re.MULTILINE | re.DOTALL)
_KEY: Final = re.compile(r"""^\s*['"](\w+)['"]\s*:""", re.MULTILINE)


def require_model(model: str) -> None:
    """Refuse what cannot be a model; a name that passes may still turn out to have no weights.

    Raises `ModelError` for an empty or unknown name (the nearest ones are named), or a weights file that does not
    exist.
    """
    kind, _, rest = model.partition(":")
    name, at, file = model.partition("@")
    if kind == "zoo":
        zoo_weights(model)
    elif kind == "paper":
        paper_model(rest.partition("@")[0])
    elif kind in ("timm", "random"):
        require_architecture(rest)
    elif not model.strip():
        raise ModelError(
            "got an empty model name; expected zoo:NAME, paper:NAME, a timm name, a run's folder or a weights file"
        )
    elif Path(model).exists():
        return
    elif at or model.endswith(SUFFIXES):
        if not Path(file or name).is_file():
            raise ModelError(f"weights file '{file or name}' does not exist")
        if at:
            require_architecture(name)
    else:
        require_architecture(model)


def require_architecture(name: str) -> None:
    """Refuse what timm has no architecture for; the message names the nearest ones."""
    if not is_architecture(name):
        raise ModelError(unknown_architecture(name))


def is_architecture(name: str) -> bool:
    """Return whether timm has an architecture; the tag of weights, after the dot, may be anything."""
    architecture, timm = name.partition(".")[0], sys.modules.get("timm")
    if timm is not None:
        return bool(timm.is_model(architecture))
    return architecture in architectures() or architecture in _renamed()


def unknown_architecture(name: str) -> str:
    """Return the message for a name that timm does not know; the nearest ones are named."""
    near = difflib.get_close_matches(name.partition(".")[0], architectures(), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    return (
        f"got model '{name}', which is neither an embedded model (zoo:NAME), a timm name nor a file{hint} "
        "'acclimate models' lists good ones"
    )


@functools.cache
def architectures() -> frozenset[str]:
    """Return the names of timm's architectures, without those that timm has renamed.

    Examples
    --------
    >>> "resnet50" in architectures(), "vit_base_patch16_224_in21k" in architectures()
    (True, False)
    """
    return frozenset(name for text in _files() for name in _REGISTERED.findall(text))


@functools.cache
def _renamed() -> frozenset[str]:
    """Return old names, which timm still takes."""
    return frozenset(name for text in _files() for table in _RENAMED.findall(text) for name in _KEY.findall(table))


@functools.cache
def _files() -> tuple[str, ...]:
    """Return the text of every file of timm that defines models: 4 MB."""
    package = importlib.util.find_spec("timm")
    assert package is not None  # a dependency
    assert package.origin is not None
    return tuple(
        file.read_text(encoding="utf-8") for file in Path(package.origin).parent.joinpath("models").glob("*.py")
    )


SOURCES: Final = ("builtin", "torchvision", "hf", "data")  # what stands before the colon
BUILTIN: Final = ("digits",)
ACCEPTED: Final = (
    "expected a folder of class folders (with or without train/ val/ test/), a flat folder of images, a "
    "manifest (.csv or .parquet with path,label[,split][,group]), an .npz, data:NAME@FOLDER, builtin:digits, "
    "torchvision:NAME or hf:NAME"
)


def require_data(data: str | Path) -> None:
    """Refuse an empty or unknown name of data, or a path without a file or folder.

    Raises
    ------
    DataError
        With the nearest name, or with what is expected.
    """
    source, colon, name = str(data).partition(":")
    if not str(data).strip():
        raise DataError("got an empty name of data; expected a folder, a manifest, an .npz or builtin:digits")
    if colon and source == "builtin" and name not in BUILTIN:
        raise DataError(unknown("built-in data set", name, BUILTIN))
    if colon and source == "data":
        require_dataset(name.partition("@")[0])
    if not (colon and source in SOURCES) and not Path(data).expanduser().exists():
        raise DataError(f"no such file or folder: {data}; {ACCEPTED}")


def require_dataset(name: str) -> None:
    """Refuse the name of a data set that is not in the catalogue; the nearest one is named."""
    if name not in names("datasets"):
        raise DataError(unknown("data set", name, names("datasets")))

"""What a study's names stand for, and whether it is there: models and data sets, without loading any."""

from __future__ import annotations

import importlib
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import timm
from huggingface_hub import try_to_load_from_cache

from acclimate.catalogue import paper_model, zoo_weights
from acclimate.catalogue.lookup import BUILTIN, SOURCES, SUFFIXES, require_architecture
from acclimate.errors import DataError, ModelError, StudyError, unknown
from acclimate.images.layouts.datasets import dataset_entries, dataset_entry
from acclimate.storage.store import cache_root

HERE, FETCHED, MISSING = "here", "download", "missing"
MODEL_KINDS = ("zoo", "timm", "paper", "random")
HUB_FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@dataclass(frozen=True)
class Input:
    """One model or data set of a study."""

    name: str  # as the study has it
    given: str  # what the program opens: the same with paths made absolute
    state: str = HERE  # ``here``, ``download`` (fetched when it is needed) or ``missing``
    said: str = ""  # where it comes from, or how to get it


def find_model(name: str, roots: Sequence[Path]) -> Input:
    """Return what a model's name stands for.

    Raises `ModelError` for a name that nothing has; the nearest one is named; `StudyError` for a path that leads out of
    the folders.

    A relative path is looked for in each of the folders ``roots``, and lies in one of them.
    """
    kind, colon, rest = name.partition(":")
    if colon and kind == "zoo":
        zoo_weights(name)
        return Input(name, name)
    if colon and kind == "paper":
        return _paper(name, rest, roots)
    if colon and kind == "random":
        require_architecture(rest)
        return Input(name, name)
    if colon and kind == "timm":
        return _hub(name, rest)
    if (path := inside(name, roots)).exists():
        return Input(name, str(path))
    architecture, at, file = name.partition("@")
    if at:
        require_architecture(architecture)
        return _file(name, f"{architecture}@", file, roots)
    if "/" in name or name.endswith(SUFFIXES):
        return Input(name, str(path), MISSING, f"there is no file or folder {path}")
    if colon and kind not in MODEL_KINDS:
        raise ModelError(f"{unknown('kind of model', kind, MODEL_KINDS)}, as in 'zoo:NAME' (got '{name}')")
    return _hub(name, name)


def _hub(name: str, architecture: str) -> Input:
    require_architecture(architecture)
    try:
        config = timm.get_pretrained_cfg(architecture)
    except RuntimeError:
        tags = timm.list_pretrained(f"{architecture.partition('.')[0]}.*")
        raise ModelError(unknown("weights of timm", architecture, tags)) from None
    if config is None or not config.has_weights:
        raise ModelError(f"timm has no pretrained weights for '{name}'; expected 'random:{architecture}' for none")
    repository = config.hf_hub_id
    cached = repository and any(isinstance(try_to_load_from_cache(repository, file), str) for file in HUB_FILES)
    return Input(name, name) if cached else Input(name, name, FETCHED, f"from the hub, {repository or config.url}")


def _paper(name: str, rest: str, roots: Sequence[Path]) -> Input:
    short, at, file = rest.partition("@")
    model = paper_model(short)
    if at:
        return _file(name, f"paper:{short}@", file, roots)
    folder = cache_root() / "weights"
    suffixes = (Path(urllib.parse.urlsplit(model.url).path).suffix,) if model.url else SUFFIXES
    if any((folder / f"{short}{suffix}").is_file() for suffix in suffixes):
        return Input(name, name)
    if model.url:
        return Input(name, name, FETCHED, f"from {model.url}")
    return Input(name, name, MISSING, f"get it {model.by_hand} and put it at {folder / short}.pth")


def _file(name: str, before: str, file: str, roots: Sequence[Path]) -> Input:
    path = inside(file, roots)
    return Input(name, f"{before}{path}", *(() if path.exists() else (MISSING, f"there is no file or folder {path}")))


def find_data(name: str, roots: Sequence[Path]) -> Input:
    """Return what the name of a data set stands for; see `find_model`.

    A ``data:NAME`` without a folder is looked for as a folder NAME in the roots, then downloaded if that can be. Raises
    `DataError` for a name that nothing has; the nearest one is named; `StudyError` for a path that leads out of the
    folders.
    """
    kind, colon, rest = name.partition(":")
    if colon and kind == "builtin":
        if rest not in BUILTIN:
            raise DataError(unknown("built-in data set", name, (f"builtin:{short}" for short in BUILTIN)))
        return Input(name, name)
    if colon and kind == "torchvision":
        names = importlib.import_module("torchvision.datasets").__all__  # no types, and slow to import
        if rest not in names:
            raise DataError(unknown("torchvision data set", rest, names))
        return Input(name, name, FETCHED, "through torchvision")
    if colon and kind == "hf":
        return Input(name, name, FETCHED, "from the Hugging Face hub")
    if colon and kind == "data":
        return _named(name, rest, roots)
    path = inside(name, roots)
    if path.exists():
        return Input(name, str(path))
    if colon:
        raise DataError(f"{unknown('kind of data', kind, SOURCES)}, as in 'builtin:digits' (got '{name}')")
    for full in (*(f"builtin:{short}" for short in BUILTIN), *(f"data:{short}" for short in dataset_entries())):
        if full.partition(":")[2] == name:
            raise DataError(f"there is no folder '{name}'; did you mean '{full}'?")
    return Input(name, str(path), MISSING, f"there is no file or folder {path}")


def _named(name: str, rest: str, roots: Sequence[Path]) -> Input:
    short, at, folder = rest.partition("@")
    entry = dataset_entry(short)
    if at:
        return _file(name, f"data:{short}@", folder, roots)
    for root in roots:
        if (root / short).is_dir():
            return Input(name, f"data:{short}@{inside(short, [root])}")
    if entry.download is not None:
        return Input(name, name, FETCHED, f"through torchvision, from {entry.url}")
    return Input(name, name, MISSING, f"get it from {entry.url} and put it at {roots[0] / short}, or give --data-root")


def inside(text: str, roots: Sequence[Path]) -> Path:
    """Return the absolute path of a text, below one of the roots when links are followed.

    Raises `StudyError` for one that leads out of them.
    """
    places = [root / Path(text).expanduser() for root in roots]
    path = next((place for place in places if place.exists()), places[0]).resolve()
    if any(path.is_relative_to(root.resolve()) for root in roots):
        return path
    raise StudyError(
        f"'{text}' leads to {path}, outside of {' and '.join(str(root.resolve()) for root in roots)}; expected a "
        "path inside: put it there, or name the folder that holds it with --data-root"
    )

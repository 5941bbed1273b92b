"""From the place of the weights to a Backbone: an embedded model, timm's, a paper's, a file or a random start."""

from __future__ import annotations

import contextlib
import json
import logging
import urllib.parse
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from acclimate.catalogue import PaperModel, paper_model, zoo_weights
from acclimate.catalogue.lookup import SUFFIXES, require_architecture
from acclimate.errors import ModelError, unknown
from acclimate.models.backbone import Backbone, Preprocess
from acclimate.models.load.build import create, digest
from acclimate.models.load.download import fetch
from acclimate.models.load.hub import hub_answers, local_cache_only, network_errors
from acclimate.models.load.lean import import_timm
from acclimate.models.load.source import Source, paper_folder
from acclimate.models.load.weights import fit_positions, load_strictly, read_layout, read_weights

if TYPE_CHECKING:
    from timm.models import PretrainedCfg


def open_source(source: Source, image_size: int | None) -> Backbone:
    """Load the weights of a name; ``image_size`` is the side of the input where it is not the weights' own.

    Raises ModelError when the hub cannot be reached, or the weights do not fit.
    """
    if source.kind in ("random", "timm"):
        return _from_timm(source.name, source.rest, image_size, random=source.kind == "random")
    if source.kind == "zoo":
        with resources.as_file(zoo_weights(source.name)) as file:
            return _from_file(source.name, file, {}, image_size)
    if source.kind == "paper":
        model = paper_model(source.rest.partition("@")[0])
        own = source.file if "@" in source.rest else None
        return from_paper(model, own or paper_weights(model), name=source.name, image_size=image_size)
    assert source.file is not None  # as find_source says
    card = {"architecture": source.architecture} if source.architecture else _hub_card(source.config)
    return _from_file(source.name, source.file, card, image_size)


def _finish(
    name: str, architecture: str, arguments: Mapping[str, Any], module: nn.Module, preprocess: Preprocess, random: bool
) -> Backbone:
    module = module.eval().to(memory_format=torch.channels_last)
    key = digest(architecture, arguments, module)
    return Backbone(name, architecture, module, preprocess, key, random, dict(arguments))


def _sized(architecture: str, image_size: int | None) -> dict[str, Any]:
    """Arguments that make an architecture take another image size; only those with position embeddings need one."""
    config = _published(architecture)
    if image_size is None or config is None or not config.fixed_input_size:
        return {}
    return {"img_size": image_size}


def _published(architecture: str) -> PretrainedCfg | None:
    """Return what timm knows of an architecture's weights; None where it has none.

    Raises ModelError for an architecture or a tag (what stands after the dot) that timm does not know.
    """
    timm = import_timm()
    require_architecture(architecture)
    try:
        config: PretrainedCfg | None = timm.get_pretrained_cfg(architecture)
    except RuntimeError:
        raise ModelError(f"timm has no weights '{architecture}'; {_instead(architecture)}") from None
    return config


def _instead(architecture: str) -> str:
    name = architecture.partition(".")[0]
    tags = import_timm().list_pretrained(f"{name}.*")
    weights = f"one of {', '.join(tags[:5])}{', ...' if len(tags) > 5 else ''}, or " if tags else ""
    return f"expected {weights}'random:{name}' for a random start"


def _config(module: nn.Module) -> Mapping[str, Any]:
    config: Mapping[str, Any] = module.pretrained_cfg  # type: ignore[assignment]  # set by timm on every model
    return config


def _square(image_size: int | None) -> tuple[int, int] | None:
    return None if image_size is None else (image_size, image_size)


def _from_timm(name: str, architecture: str, image_size: int | None, *, random: bool) -> Backbone:
    config = None if random else _published(architecture)
    if not random and (config is None or not config.has_weights):
        raise ModelError(f"timm has no pretrained weights for '{architecture}'; {_instead(architecture)}")
    arguments = _sized(architecture, image_size)
    module = create(architecture, arguments) if random else _pretrained(architecture, arguments)
    preprocess = Preprocess.from_config(_config(module), _square(image_size))
    return _finish(name, architecture, arguments, module, preprocess, random)


def _pretrained(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build with pretrained weights through timm; whatever the network libraries raise becomes one clear line."""
    timm, level = import_timm(), logging.getLogger("timm").level
    logging.getLogger("timm").setLevel(logging.ERROR)
    online = hub_answers()
    try:
        with contextlib.nullcontext() if online else local_cache_only():
            module: nn.Module = timm.create_model(architecture, pretrained=True, num_classes=0, **arguments)
    except network_errors() as error:
        why = (
            f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            if online
            else "the model hub cannot be reached and they are not in its local cache"
        )
        raise ModelError(
            f"cannot get the pretrained weights of '{architecture}': {why}. Download them elsewhere and give "
            f"'{architecture}@FILE', or use an embedded model: 'acclimate models --family zoo'"
        ) from error
    finally:
        logging.getLogger("timm").setLevel(level)
    return module


def _hub_card(config: Path | None) -> dict[str, Any]:
    """Return what a hub's ``config.json`` says, with our name for the arguments; empty where there is none."""
    if config is None:
        return {}
    try:
        card = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"cannot read '{config}': {error}; expected the JSON that the hub keeps there") from None
    if not isinstance(card, dict):
        raise ModelError(f"'{config}' holds a {type(card).__name__}; expected the JSON table that the hub keeps there")
    return {"arguments": card.get("model_args") or {}, **card}


def _from_file(name: str, path: Path, card: Mapping[str, Any], image_size: int | None) -> Backbone:
    tensors, header = read_weights(path)
    own, user = str(header.get("architecture", "")), str(card.get("architecture", ""))
    if own and user and own.partition(".")[0] != user.partition(".")[0]:
        raise ModelError(f"'{path}' says that it is for '{own}', got '{user}'; give '{path}' without an architecture")
    card = {**card, **header}
    if "architecture" not in card:
        raise ModelError(
            f"'{path}' does not say what architecture it is for; give it as 'ARCH@{path}', such as 'resnet50@{path}'"
        )
    architecture = str(card["architecture"])
    arguments = {**card.get("arguments", {}), **_sized(architecture, image_size)}
    module = create(architecture, arguments)
    spare = set(card.get("classifier", ()))
    tensors = {key: t.float() if t.is_floating_point() else t for key, t in tensors.items() if key not in spare}
    if image_size is not None:
        tensors = fit_positions(module, tensors)
    load_strictly(module, tensors, architecture=architecture, where=str(path))
    preprocess = _preprocess(card, module, image_size)
    return _finish(name, architecture, arguments, module, preprocess, bool(card.get("random_start", False)))


def paper_weights(model: PaperModel) -> Path:
    """Return the file of a paper's model in the cache, downloaded if it is not there.

    Raises ModelError when it cannot be downloaded; the text says where to put it by hand.
    """
    folder = paper_folder()
    if model.url:
        suffix = Path(urllib.parse.urlsplit(model.url).path).suffix
        target = folder / f"{model.name}{suffix}"
        return fetch(model.url, target, checksum=model.checksum, instead=f"paper:{model.name}@FILE")
    there = next((file for s in SUFFIXES if (file := folder / f"{model.name}{s}").is_file()), None)
    if there is None:
        raise ModelError(
            f"the weights of 'paper:{model.name}' cannot be downloaded by a program: get them {model.by_hand}, and put "
            f"them at '{folder / model.name}.pth' or give 'paper:{model.name}@FILE'"
        )
    return there


def from_paper(model: PaperModel, path: Path, *, name: str, image_size: int | None = None) -> Backbone:
    """Return the backbone in an authors' file; every tensor of it is filled, and none is left over.

    Raises ModelError when the file is not laid out as the catalogue says, or its tensors do not fit the architecture.
    """
    arguments = {**model.arguments, **_sized(model.architecture, image_size)}
    module = create(model.architecture, arguments)
    tensors = {key: t.float() if t.is_floating_point() else t for key, t in read_layout(path, model.layout).items()}
    if image_size is not None:
        tensors = fit_positions(module, tensors)
    load_strictly(module, tensors, architecture=model.architecture, where=str(path), classifier=False)
    config = {**model.preprocess, "input_size": (3, model.preprocess["size"], model.preprocess["size"])}
    preprocess = Preprocess.from_config(config, _square(image_size))
    return _finish(name, model.architecture, arguments, module, preprocess, random=False)


def _preprocess(card: Mapping[str, Any], module: nn.Module, image_size: int | None) -> Preprocess:
    """Preprocessing from our own header, else from a hub's ``pretrained_cfg``, else from timm's default for it."""
    if "preprocess" not in card:
        return Preprocess.from_config({**_config(module), **card.get("pretrained_cfg", {})}, _square(image_size))
    stored = {key: tuple(v) if isinstance(v, list) else v for key, v in card["preprocess"].items()}
    extra = set(stored) - set(asdict(Preprocess((1, 1))))
    if extra:
        complaint = unknown("preprocessing key", sorted(extra)[0], asdict(Preprocess((1, 1))))
        raise ModelError(f"the weights' header is damaged: {complaint}")
    size = _square(image_size)
    return Preprocess(**(stored if size is None else {**stored, "size": size, "crop_pct": 1.0}))

"""From what the user wrote to a Backbone; of weights that were loaded before, without torch.

What loading a backbone found out is remembered until its weights, its name or a library changes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, JsonValue, field_validator

from acclimate.errors import AcclimateError, ModelError
from acclimate.images.geometry import FILTERS
from acclimate.models.backbone import Backbone, Opening, Preprocess
from acclimate.models.device import remember_device
from acclimate.models.load.source import Source, find_source
from acclimate.models.taps import Outline
from acclimate.storage.facts import Fact, forget, recall, remember

SETTLED: Final = 2.0  # seconds without a change until a file counts as finished: clocks of file systems are coarse
_HUB: Final = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME")

Stamp = tuple[int, int, int, int]  # size, times of the last change of content and of anything, number of the file


class BackboneFacts(Fact):
    """A backbone without its network, and the stamp of every file that decided what was loaded."""

    files: dict[str, Stamp]
    architecture: str = Field(min_length=1)
    arguments: dict[str, JsonValue]
    preprocess: Preprocess
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    random_start: bool
    outline: Outline

    @field_validator("preprocess")
    @classmethod
    def _possible(cls, preprocess: Preprocess) -> Preprocess:
        try:
            possible = preprocess.geometry.interpolation in FILTERS and min(preprocess.std) > 0
        except (AcclimateError, ArithmeticError, ValueError) as error:
            raise ValueError(str(error)) from None
        if not possible:
            raise ValueError("no image can be made so")
        return preprocess


def recall_backbone(
    source: Source, image_size: int | None, load: Callable[[str], Backbone], cache: Path | None
) -> Backbone | None:
    """Return the backbone of a name as far as it is known, or None; ``load`` is given its digest when it is needed."""
    facts = recall(BackboneFacts, *_parts(source, image_size), cache=cache)
    if facts is None or facts.files != stamps(map(Path, facts.files)):
        return None
    values: dict[str, Any] = {name: getattr(facts, name) for name in BackboneFacts.model_fields.keys() - {"files"}}
    values["module"] = Opening(lambda: load(facts.digest).module, values.pop("outline"))
    return Backbone(source.name, **values)


def remember_backbone(
    backbone: Backbone, source: Source, image_size: int | None, files: dict[str, Stamp], cache: Path | None
) -> None:
    """Keep what a loaded backbone is, if the files that it came from are as they were before, and settled."""
    newest = max((stamp[1] for stamp in files.values()), default=0) / 1e9
    if files != stamps(map(Path, files)) or time.time() - newest < SETTLED:
        return
    fields = BackboneFacts.model_fields.keys() - {"files", "arguments"}
    values: dict[str, Any] = {name: getattr(backbone, name) for name in fields}
    facts = BackboneFacts.model_construct(files=files, arguments=dict(backbone.arguments), **values)
    remember(facts, *_parts(source, image_size), cache=cache)


def forget_backbone(source: Source, image_size: int | None, cache: Path | None) -> None:
    """Drop what is remembered of a name."""
    forget(BackboneFacts, *_parts(source, image_size), cache=cache)


def stamps(files: Iterable[Path]) -> dict[str, Stamp]:
    """Return the stamp of each file that is there, by its full path."""
    stated = {str(file.absolute()): file.stat() for file in files if file.is_file()}
    return {name: (s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for name, s in stated.items()}


def _parts(source: Source, image_size: int | None) -> tuple[object, ...]:
    hub = [os.environ.get(name) for name in _HUB] if source.kind == "timm" else []
    return source.name, source.kind, [str(file.absolute()) for file in source.files], image_size, hub


def load_backbone(
    model: str | Path | Backbone, *, image_size: int | None = None, cache: Path | None = None, remember: bool = True
) -> Backbone:
    """Return the backbone a name or path stands for.

    Where the same weights were loaded before, its network is loaded when it is first needed.

    Raises ModelError when the name is unknown, the hub cannot be reached, or the weights do not fit.

    Parameters
    ----------
    model
        ``zoo:NAME`` (embedded), ``timm:NAME`` or a bare timm name (pretrained weights from the hub or its local cache),
        ``paper:NAME`` (a model of a paper, from its authors' file, downloaded once) or ``paper:NAME@FILE``,
        ``random:ARCH`` (random start), a run's folder, a folder with ``config.json`` and weights as the hub has them,
        a weights file that says what it is, or ``ARCH@FILE`` for one that does not. A Backbone is returned as it is.
    image_size
        Side of the square input, in pixels; default: what the weights were trained with.
    cache
        Folder of what is remembered; default the user's cache.
    remember
        False leaves no file behind, for dry runs.
    """
    if isinstance(model, Backbone):
        return model
    source = find_source(str(model))

    def again(digest: str) -> Backbone:
        """Load a backbone of which everything but the network is known."""
        from acclimate.models.load.open import open_source

        backbone = open_source(source, image_size)
        if backbone.digest != digest:
            forget_backbone(source, image_size, cache)
            raise ModelError(f"the weights of '{source.name}' are not those that they were; give the command again")
        return backbone

    return recall_backbone(source, image_size, again, cache) or _loaded(source, image_size, cache, remember)


def _loaded(source: Source, image_size: int | None, cache: Path | None, remember: bool) -> Backbone:
    from acclimate.models.load.hub import hub_files
    from acclimate.models.load.open import open_source

    files = stamps(source.files)
    backbone = open_source(source, image_size)
    if source.kind == "timm":
        files = stamps(hub_files(source.rest))
    if remember:
        remember_device()
        if files or source.kind == "random":
            remember_backbone(backbone, source, image_size, files, cache)
    return backbone

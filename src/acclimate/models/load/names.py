"""From what the user wrote to a Backbone; of weights that were loaded before, without torch."""

from __future__ import annotations

from pathlib import Path

from acclimate.errors import ModelError
from acclimate.models.backbone import Backbone
from acclimate.models.device import remember_device
from acclimate.models.load.facts import forget_backbone, recall_backbone, remember_backbone, stamps
from acclimate.models.load.source import Source, find_source


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

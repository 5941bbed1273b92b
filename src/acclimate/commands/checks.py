"""Names that a user gave, looked up before torch is imported: a wrong one is answered at once."""

from __future__ import annotations

from pathlib import Path


def check_data(data: str | Path) -> None:
    """Refuse data that are nowhere; see `acclimate.catalogue.data_names.require_data`."""
    from acclimate.catalogue.data_names import require_data

    require_data(data)


def check_model(*models: str) -> None:
    """Refuse names that no model can have; see `acclimate.catalogue.model_names.require_model`."""
    from acclimate.catalogue.model_names import require_model

    for model in models:
        require_model(model)


def check_training(recipe: str, scale: float = 1.0) -> None:
    """Refuse what is no protocol that trains.

    A name is looked up. A user's own file is read whole, and a scale is tried, so that their mistakes come before those
    of images; this imports torch.

    Raises
    ------
    RecipeError
        For an unknown name (the nearest one is named), or a file or a scale that cannot be.
    InputError
        For a protocol that trains nothing.
    """
    from acclimate.catalogue import ALIASES, check_protocol_name, names

    check_protocol_name(recipe, "training")
    name = ALIASES.get(recipe, recipe)
    if scale != 1 or name not in names("protocols"):
        from acclimate.protocols import find_training

        find_training(name).at_scale(scale)


def check_score(score: str) -> None:
    """Refuse what is no score.

    Raises
    ------
    RecipeError
        For an unknown name; the nearest one is named.
    InputError
        For a protocol that trains the model.
    """
    from acclimate.catalogue import check_protocol_name
    from acclimate.scores import PROBES
    from acclimate.scores.estimates import ESTIMATES

    check_protocol_name(score, "features", probes=PROBES, others=(*ESTIMATES, "all"))

"""Checkpoints: everything a run needs to go on as if it had never stopped, written by rename.

No random-number state is kept, because there is none: every draw comes from a seed computed from the step number.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acclimate.errors import InputError
from acclimate.storage.store import write_atomic

CHECKPOINT = "checkpoint.pt"


@dataclass
class Best:
    """The best evaluation so far in a stage.

    Attributes
    ----------
    value, step
        Of the best evaluation, smaller is better: validation log loss, or what a watch says; infinity and 0 before the
        first.
    state
        The network's state there; None where no evaluation has been made.
    """

    value: float = float("inf")
    step: int = 0
    state: dict[str, Tensor] | None = None


@dataclass
class Position:
    """Where a run stands: the next step to do, and the state dicts, which are empty before the first step of a run.

    Attributes
    ----------
    identity
        Digest of all that decides the result: recipe, data, split, weights, seed, precision.
    journal
        Bytes of ``metrics.jsonl`` that belong to what was done.
    seconds, images
        Spent and seen in this stage before the checkpoint.
    finished
        Reports of the stages that are done.
    last
        The network at the end of a stage that was watched, before its best step came back; that one where the end is
        not finite.
    """

    identity: str
    stage: int = 0
    step: int = 0
    journal: int = 0
    seconds: float = 0.0
    images: int = 0
    finished: list[dict[str, Any]] = field(default_factory=list)
    network: dict[str, Tensor] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    best: Best = field(default_factory=Best)
    last: dict[str, Tensor] = field(default_factory=dict)


def save_position(folder: Path, position: Position) -> None:
    """Write the checkpoint; the one before stays whole until this one is."""
    buffer = io.BytesIO()
    values = {name: getattr(position, name) for name in position.__dataclass_fields__}
    torch.save({**values, "best": vars(position.best)}, buffer)
    write_atomic(folder / CHECKPOINT, buffer.getvalue())


def load_position(folder: Path, identity: str) -> Position:
    """Return where the run in this folder stands; a fresh start where there is no checkpoint.

    Raises InputError when the folder holds the checkpoint of another run.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return Position(identity)
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(f"'{path}' is damaged ({type(error).__name__}); delete the folder to begin anew") from None
    if values["identity"] != identity:
        raise InputError(
            f"'{folder}' holds an unfinished run with another recipe, data, model or seed; expected the same "
            "command to go on with it. Choose another --out, or delete the folder"
        )
    return Position(**{**values, "best": Best(**values["best"])})

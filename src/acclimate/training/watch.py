"""A watch: looks at the network while an unlabelled stage runs, and may stop it. The loop knows no more of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

# image indices (m,) -> pooled features (m, d) float32 under the network as it is now, in evaluation mode
Embed = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Look:
    """What one look saw."""

    values: dict[str, float | None]  # for the journal and the progress bar
    value: float  # smaller is better; the stage ends at the step with the smallest
    stop: str = ""  # why the stage has to end now; empty: go on


class Watch(Protocol):
    """Something that looks. It keeps nothing from look to look: a resumed run must see what an unbroken one sees."""

    def look(self, embed: Embed, step: int) -> Look:
        """Look at the network after ``step`` steps, 0 being the start."""
        ...

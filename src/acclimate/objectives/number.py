"""One number that a checkpoint keeps and that no accelerator holds."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Number(nn.Module):
    """A number in a state dict, such as the progress that the next step's loss depends on.

    A buffer would move to the accelerator with its module, and every look at it would wait for all work queued there.

    Attributes
    ----------
    value
        Starts at 0; read and write it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.value = 0.0

    def get_extra_state(self) -> Tensor:
        """Return the value as a scalar tensor; torch asks for it when it makes a state dict."""
        return torch.tensor(self.value, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the value that a state dict holds."""
        self.value = float(state)

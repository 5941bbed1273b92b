"""What every protocol is: a named way to measure a model, with its source; one class a kind runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from acclimate.catalogue import ROW_KINDS, ProtocolKind, protocol_card
from acclimate.errors import RecipeError
from acclimate.models import Backbone
from acclimate.protocols.row import Outcome
from acclimate.protocols.scale import check_scale
from acclimate.protocols.task import Stated, Task
from acclimate.storage.results import Results
from acclimate.storage.runtime import Runtime


class Protocol(BaseModel, ABC):
    """A named way to measure a model.

    Attributes
    ----------
    name
        As its file lies: ``FAMILY/NAME`` for one that follows a paper.
    source
        The paper and the file of the authors' code that the numbers are from; for one of ours what it is.
    deviations
        Every deliberate difference from the source, in words; None for one of ours that states nothing but its plain
        settings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: ClassVar[ProtocolKind]
    name: str = Field(min_length=1)
    source: str = ""
    deviations: tuple[str, ...] | None = None
    _scale: float = PrivateAttr(default=1.0)

    @property
    def cited(self) -> bool:
        """Whether it follows a source and lists its deviations; its rows state everything in full."""
        return self.deviations is not None

    @property
    def scalable(self) -> bool:
        """Whether a scale can shorten it."""
        return self.cited

    @property
    def scale(self) -> float:
        """What its length is multiplied by when it runs."""
        return self._scale

    @property
    def trains(self) -> bool:
        """Whether it trains the model; else it measures cached features."""
        return self.kind == "recipe"

    @property
    def budget(self) -> str | None:
        """The label budget that it takes by itself, in words; None where that of the task is used."""
        return None

    @abstractmethod
    def stated(self) -> dict[str, Any]:
        """Return everything that is set, in full; JSON-able."""

    @abstractmethod
    def run(
        self, task: Task, backbone: Backbone, runtime: Runtime, folder: Path | None, results: Results | None = None
    ) -> Outcome:
        """Measure a model and return the row with what came about on the way.

        Parameters
        ----------
        folder
            Where it trains, and where rows are kept without `results`. Only what measures features can do without.
        results
            Where the row is kept. A row that is there already is returned and nothing is done.

        Raises
        ------
        InputError
            When the folder holds another run; for a label budget where the protocol has its own.
        """

    def at_scale(self, scale: float) -> Self:
        """Return the protocol shortened by ``scale`` in (0, 1]; its row states the scale.

        Every length is multiplied, and at least 1 is left; lists of values that validation chooses from are thinned.

        Raises
        ------
        RecipeError
            For a scale out of range, or one below 1 for one of ours.
        """
        if check_scale(scale) != 1 and not self.scalable:
            raise RecipeError(f"got scale {scale} for '{self.name}', which is no preset; expected a preset, or scale 1")
        shorter = self.model_copy()
        shorter._scale = float(scale)
        return shorter

    def with_settings(self, values: Mapping[str, Any]) -> Protocol:
        """Return the protocol with other settings, which a plain probe alone has.

        Raises
        ------
        RecipeError
            Where settings are fixed, or for one that is unknown or out of range.
        """
        if values:
            raise RecipeError(
                f"got settings for '{self.name}', whose settings are fixed; write a TOML file of your own"
            )
        return self

    def card(self) -> dict[str, Any]:
        """Return what a list of protocols shows; JSON-able."""
        return protocol_card(self.name, self.kind, self.source, self.deviations)

    def statement(self) -> Stated:
        """Return how a row names what is run; see `as_run` for what that is on a network and at a scale."""
        return Stated(self.name, {"kind": ROW_KINDS[self.kind], **self.stated(), "scale": self.scale})

    def as_run(self, backbone: Backbone) -> Self:
        """Return what `run` measures: the protocol as it is on a network, shortened by its scale, which rows state."""
        return self


def kept_in(folder: Path | None, results: Results | None) -> Results | None:
    """Return where rows are kept: in `results`, else in the folder, else nowhere."""
    return results if results is not None or folder is None else Results(folder)

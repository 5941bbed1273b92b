"""What an extraction is asked for, and where its features lie in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from acclimate.images import Images
from acclimate.models.backbone import Backbone
from acclimate.models.device import Precision
from acclimate.models.taps import Tap
from acclimate.storage.features import feature_key, find_feature_store, open_feature_store
from acclimate.storage.runtime import Runtime
from acclimate.storage.store import ArrayStore


@dataclass(frozen=True)
class Request:
    """Features of images under a backbone; taps, device and precision as they will be used, images mirrored or not."""

    backbone: Backbone
    images: Images
    taps: Sequence[Tap]
    device: str
    precision: Precision
    runtime: Runtime
    hflip: bool

    def find(self) -> list[ArrayStore] | None:
        """Return the store of each tap, or None where one of them is not there yet."""
        stores = [
            find_feature_store(self._key(tap), len(self.images), cache=self.runtime.cache, meta=self._meta())
            for tap in self.taps
        ]
        present = [store for store in stores if store is not None]
        return present if len(present) == len(stores) else None

    def open(self, widths: Sequence[int]) -> list[ArrayStore]:
        """Return the store of each tap, made where it is missing."""
        return [
            open_feature_store(self._key(tap), len(self.images), width, cache=self.runtime.cache, meta=self._meta())
            for tap, width in zip(self.taps, widths, strict=True)
        ]

    def _key(self, tap: Tap) -> str:
        return feature_key(
            weights=self.backbone.digest,
            preprocessing=asdict(self.backbone.preprocess) | ({"hflip": True} if self.hflip else {}),
            fingerprint=self.images.fingerprint,
            pooling=str(tap),
            precision=self.precision,
        )

    def _meta(self) -> dict[str, str]:
        return {"weights": self.backbone.digest, "fingerprint": self.images.fingerprint}

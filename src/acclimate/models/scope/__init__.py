"""Parameter scopes: a short text -> which parameters train, and which modules are in train mode.

A scope is a sum of terms, such as ``head+norm`` or ``head+last:2``:

=================  ======================================================================================
``head``           the classifier on top (timm's ``get_classifier``)
``norm``           scale and shift of every normalisation layer: batch, layer, group, instance, RMS
``norm:batch``     scale and shift of batch norms alone, an error where there are none
``norm:paper``     the subset that Sirotkin et al. (2024, doi 10.1007/s10489-024-05758-7) trained in their
                   code: the stem's batch norm and ``bn2``, ``bn3`` of each residual block
``bias``           every bias, those of the normalisation layers included (BitFit, Zaken et al. 2022)
``last:K``         the last K blocks of the backbone, counted by timm's own ``group_matcher``
``lora:R``         low-rank updates of rank R (``acclimate.models.adapters``) on the linear layers below the
                   classifier, of a convolutional network on its convolutions; not on weights that
                   another term trains (``lora:8+last:1``: ExPLoRA, Khanna et al. 2024, arXiv 2406.10973)
``stats``          the running statistics of every batch norm, and no parameter
``all``            everything
``re:PATTERN``     every parameter whose timm name matches the regular expression, to the end of the text
=================  ======================================================================================

A scope owns the train/eval mode too. Frozen means frozen: a module without a trainable parameter is in eval mode, so
its batch-norm statistics do not move and its dropout is off.

With ``lora:R`` the order is ``prepare``, ``select``, ``freeze``, ``set_mode``, training, ``merge``. Every other term
means timm's own parameters by timm's names, with adapters or without: no term but ``lora`` selects an adapter.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acclimate.models.adapters import merge as merge
    from acclimate.models.scope.choice import TERMS as TERMS
    from acclimate.models.scope.choice import BatchNormStatistics as BatchNormStatistics
    from acclimate.models.scope.choice import Trainable as Trainable
    from acclimate.models.scope.choice import blocks_of as blocks_of
    from acclimate.models.scope.choice import freeze as freeze
    from acclimate.models.scope.choice import is_norm as is_norm
    from acclimate.models.scope.choice import prepare as prepare
    from acclimate.models.scope.choice import select as select
    from acclimate.models.scope.choice import set_mode as set_mode
    from acclimate.models.scope.text import Scope as Scope
    from acclimate.models.scope.text import parse_scope as parse_scope

# Each is imported when it is first used: a recipe is read without torch.
_HOMES = {
    "TERMS": "scope.choice",
    "BatchNormStatistics": "scope.choice",
    "Scope": "scope.text",
    "Trainable": "scope.choice",
    "blocks_of": "scope.choice",
    "freeze": "scope.choice",
    "is_norm": "scope.choice",
    "merge": "adapters",
    "parse_scope": "scope.text",
    "prepare": "scope.choice",
    "select": "scope.choice",
    "set_mode": "scope.choice",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'acclimate.models.scope' has no attribute '{name}'")
    return getattr(importlib.import_module(f"acclimate.models.{_HOMES[name]}"), name)

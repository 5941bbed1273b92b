"""Parameter scopes: a short text -> which parameters train, and which modules are in train mode.

A scope is a sum of terms, such as ``head+norm`` or ``head+last:2``:

=================  ======================================================================================
``head``           the classifier on top (timm's ``get_classifier``)
``norm``           scale and shift of every normalisation layer: batch, layer, group, instance, RMS
``norm:paper``     the subset that Sirotkin et al. (2024, doi 10.1007/s10489-024-05758-7) trained in their
                   code: the stem's batch norm and ``bn2``, ``bn3`` of each residual block
``bias``           every bias, those of the normalisation layers included (BitFit, Zaken et al. 2022)
``last:K``         the last K blocks of the backbone, counted by timm's own ``group_matcher``
``all``            everything
``re:PATTERN``     every parameter whose timm name matches the regular expression, to the end of the text
=================  ======================================================================================

A scope owns the train/eval mode too. Frozen means frozen: a module without a trainable parameter is in eval mode, so
its batch-norm statistics do not move and its dropout is off.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from timm.models import group_parameters
from torch import nn

from acclimate.errors import ScopeError, unknown
from acclimate.network import classifier_names

BatchNormStatistics = Literal["adapt", "frozen"]

_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
)
_PAPER = re.compile(r"^(bn1|layer\d+\.\d+\.bn[23])\.(weight|bias)$")


@dataclass(frozen=True)
class Scope:
    """A parsed scope.

    Attributes
    ----------
    text
        As the user wrote it.
    terms
        ``(name, argument)`` pairs; the argument is ``""`` where the term takes none.
    """

    text: str
    terms: tuple[tuple[str, str], ...]

    @property
    def head_only(self) -> bool:
        """Whether nothing below the classifier trains."""
        return all(name == "head" for name, _ in self.terms)


@dataclass(frozen=True)
class Trainable:
    """What a scope selects in one network.

    Attributes
    ----------
    names
        Trainable parameter names, in the network's order.
    backbone
        Number of trainable parameters below the classifier.
    trainable, total
        Numbers of trainable parameters and of all parameters, the classifier included.
    """

    names: tuple[str, ...]
    backbone: int
    trainable: int
    total: int

    def below(self, network: nn.Module) -> Trainable:
        """Return the same without the classifier, for objectives that do not use it."""
        names = tuple(name for name in self.names if name not in classifier_names(network))
        return Trainable(names, self.backbone, self.backbone, self.total)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation layer: torch's own kinds and their subclasses, or named so (``RmsNorm``)."""
    return isinstance(module, _NORMS) or "norm" in type(module).__name__.lower()


def _norm(network: nn.Module, _: str) -> set[str]:
    found = set()
    for prefix, module in network.named_modules():
        if is_norm(module):
            found |= {f"{prefix}.{name}" for name, _ in module.named_parameters(recurse=False)}
    return found


def _norm_paper(network: nn.Module, _: str) -> set[str]:
    found = {name for name, _ in network.named_parameters() if _PAPER.match(name)}
    if not found:
        raise ScopeError(
            f"scope 'norm:paper' is defined for ResNets with batch norm (bn1, layerN.M.bn2, layerN.M.bn3); "
            f"{type(network).__name__} has none of these. Its analogue here is 'head+norm'"
        )
    return found


def _bias(network: nn.Module, _: str) -> set[str]:
    return {name for name, _ in network.named_parameters() if name.rpartition(".")[2] == "bias"}


def _all(network: nn.Module, _: str) -> set[str]:
    return {name for name, _ in network.named_parameters()}


def _head(network: nn.Module, _: str) -> set[str]:
    return classifier_names(network)


def _last(network: nn.Module, argument: str) -> set[str]:
    if not hasattr(network, "group_matcher"):
        raise ScopeError(
            f"scope 'last:{argument}' needs timm's group_matcher, which {type(network).__name__} lacks; name the "
            "parameters with 're:PATTERN' instead"
        )
    head = classifier_names(network)
    layer_of = group_parameters(network, cast(Any, network).group_matcher(coarse=True), reverse=True)
    layers = sorted({layer for name, layer in layer_of.items() if name not in head})
    wanted = set(layers[-int(argument) :])
    return {name for name, layer in layer_of.items() if layer in wanted and name not in head}


def _regex(network: nn.Module, argument: str) -> set[str]:
    pattern = re.compile(argument)
    return {name for name, _ in network.named_parameters() if pattern.search(name)}


TERMS: dict[str, Callable[[nn.Module, str], set[str]]] = {
    "all": _all,
    "bias": _bias,
    "head": _head,
    "last": _last,
    "norm": _norm,
    "norm:paper": _norm_paper,
    "re": _regex,
}


_SPELLINGS = sorted({"last:K", "re:PATTERN", *TERMS} - {"last", "re"})


def parse_scope(text: str) -> Scope:
    """Read a scope such as ``head+norm:paper`` or ``last:2``.

    Raises
    ------
    ScopeError
        For an empty text, an unknown term (the nearest known one is named), ``last`` without a whole number of at least
        1, or a regular expression that does not compile.
    """
    plain, _, pattern = text.partition("re:")
    terms = [_parse_term(term, text) for term in plain.split("+") if term] if plain.strip("+") else []
    if pattern:
        terms.append(("re", _checked_pattern(pattern)))
    if not terms:
        raise ScopeError(f"got an empty scope {text!r}; expected a sum of {', '.join(TERMS)}, such as 'head+norm'")
    return Scope(text, tuple(terms))


def _parse_term(term: str, text: str) -> tuple[str, str]:
    term = term.strip()
    if term in TERMS and term not in ("last", "re"):
        return term, ""
    name, _, argument = term.partition(":")
    if name != "last":
        raise ScopeError(f"{unknown('scope term', term, _SPELLINGS)} (in scope '{text}')")
    if not argument.isdigit() or int(argument) < 1:
        raise ScopeError(f"got scope '{term}'; expected a number of blocks of at least 1, such as 'last:2'")
    return name, argument


def _checked_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ScopeError(f"got scope 're:{pattern}', which is no regular expression: {error}") from None
    return pattern


def select(network: nn.Module, scope: Scope) -> Trainable:
    """Return what ``scope`` selects in ``network``; changes nothing.

    Raises
    ------
    ScopeError
        When a term matches no parameter of this network.
    """
    chosen: set[str] = set()
    for name, argument in scope.terms:
        found = TERMS[name](network, argument)
        if not found:
            raise ScopeError(_nothing(network, f"{name}:{argument}" if argument else name))
        chosen |= found
    head = classifier_names(network)
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    return Trainable(
        names=tuple(name for name in sizes if name in chosen),
        backbone=sum(sizes[name] for name in chosen - head),
        trainable=sum(sizes[name] for name in chosen),
        total=sum(sizes.values()),
    )


def _nothing(network: nn.Module, term: str) -> str:
    names = [name for name, _ in network.named_parameters()]
    return (
        f"scope '{term}' matches no parameter of {type(network).__name__}; expected a match among its {len(names)} "
        f"parameters, such as '{names[0]}' or '{names[-1]}'"
    )


def freeze(network: nn.Module, trainable: Trainable) -> None:
    """Set ``requires_grad`` of every parameter: True for the trainable ones, False for the others."""
    chosen = set(trainable.names)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)


def set_mode(network: nn.Module, *, bn_stats: BatchNormStatistics = "adapt") -> None:
    """Put the network into training with what ``freeze`` left trainable.

    A module is in train mode when a parameter in its subtree trains; a module without parameters (dropout, activation)
    follows the module it stands in. Everything else is in eval mode. ``bn_stats="frozen"`` keeps all batch norms in
    eval mode even when their scale and shift train.
    """
    if all(p.requires_grad for p in network.parameters()):
        network.train()  # also norms without parameters of their own
    else:
        network.training = _set_subtree(network, parent=False)
    if bn_stats == "frozen":
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.training = False


def _set_subtree(module: nn.Module, *, parent: bool) -> bool:
    parameters = list(module.parameters())
    trains = any(p.requires_grad for p in parameters)
    if not parameters:
        trains = parent and not any(True for _ in module.buffers())
    module.training = trains
    for child in module.children():
        _set_subtree(child, parent=trains)
    return trains

"""What every timm network can be asked: pooled features, the classifier on top, a new classifier.

timm gives these methods to all its models, but ``nn.Module``'s type does not know them: the casts stand here, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from acclimate.models.taps import Family as Family
from acclimate.models.taps import Outline, require_layers


def pooled(network: nn.Module, x: Tensor) -> Tensor:
    """Return what the classifier sees: pooled features ``(n, d)`` of a batch ``(n, 3, h, w)``."""
    timm_network = cast(Any, network)
    features: Tensor = timm_network.forward_head(timm_network.forward_features(x), pre_logits=True)
    return features.flatten(1)


class Dressed(nn.Module):
    """What answers as a timm network does: features below, a classifier ``fc`` on top, an identity where there is none.

    A subclass says what its features ``(n, d)`` of a batch ``(n, 3, h, w)`` are, in ``forward_features``.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.fc: nn.Module = nn.Identity()

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits, or the features as they are with ``pre_logits``."""
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``(n, C)``, or the features ``(n, d)`` without a classifier."""
        return self.forward_head(cast(Any, self).forward_features(x))

    def get_classifier(self) -> nn.Module:
        """Return the classifier."""
        return self.fc


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and each of its modules back into the mode it had."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def black_image(network: nn.Module, size: tuple[int, int]) -> Tensor:
    """Return a batch of one black image ``(1, 3, h, w)``, where the network is."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    return torch.zeros(1, 3, *size, device=device)


def classifiers(network: nn.Module) -> list[nn.Module]:
    """Return the classifier on top as a list: empty without one, two for distilled transformers."""
    heads = cast(Any, network).get_classifier()
    candidates = list(heads) if isinstance(heads, list | tuple | nn.ModuleList) else [heads]
    return [head for head in candidates if isinstance(head, nn.Module) and any(True for _ in head.parameters())]


def classifier_names(network: nn.Module) -> set[str]:
    """Return the parameter names of the classifier on top; empty for a network without one."""
    ids = {id(p) for head in classifiers(network) for p in head.parameters()}
    return {name for name, p in network.named_parameters() if id(p) in ids}


def classifier_keys(network: nn.Module) -> list[str]:
    """Return the names in ``state_dict`` of the classifier on top, those of its running statistics included."""
    ids = {id(head) for head in classifiers(network)}
    heads = [(prefix, module) for prefix, module in network.named_modules() if id(module) in ids]
    return sorted(f"{prefix}.{name}" for prefix, module in heads for name in module.state_dict())


def place_classifier(network: nn.Module, head: nn.Module) -> None:
    """Put a module in the place of the classifier on top, wherever the architecture keeps it."""
    old = cast(Any, network).get_classifier()
    path = next(prefix for prefix, module in network.named_modules() if module is old)
    network.set_submodule(path, head)


def reset_classifier(network: nn.Module, n_classes: int) -> None:
    """Put a new classifier on top, all zeros; 0 classes take it away."""
    with torch.random.fork_rng(devices=[]):  # a new layer draws weights, which are thrown away
        cast(Any, network).reset_classifier(n_classes)
    for head in classifiers(network):
        for parameter in head.parameters():
            nn.init.zeros_(parameter)


def feature_width(network: nn.Module, size: tuple[int, int]) -> int:
    """Return d by running one black image: timm's ``num_features`` is not the pooled width of every architecture."""
    with evaluating(network), torch.inference_mode():
        return int(pooled(network, black_image(network, size)).shape[1])


def takes_any_size(network: nn.Module) -> bool:
    """Whether inputs may be smaller than those the network was made for, any multiple of 16 pixels a side.

    Convolutions with global pooling take them, transformers with a fixed grid of position embeddings do not. Found out
    by running black images of 48 and 80 pixels, odd multiples of 16 both; no random number is drawn, and every module's
    mode is left as it was.
    """
    try:
        with evaluating(network), torch.inference_mode():
            for side in (48, 80):
                pooled(network, black_image(network, (side, side)))
    except (AssertionError, RuntimeError, ValueError):  # how architectures refuse a size
        return False
    return True


def family_of(module: nn.Module) -> Family:
    """Return the kind of a network: by attention and where most weights are, then by its norms."""
    modules = list(module.modules())
    linear = sum(p.numel() for m in modules if isinstance(m, nn.Linear) for p in m.parameters(recurse=False))
    convolved = sum(p.numel() for m in modules if isinstance(m, nn.Conv2d) for p in m.parameters(recurse=False))
    if linear > convolved and any("Attention" in type(m).__name__ for m in modules):
        return "transformer"
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in modules):
        return "batch-norm"
    return "other"


def outline_of(network: nn.Module) -> Outline:
    """Return what can be said of a backbone without running it."""
    takes_token = has_class_token(network) and getattr(network, "global_pool", None) == "token"
    return Outline(
        kind=type(network).__name__,
        parameters=sum(p.numel() for p in network.parameters()),
        family=family_of(network),
        layers=_named_layers(network),
        class_token=has_class_token(network),
        pooling="cls" if takes_token else "mean",
    )


def layer_names(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the layers that features can be taken from, the first first.

    Raises ModelError for a network that does not say where they are.
    """
    return require_layers(_named_layers(network), type(network).__name__)


def _named_layers(network: nn.Module) -> tuple[str, ...]:
    entries = getattr(network, "feature_info", None)
    if not isinstance(entries, list) or not all("module" in entry for entry in entries):
        return ()
    return tuple(str(entry["module"]) for entry in entries)


def has_class_token(network: nn.Module) -> bool:
    """Whether a network has a class token among its tokens."""
    return getattr(network, "cls_token", None) is not None

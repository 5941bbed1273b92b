"""Classifiers beyond timm's own linear layer: on normalised features, of several layers, several at once.

``linear``     W f + b, as timm has it.
``bn+linear``  batch norm without scale and shift, eps 1e-6, below the linear layer (He et al. 2022, arXiv 2111.06377).
``mlp``        a hidden layer as wide as the features, ReLU, then the linear layer.

The features are normalised first: ``none``, ``l2`` (each image's to length 1) or ``zscore`` (each column by mean and
deviation of the training images, measured once). With ``layers`` they are those of several blocks, see ``Layered``.
Every linear layer that gives logits starts at zero, so that every class is equally likely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acclimate.errors import ModelError
from acclimate.models.network import Dressed, black_image, classifiers, evaluating, feature_width, place_classifier
from acclimate.models.taps import HeadSpec, parse_layers

EPS = 1e-6  # of the batch norm, and of a column's deviation


class _Normalized(nn.Module):
    """Features in, normalised features out; the statistics of ``zscore`` are measured from outside."""

    shift: Tensor
    scale: Tensor

    def __init__(self, width: int, normalize: str) -> None:
        super().__init__()
        self.normalize = normalize
        if normalize == "zscore":
            self.register_buffer("shift", torch.zeros(width))
            self.register_buffer("scale", torch.ones(width))

    def measure(self, features: Tensor) -> None:
        """Take mean and deviation of features ``(n, d)`` of the training images."""
        deviation, mean = torch.std_mean(features.double(), 0, correction=0)
        self.shift.copy_(mean)
        self.scale.copy_(1 / (deviation + EPS))

    def _normalized(self, x: Tensor, columns: slice = slice(None)) -> Tensor:
        x = x.flatten(1)[:, columns]
        if self.normalize == "l2":
            return F.normalize(x.float(), dim=1)
        if self.normalize == "zscore":
            return (x.float() - self.shift[columns]) * self.scale[columns]
        return x


class Head(_Normalized):
    """One classifier: features ``(n, d)`` or ``(n, d, 1, 1)`` -> logits ``(n, C)``."""

    def __init__(self, width: int, n_classes: int, *, kind: str, normalize: str) -> None:
        super().__init__(width, normalize)
        self.kind = kind
        self.norm: nn.Module = nn.BatchNorm1d(width, eps=EPS, affine=False) if kind == "bn+linear" else nn.Identity()
        self.hidden: nn.Module = nn.Identity()
        if kind == "mlp":
            self.hidden = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.linear = _zeros(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self._normalized(x)
        x = self.norm(x.float()) if self.kind == "bn+linear" else x
        logits: Tensor = self.linear(self.hidden(x))
        return logits

    def folded(self) -> tuple[Tensor, Tensor] | None:
        """Return weight and bias of the one linear layer that equals this head in evaluation; None where none does."""
        if self.kind == "mlp" or self.normalize == "l2":
            return None
        weight, bias = self.linear.weight.detach().double(), self.linear.bias.detach().double()
        if isinstance(self.norm, nn.BatchNorm1d):
            mean, variance = cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)
            weight = weight / (variance.double() + EPS).sqrt()
            bias = bias - weight @ mean.double()
        if self.normalize == "zscore":
            weight = weight * self.scale.double()
            bias = bias - weight @ self.shift.double()
        return weight.float(), bias.float()


class Heads(_Normalized):
    """A linear classifier for each rate and each input, trained at once on one forward pass of a frozen trunk.

    In training the logits are ``(n, H, C)``, the rates of an input side by side; in evaluation they are ``(n, C)``, of
    the classifier that validation chose last. No classifier's gradient depends on another's.

    ``columns`` are those of the features, for each input; ``chosen`` is the number of the classifier that validation
    chose.
    """

    chosen: Tensor

    def __init__(
        self, width: int, n_classes: int, *, spec: HeadSpec, columns: Mapping[str, slice], rates: Sequence[float]
    ) -> None:
        super().__init__(width, spec.normalize)
        self.spec, self.columns, self.rates = spec, dict(columns), tuple(rates)
        sizes = [len(range(width)[part]) for part in columns.values()]
        self.linears = nn.ModuleList(_zeros(size, n_classes) for size in sizes for _ in self.rates)
        self.register_buffer("chosen", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        """Return the number of classifiers."""
        return len(self.linears)

    @property
    def best(self) -> tuple[nn.Linear, slice]:
        """The classifier that validation chose, and its columns of the features."""
        columns = list(self.columns.values())[int(self.chosen) // len(self.rates)]
        return cast(nn.Linear, self.linears[int(self.chosen)]), columns

    def every(self, x: Tensor) -> Tensor:
        """Return the logits ``(n, H, C)`` of every classifier: one product for each input."""
        count, out = len(self.rates), []
        for place, columns in enumerate(self.columns.values()):
            own = [cast(nn.Linear, part) for part in self.linears[place * count : (place + 1) * count]]
            weight, bias = torch.cat([part.weight for part in own]), torch.cat([part.bias for part in own])
            out.append(F.linear(self._normalized(x, columns), weight, bias).view(len(x), count, -1))
        return torch.cat(out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return all logits in training, the chosen classifier's in evaluation."""
        if self.training:
            return self.every(x)
        linear, columns = self.best
        logits: Tensor = linear(self._normalized(x, columns))
        return logits

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the parameters that share a factor of the learning rate."""
        count = len(self.rates)
        return [
            ([p for part in self.linears[place::count] for p in part.parameters()], rate)
            for place, rate in enumerate(self.rates)
        ]

    def named(self) -> dict[str, Any]:
        """Return what validation chose, in words."""
        layers, rate = divmod(int(self.chosen), len(self.rates))
        words: dict[str, Any] = {"rate": self.rates[rate]} if self.spec.rates else {}
        return words | ({"layers": list(self.columns)[layers]} if self.spec.layers else {})


class Layered(Dressed):
    """A timm network whose features are those of its last blocks, under a classifier of its own.

    The features are, block by block, the class token after the network's last norm, where there is none the mean over
    positions; with ``avg`` those are followed by the mean over positions of the last block (Oquab et al. 2024,
    arXiv 2304.07193). Blocks of a convolutional network are its stages. Names in its state are timm's.
    """

    def __init__(self, body: nn.Module, blocks: int, *, avg: bool) -> None:
        super().__init__(body)
        if not hasattr(body, "forward_intermediates"):
            raise ModelError(
                f"got layers '{blocks}'; {type(body).__name__} gives no features of its blocks (timm's "
                "forward_intermediates); leave 'layers' out"
            )
        self.blocks = blocks
        self.avg = avg and has_class_token(body)
        self.pretrained_cfg = getattr(body, "pretrained_cfg", {})
        self.register_state_dict_post_hook(_without_body)  # type: ignore[no-untyped-call]  # torch gives them no types
        self.register_load_state_dict_pre_hook(_with_body)  # type: ignore[no-untyped-call]

    def parts(self, x: Tensor) -> list[Tensor]:
        """Return the features ``(n, d)`` of each block, first to last, and the joined mean."""
        body = cast(Any, self.body)
        token = has_class_token(self.body)
        arguments: dict[str, Any] = {"return_prefix_tokens": True} if token else {}
        maps = body.forward_intermediates(x, indices=self.blocks, norm=True, intermediates_only=True, **arguments)
        if not token:
            return [features.mean((-2, -1)) for features in maps]
        means = [maps[-1][0].mean((-2, -1))] if self.avg else []
        return [prefix[:, 0] for _, prefix in maps] + means

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the joined features ``(n, d)``."""
        return torch.cat([part.float() for part in self.parts(x)], 1)


def has_class_token(body: nn.Module) -> bool:
    """Whether a timm network has a class token."""
    return getattr(body, "cls_token", None) is not None and bool(getattr(body, "num_prefix_tokens", 0))


def _without_body(module: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    inner = f"{prefix}body."
    for name in [name for name in state if name.startswith(inner)]:
        state[prefix + name.removeprefix(inner)] = state.pop(name)


def _with_body(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    own = f"{prefix}fc."
    for name in [name for name in state if name.startswith(prefix) and not name.startswith(own)]:
        state[f"{prefix}body.{name.removeprefix(prefix)}"] = state.pop(name)


def with_head(network: nn.Module, spec: HeadSpec, n_classes: int, size: tuple[int, int]) -> nn.Module:
    """Return a network with the head of ``spec`` in the place of its new classifier; itself where that is plain.

    A hidden layer's first weights come from torch's global generator.

    Raises ModelError when the network has no single classifier, or gives no features of its blocks.
    """
    if spec.plain:
        return network
    if len(classifiers(network)) != 1:
        raise ModelError(
            f"got head '{spec.kind}' for {type(network).__name__}, which has {len(classifiers(network))} classifiers; "
            "expected a network with one, or head 'linear'"
        )
    columns = {"": slice(None)}
    if spec.layers:
        network, columns = _layered(network, spec.layers, size)
    width = feature_width(network, size)
    if spec.several:
        place_classifier(network, Heads(width, n_classes, spec=spec, columns=columns, rates=spec.rates or (1.0,)))
    else:
        place_classifier(network, Head(width, n_classes, kind=spec.kind, normalize=spec.normalize))
    return network


def _layered(network: nn.Module, layers: Sequence[str], size: tuple[int, int]) -> tuple[nn.Module, dict[str, slice]]:
    """Return the network of several layers, and the columns of its features that each input takes."""
    cast(Any, network).reset_classifier(0)
    wanted = [parse_layers(text) for text in layers]
    layered = Layered(network, max(blocks for blocks, _ in wanted), avg=any(avg for _, avg in wanted))
    parts = _widths(layered, size)
    if len(parts) - layered.avg < layered.blocks:
        raise ModelError(
            f"got layers '{layered.blocks}'; {type(network).__name__} has {len(parts) - layered.avg} blocks"
        )
    columns = {}
    for blocks, avg in wanted:
        joined = avg and layered.avg  # without a class token the mean stands for it already
        start, stop = sum(parts[: layered.blocks - blocks]), sum(parts[: layered.blocks + joined])
        columns[f"{blocks}+avg" if joined else f"{blocks}"] = slice(start, stop)
    return layered, columns


def _widths(layered: Layered, size: tuple[int, int]) -> list[int]:
    try:
        with evaluating(layered), torch.inference_mode():
            return [part.shape[1] for part in layered.parts(black_image(layered, size))]
    except (AssertionError, IndexError) as error:  # how timm refuses more blocks than there are
        raise ModelError(f"got layers '{layered.blocks}'; {type(layered.body).__name__} has fewer: {error}") from None


def own_head(network: nn.Module) -> Head | Heads | None:
    """Return the head that ``with_head`` put there; None where the classifier is timm's own, or there is none."""
    heads = classifiers(network) if hasattr(network, "get_classifier") else []
    return next((head for head in heads if isinstance(head, Head | Heads)), None)


def heads_of(network: nn.Module) -> Heads | None:
    """Return the classifiers that train at once; None where there is but one."""
    return next((head for head in classifiers(network) if isinstance(head, Heads)), None)


def settled(network: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network with the chosen one of several classifiers, and which it is; as it is where there is one."""
    heads = heads_of(network)
    if heads is None:
        return network, {}
    words, (linear, columns) = heads.named(), heads.best
    head = Head(linear.in_features, linear.out_features, kind="linear", normalize=heads.normalize)
    head.linear.load_state_dict(linear.state_dict())
    if heads.normalize == "zscore":
        head.shift.copy_(heads.shift[columns])
        head.scale.copy_(heads.scale[columns])
    if isinstance(network, Layered):
        blocks, avg = parse_layers(words["layers"])
        network = Layered(network.body, blocks, avg=avg)
    place_classifier(network, head.to(linear.weight.device))
    return network, words


def head_card(network: nn.Module) -> dict[str, Any]:
    """Return what a weights file says of its head; empty for timm's own."""
    head = next((head for head in classifiers(network) if isinstance(head, Head)), None)
    if head is None:
        return {}
    layers = [f"{network.blocks}+avg" if network.avg else f"{network.blocks}"] if isinstance(network, Layered) else []
    return {"kind": head.kind, "normalize": head.normalize, "layers": layers}


def _zeros(width: int, n_classes: int) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):  # draws weights that are thrown away
        layer = nn.Linear(width, n_classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer

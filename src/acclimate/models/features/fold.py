"""Batch norms folded into the convolutions before them: the same function, with one pass over memory less for each.

In evaluation a batch norm is a fixed scale and shift: W' = W g / sqrt(v + eps) and b' = (b - m) g / sqrt(v + eps) + c
do its work (Jacob et al. 2018, equation 14). The features change by rounding alone.

Convolutions that add and activate while their result is still in cache: three passes over memory become one.
A residual network in evaluation is bound by memory where it is not a convolution: an activation and a shortcut's sum
each read and write a whole map. oneDNN, which torch's convolutions run on, does both in the convolution's own loop, and
torch offers that as ``torch.ops.mkldnn._convolution_pointwise`` (its own compiler emits it). Sums are rounded once in
the place of twice, so that features change by rounding alone.
"""

from __future__ import annotations

import copy
import operator
from typing import Final

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from acclimate.models.device import Precision

# What tracing raises for a network whose path depends on its input: such a network is left as it is.
_UNTRACEABLE = (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, KeyError)
ACTIVATIONS: Final[dict[type[nn.Module], str]] = {nn.ReLU: "relu", nn.SiLU: "swish"}
ADDITIONS: Final = (operator.add, operator.iadd, torch.add)


def for_inference(module: nn.Module, device: str, precision: Precision) -> nn.Module:
    """Return the same function of images, as fast as this device evaluates it, on the device; the module is unchanged.

    Batch norms are folded everywhere; on a CPU, convolutions take in the sums and activations behind them as well.
    """
    out = folded(module)
    if isinstance(out, fx.GraphModule) and out is not module and can_fuse(device):
        out = fused(out, torch.bfloat16 if precision == "bf16-mixed" else torch.float32)
    return out.to(device)


def folded(module: nn.Module) -> nn.Module:
    """Return a copy for inference in which each batch norm right after a convolution is part of that convolution.

    A network that torch.fx cannot trace, or that has no such pair, is returned as it is. Timm's batch norms with an
    activation inside are not folded.
    """
    try:
        traced = fx.symbolic_trace(copy.deepcopy(module).eval())
    except _UNTRACEABLE:
        return module
    parts = dict(traced.named_modules())
    pairs = [(node.args[0], node) for node in traced.graph.nodes if _is_pair(node, parts)]
    for convolution, norm in pairs:
        merged = fuse_conv_bn_eval(parts[convolution.target], parts[norm.target])
        traced.set_submodule(convolution.target, merged)
        norm.replace_all_uses_with(convolution)
        traced.graph.erase_node(norm)
    if not pairs:
        return module
    traced.recompile()
    return traced.to(memory_format=torch.channels_last)


def _is_pair(node: fx.Node, parts: dict[str, nn.Module]) -> bool:
    """Whether a node is a plain batch norm whose input is a convolution that nobody else reads, both used once."""
    if node.op != "call_module" or type(parts[str(node.target)]) is not nn.BatchNorm2d:
        return False
    before = node.args[0]
    if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
        return False
    calls = [other.target for other in node.graph.nodes if other.op == "call_module"]
    shared = calls.count(before.target) > 1 or calls.count(node.target) > 1
    return type(parts[str(before.target)]) is nn.Conv2d and not shared


class FusedConvolution(nn.Module):
    """A convolution of inference with what follows it: ``act(conv(x) + other)``; ``activation`` is oneDNN's name."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, convolution: nn.Conv2d, activation: str, dtype: torch.dtype) -> None:
        super().__init__()
        weight = convolution.weight.detach().to(dtype).to(memory_format=torch.channels_last)
        bias = None if convolution.bias is None else convolution.bias.detach().to(dtype)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.activation = activation
        self._shape = [[int(p) for p in convolution.padding], list(convolution.stride), list(convolution.dilation)]
        self._groups = convolution.groups

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Return ``act(conv(x) + other)`` in the type of the weights; ``(n, c, h, w)``, channels last in memory."""
        pointwise, dtype = torch.ops.mkldnn._convolution_pointwise, self.weight.dtype
        x = x.to(dtype).contiguous(memory_format=torch.channels_last)
        if other is None:
            out: Tensor = pointwise(x, self.weight, self.bias, *self._shape, self._groups, self.activation, [], "")
            return out
        other, act = other.to(dtype).contiguous(memory_format=torch.channels_last), self.activation
        named = None if act == "none" else act
        summed: Tensor = pointwise.binary(
            x, other, self.weight, self.bias, *self._shape, self._groups, "add", 1.0, named, [], ""
        )
        return summed


def can_fuse(device: str) -> bool:
    """Whether this build of torch has the operators for this device."""
    present: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch gives it no types
    return present and device == "cpu" and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def fused(traced: fx.GraphModule, dtype: torch.dtype) -> fx.GraphModule:
    """Let the convolutions of a traced network do the sums and activations behind them; changes and returns it.

    Only what nobody else reads is taken into a convolution, and only convolutions that are called once.
    """
    parts = dict(traced.named_modules())
    _drop_identities(traced, parts)
    calls = [str(node.target) for node in traced.graph.nodes if node.op == "call_module"]
    for node in list(traced.graph.nodes):
        if _is_convolution(node, parts) and calls.count(str(node.target)) == 1:
            _fuse(traced, node, parts, dtype)
    traced.recompile()
    return traced


def _drop_identities(traced: fx.GraphModule, parts: dict[str, nn.Module]) -> None:
    for node in list(traced.graph.nodes):
        if node.op == "call_module" and type(parts[str(node.target)]) is nn.Identity:
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)


def _is_convolution(node: fx.Node, parts: dict[str, nn.Module]) -> bool:
    if node.op != "call_module" or type(part := parts[str(node.target)]) is not nn.Conv2d:
        return False
    return part.padding_mode == "zeros" and not isinstance(part.padding, str)


def _fuse(traced: fx.GraphModule, node: fx.Node, parts: dict[str, nn.Module], dtype: torch.dtype) -> None:
    """Replace a convolution, the sum that alone reads it and the activation that alone reads that, by one module."""
    added = _only_reader(node)
    other = _summand(added, node) if added is not None else None
    last = added if added is not None and other is not None else node
    reader, activation = _only_reader(last), "none"
    if reader is not None and reader.op == "call_module":
        activation = ACTIVATIONS.get(type(parts[str(reader.target)]), "none")
    if activation == "none" and other is None:
        return
    convolution = parts[str(node.target)]
    assert isinstance(convolution, nn.Conv2d)
    traced.set_submodule(str(node.target), FusedConvolution(convolution, activation, dtype))
    end = reader if activation != "none" and reader is not None else last
    with traced.graph.inserting_before(end):
        inputs = (node.args[0],) if other is None else (node.args[0], other)
        new = traced.graph.call_module(str(node.target), inputs)
    end.replace_all_uses_with(new)
    for old in dict.fromkeys((end, last, node)):
        traced.graph.erase_node(old)


def _only_reader(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _summand(added: fx.Node, node: fx.Node) -> fx.Node | None:
    """Return what is added to ``node``, if ``added`` is the plain sum of the two."""
    if added.op != "call_function" or added.target not in ADDITIONS or added.kwargs or len(added.args) != 2:
        return None
    others = [argument for argument in added.args if argument is not node]
    return others[0] if len(others) == 1 and isinstance(others[0], fx.Node) else None

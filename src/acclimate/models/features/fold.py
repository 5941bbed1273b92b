"""Batch norms folded into the convolutions before them: the same function, with one pass over memory less for each.

In evaluation a batch norm is a fixed scale and shift: W' = W g / sqrt(v + eps) and b' = (b - m) g / sqrt(v + eps) + c
do its work (Jacob et al. 2018, equation 14). The features change by rounding alone.
"""

from __future__ import annotations

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from acclimate.models.device import Precision
from acclimate.models.features.fuse import can_fuse, fused

# What tracing raises for a network whose path depends on its input: such a network is left as it is.
_UNTRACEABLE = (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, KeyError)


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
        fused = fuse_conv_bn_eval(parts[convolution.target], parts[norm.target])
        traced.set_submodule(convolution.target, fused)
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

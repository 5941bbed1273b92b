"""The settings of an adaptation that the user left open, by pool, network and device; each with its reason.

The rules are few and stated beside the numbers. What they rest on stands in docs/adaptation.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from acclimate.errors import RecipeError, unknown
from acclimate.objectives import OBJECTIVES
from acclimate.recipe import Recipe, Stage, parse_recipe
from acclimate.scope import parse_scope

Family = Literal["batch-norm", "transformer", "other"]
Value = bool | int | float | str

SEEN, AT = 230_400, 2_400  # images seen (1,800 steps of 128) at a pool of so many images; grows with its square root
LEAST, MOST = 6_400, 5_000_000
MOST_PASSES = 200
CPU_FLOPS = 3e14  # what a CPU gets through in one to three hours
CPU_LEAST_STEPS = 100
PASSES = 8  # a forward pass costs 1, a backward pass 2: two views through the network, and through its target


@dataclass(frozen=True)
class Situation:
    """What the rules look at.

    Attributes
    ----------
    pool
        Unlabelled images.
    side
        Of the network's input, in pixels.
    family
        Kind of network.
    flops
        Floating-point operations of one forward pass of one image.
    device
        ``cpu``, ``cuda`` or ``mps``.
    """

    pool: int
    side: int
    family: Family
    flops: float
    device: str


@dataclass(frozen=True)
class Choice:
    """A recipe and why it is so.

    Attributes
    ----------
    reasons
        Setting -> why it has its value; ``given`` where the user said so.
    """

    recipe: Recipe
    reasons: dict[str, str]


def situation(module: nn.Module, size: tuple[int, int], *, pool: int, device: str) -> Situation:
    """Look at a backbone in evaluation mode; runs one black image."""
    modules = list(module.modules())
    family: Family = "other"
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in modules):
        family = "batch-norm"
    elif hasattr(module, "patch_embed") and any(type(m).__name__.startswith("Attention") for m in modules):
        family = "transformer"
    image = torch.zeros(1, 3, *size, device=next(module.parameters()).device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(image)
    return Situation(pool, max(size), family, float(counter.get_total_flops()), device)


def choose(
    method: str, seen: Situation, *, scope: str | None = None, domain: str = "natural", given: Mapping[str, Value]
) -> Choice:
    """Return the recipe of an adaptation.

    Parameters
    ----------
    method
        A name in ``OBJECTIVES`` that needs no labels.
    scope
        What trains; default everything, or ``stats`` for ``norm-stats``.
    given
        Settings of the stage or of the objective that the user fixed; the others follow the rules.

    Raises
    ------
    RecipeError
        For an unknown method or setting, or a value out of its range.
    """
    methods = [name for name, (kind, _) in OBJECTIVES.items() if not kind.needs_labels]
    if method not in methods:
        raise RecipeError(unknown("method", method, methods))
    options = OBJECTIVES[method][1].model_fields
    fields = {*Stage.model_fields} - {"objective", "scope", "options", "augment", "patience", "domain"}
    for name in given:
        if name not in options and name not in fields:
            raise RecipeError(unknown(f"setting of '{method}'", name, [*options, *sorted(fields)]))
    rules = _statistics_rules(seen) if OBJECTIVES[method][0].gradient_free else _rules(method, seen, scope, given)
    if "steps" in given or "epochs" in given:
        rules.pop("steps", None), rules.pop("epochs", None)
    values = {name: value for name, (value, _) in rules.items() if name in fields or name in options} | dict(given)
    stage: dict[str, Any] = {"objective": method, "domain": domain}
    stage["scope"] = scope or ("stats" if OBJECTIVES[method][0].gradient_free else "all")
    stage |= {name: value for name, value in values.items() if name in fields}
    stage["options"] = {name: value for name, value in values.items() if name in options}
    recipe = parse_recipe({"name": f"adapt-{method}", "stages": [stage]}, where=f"of 'adapt --method {method}'")
    reasons = {name: "given" if name in given else rules[name][1] for name in values}
    return Choice(recipe, reasons)


def _statistics_rules(seen: Situation) -> dict[str, tuple[Value, str]]:
    batch = min(128, _power_of_two(seen.pool))
    return {
        "batch": (batch, "statistics are averaged over batches; larger ones change little"),
        "epochs": (1, "one pass over the pool measures its statistics"),
        "lr": (1.0, "not used: nothing is trained"),
    }


def _rules(method: str, seen: Situation, scope: str | None, given: Mapping[str, Value]) -> dict[str, tuple[Value, str]]:
    usual = 256 if seen.device == "cuda" else 128
    batch = int(given.get("batch", min(usual, max(16, _power_of_two(seen.pool // 4)), _power_of_two(seen.pool))))
    at_once = batch * int(given.get("accumulate", 1))
    steps, why = _steps(seen, at_once, few=_few(scope))
    steps = int(given.get("steps", steps))
    lr = round(1e-3 * math.sqrt(at_once / 128), 6)
    share, share_why = _backbone_rate(seen, scope)
    ema = round(1 - min(0.1, max(0.004, 18 / steps)), 4)
    prototypes = 2 ** min(12, max(7, round(math.log2(max(seen.pool, 1))) - 3))
    return {
        "batch": (batch, f"{usual} on {seen.device}, at most a quarter of a pool of {seen.pool}"),
        "steps": (steps, why),
        "lr": (lr, "0.001 at 128 images a step, by the square root of their number (AdamW)"),
        "backbone_lr": (share, share_why),
        "weight_decay": (1e-4, "fixed"),
        "head_steps": (min(60, steps // 10), "the heads learn first, at most 60 steps or a tenth"),
        "strength": (1.0, "the method's own augmentations"),
        "ema": (ema, f"the target remembers about {1 / (1 - ema):.0f} of {steps} steps at the start"),
        "head_norm": _head_norm(batch),
        **_queue(method, seen),
        "prototypes": (prototypes, f"about an eighth of a pool of {seen.pool}, between 128 and 4,096"),
    }


def _queue(method: str, seen: Situation) -> dict[str, tuple[Value, str]]:
    if method != "moco-v2":
        return {}
    return {"queue": (min(4096, _power_of_two(seen.pool // 2)), f"at most half a pool of {seen.pool} images")}


def _head_norm(batch: int) -> tuple[Value, str]:
    if batch < 32:
        return "layer", f"batch statistics of {batch} images are too noisy for the heads"
    return "batch", "as in the paper; layer norm below 32 images"


def _backbone_rate(seen: Situation, scope: str | None) -> tuple[Value, str]:
    """Return the share of the heads' rate that pretrained weights get."""
    if _few(scope):
        return 1.0, f"scope '{scope}' moves few parameters, which bear the full rate"
    shares: dict[Family, tuple[float, str]] = {
        "batch-norm": (1.0, "batch norms keep the scale of what is learned: the full rate"),
        "transformer": (0.1, "transformers forget at rates that new heads need"),
        "other": (0.3, "without batch norms large steps upset what was learned"),
    }
    return shares[seen.family]


def _few(scope: str | None) -> bool:
    """Return whether a scope moves a small share of the parameters: scales, shifts and adapters."""
    return scope is not None and {name for name, _ in parse_scope(scope).terms} <= {"norm", "bias", "lora"}


def _steps(seen: Situation, at_once: int, *, few: bool) -> tuple[int, str]:
    """Images seen grow with the root of the pool: fewer passes over more images. Few parameters settle sooner."""
    images = min(MOST, max(LEAST, SEEN * math.sqrt(seen.pool / AT) * (1 / 3 if few else 1)))
    images = min(images, max(LEAST, MOST_PASSES * seen.pool))
    steps = max(1, round(images / at_once))
    affordable = max(CPU_LEAST_STEPS, round(CPU_FLOPS / (PASSES * max(seen.flops, 1.0) * at_once)))
    if seen.device == "cpu" and affordable < steps:
        return affordable, f"as many as a CPU does in hours; {steps} would be better, on a GPU"
    return steps, f"{images / seen.pool:.0f} passes over a pool of {seen.pool}"


def _power_of_two(n: int) -> int:
    """Return the largest power of two up to n, at least 1."""
    return 1 << (max(n, 1).bit_length() - 1)

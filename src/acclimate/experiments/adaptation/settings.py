"""The settings of an adaptation that the user left open, by pool, network and device; each with its reason.

The rules are few and stated beside the numbers. What they rest on stands in docs/adaptation.md.
"""

from __future__ import annotations

import math
import os
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from acclimate.errors import RecipeError, unknown
from acclimate.models.network import Family, family_of
from acclimate.models.scope import parse_scope
from acclimate.objectives import OBJECTIVES, require_method
from acclimate.training.recipe import Recipe, Stage, parse_recipe
from acclimate.training.schedule import steps_per_epoch

Value = bool | int | float | str

SEEN, AT = 230_400, 2_400  # images seen (1,800 steps of 128) at a pool of so many images; grows with its square root
LEAST, MOST = 6_400, 5_000_000
MOST_PASSES = 200
CPU_FLOPS = 3e14  # what a CPU gets through in hours
CPU_LEAST_STEPS, CPU_BATCH = 100, 32
SMALL = 2_000_000  # parameters up to which the full rate for the backbone was measured to be good
MEMORY_SHARE = 0.6  # of what is free, for the activations of two views
_NOT_GIVEN = {"objective", "scope", "options", "augment", "patience", "domain", "drops", "keep"}
_NOT_GIVEN |= {"probe", "calibrate", "least_steps"}  # of a classifier, or of epochs
_NOT_GIVEN |= {"head", "normalize", "layers", "rates"}  # of a classifier, which an adaptation has not
PASSES = 8  # a forward pass costs 1, a backward pass 2: two views through the network, and through its target


@dataclass(frozen=True)
class Situation:
    """What the rules look at."""

    pool: int  # unlabelled images
    side: int  # of the network's input, in pixels
    family: Family  # kind of network
    flops: float  # floating-point operations of one forward pass of one image
    device: str  # ``cpu``, ``cuda`` or ``mps``
    parameters: int = 0  # of the backbone
    image_bytes: float = 0.0  # of activations that one image's backward pass needs, in float32
    memory: float = math.inf  # bytes that are free on the device; infinity where nobody knows


@dataclass(frozen=True)
class Choice:
    """A recipe and why it is so."""

    recipe: Recipe
    reasons: dict[str, str]  # setting -> why it has its value; ``given`` where the user fixed it


def situation(module: nn.Module, size: tuple[int, int], *, pool: int, device: str) -> Situation:
    """Look at a backbone in evaluation mode; runs a black image twice."""
    image = torch.zeros(1, 3, *size, device=next(module.parameters()).device)
    with torch.inference_mode(), _FlopCounter() as counter:
        module(image)
    flops, parameters = float(counter.flops), sum(p.numel() for p in module.parameters())
    family, needed, memory = family_of(module), _saved_bytes(module, image), _free_memory(device)
    return Situation(pool, max(size), family, flops, device, parameters, needed, memory)


class _FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch
    """Adds up torch's own formulas, as its FlopCounterMode does, but never imports torch's compiler (5 seconds)."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            with self:  # an operation that consists of others
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        output = func(*args, **kwargs)
        self.flops += formula(*args, **kwargs, out_val=output) if formula else 0
        return output


def _saved_bytes(module: nn.Module, image: Tensor) -> float:
    """Return the bytes that autograd keeps of one image, weights not counted."""
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = module(image)  # held, so that no storage is used twice
    del out
    return float(sum(sizes.values()))


def _free_memory(device: str) -> float:
    """Return what is free, down to a power of two: the choice should not hang on what else runs."""
    if device == "cuda":
        return float(_power_of_two(torch.cuda.mem_get_info()[0]))
    try:
        return float(_power_of_two(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    except (AttributeError, ValueError, OSError):  # Windows and macOS do not say
        return math.inf


def choose(
    method: str, site: Situation, *, scope: str | None = None, domain: str = "natural", fixed: Mapping[str, Value]
) -> Choice:
    """Return the recipe of an adaptation with ``method``, a name in ``OBJECTIVES`` that needs no labels.

    Raises `RecipeError` for an unknown method or setting, or a value out of its range.

    ``scope`` is what trains; default everything, or ``stats`` for ``norm-stats``. ``fixed`` are settings of the stage
    or of the objective that the user fixed; the others follow the rules.
    """
    require_method(method)
    kind, kind_settings = OBJECTIVES[method]
    options = kind_settings.model_fields
    fields = {*Stage.model_fields} - _NOT_GIVEN
    for name in fixed:
        if name not in options and name not in fields:
            raise RecipeError(unknown(f"setting of '{method}'", name, [*options, *sorted(fields)]))
    scope = scope or ("stats" if kind.gradient_free else "all")
    stage: dict[str, Any] = {"objective": method, "domain": domain, "scope": scope}
    _check(stage, fixed, options)
    rules = _statistics_rules(site) if kind.gradient_free else _rules(method, site, scope, fixed)
    if "epochs" in fixed:
        rules.pop("steps", None)
    if "steps" in fixed:
        rules.pop("epochs", None)
    values = {name: value for name, (value, _) in rules.items() if name in fields or name in options} | dict(fixed)
    recipe = _recipe(stage, values, options)
    reasons = {name: "given" if name in fixed else rules[name][1] for name in values}
    return Choice(recipe, reasons)


def _recipe(stage: Mapping[str, Any], values: Mapping[str, Value], options: Container[str]) -> Recipe:
    own = {name: value for name, value in values.items() if name in options}
    rest = {name: value for name, value in values.items() if name not in options}
    name = f"adapt-{stage['objective']}"
    return parse_recipe({"name": name, "stages": [{**stage, **rest, "options": own}]}, where=f"'{name}'")


def _check(stage: Mapping[str, Any], fixed: Mapping[str, Value], options: Container[str]) -> None:
    """Refuse a fixed setting before any rule counts on it."""
    usual: dict[str, Value] = {"lr": 1.0} if "epochs" in fixed else {"lr": 1.0, "steps": MOST}
    for name, value in fixed.items():
        if isinstance(value, bool) and name in Stage.model_fields:
            raise RecipeError(f"{name}: expected a number or a word, got {value}")
    _recipe(stage, usual | dict(fixed), options)


def _statistics_rules(site: Situation) -> dict[str, tuple[Value, str]]:
    batches = math.ceil(site.pool / 128)
    return {
        "batch": (site.pool // batches, f"{batches} equal batches, so that nearly every image of {site.pool} is seen"),
        "epochs": (1, "one pass over the pool measures its statistics"),
        "lr": (1.0, "not used: nothing is trained"),
    }


def _rules(method: str, site: Situation, scope: str, fixed: Mapping[str, Value]) -> dict[str, tuple[Value, str]]:
    batch, accumulate, batch_why = _batch(site, fixed)
    at_once = batch * accumulate
    steps, why = _steps(site, at_once, few=_few(scope))
    steps = int(fixed.get("steps", int(fixed.get("epochs", 0)) * steps_per_epoch(site.pool, at_once) or steps))
    share, share_why = _backbone_rate(site, scope)
    ema = round(1 - min(0.1, max(0.004, 18 / steps)), 4)
    queue = min(4096, _power_of_two(site.pool // 2))
    prototypes = 2 ** min(12, max(7, round(math.log2(max(site.pool, 1))) - 3))
    return {
        "batch": (batch, batch_why),
        "accumulate": (accumulate, f"{at_once} images a step"),
        "steps": (steps, why),
        "lr": (round(1e-3 * math.sqrt(at_once / 128), 6), "0.001 at 128 images a step, by the root of their number"),
        "backbone_lr": (share, share_why),
        "weight_decay": (1e-4, "fixed"),
        "head_steps": (min(60, steps // 10), "the heads learn first, at most 60 steps or a tenth"),
        "strength": (1.0, "the method's own augmentations"),
        "ema": (ema, f"the target remembers about {1 / (1 - ema):.0f} of {steps} steps at the start"),
        "head_norm": ("batch", "as in the paper; layer norm below 32 images")
        if batch >= 32
        else ("layer", f"batch statistics of {batch} images are too noisy for the heads"),
        **({"queue": (queue, f"at most half a pool of {site.pool} images")} if method == "moco-v2" else {}),
        "prototypes": (prototypes, f"about an eighth of a pool of {site.pool}, between 128 and 4,096"),
    }


def _batch(site: Situation, fixed: Mapping[str, Value]) -> tuple[int, int, str]:
    """Return images a pass, passes a step, and why: what fits the memory, the pool, and a CPU's patience."""
    usual, why = (256, "256 on a GPU") if site.device == "cuda" else (128, f"128 on {site.device}")
    if site.device == "cpu" and PASSES * site.flops * CPU_LEAST_STEPS * usual > CPU_FLOPS:
        usual, why = CPU_BATCH, f"{CPU_BATCH}, since a CPU can do few images: rather more steps"
    wanted = min(usual, max(16, _power_of_two(site.pool // 4)), _power_of_two(site.pool))
    if wanted < usual:
        why = f"at most a quarter of a pool of {site.pool}"
    batch = wanted
    while batch > 8 and 2 * batch * site.image_bytes > MEMORY_SHARE * site.memory:
        batch //= 2
    if batch < wanted:
        why = f"two views of {batch} images fit into {site.memory / 2**30:.1f} GiB"
    batch = int(fixed.get("batch", batch))
    return batch, int(fixed.get("accumulate", 1 if "batch" in fixed else max(1, wanted // batch))), why


def _backbone_rate(site: Situation, scope: str) -> tuple[Value, str]:
    """Return the share of the heads' rate that pretrained weights get."""
    if _few(scope):
        return 1.0, f"scope '{scope}' moves few parameters, which bear the full rate"
    if site.family == "batch-norm" and site.parameters <= SMALL:
        return 1.0, "a small network with batch norm: the full rate was best where it was tried"
    if site.family == "transformer":
        return 0.1, "transformers forget at rates that new heads need"
    return 0.3, "large steps upset what was learned; not measured on a network of this kind"


def _few(scope: str) -> bool:
    """Return whether a scope moves a small share of the parameters: scales, shifts and adapters."""
    return {name for name, _ in parse_scope(scope).terms} <= {"norm", "bias", "lora"}


def _steps(site: Situation, at_once: int, *, few: bool) -> tuple[int, str]:
    """Images seen grow with the root of the pool: fewer passes over more images. Few parameters settle sooner."""
    images = min(MOST, max(LEAST, SEEN * math.sqrt(site.pool / AT) * (1 / 3 if few else 1)))
    images = min(images, max(LEAST, MOST_PASSES * site.pool))
    steps = max(1, round(images / at_once))
    affordable = max(CPU_LEAST_STEPS, round(CPU_FLOPS / (PASSES * max(site.flops, 1.0) * at_once)))
    if site.device == "cpu" and affordable < steps:
        share = f"{affordable / steps:.0%} of the {steps} that this pool is worth"
        return affordable, f"what a CPU does in hours, {share}: expect little; take a GPU, norm-stats or smaller images"
    return steps, f"{images / site.pool:.0f} passes over a pool of {site.pool}"


def _power_of_two(n: int) -> int:
    """Return the largest power of two up to n, at least 1."""
    return 1 << (max(n, 1).bit_length() - 1)

"""What the embedded models are and how each is made: architecture, images, licence and the stage that trains it.

The self-supervised residual networks but BYOL's see the same images as often (``PASSES``), at the same rate, so that
they differ in the method. What the papers scale with their thousands of steps follows the short length here: DINO's
target remembers some 17 steps, as ``acclimate.experiments.adaptation.settings`` has it, and SwAV has few prototypes.
MoCo's queue holds 8 batches, whose keys come from much the same encoder; with 32 batches and DINO's target its loss
rose, and digits came out below the random start.
"""

from __future__ import annotations

from dataclasses import dataclass

from acclimate.training.recipe import Stage

SIZE = 64
NATURAL = (
    "Tiny ImageNet subset: 20,000 photographs of 100 classes at 64 pixels (ImageNet terms: non-commercial research)"
)
LEAVES = "12,000 dead-leaves images drawn by zoo/leaves.py, no photograph among them"
RESEARCH = "research only (ImageNet terms)"
PASSES = 3


@dataclass(frozen=True)
class Model:
    """How one embedded model is made.

    Attributes
    ----------
    architecture
        timm's name.
    data
        ``tiny_imagenet`` or ``leaves``.
    source
        Method and images in words, for the card.
    licence
        Of the weights.
    stage
        What trains it.
    size
        Of the images, in pixels. A transformer of 16-pixel patches gets 96: at 64 it has 16 patches only.
    """

    architecture: str
    data: str
    source: str
    licence: str
    stage: Stage
    size: int = SIZE


def _natural(architecture: str, method: str, stage: Stage, size: int = SIZE) -> Model:
    return Model(architecture, "tiny_imagenet", f"{method} on the {NATURAL}", RESEARCH, stage, size)


def _leaves(architecture: str, method: str, stage: Stage) -> Model:
    return Model(architecture, "leaves", f"{method} on {LEAVES}", "Apache-2.0", stage)


def _ssl(
    objective: str,
    epochs: int = PASSES,
    options: dict[str, bool | int | float | str] | None = None,
    weight_decay: float = 0.0001,
) -> Stage:
    return Stage(
        objective=objective,
        scope="all",
        epochs=epochs,
        batch=128,
        lr=0.002,
        weight_decay=weight_decay,
        options=options or {},
    )


def _supervised(epochs: int) -> Stage:
    return Stage(
        scope="all",
        augment="standard",
        epochs=epochs,
        batch=128,
        lr=0.004,
        weight_decay=0.02,
        options={"label_smoothing": 0.1},
    )


def _byol(epochs: int) -> Stage:
    return _ssl("byol", epochs, {"ema": 0.97})


_MULTI_CROP = 2  # small views beside the two full ones: a third of what the papers take, for the time it costs

MODELS: dict[str, Model] = {
    "resnet-supervised": _natural("test_resnet", "supervised cross-entropy", _supervised(10)),
    "resnet-byol": _natural("test_resnet", "BYOL", _byol(5)),
    "resnet-simclr": _natural("test_resnet", "SimCLR", _ssl("simclr")),
    "resnet-moco": _natural("test_resnet", "MoCo v2", _ssl("moco-v2", options={"ema": 0.99, "queue": 1024})),
    "resnet-barlow": _natural("test_resnet", "Barlow Twins", _ssl("barlow")),
    "resnet-vicreg": _natural("test_resnet", "VICReg", _ssl("vicreg")),
    "resnet-swav": _natural(
        "test_resnet", "SwAV", _ssl("swav", options={"prototypes": 256, "small_crops": _MULTI_CROP})
    ),
    "resnet-dino": _natural("test_resnet", "DINO", _ssl("dino", options={"ema": 0.94, "small_crops": _MULTI_CROP})),
    "resnet-rotation": _natural("test_resnet", "rotation prediction", _ssl("rotation")),
    "resnet-leaves": _leaves("test_resnet", "BYOL", _byol(6)),
    "gn-supervised": _natural("test_efficientnet_gn", "supervised cross-entropy", _supervised(3)),
    "gn-leaves": _leaves("test_efficientnet_gn", "SimCLR", _ssl("simclr", 3, {"head_norm": "layer"})),
    "convnext-supervised": _natural("test_convnext", "supervised cross-entropy", _supervised(3)),
    "convnext-byol": _natural("test_convnext", "BYOL", _byol(5)),
    "vit-mae": _natural(
        "test_vit",
        "MAE",
        _ssl("mae", 3, {"mask": 0.6, "width": 64, "depth": 1}, weight_decay=0.05),
        size=96,
    ),
}

# architecture -> the size its embedded models have
ARCHITECTURES = {model.architecture: model.size for model in MODELS.values()}

"""Write ``catalogue/models/timm.toml`` from timm's own registry, no number by hand: ``python -m zoo.list_timm``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import tomli_w
import torch

TARGET = Path(__file__).resolve().parents[1] / "src" / "acclimate" / "catalogue" / "models" / "timm.toml"
FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "supervised": (
        "supervised on ImageNet-1k",
        (
            "resnet18.a1_in1k",
            "resnet50.a1_in1k",
            "resnet50.tv_in1k",
            "efficientnet_b0.ra_in1k",
            "efficientnet_b3.ra2_in1k",
            "efficientnet_b4.ra2_in1k",
            "mobilenetv3_large_100.ra_in1k",
        ),
    ),
    "supervised-21k": (
        "supervised on ImageNet-21k",
        (
            "resnetv2_101x1_bit.goog_in21k",
            "vit_small_patch16_224.augreg_in21k",
        ),
    ),
    "noisy-student": (
        "ImageNet-1k labels and 300M images without labels",
        ("tf_efficientnet_b3.ns_jft_in1k", "tf_efficientnet_b4.ns_jft_in1k"),
    ),
    "self-distilled": (
        "DINO family, without labels",
        (
            "vit_small_patch16_224.dino",
            "vit_base_patch16_224.dino",
            "vit_small_patch14_dinov2.lvd142m",
            "vit_base_patch14_dinov2.lvd142m",
            "vit_base_patch14_reg4_dinov2.lvd142m",
            "vit_small_patch16_dinov3.lvd1689m",
            "vit_base_patch16_dinov3.lvd1689m",
            "convnext_tiny.dinov3_lvd1689m",
        ),
    ),
    "masked": (
        "masked autoencoding, without labels",
        (
            "vit_base_patch16_224.mae",
            "convnextv2_tiny.fcmae",
            "convnextv2_base.fcmae",
            "hiera_tiny_224.mae",
            "hiera_base_224.mae",
        ),
    ),
    "language-image": (
        "contrastive on image-text pairs",
        (
            "vit_base_patch16_clip_224.openai",
            "vit_base_patch16_clip_224.laion2b",
            "vit_base_patch16_siglip_224.webli",
            "vit_base_patch16_siglip_224.v2_webli",
        ),
    ),
}


def main() -> None:
    """Build every listed model without weights and write what timm says of it."""
    tables = {name: _table(name, family, source) for family, (source, names) in FAMILIES.items() for name in names}
    head = "# Made by `python -m zoo.list_timm` from timm's registry; do not edit by hand."
    TARGET.write_text(f"{head}\n\n{tomli_w.dumps(tables)}", encoding="utf-8")


def _table(name: str, family: str, source: str) -> dict[str, Any]:
    with torch.device("meta"):
        module = timm.create_model(name, pretrained=False, num_classes=0)
    config = timm.get_pretrained_cfg(name)
    assert config.has_weights, name
    return {
        "family": family,
        "source": source,
        "architecture": name.partition(".")[0],
        "parameters": sum(p.numel() for p in module.parameters()),
        "licence": config.license or "not stated",
    }


if __name__ == "__main__":
    main()

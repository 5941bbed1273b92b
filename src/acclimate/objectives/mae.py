"""MAE: masked autoencoders (He et al. 2022, arXiv 2111.06377).

Three quarters of the patches are taken away; the transformer encodes the rest, and a small decoder, which gets a mask
token in each hole, predicts the pixels there: mean squared error on the masked patches alone, each patch brought to
mean 0 and variance 1. The encoder is the network's own code, called on fewer tokens; nothing of it is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from pydantic import Field
from timm.layers.patch_embed import PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from acclimate.errors import RecipeError
from acclimate.objectives.base import Objective, ObjectiveSettings, Paper
from acclimate.views import Augment

HEAD_WIDTH = 32  # of the decoder's attention, as in the paper: 16 heads in 512


class MAESettings(ObjectiveSettings):
    """Settings of masked autoencoding.

    Attributes
    ----------
    mask
        Share of the patches that is taken away, in (0, 1).
    width, depth
        Of the decoder; the width is a multiple of 32.
    """

    mask: float = Field(default=0.75, gt=0, lt=1)
    width: int = Field(default=128, ge=HEAD_WIDTH, multiple_of=HEAD_WIDTH)
    depth: int = Field(default=2, ge=1)


class _Decoder(nn.Module):
    """From encoded visible tokens to the pixels of all patches; positions are fixed sines and cosines."""

    def __init__(self, features: int, pixels: int, settings: MAESettings) -> None:
        super().__init__()
        width = settings.width
        self.embed = nn.Linear(features, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        blocks = [Block(width, width // HEAD_WIDTH, qkv_bias=True) for _ in range(settings.depth)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, pixels)

    def forward(self, encoded: Tensor, visible: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return pixels ``(b, n, pixels)`` from tokens ``(b, prefix + k, d)`` and the visible patches ``(b, k)``."""
        tokens = self.embed(encoded)
        b, prefix, width = len(tokens), tokens.shape[1] - visible.shape[1], tokens.shape[2]
        holes = self.mask_token.to(tokens.dtype).expand(b, grid[0] * grid[1], width)
        patches = holes.scatter(1, visible[:, :, None].expand(-1, -1, width), tokens[:, prefix:])
        patches = patches + positions(grid, width).to(patches)
        decoded = self.norm(self.blocks(torch.cat([tokens[:, :prefix], patches], dim=1)))
        predicted: Tensor = self.predict(decoded[:, prefix:])
        return predicted


def positions(grid: tuple[int, int], width: int) -> Tensor:
    """Return ``(rows columns, width)`` fixed position embeddings of a grid of patches, row by row.

    A quarter of the width each are sines and cosines of the row and of the column, at wavelengths from 2 pi up to
    20,000 pi patches (Vaswani et al. 2017, section 3.5, in two dimensions).
    """
    frequency = 10_000 ** -(torch.arange(width // 4) / (width // 4))
    row, column = (torch.arange(side)[:, None] * frequency for side in grid)
    row = row[:, None].expand(*grid, -1).flatten(0, 1)
    column = column[None].expand(*grid, -1).flatten(0, 1)
    return torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=1)


def patchify(images: Tensor, patch: tuple[int, int]) -> Tensor:
    """Return ``(b, n, 3 p q)`` pixels of the patches of images ``(b, 3, h, w)``, row by row."""
    return nn.functional.unfold(images, patch, stride=patch).transpose(1, 2)


class MAE(Objective):
    """The encoder, which is the network without its pooling, and the decoder."""

    settings: MAESettings
    paper = Paper(
        source="He et al. 2022, arXiv 2111.06377, appendix A.1 (ViT-L/16, ImageNet, 800 epochs)",
        optimizer="adamw",
        lr=2.4e-3,
        batch=4096,
        weight_decay=0.05,
        options={"mask": 0.75, "width": 512, "depth": 8},
    )
    views: Sequence[Augment] = (Augment(crop=(0.2, 1.0)),)  # no colour: the paper's table 1e finds that it hurts

    def setup(self, network: nn.Module, *, features: int, class_counts: Sequence[int]) -> nn.ModuleDict:
        """Build the decoder.

        Raises `RecipeError` for anything but a plain vision transformer.
        """
        if not _is_plain(network):
            raise RecipeError(
                f"objective 'mae': got {type(network).__name__}, expected a plain vision transformer such as "
                "timm:vit_small_patch16_224; choose another method such as byol"
            )
        self.network = network
        self.patch = cast(tuple[int, int], cast(Any, network).patch_embed.patch_size)
        self.decoder = _Decoder(cast(Any, network).embed_dim, 3 * self.patch[0] * self.patch[1], self.settings)
        return nn.ModuleDict({"decoder": self.decoder})

    def loss(self, views: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Return the mean squared error, >= 0, of masked patches; 1 is what predicting each patch's mean gives.

        Raises `RecipeError` for views of a single patch, which leave nothing to predict from.
        """
        images = views[0]
        grid = images.shape[2] // self.patch[0], images.shape[3] // self.patch[1]
        if grid[0] * grid[1] < 2:
            raise RecipeError(
                f"objective 'mae': got views of {images.shape[2]}x{images.shape[3]} pixels, which are a single patch, "
                f"expected several patches of {self.patch[0]}x{self.patch[1]}; set a larger image size"
            )
        visible, masked = self._mask(len(images), grid[0] * grid[1])
        visible, masked = visible.to(images.device), masked.to(images.device)
        predicted = self.decoder(encode(self.network, images, visible), visible, grid).float()
        target = patchify(images.float(), self.patch)
        target = (target - target.mean(dim=2, keepdim=True)) / (target.var(dim=2, keepdim=True) + 1e-6).sqrt()
        error: Tensor = (predicted - target).square().mean(dim=2)  # (b, n)
        return error.gather(1, masked).mean()

    def _mask(self, b: int, n: int) -> tuple[Tensor, Tensor]:
        """Return the visible patches ``(b, k)`` and the masked ones, at least one of each; drawn on the CPU."""
        k = min(n - 1, max(1, round(n * (1 - self.settings.mask))))
        order = torch.rand(b, n).argsort(dim=1)
        return order[:, :k], order[:, k:]


def encode(network: nn.Module, images: Tensor, visible: Tensor) -> Tensor:
    """Return tokens ``(b, prefix + k, d)`` of a vision transformer that sees only patches ``visible`` ``(b, k)``."""
    vit = cast(Any, network)
    tokens = vit._pos_embed(vit.patch_embed(images))  # private, but it alone handles all of timm's variants
    prefix = tokens[:, : vit.num_prefix_tokens]
    patches = tokens[:, vit.num_prefix_tokens :]
    patches = patches.gather(1, visible[:, :, None].expand(-1, -1, patches.shape[2]))
    encoded: Tensor = vit.norm(vit.blocks(vit.norm_pre(torch.cat([prefix, patches], dim=1))))
    return encoded


def _is_plain(network: nn.Module) -> bool:
    """Whether patches are cut without padding and marked with their position once, at the start."""
    if not isinstance(network, VisionTransformer) or network.pos_embed is None:
        return False
    patches: object = network.patch_embed
    return type(patches) is PatchEmbed and not patches.dynamic_img_pad

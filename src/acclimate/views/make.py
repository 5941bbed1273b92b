"""Views of a batch: the matrices of `linear`, applied.

All geometry of one view is `rows @ image @ columns` with one pair of matrices per sample: one resampling, and
blur costs next to nothing more. All colour is one 3x3 matrix and a bias per sample, with the normalisation
folded in, then one clamp. Three differences from a chain of torchvision transforms follow, all on purpose:

- values are clamped to [0, 1] once, after the last colour change, not after each, and never rounded;
- hue is a rotation about the grey axis, which is linear; a shift in HSV is the same at thirds of the circle;
- the mean that contrast needs is taken after the blur, which changes it only at the borders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from acclimate.errors import DataError
from acclimate.views.augment import AUGMENTS, Augment, Normalize, view_size
from acclimate.views.draw import Size, ViewParameters, blur, center_box, colour_matrices, draw, resize_weights

# Samples are worked on in groups. On a CPU the float pixels of a group should stay in its cache; a GPU wants
# few, large groups, and only its memory is a limit. Bytes.
_CPU_GROUP = 2 << 20
_GPU_GROUP = 1 << 30


@dataclass(frozen=True)
class _Plan:
    """One view of n samples, ready to multiply: matrices on the device of the images, flags on the CPU."""

    rows: Tensor  # (n, h, H)
    columns: Tensor  # (n, w, W)
    deviation: Tensor  # (n, 3, 3)
    mean: Tensor  # (n, 3, 3)
    turn: Tensor  # (n,) bool
    solarize: Tensor  # (n,) bool


@dataclass(frozen=True)
class _Scale:
    """The normalisation as it is used; rows are those of a channels-last view: w pixels of 3 values."""

    gain: Tensor  # (3, 1): 1 / (255 std)
    low: Tensor  # (3 w,): what 0 becomes
    high: Tensor  # (3 w,): what 255 becomes


@torch.no_grad()
def make_views(
    images: Tensor,
    size: Size,
    augments: Sequence[Augment],
    normalize: Normalize,
    generator: torch.Generator,
    *,
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Return one random view of the batch per entry of `augments`; every sample has its own parameters.

    Views are (n, 3, *view_size(size, augment.scale)) in channels-last memory, normalised, on the device of the images.
    Raises `DataError`: not a uint8 batch of RGB images, a size that is not positive, or a generator that is not on the
    CPU. `RecipeError`: rotations into views that are not square.

    Parameters
    ----------
    images
        (n, 3, H, W) uint8, on any device; not changed. Channels-last memory is the usual layout.
    size
        (h, w) of the network's input, in pixels: the size of a view whose `scale` is 1.
    augments
        The distribution of each view.
    normalize
        Mean and standard deviation, on a scale of 0 to 1.
    generator
        A CPU generator: all random numbers come from it, wherever the images are.
    dtype
        Of the views. The arithmetic is float32, also under autocast.
    """
    _check(images, size)
    n, device = len(images), images.device
    views: list[Tensor] = []
    work: list[tuple[_Plan, Tensor]] = []
    with torch.autocast(device.type, enabled=False):
        for augment in augments:
            if augment == AUGMENTS["none"]:
                views.append(center(images, size, normalize, dtype=dtype))
                continue
            side = view_size(size, augment.scale)
            views.append(torch.empty(n, *side, 3, dtype=dtype, device=device).permute(0, 3, 1, 2))
            parameters = draw(n, _pixels(images), side, augment, generator)
            work.append((_plan(parameters, _pixels(images), side, device), views[-1]))
        if images.numel():
            _fill(images, work, {width: _scale(normalize, width, device) for width in {v.shape[3] for _, v in work}})
    return views


@torch.no_grad()
def center(images: Tensor, size: Size, normalize: Normalize, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the view that evaluation uses: the centre crop, normalised; nothing is random.

    Images of at least `size` are cropped and not resampled. Smaller ones are enlarged: the largest centred
    part that has the shape of `size`. Arguments, result and errors are as in `make_views`.
    """
    _check(images, size)
    top, left, height, width = center_box(_pixels(images), size)
    pixels = images[:, :, top : top + height, left : left + width].permute(0, 2, 3, 1)
    view = torch.empty(len(images), *size, 3, device=images.device)
    view.copy_(pixels if (height, width) == tuple(size) else _enlarged(pixels, size))
    mean, std = (
        torch.tensor(values, device=images.device).repeat(size[1]) for values in (normalize.mean, normalize.std)
    )
    view.flatten(2).div_(255).sub_(mean).div_(std)
    return view.to(dtype).permute(0, 3, 1, 2)


def _check(images: Tensor, size: Size) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[1:]:
        raise DataError(
            f"got images of shape {tuple(images.shape)} and type {images.dtype}, "
            "expected (n, 3, H, W) and torch.uint8; repeat a grey channel with images.expand(-1, 3, -1, -1)"
        )
    if len(size) != 2 or min(size) < 1:
        raise DataError(f"got a view size of {size}, expected (height, width) of at least 1 pixel each")


def _pixels(images: Tensor) -> Size:
    return images.shape[2], images.shape[3]


def _scale(normalize: Normalize, width: int, device: torch.device) -> _Scale:
    mean, std = torch.tensor(normalize.mean, device=device), torch.tensor(normalize.std, device=device)
    return _Scale(1 / (255 * std[:, None]), (-mean / std).repeat(width), ((1 - mean) / std).repeat(width))


def _plan(parameters: ViewParameters, image: Size, size: Size, device: torch.device) -> _Plan:
    box, flip = parameters.box.to(device), parameters.flip.to(device)
    rows, columns = (resize_weights(box[:, i], box[:, i + 2], flip[:, i], image[i], size[i]) for i in (0, 1))
    blurred = parameters.sigma.nonzero()[:, 0]  # found on the CPU, so that a GPU need not wait
    if len(blurred) == len(parameters.sigma):
        rows, columns = (blur(axis, parameters.sigma.to(device)) for axis in (rows, columns))
    elif len(blurred):
        sigma, index = parameters.sigma[blurred].to(device), blurred.to(device)
        rows[index], columns[index] = blur(rows[index], sigma), blur(columns[index], sigma)
    deviation, mean = colour_matrices(parameters.factors, parameters.order, parameters.gray)
    return _Plan(rows, columns, deviation.to(device), mean.to(device), parameters.turn, parameters.solarize)


def _fill(images: Tensor, work: list[tuple[_Plan, Tensor]], scales: dict[int, _Scale]) -> None:
    """Write each view, group by group; the conversion to float is shared by the views. `scales` go by width."""
    n, channels, height, width = images.shape
    budget = _CPU_GROUP if images.device.type == "cpu" else _GPU_GROUP
    group = min(n, max(1, budget // (4 * channels * height * width)))
    floats = torch.empty(group, channels, height, width, device=images.device)
    # Planes of a group: red, green, blue, and ones to carry a bias. Every group uses the room again: the first write to
    # fresh memory costs more than the writing itself.
    planes = [torch.ones(4, group, *view.shape[2:], device=view.device) for _, view in work]
    for start in range(0, n, group):
        part = slice(start, min(n, start + group))
        pixels = floats[: part.stop - start].copy_(images[part])  # (g, 3, H, W)
        for (plan, view), room in zip(work, planes, strict=True):
            _apply(pixels, plan, part, scales[view.shape[3]], room, view[part].permute(0, 2, 3, 1))


def _apply(pixels: Tensor, plan: _Plan, part: slice, scale: _Scale, planes: Tensor, out: Tensor) -> None:
    """Write one view of one group to `out` (g, h, w, 3); `pixels` is (g, 3, H, W) from 0 to 255."""
    g, width = len(out), out.shape[2]
    planes = planes[:, :g]
    narrow = torch.bmm(pixels.flatten(1, 2), plan.columns[part].transpose(1, 2)).view(g, 3, -1, width)
    for channel in range(3):
        torch.bmm(plan.rows[part], narrow[:, channel], out=planes[channel])
    values = planes.flatten(2).transpose(0, 1)  # (g, 4, h w)
    average = values[:, :3].mean(dim=2, keepdim=True)  # (g, 3, 1)
    deviation = scale.gain * plan.deviation[part]
    bias = (scale.gain * plan.mean[part] - deviation) @ average + scale.low[:3, None]
    view = out if out.dtype == torch.float32 else torch.empty_like(out, dtype=torch.float32)
    change = torch.cat([deviation, bias], dim=2)  # (g, 3, 4)
    torch.bmm(values.transpose(1, 2), change.transpose(1, 2), out=view.flatten(1, 2))  # pixels as rows: channels last
    rows = view.flatten(2)  # (g, h, 3 w): long rows, which vectorise
    rows.clamp_(scale.low, scale.high)
    _solarize(rows, plan.solarize[part], scale)
    _turn(view, plan.turn[part])
    if view is not out:
        out.copy_(view)


def _solarize(rows: Tensor, flags: Tensor, scale: _Scale) -> None:
    """Invert, in place, the values from 0.5 up: for x in [0, 1] that is the smaller of x and 1 - x."""
    index = flags.nonzero()[:, 0].to(rows.device)
    if len(index):
        values = rows[index]
        rows[index] = torch.minimum(values, scale.low + scale.high - values)


def _turn(view: Tensor, flags: Tensor) -> None:
    index = flags.nonzero()[:, 0].to(view.device)
    if len(index):
        view[index] = view[index].transpose(1, 2)


def _enlarged(pixels: Tensor, size: Size) -> Tensor:
    """Resize whole (n, H, W, 3) uint8 images to `size`, as float from 0 to 255."""
    n, height, width = pixels.shape[:3]
    none = torch.zeros(n, device=pixels.device)
    rows, columns = (
        resize_weights(none, none + before, none.bool(), before, after)
        for before, after in ((height, size[0]), (width, size[1]))
    )
    return torch.einsum("nyY,nYXc,nxX->nyxc", rows, pixels.float(), columns)

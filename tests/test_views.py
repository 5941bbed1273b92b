"""Laws of the batched views, with torchvision's per-image functions as the oracle."""

from __future__ import annotations

import ast
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from acclimate import views
from acclimate.errors import DataError, RecipeError
from acclimate.views import AUGMENTS, Augment, Normalize, center, make_views, scaled, view_size
from acclimate.views.draw import ViewParameters, colour_matrices, draw

PLAIN = Normalize((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
IMAGENET = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
STILL = Augment(crop=(1.0, 1.0), hflip=0.0)  # nothing but a resize


def make_view(images: Tensor, size: tuple[int, int], augment: Augment, *others: Any) -> Tensor:
    """Return the one view of `make_views` with one entry."""
    return make_views(images, size, [augment], *others)[0]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, height: int, width: int, low: int = 0, high: int = 256, seed: int = 1) -> Tensor:
    """Random images in the layout of the cache: (n, H, W, 3) seen as (n, 3, H, W)."""
    shape = (n, height, width, 3)
    return torch.randint(low, high, shape, dtype=torch.uint8, generator=generator(seed)).permute(0, 3, 1, 2)


def by_torchvision(image: Tensor, row: ViewParameters, i: int, size: tuple[int, int]) -> Tensor:
    """The same view of one image (3, H, W) in [0, 1], one torchvision function after the other."""
    top, left, height, width = row.box[i].int().tolist()
    x = tv.resized_crop(image, top, left, height, width, list(size), antialias=True)
    x = tv.vertical_flip(x) if row.flip[i, 0] else x
    x = tv.horizontal_flip(x) if row.flip[i, 1] else x
    x = x.transpose(1, 2) if row.turn[i] else x
    functions = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    for step in row.order[i].tolist():
        x = functions[step](x, float(row.factors[i, step]))
    x = tv.rgb_to_grayscale(x, num_output_channels=3) if row.gray[i] else x
    if row.sigma[i] > 0:
        kernel = [min(max(3, int(0.1 * side) | 1), 2 * side - 1) for side in (size[1], size[0])]
        x = tv.gaussian_blur(x, kernel, [float(row.sigma[i])] * 2)
    return tv.solarize(x, 0.5) if row.solarize[i] else x


def oracle(images: Tensor, size: tuple[int, int], augment: Augment, seed: int) -> Tensor:
    row = draw(len(images), images.shape[2:], size, augment, generator(seed))
    return torch.stack([by_torchvision(image / 255, row, i, size) for i, image in enumerate(images)])


@pytest.mark.parametrize(
    "augment",
    [
        STILL,
        Augment(hflip=0.0),
        Augment(crop=(0.05, 0.3), hflip=1.0),
        Augment(vflip=0.5),
        dataclasses.replace(STILL, brightness=0.2, jitter=1.0),
        dataclasses.replace(STILL, contrast=0.5, jitter=1.0),
        dataclasses.replace(STILL, saturation=0.5, jitter=1.0),
        dataclasses.replace(STILL, gray=0.5),
        dataclasses.replace(STILL, blur=1.0),
        dataclasses.replace(STILL, blur=0.5, blur_sigma=(0.5, 5.0)),
        dataclasses.replace(STILL, solarize=0.5),
        Augment(brightness=0.2, contrast=0.3, saturation=0.3, jitter=0.8, gray=0.2, solarize=0.3),
        Augment(brightness=0.2, saturation=0.3, jitter=0.8, gray=0.2, blur=0.5, solarize=0.3),
    ],
    ids=lambda a: ",".join(
        f"{field.name}={getattr(a, field.name)}"
        for field in dataclasses.fields(a)
        if getattr(a, field.name) != field.default
    ),
)
@pytest.mark.parametrize(("image", "size"), [((48, 48), (48, 48)), ((61, 40), (24, 56)), ((8, 8), (40, 40))])
def test_every_operation_is_torchvisions(augment: Augment, image: tuple[int, int], size: tuple[int, int]) -> None:
    images = noise(12, *image, low=80, high=170)  # the middle of the range, where nothing has to be clamped
    view = make_view(images, size, augment, PLAIN, generator(5))
    torch.testing.assert_close(view, oracle(images, size, augment, 5), atol=3e-6, rtol=0)


@pytest.mark.parametrize("image", [(32, 32), (20, 45)])
def test_rotations_are_torchvisions(image: tuple[int, int]) -> None:
    augment = Augment(vflip=0.5, rot90=0.75, blur=0.5)
    images = noise(40, *image)
    view = make_view(images, (32, 32), augment, PLAIN, generator(5))
    torch.testing.assert_close(view, oracle(images, (32, 32), augment, 5), atol=3e-6, rtol=0)


def test_a_quarter_turn_is_a_rotation_not_a_mirror_image() -> None:
    image = noise(1, 6, 6)
    turns = {tuple(torch.rot90(image[0] / 255, k, (1, 2)).flatten().tolist()) for k in (1, 2, 3)}
    augment = dataclasses.replace(STILL, rot90=1.0)
    batch = make_view(image.expand(60, -1, -1, -1), (6, 6), augment, PLAIN, generator())
    exact = {min(turns, key=lambda t: abs(torch.tensor(t) - view.flatten()).max()) for view in batch}
    assert exact == turns
    for view in batch:
        assert min(float((torch.tensor(t) - view.flatten()).abs().max()) for t in turns) < 1e-6


def test_eight_orientations_are_equally_likely() -> None:
    augment = dataclasses.replace(AUGMENTS["orientations"], crop=(1.0, 1.0))
    row = draw(4000, (8, 8), (8, 8), augment, generator())
    code = row.flip[:, 0] * 4 + row.flip[:, 1] * 2 + row.turn
    assert stats.chisquare(code.bincount(minlength=8).numpy()).pvalue > 1e-3


def test_clamping_comes_once_at_the_end() -> None:
    images = noise(64, 16, 16)
    augment = dataclasses.replace(STILL, brightness=0.9, contrast=0.9, saturation=0.9, hue=0.2, jitter=1.0)
    view = make_view(images, (16, 16), augment, PLAIN, generator())
    assert (float(view.min()), float(view.max())) == (0.0, 1.0)
    one = dataclasses.replace(STILL, brightness=0.9, jitter=1.0)  # a single step: torchvision clamps there too
    torch.testing.assert_close(
        make_view(images, (16, 16), one, PLAIN, generator(3)),
        oracle(images, (16, 16), one, 3),
        atol=3e-6,
        rtol=0,
    )


def hue_changed(pixels: Tensor, turns: float) -> Tensor:
    factors = torch.tensor([[1.0, 1.0, 1.0, turns]])
    matrix, same = colour_matrices(factors, torch.arange(4)[None], torch.tensor([False]))
    assert torch.equal(matrix, same)
    return torch.einsum("dc,chw->dhw", matrix[0], pixels)


@pytest.mark.parametrize("third", [-1 / 3, 1 / 3])
def test_hue_is_that_of_hsv_at_thirds_of_the_circle(third: float) -> None:
    pixels = torch.rand(3, 50, 50, generator=generator())
    torch.testing.assert_close(hue_changed(pixels, third), tv.adjust_hue(pixels, third), atol=2e-6, rtol=0)


@pytest.mark.parametrize("turns", [-0.1, -0.03, 0.05, 0.1])
def test_hue_is_near_that_of_hsv_in_between(turns: float) -> None:
    pixels = 0.3 + 0.4 * torch.rand(3, 50, 50, generator=generator())
    ours, theirs = hue_changed(pixels, turns) - pixels, tv.adjust_hue(pixels, turns) - pixels
    assert (ours * theirs).sum() / ours.norm() / theirs.norm() > 0.75  # the same direction
    assert 0.8 < float(ours.norm() / theirs.norm()) < 1.25  # and about as far


@pytest.mark.parametrize("image", [(64, 64), (40, 100), (300, 30)])
def test_crops_are_distributed_as_in_torchvision(image: tuple[int, int]) -> None:
    n, augment = 2500, AUGMENTS["standard"]
    ours = draw(n, image, (32, 32), augment, generator(7)).box
    transform = v2.RandomResizedCrop(32, scale=augment.crop, ratio=augment.ratio)
    sample = [torch.zeros(3, *image)]
    with torch.random.fork_rng():
        torch.manual_seed(7)
        params = [transform.make_params(sample) for _ in range(n)]
    theirs = torch.tensor([[p["top"], p["left"], p["height"], p["width"]] for p in params], dtype=torch.float32)
    for measure in (
        lambda box: box[:, 2] * box[:, 3],
        lambda box: box[:, 3] / box[:, 2],
        lambda box: box[:, 0],
        lambda box: box[:, 1],
    ):
        assert stats.ks_2samp(measure(ours).numpy(), measure(theirs).numpy()).pvalue > 1e-3
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, :2] + ours[:, 2:] <= torch.tensor(image)).all()


def test_the_test_of_distributions_can_fail() -> None:
    ours = draw(2500, (64, 64), (32, 32), AUGMENTS["standard"], generator(7)).box
    other = draw(2500, (64, 64), (32, 32), Augment(crop=(0.16, 1.0)), generator(8)).box
    areas = [(box[:, 2] * box[:, 3]).numpy() for box in (ours, other)]
    assert stats.ks_2samp(*areas).pvalue < 1e-3


def test_jitter_is_distributed_as_in_torchvision() -> None:
    n, augment = 3000, dataclasses.replace(AUGMENTS["simclr"], jitter=1.0)
    row = draw(n, (8, 8), (8, 8), augment, generator(7))
    names = ("brightness", "contrast", "saturation", "hue")
    transform = v2.ColorJitter(*(getattr(augment, name) for name in names))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        params = [transform.make_params([]) for _ in range(n)]
    for column, name in enumerate(names):
        theirs = [p[f"{name}_factor"] for p in params]
        assert stats.ks_2samp(row.factors[:, column].numpy(), theirs).pvalue > 1e-3
    orders = [tuple(order) for order in row.order.tolist()]
    counts = [orders.count(order) for order in itertools.permutations(range(4))]
    assert sum(counts) == n
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("name", ["jitter", "gray", "blur", "solarize", "hflip", "vflip"])
def test_probabilities_are_kept(name: str) -> None:
    augment = dataclasses.replace(AUGMENTS["simclr"], **{name: 0.3})
    row = draw(4000, (8, 8), (8, 8), augment, generator())
    happened = {
        "jitter": (row.factors != torch.tensor([1.0, 1.0, 1.0, 0.0])).any(dim=1),
        "gray": row.gray,
        "blur": row.sigma > 0,
        "solarize": row.solarize,
        "hflip": row.flip[:, 1],
        "vflip": row.flip[:, 0],
    }[name]
    assert stats.binomtest(int(happened.sum()), 4000, 0.3).pvalue > 1e-3


def test_views_have_the_mean_and_spread_of_torchvisions_pipeline() -> None:
    augment = AUGMENTS["byol-2"]
    images = tv.gaussian_blur(noise(400, 32, 32), [5, 5], [2.0, 2.0]).float()
    images = ((images - 128) * 4 + 128).clamp(0, 255).byte()
    chain = v2.Compose(
        [
            v2.RandomResizedCrop(32, scale=augment.crop),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], p=0.1),
            v2.RandomSolarize(0.5, p=0.2),
        ]
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torch.stack([chain(image / 255) for image in images])
    ours = make_view(images, (32, 32), augment, PLAIN, generator())
    for summary in (lambda v: v.mean(dim=(2, 3)), lambda v: v.std(dim=(2, 3))):
        a, b = summary(ours), summary(theirs)
        error = (a.var(dim=0) / 400 + b.var(dim=0) / 400).sqrt()
        assert ((a.mean(dim=0) - b.mean(dim=0)).abs() < 3.5 * error + 0.004).all()


@pytest.mark.parametrize(("image", "size"), [((72, 80), (64, 64)), ((64, 64), (64, 64)), ((65, 64), (32, 33))])
def test_none_is_the_centre_crop_of_evaluation(image: tuple[int, int], size: tuple[int, int]) -> None:
    images = noise(5, *image)
    expected = tv.normalize(
        tv.to_dtype(tv.center_crop(images, list(size)), torch.float32, scale=True),
        IMAGENET.mean,
        IMAGENET.std,
    )
    view = center(images, size, IMAGENET)
    torch.testing.assert_close(view, expected, atol=1e-6, rtol=0)
    assert torch.equal(make_view(images, size, AUGMENTS["none"], IMAGENET, generator()), view)
    flips = make_view(images, size, Augment(crop=None, hflip=1.0), IMAGENET, generator())
    torch.testing.assert_close(flips, view.flip(3), atol=3e-6, rtol=0)  # the same pixels, not resampled


def test_evaluation_enlarges_what_is_too_small() -> None:
    images = noise(3, 8, 12)
    expected = tv.resize(tv.center_crop(images, [8, 8]) / 255, [64, 64], antialias=True)
    torch.testing.assert_close(center(images, (64, 64), PLAIN), expected, atol=2e-6, rtol=0)


def test_normalisation_is_torchvisions() -> None:
    images = noise(6, 20, 20)
    plain = make_view(images, (16, 16), AUGMENTS["byol-2"], PLAIN, generator())
    expected = tv.normalize(plain, IMAGENET.mean, IMAGENET.std)
    view = make_view(images, (16, 16), AUGMENTS["byol-2"], IMAGENET, generator())
    torch.testing.assert_close(view, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", AUGMENTS)
def test_every_preset_obeys_the_laws(name: str) -> None:
    images = noise(9, 30, 26)
    before = images.clone()
    view = make_view(images, (24, 24), AUGMENTS[name], IMAGENET, generator(3))
    assert torch.equal(images, before)
    assert view.shape == (9, 3, 24, 24)
    assert view.dtype == torch.float32
    assert view.is_contiguous(memory_format=torch.channels_last)
    assert torch.isfinite(view).all()
    pixels = view * torch.tensor(IMAGENET.std)[:, None, None] + torch.tensor(IMAGENET.mean)[:, None, None]
    assert pixels.min() > -1e-5
    assert pixels.max() < 1 + 1e-5
    again = make_view(images, (24, 24), AUGMENTS[name], IMAGENET, generator(3))
    assert torch.equal(view, again)
    other = make_view(images, (24, 24), AUGMENTS[name], IMAGENET, generator(4))
    assert torch.equal(view, other) == (name == "none")


def test_every_sample_has_its_own_parameters() -> None:
    images = noise(1, 40, 40).expand(16, -1, -1, -1)
    view = make_view(images, (32, 32), AUGMENTS["byol-1"], PLAIN, generator())
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(view, 2))


def test_a_view_does_not_depend_on_memory_layout_or_on_the_rest_of_its_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = noise(10, 33, 33)
    view = make_view(images, (32, 32), AUGMENTS["byol-2"], PLAIN, generator())
    assert torch.equal(view, make_view(images.contiguous(), (32, 32), AUGMENTS["byol-2"], PLAIN, generator()))
    monkeypatch.setattr("acclimate.views.make._CPU_GROUP", 1)  # one sample at a time
    alone = make_view(images, (32, 32), AUGMENTS["byol-2"], PLAIN, generator())
    torch.testing.assert_close(alone, view, atol=2e-6, rtol=0)


def test_views_of_one_call_continue_the_same_stream() -> None:
    images, g = noise(7, 20, 20), generator()
    pair = [AUGMENTS["byol-1"], AUGMENTS["byol-2"]]
    one_by_one = [make_view(images, (16, 16), augment, IMAGENET, g) for augment in pair]
    together = make_views(images, (16, 16), pair, IMAGENET, generator())
    assert all(torch.equal(a, b) for a, b in zip(one_by_one, together, strict=True))


@pytest.mark.parametrize(
    ("side", "small"), [(518, 224), (224, 96), (160, 64), (128, 48), (96, 48), (64, 32), (32, 16), (16, 16), (8, 8)]
)
def test_small_views_have_sides_that_patches_divide(side: int, small: int) -> None:
    assert view_size((side, side), 96 / 224) == (small, small)
    assert view_size((side, side), 1.0) == (side, side)  # also where 16 does not divide it


@pytest.mark.parametrize("scale", [0.01, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("size", [(1, 40), (37, 70), (224, 518)])
def test_a_view_size_is_a_multiple_of_16_near_its_share(size: tuple[int, int], scale: float) -> None:
    for whole, side in zip(size, view_size(size, scale), strict=True):
        assert 1 <= side <= whole
        assert side % 16 == 0 or side == whole
        assert abs(side - scale * whole) <= 8 or side == 16 or whole - 16 < side


def test_views_of_several_sizes_come_out_of_one_call() -> None:
    images = noise(7, 72, 80)
    full = dataclasses.replace(AUGMENTS["byol-2"], solarize=0.5)
    augments = [full, dataclasses.replace(full, scale=0.5), AUGMENTS["none"], dataclasses.replace(full, scale=0.25)]
    batch_views = make_views(images, (64, 64), augments, IMAGENET, generator(2))
    assert [tuple(view.shape) for view in batch_views] == [(7, 3, side, side) for side in (64, 32, 64, 16)]
    assert all(view.is_contiguous(memory_format=torch.channels_last) for view in batch_views)
    g = generator(2)
    for augment, view in zip(augments, batch_views, strict=True):  # a small view is a full one of a smaller network
        side = view_size((64, 64), augment.scale)
        alone = make_view(images, side, dataclasses.replace(augment, scale=1.0), IMAGENET, g)
        torch.testing.assert_close(view, alone)


def test_a_small_view_of_the_centre_is_its_centre() -> None:
    images = noise(3, 64, 64)
    small = make_view(images, (64, 64), dataclasses.replace(AUGMENTS["none"], scale=0.5), PLAIN, generator())
    torch.testing.assert_close(small, center(images, (32, 32), PLAIN), atol=3e-6, rtol=0)


def test_a_changed_setting_does_not_reshuffle_the_others() -> None:
    row = draw(50, (30, 30), (24, 24), AUGMENTS["byol-1"], generator())
    changed = draw(50, (30, 30), (24, 24), AUGMENTS["byol-2"], generator())
    for name in ("box", "flip", "factors", "order", "gray"):
        assert torch.equal(getattr(row, name), getattr(changed, name))


def test_gray_images_stay_gray() -> None:
    images = noise(8, 20, 20)[:, :1].expand(-1, 3, -1, -1)
    view = make_view(images, (16, 16), AUGMENTS["simclr"], PLAIN, generator())
    assert (view.amax(dim=1) - view.amin(dim=1)).max() < 1e-3  # the luma weights sum to 0.9999


@pytest.mark.parametrize("name", AUGMENTS)
@pytest.mark.parametrize(("image", "size"), [((1, 1), (1, 1)), ((1, 1), (8, 8)), ((8, 8), (64, 64)), ((1, 50), (6, 6))])
def test_tiny_images(name: str, image: tuple[int, int], size: tuple[int, int]) -> None:
    view = make_view(noise(1, *image), size, AUGMENTS[name], IMAGENET, generator())
    assert view.shape == (1, 3, *size)
    assert torch.isfinite(view).all()


def test_an_empty_batch_gives_empty_views() -> None:
    assert make_view(noise(0, 8, 8), (4, 4), AUGMENTS["byol-1"], PLAIN, generator()).shape == (0, 3, 4, 4)


def test_half_precision_rounds_only_the_result() -> None:
    images, pair = noise(6, 20, 20), [AUGMENTS["none"], AUGMENTS["byol-2"]]
    full = make_views(images, (16, 16), pair, IMAGENET, generator())
    half = make_views(images, (16, 16), pair, IMAGENET, generator(), dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = make_views(images, (16, 16), pair, IMAGENET, generator())
    for a, b, c in zip(full, half, cast, strict=True):
        assert b.dtype == torch.bfloat16
        assert b.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(a.bfloat16(), b)
        assert torch.equal(a, c)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; none was found")
def test_a_gpu_sees_the_same_views() -> None:
    images = noise(16, 40, 40)
    for name in AUGMENTS:
        on_cpu = make_view(images, (32, 32), AUGMENTS[name], IMAGENET, generator())
        on_gpu = make_view(images.cuda(), (32, 32), AUGMENTS[name], IMAGENET, generator())
        torch.testing.assert_close(on_gpu.cpu(), on_cpu, atol=1e-4, rtol=0)


def test_strength_scales_and_keeps_symmetries() -> None:
    augment = AUGMENTS["byol-2"]
    assert scaled(augment, 1.0) == augment
    weakest = scaled(augment, 0.0)
    assert weakest == Augment(crop=(1.0, 1.0), ratio=(1.0, 1.0), jitter=0.8)
    assert scaled(dataclasses.replace(augment, scale=0.5), 2.0).scale == 0.5
    half = scaled(augment, 0.5)
    assert (half.hue, half.solarize, half.hflip) == (0.05, 0.1, 0.5)
    assert half.crop is not None
    assert augment.crop is not None
    assert augment.crop[0] < half.crop[0] < 1
    strongest = scaled(dataclasses.replace(AUGMENTS["simclr"], hue=0.4, blur=0.8), 2.0)
    assert (strongest.hue, strongest.blur, strongest.brightness) == (0.5, 1.0, 1.6)
    assert scaled(AUGMENTS["none"], 2.0) == dataclasses.replace(AUGMENTS["none"], ratio=(9 / 16, 16 / 9))
    with pytest.raises(RecipeError, match=r"strength: got -1, expected a number from 0 to 2"):
        scaled(augment, -1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hflip": 1.5}, r"'hflip': got 1\.5, expected a probability from 0 to 1"),
        ({"blur": float("nan")}, r"'blur': got nan, expected a probability"),
        ({"hue": 0.6}, r"'hue': got 0\.6, expected a share of the colour circle from 0 to 0\.5"),
        ({"brightness": -1.0}, r"'brightness': got -1\.0, expected a strength of 0 or more"),
        ({"crop": (0.0, 1.0)}, r"'crop': got \(0\.0, 1\.0\), expected None or \(low, high\)"),
        ({"crop": (0.5, 0.2)}, r"'crop': got \(0\.5, 0\.2\)"),
        ({"ratio": (0.0, 1.0)}, r"'ratio': got \(0\.0, 1\.0\), expected \(low, high\)"),
        ({"blur_sigma": (1.0,)}, r"'blur_sigma': got \(1\.0,\)"),
        ({"scale": 0.0}, r"'scale': got 0\.0, expected a share of the network's input side, above 0 and up to 1"),
        ({"scale": 1.5}, r"'scale': got 1\.5, expected a share"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Augment(**settings)


def test_bad_calls_are_refused() -> None:
    images, size = noise(2, 8, 8), (8, 8)
    with pytest.raises(RecipeError, match=r"std above 0"):
        Normalize((0.5, 0.5, 0.5), (0.5, 0.0, 0.5))
    with pytest.raises(DataError, match=r"type torch\.float32, expected \(n, 3, H, W\) and torch\.uint8"):
        make_view(images.float(), size, STILL, PLAIN, generator())
    with pytest.raises(DataError, match=r"shape \(2, 1, 8, 8\).*repeat a grey channel"):
        center(images[:, :1], size, PLAIN)
    with pytest.raises(DataError, match=r"view size of \(0, 8\)"):
        make_view(images, (0, 8), STILL, PLAIN, generator())
    with pytest.raises(RecipeError, match=r"rot90=0\.75 needs square views, got 8x4 pixels; set rot90=0"):
        make_view(images, (8, 4), AUGMENTS["orientations"], PLAIN, generator())


def test_torchvision_is_not_imported() -> None:
    files = list(Path(views.__file__).parent.glob("*.py"))
    imported = {
        name
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
    }
    assert len(files) > 3
    assert "torch" in imported
    assert not any(name and name.startswith("torchvision") for name in imported)

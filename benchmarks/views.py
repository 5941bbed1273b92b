"""Time two BYOL views of a batch against torchvision's v2 transforms applied to one image after the other.

    python benchmarks/views.py [--json]

Both sides turn the same uint8 images into the same two distributions of normalised float32 views, in one
process with one thread: the work of one core, which a data loader with a worker per core multiplies alike
for both. `ratio` is ours / theirs in images per second (an image counts once, with both of its views).

What was tried for the resampling: crop, flip and resize of one batch, two threads, idle machine (torch
2.14, AVX2), time relative to the chosen way. All can be made exact but where it says otherwise; only the
chosen way was tested.

====================================================== ================ =================
way                                                    256 x 64->64     32 x 256->224
====================================================== ================ =================
planes (3, H, W): bmm along columns, then along rows   1 (8 ms)         1 (36 ms)
rows of three planes (H, 3, W): the same products,     1.0              1.0
but a slower colour product
transposed chain on channels-last memory, without a    1.1              0.9
copy to planes, but with a worse copy at the end
grid_sample, exact only when nothing shrinks; no blur  1.1              0.4
interpolate, one call per image, float32; no blur      5                0.4
interpolate, one call per image, uint8, rounds         3                0.2
====================================================== ================ =================

For large images the per-image calls resample faster, as most of a 224 x 256 matrix is zero. The products stay:
they flip and blur in the same step, need no loop and run unchanged on a GPU, and a training step on such images
takes far longer than its views. For blur, a sum of shifted matrices took 0.65 (64 px) and 0.8 (224 px) of the
time of a product with a band matrix there; on a CPU with AVX-512, where products are faster and memory is not,
the product with the band took 0.5 of the sum's at 64 px, and is what is done. Planning all samples at once took
less time than group by group.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2

from acclimate.views import AUGMENTS, Augment, Normalize, make_views

NORMALIZE = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PAIR = (AUGMENTS["byol-1"], AUGMENTS["byol-2"])
CASES = ((256, 64, 64), (32, 256, 224))  # images, pixels of their side, pixels of a view's side


def chain(augment: Augment, size: int) -> v2.Compose:
    """Return torchvision's transforms for the same view of one uint8 image."""
    jitter = v2.ColorJitter(augment.brightness, augment.contrast, augment.saturation, augment.hue)
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=augment.crop or (1.0, 1.0), antialias=True),
            v2.RandomHorizontalFlip(augment.hflip),
            v2.RandomApply([jitter], p=augment.jitter),
            v2.RandomGrayscale(augment.gray),
            v2.RandomApply([v2.GaussianBlur(int(0.1 * size) | 1, augment.blur_sigma)], p=augment.blur),
            v2.RandomSolarize(128, p=augment.solarize),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(NORMALIZE.mean, NORMALIZE.std),
        ]
    )


def one_by_one(images: Tensor, chains: list[v2.Compose]) -> list[Tensor]:
    """Return the views as a data loader would make and collate them."""
    return [torch.stack([transform(image) for image in images]) for transform in chains]


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(n: int, side: int, size: int, repeats: int) -> dict[str, float | str]:
    """Time both ways in turn, so that other work on the machine meets both; return the medians."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, side, side, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)
    chains = [chain(augment, size) for augment in PAIR]

    def ours() -> object:
        return make_views(images, (size, size), PAIR, NORMALIZE, generator)

    rounds = []
    ours()
    for _ in range(repeats):
        rounds.append((min(seconds(ours) for _ in range(3)), seconds(lambda: one_by_one(images, chains))))
    mine, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {
        "name": f"views: {n} images of {side} px, two BYOL views of {size} px",
        "ratio": round(theirs / mine, 2),
        "ours": round(n / mine, 1),
        "theirs": round(n / theirs, 1),
        "ours_ms": round(1000 * mine, 1),
    }


def main() -> None:
    """Print one line, or one JSON document, with all cases."""
    parser = argparse.ArgumentParser(description="Batched views against torchvision, in images per second.")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    processor = platform.processor() or platform.machine()
    machine = f"{processor}, {options.threads} thread(s), torch {torch.__version__}"
    rows = [measure(*case, options.repeats) for case in CASES]
    if options.json:
        print(json.dumps({"machine": machine, "rows": rows}))
        return
    for row in rows:
        print(f"{row['name']}: {row['ours']} images/s, torchvision {row['theirs']}, ratio {row['ratio']}")


if __name__ == "__main__":
    main()

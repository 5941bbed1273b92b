"""Write ``docs/zoo.md`` from the cards: ``python docs/make_zoo.py``. A test sees a stale page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from acclimate.catalogue import tables, zoo_weights
from acclimate.models import Backbone, load_backbone

PAGE = Path(__file__).with_name("zoo.md")
NORMS = {"BatchNorm": "batch", "GroupNorm": "group", "LayerNorm": "layer"}
HEAD = """# The embedded models

Made by `python docs/make_zoo.py` from the cards in `src/acclimate/catalogue/zoo/` and
`src/acclimate/catalogue/models/random.toml`; do not edit by hand.

These models are inside the package, so that every command can be tried offline, and so that a ranking has models to
rank: their methods, architectures, norms and images differ. They are small and trained for minutes. They are examples,
not good starting points for your photographs; `acclimate models` lists those.

Each was made from its first to its last step by this program, and is made again by
`python -m zoo.train NAME --data FOLDER` in a checkout. `FOLDER` holds `tiny_imagenet/` and, for the probes, `eurosat/`;
the images are not in the package. What each is trained with stands in `zoo/models.py`: AdamW in batches of {batch},
losses and augmentations of the papers, and settings that follow the short length. Seconds are those of the training, on
one core of a shared machine, so they say little about the methods.

The probes are validation accuracies in percent of logistic regression on the features, one seed; in brackets the
difference to the random start of the same architecture. A few points are within the noise of the validation images.
"""
STARTS = """
## Random starts

Every gain is measured from a random start. `random:ARCH` takes any architecture of timm and needs no file. The models
above began with these, probed at their size by `{command}`.
Every row and report says that such a model is a random start.
"""


def page() -> str:
    """Return the page: what holds for all, and one row for each model and each random start."""
    cards = {f"zoo:{name}": card for name, card in tables("zoo").items()}
    starts = tables("random")
    rows = [_row(name, card, starts[card["model"]["architecture"]]["probes"]) for name, card in cards.items()]
    size = sum(len(zoo_weights(name).read_bytes()) for name in cards)
    batches = sorted({card["made"]["batch"] for card in cards.values()})
    probes = list(next(iter(starts.values()))["probes"])
    command = next(iter(starts.values()))["made"]["command"]
    return "\n".join(
        [
            HEAD.format(batch=" or ".join(map(str, batches))),
            *_table("name", "method and images", "network", "norm", "pixels", "images seen", "seconds", "kB", *probes),
            *rows,
            "",
            f"{len(cards)} models, {size / 1e6:.1f} MB together. {_worse(cards, starts)}",
            STARTS.format(command=command),
            *_table("name", "parameters", "norm", "pixels", *probes),
            *(_start(name, card) for name, card in starts.items()),
            "",
        ]
    )


def _worse(cards: dict[str, Any], starts: dict[str, Any]) -> str:
    """Say where a probe came out below the random start's."""
    pairs = [
        (name, probe, value, starts[card["model"]["architecture"]]["probes"][probe])
        for name, card in cards.items()
        for probe, value in card["probes"].items()
    ]
    worse = [f"`{name}` on {probe}" for name, probe, value, start in pairs if value < start]
    return f"Below their random start: {', '.join(worse)}." if worse else "No probe is below its random start's."


def _table(*titles: str) -> list[str]:
    return [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]


def _row(name: str, card: dict[str, Any], start: dict[str, float]) -> str:
    backbone, made = load_backbone(name), card["made"]
    cells = [
        f"`{name}`",
        re.split(r": |, ", card["model"]["source"])[0],
        card["model"]["architecture"],
        _norm(backbone),
        str(backbone.preprocess.size[0]),
        f"{made['steps'] * made['batch']:,}",
        f"{made['seconds']:,}",
        f"{len(zoo_weights(name).read_bytes()) / 1e3:.0f}",
        *(f"{100 * value:.1f} ({100 * (value - start[key]):+.1f})" for key, value in card["probes"].items()),
    ]
    return f"| {' | '.join(cells)} |"


def _start(architecture: str, card: dict[str, Any]) -> str:
    size = card["made"]["size"]
    backbone = load_backbone(f"random:{architecture}", image_size=size)
    probes = [f"{100 * value:.1f}" for value in card["probes"].values()]
    cells = [f"`random:{architecture}`", f"{card['parameters']:,}", _norm(backbone), str(size), *probes]
    return f"| {' | '.join(cells)} |"


def _norm(backbone: Backbone) -> str:
    """Return the kind of norm layers that a network has most of."""
    kinds = [kind for m in backbone.module.modules() for part, kind in NORMS.items() if part in type(m).__name__]
    return max(sorted(set(kinds)), key=kinds.count)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

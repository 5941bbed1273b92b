"""Write ``docs/protocols.md`` from the presets: ``python docs/make_protocols.py``. A test sees a stale page."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from acclimate.protocols import Preset, load_preset, preset_names
from acclimate.scores import PROBES
from acclimate.training.recipe import load_recipe, recipe_names

PAGE = Path(__file__).with_name("protocols.md")
HEAD = """# Evaluation protocols

Made by `python docs/make_protocols.py` from `src/acclimate/presets/`, `recipes/` and `PROBES`; do not edit by hand.

A protocol is a **preset**, a plain **score** or a **recipe**; `acclimate protocols` lists them, `acclimate
protocols NAME` shows one whole. In Python `acclimate.protocols.run_protocol(setting, backbone, name, folder)` runs
any of them and returns one result row.

A preset is what a paper or its authors' code does, with exact numbers, under a name that goes into the row. Its
file names the source and lists every deliberate deviation from it. There are three kinds:

| kind | what is run | command |
|---|---|---|
| `score` | a classifier on cached features, fixed settings | `acclimate score DATA --model M --score knn/dino` |
| `episodes` | few-shot episodes on cached features | `acclimate score DATA --model M --score episodes/ericsson` |
| `recipe` | training, and a choice of settings on validation | `acclimate tune DATA --model M --recipe NAME` |

- **`--scale 0.1`** shortens any preset for small machines: epochs, steps and episodes are multiplied (at least 1 is
  left), and lists of values that validation chooses from are thinned, the first and the last among those that stay.
  The row states the scale and the settings as they ran, in full; both are part of what identifies it, so that a
  short run never passes for a whole one.
- **Choices are made on validation**, also where the source makes them on its test images; that is then listed as a
  deviation. Where settings are fitted again on training and validation images together (`refit`), the row's
  validation numbers are those from before.
- **A label budget of its own** (`labels`) is part of some presets; `--labels` is refused with them.
- **Rows of episodes** have an accuracy with its 95% interval (`accuracy_low`, `accuracy_high`) and no predictions.

A preset of your own is a TOML file of the same form: `acclimate score DATA --model M --score mine.toml`.

## Layers and poolings

`acclimate score DATA --model M --score logistic --layers all` measures every layer on features from one forward
pass and says which is best on validation; since that is a choice among many, its accuracy is optimistic, and the
document says so. `--layers` also takes a name, a number, several with commas, or `last:4` (the last four, one after
the other); `--pooling` takes `default`, `cls`, `mean` and `cls+mean` (with `last:4` the features of DINOv2's linear
evaluation). Each has a place of its own in the cache, and rows state it (`features`). Layers are those that timm
names: ResNet and ConvNeXt stages, blocks of a ViT (with the final norm), and those of most other families.

`--set normalise=NAME` normalises the features of a plain score: `none`, `l2`, `zscore`, `zscore-val`, `batchnorm`,
`whiten`.
"""


def page() -> str:
    """Return the page: what holds for all, the presets, and what stands beside them."""
    presets = [load_preset(name) for name in preset_names()]
    table = ["## Presets", "", "| name | kind | source |", "|---|---|---|"]
    rows = [f"| [`{p.name}`](#{_anchor(p.name)}) | {p.kind} | {p.source} |" for p in presets]
    others = ["## Plain scores and recipes", "", "| name | kind | what it is |", "|---|---|---|"]
    others += [f"| `{name}` | score | {score.meaning} |" for name, score in PROBES.items()]
    others += [f"| `{name}` | recipe | {load_recipe(name).source} |" for name in recipe_names()]
    sections = [line for preset in presets for line in _section(preset)]
    return "\n".join([HEAD, *table, *rows, "", *others, "", *sections])


def _anchor(name: str) -> str:
    """Return GitHub's anchor of a heading."""
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter in "-_")


def _section(preset: Preset) -> list[str]:
    file = resources.files("acclimate").joinpath("presets", *f"{preset.name}.toml".split("/"))
    text = file.read_text(encoding="utf-8")
    settings = text[text.index("\n[") + 1 :].rstrip()
    deviations = [f"- {text}" for text in preset.deviations] or ["- none"]
    return [
        f"## `{preset.name}`",
        "",
        f"{preset.source}.",
        "",
        "Deviations:",
        "",
        *deviations,
        "",
        "```toml",
        settings,
        "```",
        "",
    ]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

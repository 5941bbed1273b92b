"""Write ``docs/protocols.md`` from the catalogue: ``python docs/make_protocols.py``. A test sees a stale page."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from acclimate.catalogue import ALIASES, file_of
from acclimate.protocols import Protocol, find_protocol, protocol_names

PAGE = Path(__file__).with_name("protocols.md")
HEAD = """# Evaluation protocols

Made by `python docs/make_protocols.py` from `src/acclimate/catalogue/protocols/` and `PROBES`; do not edit by hand.

A protocol is a way to measure a model, with a name that goes into the row. `acclimate protocols` lists the protocols,
`acclimate protocols NAME` shows one whole. There are three kinds:

| kind | what is run | command |
|---|---|---|
| `probe` | a classifier on cached features, fixed settings | `acclimate score DATA --model M --score knn/dino` |
| `episodes` | few-shot episodes on cached features | `acclimate score DATA --model M --score episodes/ericsson` |
| `recipe` | training, and a choice of settings on validation | `acclimate tune DATA --model M --recipe NAME` |

In Python `acclimate.find_protocol(NAME).run(task, backbone, runtime, folder)` runs any of them and returns its row.

A **cited protocol** is the one of a paper or its authors' code, with exact numbers. It has a slash in its name
(`vtab1k` alone has none). Its file names the source and lists every deliberate deviation from it. The other protocols
are ours.

- **`--scale 0.1`** shortens any cited protocol for small machines: epochs, steps and episodes are multiplied (at least
  1 is left), and lists of values that validation chooses from are thinned; the first and the last of them stay. The row
  states the scale and the settings as they ran, in full; both are part of what identifies it, so that a short run never
  passes for a whole one.
- **Choices are made on validation**, also where the source makes them on its test images; that is then listed as a
  deviation. Where settings are fitted again on training and validation images together (`refit`), the row's
  validation numbers are those from before.
- **A label budget of its own** (`labels`) is part of some protocols; `--labels` is refused with them.
- **Rows of episodes** have an accuracy with the 95% interval of the papers (`accuracy_low`, `accuracy_high`) and no
  predictions. A page shows this interval at 90%.
- **Deprecated aliases**, for one release: `bn-paper` is `bn/paper`, and `ssda` is `staged/ssda`.

A protocol of your own is a TOML file of the same form: `acclimate score DATA --model M --score mine.toml`,
`acclimate tune DATA --model M --recipe mine.toml`. It has a `name`, a `source`, `deviations` (a list, which may be
empty; with it a scale can shorten the protocol, and its rows state all settings), and one of these:

- `[[stages]]`, each as in [docs/training.md](training.md), and optionally `labels = "1%"` or `examples = 1000`,
  `[choose]` with `refit = true`, and `[transformers]`;
- `[probe]` with the `name` of one of our probes and `[probe.settings]`, and optionally `labels`;
- `[episodes]` with `ways`, `shots`, `queries`, `episodes`, `metric` and `normalise`.

Two older forms are read too and are deprecated: `[score]` for `[probe]`, with `labels` inside, and `[recipe]` around
`[[recipe.stages]]`, `[recipe.choose]` and the like.

## Layers and poolings

`acclimate score DATA --model M --score logistic --layers all` measures every layer on features from one forward
pass and says which is best on validation; since that is a choice among many, its accuracy is optimistic, and the
document says so. `--layers` also takes a name, a number, several with commas, or `last:4` (the last four, one after
the other); `--pooling` takes `default`, `cls`, `mean` and `cls+mean` (with `last:4` the features of DINOv2's linear
evaluation). Each has a place of its own in the cache, and rows state it (`features`). Layers are those that timm
names: ResNet and ConvNeXt stages, blocks of a ViT (with the final norm), and those of most other families.

`--set normalise=NAME` normalises the features of one of our probes: `none`, `l2`, `zscore`, `zscore-val`, `batchnorm`,
`whiten`.
"""


def page() -> str:
    """Return the page: what holds for all, the cited protocols, and ours."""
    protocols = [find_protocol(name) for name in protocol_names() if name not in ALIASES]
    cited = [protocol for protocol in protocols if protocol.cited]
    table = ["## Cited protocols", "", "| name | kind | source |", "|---|---|---|"]
    rows = [f"| [`{p.name}`](#{_anchor(p.name)}) | {p.kind} | {_authors(p.source)} |" for p in cited]
    ours = [f"- `{p.name}`, of kind {p.kind}. {p.source}" for p in protocols if not p.cited]
    others = ["## Our protocols", "", *(line for text in ours for line in _wrapped(text))]
    sections = [line for protocol in cited for line in _section(protocol)]
    return "\n".join([HEAD, *table, *rows, "", *others, "", *sections])


def _anchor(name: str) -> str:
    """Return GitHub's anchor of a heading."""
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter in "-_")


def _authors(source: str) -> str:
    """Return the beginning of a source, up to the year; a table has no room for more."""
    return re.match(r"[^:;(]*?\b20\d\d|[^,:;(]*", source)[0].strip()


def _section(protocol: Protocol) -> list[str]:
    text = file_of("protocols", protocol.name).read_text(encoding="utf-8")
    settings = re.split(r"^deviations = \[.*?^\]\n", text, maxsplit=1, flags=re.DOTALL | re.MULTILINE)[1].strip()
    deviations = [line for text in protocol.deviations or () for line in _wrapped(f"- {text}")] or ["- none"]
    return [
        f"## `{protocol.name}`",
        "",
        *_wrapped(f"{protocol.source}."),
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


def _wrapped(text: str) -> list[str]:
    indent = "  " * text.startswith("- ")
    return textwrap.wrap(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

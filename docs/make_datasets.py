"""Write ``docs/datasets.md`` from the table: ``python docs/make_datasets.py``. A test sees a stale page."""

from __future__ import annotations

import textwrap
from pathlib import Path

from acclimate.images import Dataset, dataset_entries

PAGE = Path(__file__).with_name("datasets.md")
METRICS = {"accuracy": "top-1", "balanced_accuracy": "mean per class"}
HEAD = """# The data sets of the papers

Made by `python docs/make_datasets.py` from `src/acclimate/catalogue/datasets/datasets.toml`; do not edit by hand.

`data:NAME@FOLDER` reads a data set as its authors publish it: unpack the archives and name the folder. Every command
takes it, such as `acclimate check data:dtd@photos/dtd`. You may also name the folder above, if this one has the
archive's own name. For `data:NAME` without a folder, torchvision downloads the data set into the cache, where the table
says so. `torchvision:NAME` and `hf:NAME` take any other data set of these libraries.

- **Split** is the official one. Where there is none, images are ordered within their class by the SHA-256 of their path
  and cut there, so the cut is the same on every machine. Where there is no val part, a part of train is set aside for
  it, never a part of test.
- **Metric** is what the papers report: top-1 (`accuracy` in a result) or the mean of the per-class accuracies
  (`balanced_accuracy`); in Python `acclimate.images.dataset_entry("pets").metric`. A result always has both.
- **Papers**: M Marks et al. (2024), S Sirotkin et al. (2024), E Ericsson et al. (2021), K Kornblith et al. (2019).
- **Licences** are as their sites put them, in short; read them there before you use the images.
- An image that a list names must lie inside the folder: absolute paths, `..` and links that lead out are refused.
  `.mat` files are read by `scipy.io.loadmat`, which parses values and runs no code; pickles are never read from a
  folder.
"""


def page() -> str:
    """Return the page: what holds for all, the table, and each data set with its tree."""
    entries = dataset_entries().values()
    table = ["| name | data set | classes | split | metric | papers | download |", "|---|---|---|---|---|---|---|"]
    rows = [_row(entry) for entry in entries]
    return "\n".join([HEAD, *table, *rows, "", *(line for entry in entries for line in _section(entry))])


def _row(entry: Dataset) -> str:
    download = "torchvision" if entry.download else "by hand"
    metric = METRICS[entry.metric] + (f" (the papers: {entry.reported})" if entry.reported else "")
    cells = (entry.title, f"{entry.classes:,}", entry.splits, metric, " ".join(entry.papers), download)
    return f"| `{entry.name}` | {' | '.join(cells)} |"


def _section(entry: Dataset) -> list[str]:
    where = f"From <{entry.url.split()[0]}>{entry.url.removeprefix(entry.url.split()[0])}. Licence: {entry.licence}."
    lines = textwrap.wrap(f"{where} {entry.notes}", 120, break_long_words=False, break_on_hyphens=False)
    return [f"## `{entry.name}`", "", *lines, "", "```", "FOLDER/", *_tree(entry.tree), "```", ""]


def _tree(paths: tuple[str, ...]) -> list[str]:
    last = len(paths) - 1
    return [f"{'└' if k == last else '├'}── {path}" for k, path in enumerate(paths)]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

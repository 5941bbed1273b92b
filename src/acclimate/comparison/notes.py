"""The answer in words: a verdict, and notes on what is missing, what is undefined, what was turned round.

The verdict says whether the proxy foresees the target, how sure that is, and what a fixed list would have done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from acclimate.comparison.cells import Pairing, proxied
from acclimate.comparison.sides import ScoreColumn
from acclimate.errors import some
from acclimate.stats.correlations import LEAST_MODELS

NAMED: Final = 5
_UNDEFINED: Final = 0.05  # share of resamples without a correlation that is worth a word
_FEW: Final = 10
_LOSSES: Final = ("loss", "error", "ece", "rmse", "perplexity")
TRUSTED: Final = 0.5  # Spearman: two models in three are then ordered rightly, and chance is far

_OPENINGS: Final = {
    "yes": "Yes: '{proxy}' can be trusted to order models as '{target}' does{where}",
    "no": "No: '{proxy}' does not order models as '{target}' does{where}",
    "cannot tell": "Cannot tell whether '{proxy}' orders models as '{target}' does{where}",
}


def words(document: dict[str, Any]) -> dict[str, str]:
    """Return ``trust`` (yes, no, cannot tell) and ``verdict``, a sentence.

    Yes when the interval of Spearman's correlation lies above `TRUSTED`, no when it lies below, else nobody can tell.
    """
    answer = _answer(document)
    opening = _OPENINGS[answer].format(proxy=document["proxy"], target=document["target"], where=_where(document))
    parts = [_correlation(document)]
    if (share := document["agreement"]) is not None:
        parts.append(f"it orders {share:.0%} of the pairs rightly")
    if document["regret"] is not None:
        often = " on average" if document["cells"] > 1 else ""
        cost = amount(document["regret"], document["regret_unit"])
        parts.append(f"trusting its first choice costs {cost}{often}")
    parts += _beside(document)
    if (top := document["ceiling"]["spearman"]) is not None:
        parts.append(f"reruns of '{document['target']}' agree with its true order at {top:.2f}")
    parts += _outside(document)
    return {"trust": answer, "verdict": f"{opening}. {'; '.join(parts)}."}


def _answer(document: dict[str, Any]) -> str:
    ends = document["intervals"]["spearman"]
    if ends is None or document["spearman"] is None:
        return "cannot tell"
    if ends["low"] >= TRUSTED:
        return "yes"
    return "no" if ends["high"] <= TRUSTED else "cannot tell"


def _where(document: dict[str, Any]) -> str:
    if document["cells"] > 1:
        return f", on average over {document['cells']} data sets"
    line = document["datasets"][0]
    if line["source"] == line["dataset"]:
        return f" on '{line['dataset']}'"
    return f" on '{line['dataset']}', read on '{line['source']}'"


def _correlation(document: dict[str, Any]) -> str:
    models = f"{document['n_models']:,} models"
    if document["spearman"] is None:
        return f"correlations are undefined ({models})"
    ends = document["intervals"]["spearman"]
    level = f"{100 * document['level']:g}% interval"
    span = f"{level} {ends['low']:.2f} to {ends['high']:.2f}" if ends else "an interval cannot be given"
    return f"Spearman {document['spearman']:.2f}, {span} ({models})"


def amount(regret: float, unit: str) -> str:
    """Return a regret with its unit; fractions are told in points, of which there are 100."""
    if unit == "fraction":
        return f"{100 * regret:.2g} points"
    return f"{regret:.2g} points" if unit == "percent" else f"{regret:.3g} of {unit}"


def _beside(document: dict[str, Any]) -> list[str]:
    phrases = []
    for key, name in (("static_baseline", "the static list"), ("size_baseline", "a list by size")):
        listed = document[key]
        if listed is not None and listed["spearman"] is not None:
            phrases.append(f"{name} alone gives {listed['spearman']:.2f}{_significance(listed['ahead']['spearman'])}")
    return phrases


def _significance(ahead: dict[str, Any] | None) -> str:
    """Return in words whether a difference has an interval without zero."""
    if ahead is None or "low" not in ahead:
        return ""
    if ahead["low"] > 0:
        return ", clearly less"
    return ", clearly more" if ahead["high"] < 0 else ", which cannot be told apart"


def _outside(document: dict[str, Any]) -> list[str]:
    """Return what changes when the proxy was read on another data set."""
    if document["ood"] is None:
        return []
    change = next(line for line in document["ood"]["change"] if line["proxy"] == document["proxy"])["spearman"]
    if change is None:
        return []
    outside = next(
        line["spearman"]
        for line in document["ood"]["averages"]
        if line["proxy"] == document["proxy"] and line["part"] == "out of domain"
    )
    span = f" ({change['low']:+.2f} to {change['high']:+.2f})" if "low" in change else ""
    return [f"read on another data set it gives {outside:.2f}, a change of {change['difference']:+.2f}{span}"]


def missing_cells(cells: Sequence[Pairing], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each cell that lacks models: which of `names` are without the proxy and without the target."""
    lines = []
    for cell in proxied(cells):
        if cell.n == len(names):
            continue
        lacking = {"proxy": cell.proxy.means, "target": cell.target.means}
        models = {side: [names[int(i)] for i in np.flatnonzero(~np.isfinite(v))] for side, v in lacking.items()}
        where = {"source": cell.candidate.source, "dataset": cell.target.dataset}
        lines.append({"name": cell.candidate.name, **where, "n": cell.n, "without": models})
    return lines


def notes(document: dict[str, Any], cells: Sequence[Pairing]) -> list[str]:
    """Return sentences for the cells of the headline."""
    own = proxied(cells)
    columns = [cell.proxy for cell in own] + [cell.target for cell in own]
    unique = list({(c.protocol, c.dataset, c.metric): c for c in columns}.values())
    return [
        *_turned(unique),
        *_constant(own),
        *_tied_first(own),
        *_missing(document["missing"], unique),
        *_undefined(own),
        *_about(document, min((cell.n for cell in own), default=0)),
    ]


def _turned(columns: Sequence[ScoreColumn]) -> list[str]:
    turned = sorted({column.metric for column in columns if column.sign < 0})
    doubtful = sorted({c.metric for c in columns if c.sign > 0 and any(word in c.metric.lower() for word in _LOSSES)})
    return [
        *(f"less is better in {metric}: turned round, so that agreement is positive" for metric in turned),
        *(f"more is taken to be better in {metric}; if not, say --smaller-is-better {metric}" for metric in doubtful),
    ]


def _constant(cells: Sequence[Pairing]) -> list[str]:
    sentences = []
    for cell in cells:
        for side in (cell.proxy, cell.target) if not np.isfinite(cell.point["spearman"]) else ():
            values = side.means[cell.models]
            if np.all(values == values[0]):
                sentences.append(
                    f"'{side.protocol}' on '{side.dataset}' is {values[0]:g} for all {cell.n} models: "
                    "correlations with it are undefined"
                )
    return list(dict.fromkeys(sentences))


def _tied_first(cells: Sequence[Pairing]) -> list[str]:
    """Say where the proxy's first place is shared, as the regret is then that of the first in the table."""
    sentences = []
    for cell in cells:
        values = cell.proxy.means[cell.models] * cell.proxy.sign
        if np.isfinite(cell.point["spearman"]) and (n := int((values == values.max()).sum())) > 1:
            sentences.append(
                f"{n} models share the first place of '{cell.proxy.protocol}' on '{cell.proxy.dataset}': "
                "the regret is that of the first in the table"
            )
    return sentences[:NAMED]


def _missing(missing: Sequence[dict[str, Any]], columns: Sequence[ScoreColumn]) -> list[str]:
    alike: dict[tuple[str, str], list[str]] = {}  # (proxy, what it lacks) -> where
    for cell in missing:
        without = [
            f"{n} without the {side} ({some(n_, NAMED)})" for side, n_ in cell["without"].items() if (n := len(n_))
        ]
        lack = f"{', '.join(without)}; measured on the {cell['n']} that have both"
        alike.setdefault((cell["name"], lack), []).append(f"'{cell['dataset']}'")
    sentences = [f"'{name}' on {some(where, NAMED)}: {lack}" for (name, lack), where in list(alike.items())[:NAMED]]
    if more := sum(len(where) for where in list(alike.values())[NAMED:]):
        sentences.append(f"{more} more data sets lack models, each measured on those that have both")
    empty = sum(column.empty for column in columns)
    if empty:
        sentences.append(f"{empty} rows have no value and count as missing")
    return sentences


def _undefined(cells: Sequence[Pairing]) -> list[str]:
    shares = [float(np.mean(~np.isfinite(cell.resampled["spearman"]))) for cell in cells]
    worst = max((s for s, c in zip(shares, cells, strict=True) if np.isfinite(c.point["spearman"])), default=0.0)
    if worst <= _UNDEFINED:
        return []
    return [
        f"up to {worst:.0%} of the resamples have no correlation, as a column is constant in them; they are left out"
    ]


def _about(document: dict[str, Any], least: int) -> list[str]:
    """Say how far the numbers can be trusted: `least` is the smallest number of models in a cell."""
    sentences = []
    if LEAST_MODELS <= least < _FEW:
        sentences.append(f"only {least} models: an interval from so few is a rough guide")
    if document["ceiling"]["reason"]:
        sentences.append(f"noise ceiling unknown: {document['ceiling']['reason']}; give rows of several seeds")
    if document["static_baseline"] is None:
        sentences.append("no static list: it needs the target on another data set")
    if (n := document["comparisons"]) > 1:
        sentences.append(f"p-values: models permuted, two-sided; Holm and Benjamini-Hochberg over {n} comparisons")
    if len(resampled := document["drawn"]) > 1:
        sentences.append(f"intervals draw {', '.join(resampled)}")
    return sentences

"""The answer in a sentence: does the proxy foresee the target, how sure is that, and what would a fixed list do."""

from __future__ import annotations

from typing import Any, Final

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

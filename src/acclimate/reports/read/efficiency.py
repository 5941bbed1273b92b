"""Label efficiency: what a model reaches with few labels, and whether another one reaches more.

A curve may hold several trainings, such as logistic regression on features and full finetuning. They are different
numbers of the same models, so every function here but `trainings` and `verdicts` wants a curve with one of them, see
`of_training`; points without a training are one training.
"""

from __future__ import annotations

from acclimate.reports.read.collect import Doc, parts, words
from acclimate.reports.text import number
from acclimate.stats import METRICS, MeanInterval, mean_interval


def trainings(curve: Doc) -> list[str]:
    """Return the ways to train that a curve's points name; one empty name where they name none."""
    return list(dict.fromkeys(words(point, "training") for point in parts(curve, "points")))


def of_training(curve: Doc, training: str) -> Doc:
    """Return the curve with the points of one way to train."""
    return {**curve, "points": [point for point in parts(curve, "points") if words(point, "training") == training]}


def training_words(training: str) -> str:
    """Say a way to train in words."""
    return {"head": "head only", "full": "full finetuning"}.get(training, training)


def verdicts(curve: Doc) -> list[str]:
    """Return what the curve's own program says of each model and training, one sentence each."""
    return [
        f"{words(verdict, 'model')} against {words(verdict, 'base')}, {training_words(words(verdict, 'training'))}: "
        f"{words(verdict, 'words')}."
        for verdict in parts(curve, "verdicts")
    ]


def models(curve: Doc) -> list[str]:
    """Return the models of a curve, the base model first: the one so called, else one that no name calls adapted."""
    names = list(dict.fromkeys(words(point, "model") for point in parts(curve, "points")))
    if (base := words(curve, "base")) in names:
        return [base, *(name for name in names if name != base)]
    return sorted(names, key=lambda name: "adapt" in name.lower())


def label_steps(curve: Doc) -> list[str]:
    """Return the label counts from few to many, by the labels a class that points name.

    Where they name none, plain counts come first, then shares such as ``100%``.
    """
    amounts = {words(point, "labels"): number(point.get("per_class")) for point in parts(curve, "points")}
    if all(amount is not None for amount in amounts.values()):
        return sorted(amounts, key=lambda labels: (amounts[labels] or 0.0, _amount(labels)))
    return sorted(amounts, key=_amount)


def _amount(labels: str) -> tuple[bool, float, str]:
    share = labels.endswith("%")
    try:
        return share, float(labels.rstrip("% ")), labels
    except ValueError:
        return True, float("inf"), labels


def estimate(curve: Doc, model: str, labels: str, metric: str) -> MeanInterval | None:
    """Return a metric's mean and interval over seeds, or None where it was not measured."""
    points = [p for p in parts(curve, "points") if words(p, "model") == model and words(p, "labels") == labels]
    by_seed = {words(p, "seed"): value for p in points if (value := number(p.get(metric))) is not None}
    return mean_interval(list(by_seed.values())) if by_seed else None


def metrics_of(curve: Doc) -> list[str]:
    """Return the metrics that at least one point has, in the usual order."""
    return [key for key in METRICS if any(number(p.get(key)) is not None for p in parts(curve, "points"))]


def amount(labels: str) -> str:
    """Say a count of labels in words."""
    if labels.endswith("%"):
        return f"{labels} of the labels"
    return "1 label per class" if labels == "1" else f"{labels} labels per class"

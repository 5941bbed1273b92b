"""The proof: label-efficiency curves, how many labels a better start is worth, and the verdict."""

from acclimate.experiments.curve.budgets import Budget, plan_budgets
from acclimate.experiments.curve.measure import Comparison, Curve, check_models, measure_curve, plan_curve
from acclimate.experiments.curve.points import Plan
from acclimate.experiments.curve.worth import (
    Change,
    Compared,
    Verdict,
    Worth,
    average_change,
    change,
    conclude,
    labels_worth,
)

__all__ = [
    "Budget",
    "Change",
    "Compared",
    "Comparison",
    "Curve",
    "Plan",
    "Verdict",
    "Worth",
    "average_change",
    "change",
    "check_models",
    "conclude",
    "labels_worth",
    "measure_curve",
    "plan_budgets",
    "plan_curve",
]

"""The proof: label-efficiency curves, how many labels a better start is worth, and the verdict."""

from acclimate.proof.budgets import Budget, plan_budgets
from acclimate.proof.curve import check_models, plan_curve
from acclimate.proof.curve import curve as measure_curve
from acclimate.proof.points import Plan
from acclimate.proof.worth import Change, Compared, Verdict, Worth, average_change, change, conclude, labels_worth

__all__ = [
    "Budget",
    "Change",
    "Compared",
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

"""Label-efficiency curves: how many labels a better start is worth, and the verdict."""

from acclimate.experiments.curve.budgets import plan_budgets as plan_budgets
from acclimate.experiments.curve.measure import Comparison as Comparison
from acclimate.experiments.curve.measure import check_models as check_models
from acclimate.experiments.curve.measure import measure_curve as measure_curve
from acclimate.experiments.curve.measure import plan_curve as plan_curve
from acclimate.experiments.curve.points import CurvePlan as CurvePlan
from acclimate.experiments.curve.worth import Compared as Compared
from acclimate.experiments.curve.worth import LossChange as LossChange
from acclimate.experiments.curve.worth import Worth as Worth
from acclimate.experiments.curve.worth import average_change as average_change
from acclimate.experiments.curve.worth import change as change
from acclimate.experiments.curve.worth import conclude as conclude
from acclimate.experiments.curve.worth import labels_worth as labels_worth

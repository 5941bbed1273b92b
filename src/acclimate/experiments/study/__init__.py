"""Studies: models x data sets x protocols x seeds x label fractions, resumable and shared between processes."""

from acclimate.experiments.study.campaign import dry_run as dry_run
from acclimate.experiments.study.campaign import run_study as run_study
from acclimate.experiments.study.file import load_study as load_study
from acclimate.experiments.study.file import parse_study as parse_study
from acclimate.experiments.study.plan import plan_study as plan_study

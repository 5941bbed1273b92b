"""Studies: models x data sets x protocols x seeds x label fractions, resumable and shared between processes."""

from acclimate.experiments.study.campaign import dry_run, run_study
from acclimate.experiments.study.file import Study, load_study, parse_study
from acclimate.experiments.study.plan import Plan, plan_study

__all__ = ["Plan", "Study", "dry_run", "load_study", "parse_study", "plan_study", "run_study"]

"""Cohorts with known truth, drawn from written models.

``breast`` is one cancer with subtypes and a network, ``pancancer`` several cancers whose genes behave differently in
each; both are written with :func:`write_cohort`, or by ``python -m gexcore.simulate FOLDER``.
"""

from .breast import AGE_SHIFT, MODULES, PAIR_MAIN, PAIRS, PROTECTIVE, RISK, SUBTYPES, Module, simulate_cohort
from .common import SimulatedCohort, write_cohort
from .pancancer import CANCER_TYPES, PAN_CANCER_MODULES, CancerType, PanCancerModule, simulate_pan_cancer

__all__ = [
    "AGE_SHIFT",
    "CANCER_TYPES",
    "MODULES",
    "PAIRS",
    "PAIR_MAIN",
    "PAN_CANCER_MODULES",
    "PROTECTIVE",
    "RISK",
    "SUBTYPES",
    "CancerType",
    "Module",
    "PanCancerModule",
    "SimulatedCohort",
    "simulate_cohort",
    "simulate_pan_cancer",
    "write_cohort",
]

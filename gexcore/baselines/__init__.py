"""Peers of the transformers: every baseline has the same ``fit`` and ``predict``."""

from .classical import ClinicalCox, ElasticNetCox, LinearModel, SurvivalForest

__all__ = ["ClinicalCox", "ElasticNetCox", "LinearModel", "SurvivalForest"]

"""Peers of the transformers: predictors share ``fit`` and ``predict``, imputers ``fit`` and ``impute``."""

from .autoencoders import DenoisingAutoencoder, VariationalAutoencoder
from .classical import ClinicalCox, ElasticNetCox, LinearModel, SurvivalForest
from .imputers import KNN, ChainedEquations, GaussianConditional, GeneMean, ProbabilisticPCA, SoftImpute

__all__ = [
    "KNN",
    "ChainedEquations",
    "ClinicalCox",
    "DenoisingAutoencoder",
    "ElasticNetCox",
    "GaussianConditional",
    "GeneMean",
    "LinearModel",
    "ProbabilisticPCA",
    "SoftImpute",
    "SurvivalForest",
    "VariationalAutoencoder",
]

"""Peers of the transformers: predictors share ``fit`` and ``predict``, imputers ``fit`` and ``impute``, representations
``fit`` and ``embed``.
"""

from .autoencoders import DenoisingAutoencoder, VariationalAutoencoder
from .classical import ClinicalCox, ElasticNetCox, LinearModel, SurvivalForest
from .classifiers import LinearSVM, Majority, RandomForest
from .imputers import (
    KNN,
    ChainedEquations,
    GaussianConditional,
    GeneMean,
    MixtureOfFactors,
    ProbabilisticPCA,
    SoftImpute,
)
from .representations import OnRepresentation, PrincipalComponents
from .ridge_cox import RidgeCox

__all__ = [
    "KNN",
    "ChainedEquations",
    "ClinicalCox",
    "DenoisingAutoencoder",
    "ElasticNetCox",
    "GaussianConditional",
    "GeneMean",
    "LinearModel",
    "LinearSVM",
    "Majority",
    "MixtureOfFactors",
    "OnRepresentation",
    "PrincipalComponents",
    "ProbabilisticPCA",
    "RandomForest",
    "RidgeCox",
    "SoftImpute",
    "SurvivalForest",
    "VariationalAutoencoder",
]

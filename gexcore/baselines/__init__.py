"""Peers of the transformers: predictors share ``fit`` and ``predict``, imputers ``fit`` and ``impute``, representations
``fit`` and ``embed``.
"""

from .autoencoders import DenoisingAutoencoder, VariationalAutoencoder
from .autosurv import AUTOSurv
from .boosting import GradientBoosting
from .classical import ClinicalCox, ElasticNetCox, LinearModel, SurvivalForest
from .classifiers import LinearSVM, Majority, RandomForest
from .controls import ClinicalExpressionCox, Null, TwoStage
from .deepgene import DeepGene
from .fmap import FeatureMapCNN
from .imputers import (
    KNN,
    ChainedEquations,
    GaussianConditional,
    GeneMean,
    MixtureOfFactors,
    ProbabilisticPCA,
    SoftImpute,
)
from .mlp import MLP
from .omiembed import OmiEmbed
from .representations import OnRepresentation, PrincipalComponents
from .ridge_cox import RidgeCox
from .survconvmixer import SurvConvMixer
from .tgem import TGEM

__all__ = [
    "KNN",
    "MLP",
    "TGEM",
    "AUTOSurv",
    "ChainedEquations",
    "ClinicalCox",
    "ClinicalExpressionCox",
    "DeepGene",
    "DenoisingAutoencoder",
    "ElasticNetCox",
    "FeatureMapCNN",
    "GaussianConditional",
    "GeneMean",
    "GradientBoosting",
    "LinearModel",
    "LinearSVM",
    "Majority",
    "MixtureOfFactors",
    "Null",
    "OmiEmbed",
    "OnRepresentation",
    "PrincipalComponents",
    "ProbabilisticPCA",
    "RandomForest",
    "RidgeCox",
    "SoftImpute",
    "SurvConvMixer",
    "SurvivalForest",
    "TwoStage",
    "VariationalAutoencoder",
]

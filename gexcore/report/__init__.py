"""One-page html reports of a training, of predictions and of an imputation, self-contained."""

from .imputation import Imputation, imputation_report, pretraining_report
from .page import Picture, Points, Section, Table, Text, page, picture
from .patients import patient_table, risk_groups, round_times
from .prediction import Application, gene_counts, prediction_report
from .scores import score_models, score_restoration
from .training import Training, training_report

__all__ = [
    "Application",
    "Imputation",
    "Picture",
    "Points",
    "Section",
    "Table",
    "Text",
    "Training",
    "gene_counts",
    "imputation_report",
    "page",
    "patient_table",
    "picture",
    "prediction_report",
    "pretraining_report",
    "risk_groups",
    "round_times",
    "score_models",
    "score_restoration",
    "training_report",
]

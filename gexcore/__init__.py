"""gexcore: transformers for tumour transcriptomes.

TxT predicts survival together with clinical features from bulk expression. ``import gexcore as gx`` reaches everything
a notebook needs.
"""

from . import attention, baselines, comparison, metrics, plots, simulate
from .cohort import read_cohort
from .metrics import evaluate
from .sources import data_path, load_cohort, load_truth
from .splits import split
from .tasks import Classification, CohortWarning, Regression, Survival
from .txt import TxT

__version__ = "0.1.0"
__all__ = [
    "Classification",
    "CohortWarning",
    "Regression",
    "Survival",
    "TxT",
    "attention",
    "baselines",
    "comparison",
    "data_path",
    "evaluate",
    "load_cohort",
    "load_truth",
    "metrics",
    "plots",
    "read_cohort",
    "simulate",
    "split",
]

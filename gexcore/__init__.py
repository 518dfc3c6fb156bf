"""gexcore: transformers for tumour transcriptomes.

TxT predicts survival together with clinical features from bulk expression. ``import gexcore as gx`` reaches everything
a notebook needs. The modules tell the story from the ground up; each imports only from floors below its own:

1. ``tasks`` what is predicted; ``tables`` files; ``losses``; ``attention`` conditioned on expression;
   ``checkpoint`` one file per model
2. ``cohort`` everything becomes one AnnData; ``scaling``; ``heads`` from gene vectors to predictions; ``training``
3. ``simulate`` cohorts with known truth; ``sources`` known cohorts; ``splits``; ``txt`` the model; ``baselines``
4. ``metrics`` one tidy score table; ``comparison`` what repeated splits say
5. ``plots`` every figure
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

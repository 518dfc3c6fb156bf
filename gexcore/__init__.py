"""gexcore: transformers for tumour transcriptomes.

TxT predicts survival together with clinical features from bulk expression. ``import gexcore as gx`` reaches everything
a notebook needs. The modules tell the story from the ground up; each imports only from floors below its own:

1. ``tasks`` what is predicted; ``tables`` files; ``losses``; ``multitask`` several gradients, one step;
   ``attention`` conditioned on expression; ``checkpoint`` one file per model
2. ``cohort`` everything becomes one AnnData; ``scaling``; ``network`` gene vectors from STRING; ``gaussian``
   restores missing genes in closed form; ``heads`` from gene vectors to predictions; ``training``
3. ``simulate`` cohorts with known truth; ``sources`` known cohorts; ``genes`` chosen, aligned, harmonised; ``splits``
4. ``txt`` the model; ``baselines``
5. ``metrics`` one tidy score table; ``imputation`` cells hidden and restored
6. ``comparison`` what repeated splits say
7. ``interpret`` what a model's parts are worth; ``plots`` every figure
"""

from . import attention, baselines, comparison, imputation, interpret, metrics, network, plots, simulate, splits
from .cohort import read_cohort
from .genes import OnSelectedGenes, gene_report, harmonise, select_genes
from .metrics import evaluate
from .sources import data_path, load_cohort, load_tasks, load_truth
from .splits import split
from .tables import read_gene_sets
from .tasks import Classification, CohortWarning, Regression, Survival
from .txt import TxT

__version__ = "0.1.0"
__all__ = [
    "Classification",
    "CohortWarning",
    "OnSelectedGenes",
    "Regression",
    "Survival",
    "TxT",
    "attention",
    "baselines",
    "comparison",
    "data_path",
    "evaluate",
    "gene_report",
    "harmonise",
    "imputation",
    "interpret",
    "load_cohort",
    "load_tasks",
    "load_truth",
    "metrics",
    "network",
    "plots",
    "read_cohort",
    "read_gene_sets",
    "select_genes",
    "simulate",
    "split",
    "splits",
]

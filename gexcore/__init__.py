"""gexcore: transformers for tumour transcriptomes.

TxT predicts survival together with clinical features from bulk expression; GexBERT restores expression that was not
measured. ``import gexcore as gx`` reaches everything a notebook needs. The modules tell the story from the ground up;
each imports only from floors below its own:

1. ``tables`` read; ``files`` written whole or not at all; ``identifiers`` what kind of name a gene has; ``units`` of
   follow-up
2. ``tasks`` what is predicted; ``losses``; ``multitask`` several gradients, one step; ``attention`` conditioned on
   expression; ``transformer`` over any panel; ``checkpoint`` one file per model; ``streams`` of training samples;
   ``parallel`` processes of one training
3. ``cohort`` everything becomes one AnnData; ``gene_tables`` from identifiers to symbols; ``scaling``; ``levels`` of
   expression; ``network`` gene vectors from STRING; ``gaussian`` restores missing genes in closed form; ``heads`` from
   gene vectors to predictions; ``resume``
4. ``simulate`` cohorts with known truth; ``genes`` chosen, aligned, harmonised; ``splits``;
   ``coexpression`` gene vectors from the samples; ``mixture`` the linear path; ``training``
5. ``estimator`` fits networks to tasks; ``restorer`` the network of GexBERT; ``preprocessing`` from the files of a
   cohort to the table a model is trained on; ``sources`` known cohorts, networks and gene sets, those of the public
   fetched
6. ``txt`` the one model; ``baselines`` its rivals; ``pretraining`` by hiding genes; ``metrics`` one tidy score table;
   ``imputation`` cells hidden and restored
7. ``gexbert`` the other one; ``comparison`` what repeated splits say; ``panels`` of few genes; ``anchors`` restored
   for survival
8. ``finetuning`` joins the two; ``interpret`` what a model has learned; ``ranks`` over many cohorts and tasks;
   ``scores`` of a benchmark; ``methods`` of the two papers by name
9. ``bench`` compares them on the same splits; ``plots`` every figure; ``models`` read from their files
10. ``report`` one page of html
11. ``cli`` the command line
"""

from . import (
    anchors,
    attention,
    baselines,
    bench,
    coexpression,
    comparison,
    imputation,
    interpret,
    metrics,
    network,
    panels,
    parallel,
    plots,
    preprocessing,
    ranks,
    report,
    scores,
    simulate,
    splits,
)
from .bench import benchmark
from .cohort import read_cohort
from .finetuning import FineTuned
from .genes import OnSelectedGenes, gene_report, harmonise, select_genes
from .gexbert import GexBERT
from .metrics import evaluate
from .models import load_model
from .sources import (
    data_path,
    fetch,
    list_sources,
    load_cohort,
    load_gene_sets,
    load_network,
    load_tasks,
    load_truth,
    read_study,
)
from .splits import split
from .tables import read_gene_sets
from .tasks import Classification, CohortWarning, Regression, Survival
from .txt import TxT

__version__ = "0.1.0"
__all__ = [
    "Classification",
    "CohortWarning",
    "FineTuned",
    "GexBERT",
    "OnSelectedGenes",
    "Regression",
    "Survival",
    "TxT",
    "anchors",
    "attention",
    "baselines",
    "bench",
    "benchmark",
    "coexpression",
    "comparison",
    "data_path",
    "evaluate",
    "fetch",
    "gene_report",
    "harmonise",
    "imputation",
    "interpret",
    "list_sources",
    "load_cohort",
    "load_gene_sets",
    "load_model",
    "load_network",
    "load_tasks",
    "load_truth",
    "metrics",
    "network",
    "panels",
    "parallel",
    "plots",
    "preprocessing",
    "ranks",
    "read_cohort",
    "read_gene_sets",
    "read_study",
    "report",
    "scores",
    "select_genes",
    "simulate",
    "split",
    "splits",
]

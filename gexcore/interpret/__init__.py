"""What a trained model has learned, and what each of its parts is worth."""

from .ablation import (
    compare_expression_paths,
    compare_gene_vectors,
    compare_strategies,
    compare_task_counts,
    prune_heads,
    pruned,
    silence_expression,
)
from .conflict import gradient_cosines
from .patients import prediction_errors, project

__all__ = [
    "compare_expression_paths",
    "compare_gene_vectors",
    "compare_strategies",
    "compare_task_counts",
    "gradient_cosines",
    "prediction_errors",
    "project",
    "prune_heads",
    "pruned",
    "silence_expression",
]

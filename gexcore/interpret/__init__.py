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
from .attention import (
    attended_genes,
    correlate_with_expression,
    enriched_sets,
    gradient_times_input,
    largest_by_chance,
)
from .conflict import gradient_cosines
from .patients import prediction_errors, project

__all__ = [
    "attended_genes",
    "compare_expression_paths",
    "compare_gene_vectors",
    "compare_strategies",
    "compare_task_counts",
    "correlate_with_expression",
    "enriched_sets",
    "gradient_cosines",
    "gradient_times_input",
    "largest_by_chance",
    "prediction_errors",
    "project",
    "prune_heads",
    "pruned",
    "silence_expression",
]

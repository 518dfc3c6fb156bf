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
from .attention import attended_genes, correlate_with_expression, gradient_times_input, largest_by_chance
from .conflict import gradient_cosines
from .enrichment import enriched_sets, ranked_sets, told_apart
from .gradients import integrated_gradients
from .groups import cluster_patients, compare_frequencies, compare_values, differential_attention
from .networks import AttentionNetworks, NetworkCollector, attention_networks, outstanding, write_network
from .pathways import attention_within_sets
from .patients import prediction_errors, project
from .perturbation import gene_effects, permuted, perturb_genes
from .weights import (
    AttentionBlock,
    MeanPairAttention,
    PairAttention,
    ReceivedAttention,
    mean_pair_attention,
    pair_attention,
    read_attention,
    received_attention,
    stream_attention,
)

__all__ = [
    "AttentionBlock",
    "AttentionNetworks",
    "MeanPairAttention",
    "NetworkCollector",
    "PairAttention",
    "ReceivedAttention",
    "attended_genes",
    "attention_networks",
    "attention_within_sets",
    "cluster_patients",
    "compare_expression_paths",
    "compare_frequencies",
    "compare_gene_vectors",
    "compare_strategies",
    "compare_task_counts",
    "compare_values",
    "correlate_with_expression",
    "differential_attention",
    "enriched_sets",
    "gene_effects",
    "gradient_cosines",
    "gradient_times_input",
    "integrated_gradients",
    "largest_by_chance",
    "mean_pair_attention",
    "outstanding",
    "pair_attention",
    "permuted",
    "perturb_genes",
    "prediction_errors",
    "project",
    "prune_heads",
    "pruned",
    "ranked_sets",
    "read_attention",
    "received_attention",
    "silence_expression",
    "stream_attention",
    "told_apart",
    "write_network",
]

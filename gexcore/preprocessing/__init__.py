"""From the files of a cohort to the table a model is trained on: a function per step, each with a report.

Every step takes a cohort and returns a new one and a table of what it dropped or changed, how many and why;
:func:`preprocess` takes them in the order of the paper.
"""

from .genes import drop_flat_genes, keep_gene_sets, keep_variable_genes, map_genes
from .pipeline import preprocess
from .samples import average_replicates, drop_samples_without_labels, keep_one_per_patient, select_samples
from .scale import convert_times, to_log2

__all__ = [
    "average_replicates",
    "convert_times",
    "drop_flat_genes",
    "drop_samples_without_labels",
    "keep_gene_sets",
    "keep_one_per_patient",
    "keep_variable_genes",
    "map_genes",
    "preprocess",
    "select_samples",
    "to_log2",
]

"""Every figure of the book: ``plot_x(data, ax=None)`` draws one thing on given axes, or on the current ones, and
returns them; nothing is shown or saved. :func:`use_theme` sets the one look they share.
"""

from .attention import plot_against_chance, plot_attended
from .cohorts import plot_expression, plot_labels, plot_matrix
from .costs import plot_costs
from .groups import plot_areas, plot_boxes, plot_enrichment, plot_volcano
from .networks import plot_network
from .panels import plot_panel_curves
from .patients import plot_embedding
from .perturbation import plot_effects
from .ranks import plot_ranks
from .restoration import plot_imputation, plot_restoration
from .scores import plot_differences, plot_history, plot_pruning, plot_scores
from .survival import plot_calibration, plot_kaplan_meier
from .theme import METRIC_NAMES, use_theme

__all__ = [
    "METRIC_NAMES",
    "plot_against_chance",
    "plot_areas",
    "plot_attended",
    "plot_boxes",
    "plot_calibration",
    "plot_costs",
    "plot_differences",
    "plot_effects",
    "plot_embedding",
    "plot_enrichment",
    "plot_expression",
    "plot_history",
    "plot_imputation",
    "plot_kaplan_meier",
    "plot_labels",
    "plot_matrix",
    "plot_network",
    "plot_panel_curves",
    "plot_pruning",
    "plot_ranks",
    "plot_restoration",
    "plot_scores",
    "plot_volcano",
    "use_theme",
]

"""Every figure of the book: ``plot_x(data, ax=None)`` draws one thing on given axes, or on the current ones, and
returns them; nothing is shown or saved. :func:`use_theme` sets the one look they share.
"""

from .cohorts import plot_expression, plot_labels, plot_matrix
from .patients import plot_embedding
from .scores import plot_differences, plot_history, plot_pruning, plot_scores
from .survival import plot_calibration, plot_kaplan_meier
from .theme import METRIC_NAMES, use_theme

__all__ = [
    "METRIC_NAMES",
    "plot_calibration",
    "plot_differences",
    "plot_embedding",
    "plot_expression",
    "plot_history",
    "plot_kaplan_meier",
    "plot_labels",
    "plot_matrix",
    "plot_pruning",
    "plot_scores",
    "use_theme",
]

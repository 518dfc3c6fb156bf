"""Every figure of the book: ``plot_x(data, ax=None)`` draws one thing on given axes, or on the current ones, and
returns them; nothing is shown or saved. :func:`use_theme` sets the one look they share.
"""

from .cohorts import plot_expression, plot_labels, plot_matrix
from .scores import plot_history, plot_scores
from .survival import plot_calibration, plot_kaplan_meier
from .theme import LOWER_IS_BETTER, METRIC_NAMES, use_theme

__all__ = [
    "LOWER_IS_BETTER",
    "METRIC_NAMES",
    "plot_calibration",
    "plot_expression",
    "plot_history",
    "plot_kaplan_meier",
    "plot_labels",
    "plot_matrix",
    "plot_scores",
    "use_theme",
]

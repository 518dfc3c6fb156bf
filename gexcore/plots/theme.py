"""The one look all figures share, and the names of metrics as they stand on axes."""

from __future__ import annotations

import seaborn as sns

GREY, LIGHT_GREY = "0.45", "0.88"
METRIC_NAMES = {  # how figures call the metrics
    "c_index": "C-index",
    "c_index_ipcw": "C-index, weighted for censoring",
    "ibs": "Integrated Brier score",
    "auc": "Time-dependent AUC",
    "accuracy": "Accuracy",
    "f1": "Macro F1",
    "precision": "Macro precision",
    "recall": "Macro recall",
    "auroc": "AUROC",
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
    "pcc": "Pearson correlation",
    "scc": "Spearman correlation",
}


def use_theme() -> None:
    """Set the look of the book: white, open axes, colour-blind safe, readable at 100 dpi and 4 to 8 inches."""
    sns.set_theme(
        style="ticks",
        palette="colorblind",
        rc={
            "figure.figsize": (6.0, 3.8),
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.labelsize": 10,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.title_fontsize": 9,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "axes.edgecolor": "0.3",
            "xtick.major.width": 0.8,
            "ytick.major.width": 0.8,
            "xtick.color": "0.3",
            "ytick.color": "0.3",
            "lines.linewidth": 1.6,
        },
    )


def with_unit(name: str, unit: str | None) -> str:
    """``Time (years)``."""
    return f"{name} ({unit})" if unit else name

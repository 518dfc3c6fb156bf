"""Figures of patients: where a model sees them, coloured by what is known of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ..tasks import first_ids
from .theme import LIGHT_GREY

_MARKERS = "os^DvP"  # beyond ten classes the colours start again with another marker


def plot_embedding(
    coordinates: pd.DataFrame, values: pd.Series | Sequence, *, label: str | None = None, ax: Axes | None = None
) -> Axes:
    """Patients on a plane, coloured by a number or a class; those without a value lie behind in light grey.

    Parameters
    ----------
    coordinates : pandas.DataFrame, (N, 2)
        What :func:`gexcore.interpret.project` returned.
    values : pandas.Series or sequence, (N,)
        A Series is aligned by sample. Numbers get a colour bar; anything else counts as classes, in sorted order or
        in the order of an ordered categorical.
    label : str, optional
        What the colours mean; the name of a Series unless given.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    if isinstance(values, pd.Series):
        if not values.index.isin(coordinates.index).any():
            message = (
                f"values and coordinates share no sample: the values are of {first_ids(values.index)}, "
                f"the coordinates of {first_ids(coordinates.index)}"
            )
            raise ValueError(message)
        label = values.name if label is None else label
        values = values.reindex(coordinates.index)
    else:
        values = pd.Series(values, index=coordinates.index)
    points, missing = coordinates.to_numpy(float), values.isna().to_numpy()
    room = 72**2 * np.prod(ax.figure.get_size_inches() * ax.get_position().size)  # square points
    size = np.clip(0.13 * room / len(values), 6, 36)
    dots = {"s": size, "linewidth": 0.3, "edgecolor": "white"}
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values[~missing].to_numpy(float)
        image = ax.scatter(*points[~missing].T, c=numbers, cmap="viridis", zorder=2, **dots)
        bar = ax.figure.colorbar(image, cax=ax.inset_axes([1.03, 0.2, 0.035, 0.78]), label=label or "")
        bar.outline.set_visible(False)
        title, top = None, 0.12
    else:
        for i, (name, rows) in enumerate(values.groupby(values, observed=True).indices.items()):
            color, marker = sns.color_palette("colorblind")[i % 10], _MARKERS[i // 10 % len(_MARKERS)]
            named = f"{name} ({len(rows)})"
            ax.scatter(*points[rows].T, color=color, marker=marker, zorder=2, label=named, **dots)
        title, top = label, 1.0
    if missing.any():
        named = f"missing ({missing.sum()})"
        ax.scatter(*points[missing].T, color=LIGHT_GREY, zorder=1, label=named, **dots)
    if handles := ax.get_legend_handles_labels()[0]:
        many = {"fontsize": 7, "labelspacing": 0.2, "columnspacing": 1.0} if len(handles) > 12 else {}
        beside = {"loc": "upper left", "bbox_to_anchor": (1.0, top), "ncols": 1 + len(handles) // 21}
        legible = (30 / size) ** 0.5
        ax.legend(title=title, alignment="left", handletextpad=0.2, markerscale=legible, **beside, **many)
    ax.spines[:].set(visible=True, color=LIGHT_GREY)
    ax.set(xticks=[], yticks=[])
    return ax

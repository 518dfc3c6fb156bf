"""Figures of gene networks."""

from __future__ import annotations

import networkx as nx
import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from .theme import GREY


def plot_network(graph: nx.DiGraph, *, center: str | None = None, n_genes: int = 14, ax: Axes | None = None) -> Axes:
    """The neighbourhood of one gene: those it shares its strongest edges with around it, and the edges among them.

    An arrow leads from the key to the query, from a gene to one that attends to it: blue away from the centre, orange
    to it, grey between two others.

    Parameters
    ----------
    graph : networkx.DiGraph
        What :meth:`gexcore.interpret.AttentionNetworks.graph` returned: edges with ``weight``.
    center : str, optional
        The gene of the largest total weight unless given.
    n_genes : int
        Neighbours shown, those with the heaviest edge to or from the centre.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    ax = ax or plt.gca()
    ax.set_axis_off()
    if center is not None and center not in graph:
        message = f"the network has no gene {center!r} to be in the centre"
        raise ValueError(message)
    if not graph.number_of_edges():
        ax.text(0.5, 0.5, "no edge", transform=ax.transAxes, ha="center", va="center", color=GREY)
        return ax
    if center is None:
        center = max(graph, key=lambda gene: graph.degree(gene, weight="weight"))
    heaviest = {}
    for key, query, weight in [*graph.in_edges(center, data="weight"), *graph.out_edges(center, data="weight")]:
        other = query if key == center else key
        heaviest[other] = max(weight, heaviest.get(other, 0.0))
    around = sorted(sorted(heaviest, key=heaviest.get, reverse=True)[:n_genes])  # families stand together by name
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(around)) / max(len(around), 1)
    place = {center: (0.0, 0.0)} | dict(zip(around, zip(np.cos(angle), np.sin(angle), strict=True), strict=True))
    shown = nx.DiGraph()  # a subgraph of networkx has its nodes in the order of a set, another one in every process
    shown.add_nodes_from(place)
    shown.add_edges_from(edge for edge in graph.edges(data=True) if edge[0] in place and edge[1] in place)
    blue, orange = (sns.color_palette("colorblind")[i] for i in (0, 1))
    most = max((weight for *_, weight in shown.edges(data="weight")), default=1.0)
    sizes = [120 if gene == center else 45 for gene in shown]
    style = {"ax": ax, "arrowsize": 8, "node_size": sizes, "connectionstyle": "arc3,rad=0.12"}
    for color, chosen in (
        ("0.82", [e for e in shown.edges if center not in e]),
        (orange, list(shown.in_edges(center))),
        (blue, list(shown.out_edges(center))),
    ):
        widths = [0.4 + 1.6 * shown.edges[edge]["weight"] / most for edge in chosen]
        nx.draw_networkx_edges(shown, place, edgelist=chosen, width=widths, edge_color=[color] * len(chosen), **style)
    colors = ["0.1" if gene == center else GREY for gene in shown]
    nx.draw_networkx_nodes(shown, place, node_size=sizes, node_color=colors, linewidths=0, ax=ax)
    for gene, (x, y) in place.items():
        side = "center" if abs(x) < 0.3 else "left" if x > 0 else "right"
        shift = (0, 9) if gene == center else (7 * x, 9 * y)
        level = "bottom" if gene == center else "center"
        where = {"textcoords": "offset points", "ha": side, "va": level, "fontsize": 8}
        paper = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5}
        ax.annotate(gene, (x, y), xytext=shift, bbox=paper, **where)
    ax.set(xlim=(-1.55, 1.55), ylim=(-1.2, 1.2), aspect="equal")
    return ax

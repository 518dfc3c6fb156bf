"""Which genes stay: named by symbols, varying, members of gene sets, the most variable.

What a step learns from expression (which genes are flat, which vary most) it learns from the training samples it is
given and from no other. Shapes: N samples, G genes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import anndata as ad
import numpy as np
import pandas as pd

from ..cohort import as_cohort
from ..gene_tables import read_gene_pairs
from ..genes import select_genes
from ..identifiers import identify_genes, on_chromosome_y, strip_version
from ..tables import read_gene_sets
from ..tasks import first_ids
from .report import join, mean_of_groups, refuse_empty, row, training_part

_DUPLICATES = ("mean", "max_variance", "first", "error")


def map_genes(
    cohort: ad.AnnData,
    table: str | os.PathLike | pd.DataFrame,
    *,
    min_coverage: float = 0.5,
    duplicates: str = "mean",
    train: ad.AnnData | Sequence[str] | None = None,
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Name genes by symbols, with a table of identifiers and symbols.

    Ids are compared without versions (ENSG00000141510.16 is ENSG00000141510). Genes that the table does not have are
    dropped, and so are ids to which it gives several symbols, and the copies on chromosome Y of genes that the cohort
    has from chromosome X as well (:func:`gexcore.identifiers.on_chromosome_y`): an empty copy would halve their mean.

    Parameters
    ----------
    cohort : AnnData
        Samples x genes, named by the ids of the table; on a log scale if ids are averaged.
    table : path or DataFrame
        As :func:`gexcore.gene_tables.read_gene_table` reads it.
    min_coverage : float
        Smallest acceptable share of the genes of the cohort that get a symbol, 0 to 1.
    duplicates : {"mean", "max_variance", "first", "error"}
        What becomes of several ids of one symbol: their mean, the one that varies most, the first, or a refusal.
    train : AnnData or sequence of str, optional
        The samples in which ``"max_variance"`` looks for variance; all by default.

    Returns
    -------
    cohort, report : AnnData, DataFrame
        Genes in the order in which their ids first come; ``var["gene_id"]`` holds the ids, joined by blanks.

    Raises
    ------
    ValueError
        Less than ``min_coverage`` of the genes get a symbol, several ids with ``"error"``, or an unknown rule.

    Examples
    --------
    >>> import gexcore as gx
    >>> values = {"ENSG00000141510.16": [3.0, 4.0], "ENSG00000136997.21": [6.0, 7.5], "ENSG00000288534.1": [0.1, 0.2]}
    >>> table = pd.DataFrame({"symbol": ["TP53", "MYC"]}, index=["ENSG00000141510", "ENSG00000136997"])
    >>> cohort, report = map_genes(gx.read_cohort(pd.DataFrame(values, index=["p1", "p2"])), table)
    >>> cohort.var_names.tolist()
    ['TP53', 'MYC']
    >>> report.loc[0, ["kept", "dropped", "why", "first_ids"]].to_dict()
    {'kept': 2, 'dropped': 1, 'why': 'no symbol in the table', 'first_ids': 'ENSG00000288534.1'}
    """
    if duplicates not in _DUPLICATES:
        message = f"duplicates must be one of {', '.join(_DUPLICATES)}, not {duplicates!r}"
        raise ValueError(message)
    if not 0 <= min_coverage <= 1:
        message = f"min_coverage is a share between 0 and 1, not {min_coverage}"
        raise ValueError(message)
    cohort, pairs, step, report = as_cohort(cohort), read_gene_pairs(table), "map_genes", []
    copies = _copies_on_y(cohort.var_names)
    if copies.any():
        dropped, cohort = cohort.var_names[copies], cohort[:, ~copies]
        report.append(row(step, "genes", cohort.n_vars, "copies on chromosome Y of genes on X", dropped=dropped))
    symbols, several = _symbols(cohort.var_names, pairs)
    known, unknown = symbols.notna().to_numpy(), (symbols.isna() & ~several).to_numpy()
    if known.mean() < min_coverage or not known.any():
        message = (
            f"the gene table names {known.sum()} of {len(known)} genes: coverage {known.mean():.0%}, min_coverage is "
            f"{min_coverage:.0%}. In the cohort {identify_genes(cohort.var_names)}; in the table "
            f"{identify_genes(pairs['id'])}. Bring a table for the names of the cohort"
        )
        raise ValueError(message)
    ids, symbols = cohort.var_names[known], symbols[known].to_numpy()
    groups, names = pd.factorize(symbols)
    extra = pd.Index(symbols).duplicated()
    if duplicates == "error" and extra.any():
        message = (
            f"{len(set(symbols[extra]))} symbols have several ids, first {first_ids(symbols[extra])} "
            f"({first_ids(ids[extra])}); pass duplicates='mean', 'max_variance' or 'first'"
        )
        raise ValueError(message)
    x, chosen = _merge(cohort[:, known], groups, duplicates, train)
    var = pd.DataFrame({"gene_id": pd.Series(ids, dtype=object).groupby(groups).agg(" ".join).to_numpy()}, index=names)
    n = len(names)
    report += [
        row(step, "genes", int((~unknown).sum()), "no symbol in the table", dropped=cohort.var_names[unknown]),
        row(step, "genes", len(ids), "several symbols in the table", dropped=cohort.var_names[several]),
        row(
            step, "genes", n, f"several ids of one symbol, merged by the rule {duplicates}", dropped=ids.delete(chosen)
        ),
        row(step, "genes", n, f"named by symbols; {len(ids) / cohort.n_vars:.1%} covered", changed=ids[ids != symbols]),
    ]
    return ad.AnnData(x, obs=cohort.obs.copy(), var=var, uns=dict(cohort.uns)), join(report)


def drop_flat_genes(cohort: ad.AnnData, *, train: ad.AnnData | Sequence[str] | None) -> tuple[ad.AnnData, pd.DataFrame]:
    """Drop the genes that are empty or constant in the training samples.

    Parameters
    ----------
    cohort : AnnData
        Samples x genes.
    train : AnnData, sequence of str or None
        The training samples, or their ids; None learns from all samples, which is right where none is kept for a test.

    Returns
    -------
    cohort, report : AnnData, DataFrame
        All samples; the report has a row for empty and one for constant genes.

    Raises
    ------
    ValueError
        No gene left, or training samples that the cohort lacks.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort = gx.load_cohort("demo")
    >>> cohort.X[:100, 0] = 0
    >>> drop_flat_genes(cohort, train=cohort.obs_names[:100])[0].n_vars
    199
    """
    cohort, step = as_cohort(cohort), "drop_flat_genes"
    x = training_part(cohort, train).X
    low, high = np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0)
    empty, constant = np.isnan(low), low == high
    keep, names = ~(empty | constant), cohort.var_names
    refuse_empty(names[keep], "gene", f"all {len(names)} are constant or empty in the {len(x)} training samples")
    report = [
        row(step, "genes", int((~empty).sum()), "no value in the training samples", dropped=names[empty]),
        row(step, "genes", int(keep.sum()), "constant in the training samples", dropped=names[constant]),
    ]
    return cohort[:, keep].copy(), join(report)


def keep_gene_sets(
    cohort: ad.AnnData, gene_sets: Mapping[str, Sequence[str]] | str | os.PathLike
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Keep the genes that are members of gene sets; the paper's are the hallmark sets of MSigDB.

    Parameters
    ----------
    cohort : AnnData
        Samples x genes, named as in the sets.
    gene_sets : mapping or path of a .gmt file
        Set to genes.

    Returns
    -------
    cohort, report : AnnData, DataFrame
        The report has a row for the genes outside the sets and one for the members that the cohort lacks.

    Raises
    ------
    ValueError
        No gene is a member.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, report = keep_gene_sets(gx.load_cohort("demo"), gx.data_path("demo/gene_sets.gmt"))
    >>> cohort.n_vars, report["dropped"].tolist()
    (183, [17, 0])
    """
    cohort, step = as_cohort(cohort), "keep_gene_sets"
    sets = gene_sets if isinstance(gene_sets, Mapping) else read_gene_sets(gene_sets)
    members = pd.Index(list(dict.fromkeys(gene for genes in sets.values() for gene in genes)))
    keep = cohort.var_names.isin(members)
    why = f"the {len(sets)} sets hold {first_ids(members)}, the cohort {first_ids(cohort.var_names)}"
    refuse_empty(cohort.var_names[keep], "gene", why)
    lacking = members[~members.isin(cohort.var_names)]
    report = [
        row(step, "genes", int(keep.sum()), f"in none of {len(sets)} gene sets", dropped=cohort.var_names[~keep]),
        row(step, "members of sets", int(keep.sum()), "not in the cohort", dropped=lacking),
    ]
    return cohort[:, keep].copy(), join(report)


def keep_variable_genes(
    cohort: ad.AnnData, *, train: ad.AnnData | Sequence[str] | None, n: int = 1000
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Keep the genes that vary most in the training samples (:func:`gexcore.select_genes`).

    Parameters
    ----------
    cohort : AnnData
        Samples x genes, on a log scale.
    train : AnnData, sequence of str or None
        The training samples, or their ids; None learns from all samples, which is right where none is kept for a test.
        assumed: the paper does not say whether it looked at all samples.
    n : int
        How many genes; all that vary if they are fewer. The paper takes 1000.

    Returns
    -------
    cohort, report : AnnData, DataFrame
        All samples, the most variable gene first.

    Raises
    ------
    ValueError
        ``n`` is not positive, no gene varies, or training samples that the cohort lacks.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort = gx.load_cohort("demo")
    >>> train, val, test = gx.split(cohort, seed=0)
    >>> keep_variable_genes(cohort, train=train, n=50)[0].shape
    (400, 50)
    """
    cohort = as_cohort(cohort)
    part = training_part(cohort, train)
    genes = select_genes(part, n=n)
    why = f"not among the {len(genes)} most variable genes of {part.n_obs} training samples"
    dropped = cohort.var_names[~cohort.var_names.isin(genes)]
    return cohort[:, genes].copy(), row("keep_variable_genes", "genes", len(genes), why, dropped=dropped)


def _copies_on_y(names: pd.Index) -> np.ndarray:
    on_y = np.array([on_chromosome_y(name) for name in names])
    others = {strip_version(name) for name in names[~on_y]}
    on_y[on_y] = [strip_version(name) in others for name in names[on_y]]
    return on_y


def _symbols(names: pd.Index, pairs: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The symbol of every name, and which names have several; what is a symbol of the table already stays."""
    counts = pairs.groupby("id")["symbol"].agg(["size", "first"])
    plain = pd.Index([strip_version(name) for name in names])
    found = counts.reindex(plain).set_axis(names)
    several = found["size"] > 1
    stays = found["size"].isna() & plain.isin(pairs["symbol"])
    symbols = found["first"].where(~several, None).astype(object)
    return symbols.mask(stays, pd.Series(plain, index=names)), several


def _merge(
    cohort: ad.AnnData, groups: np.ndarray, rule: str, train: ad.AnnData | Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Expression with one column per group of genes, and the gene that stands for each group."""
    order = np.arange(cohort.n_vars)
    if rule == "max_variance":
        variance = pd.DataFrame(training_part(cohort, train).X, dtype="float64").var(ddof=0)
        order = np.argsort(-variance.fillna(-1).to_numpy(), kind="stable")
    chosen = order[~pd.Index(groups[order]).duplicated()]
    chosen = chosen[np.argsort(groups[chosen])]
    x = mean_of_groups(cohort.X.T, groups).T if rule == "mean" else cohort.X[:, chosen]
    return np.array(x, order="C"), chosen

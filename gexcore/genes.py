"""Which genes a model reads: chosen by variance, divided among sets, aligned by name, brought to the scale of another
cohort.

Shapes: N samples, G genes.
"""

from __future__ import annotations

import math
import os
import warnings
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from .cohort import as_cohort
from .cohort.backed import drawn, load
from .cohort.checks import refuse_unfitted
from .scaling import Scaler
from .tables import read_gene_sets
from .tasks import CohortWarning, Prediction, counted, first_ids

_DRAWN = 2000  # samples of a cohort on disk that its genes are chosen by
_BLOCK = 1024  # genes looked at together


def select_genes(
    cohort: ad.AnnData | pd.DataFrame,
    *,
    n: int = 1000,
    gene_sets: Mapping[str, Sequence[str]] | str | os.PathLike | None = None,
) -> list[str]:
    """Choose the genes that vary most, the paper's way: 1000 highly variable genes among the hallmark sets.

    Pass the training samples alone. A model fitted on ``train[:, genes]`` finds its genes in any other cohort by name.

    Parameters
    ----------
    cohort : AnnData or DataFrame
        Training samples, on a log scale; scaled to equal variance, all genes vary alike (a warning says so). Of a
        cohort on disk (``read_cohort(path, backed=True)``) 2000 samples are read, drawn by chance and always the same.
    n : int
        How many genes; all there are if they are fewer.
    gene_sets : mapping or path of a .gmt file, optional
        Only members of these sets are considered.

    Returns
    -------
    list of str
        Most variable first; genes that are constant but for one cell are never chosen. The variance is that of values
        cut at five robust standard deviations (:class:`gexcore.scaling.Scaler`), so that one absurd cell chooses no
        gene.

    Raises
    ------
    ValueError
        ``n`` is not positive, the sets share no gene with the cohort, or no gene varies.
    """
    if n < 1:
        message = f"n is a number of genes, 1 or more, not {n}"
        raise ValueError(message)
    cohort = as_cohort(cohort, backed=True)
    known = np.ones(cohort.n_vars, dtype=bool)
    if gene_sets is not None:
        sets = gene_sets if isinstance(gene_sets, Mapping) else read_gene_sets(gene_sets)
        members = {gene for genes in sets.values() for gene in genes}
        known = cohort.var_names.isin(members)
        if not known.any():
            raise ValueError(_no_shared_gene(sets, cohort.var_names))
    if cohort.isbacked:
        cohort = load(cohort, samples=drawn(cohort.n_obs, _DRAWN, 0), genes=cohort.var_names[known])
    elif not known.all():
        cohort = cohort[:, known]
    blocks = [_variation(cohort[:, start : start + _BLOCK]) for start in range(0, cohort.n_vars, _BLOCK)]
    variation = pd.concat(blocks).sort_index().sort_values("sd", ascending=False, kind="stable")
    sd = variation["sd"]
    if sd.empty:
        message = f"none of the {cohort.n_vars} genes varies between the samples"
        raise ValueError(message)
    low, high = np.quantile(variation["plain"], [0.05, 0.95])
    if len(sd) > n and high < 1.5 * low:
        message = (
            f"genes vary almost alike (standard deviations {low:.3g} to {high:.3g}), as after z-scoring: the choice of "
            f"{n} among {len(sd)} is close to a random one"
        )
        warnings.warn(message, CohortWarning, stacklevel=2)
    return sd.index[:n].tolist()


def _variation(cohort: ad.AnnData) -> pd.DataFrame:
    """Standard deviation of the genes that vary, of their values as cut ("sd") and as they are ("plain")."""
    x = cohort.X
    scaler = Scaler.fit(x, method="zscore", clip=5.0)
    off = (np.abs(x - np.median(scaler.levels, axis=1)) > 0).sum(axis=0)  # cells unlike the gene's median
    varies = (scaler.factor > 0) & (off > 1)  # where a single cell differs there is no scale to cut it by
    sd = {"sd": 1 / scaler.factor[varies], "plain": np.nanstd(x[:, varies], axis=0)}
    return pd.DataFrame(sd, index=cohort.var_names[varies])


def check_gene_sets(gene_sets: Mapping[str, Sequence[str]] | str | os.PathLike) -> dict[str, list[str]]:
    """Gene sets as a dict, each gene once per set, in the order given.

    Parameters
    ----------
    gene_sets : mapping or path of a .gmt file
        Set to genes.

    Raises
    ------
    TypeError
        Neither mapping nor path, or a set whose genes are no sequence of names.
    ValueError
        No set, or one without a gene.
    """
    if isinstance(gene_sets, str | os.PathLike):
        return read_gene_sets(gene_sets)
    if not isinstance(gene_sets, Mapping):
        message = f"gene_sets is a mapping of set to genes or the path of a .gmt file, not a {type(gene_sets).__name__}"
        raise TypeError(message)
    sets = {}
    for name, genes in gene_sets.items():
        if isinstance(genes, str) or not all(isinstance(gene, str) for gene in (name, *genes)):
            message = f"gene set {name!r} is not a name with a sequence of gene names"
            raise TypeError(message)
        sets[name] = list(dict.fromkeys(genes))
    empty = [name for name, genes in sets.items() if not genes]
    if empty or not sets:
        what = f"{counted(len(empty), 'set', 'sets')} without a gene, first {first_ids(empty)}" if empty else "no set"
        message = f"gene_sets has {what}; name one or more sets, each with one or more genes"
        raise ValueError(message)
    return sets


def divide_among_sets(genes: Sequence[str], gene_sets: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """A place for every gene: all the sets that name it, or one of the further sets that hold the rest.

    The rest is dealt, by a checksum of names that knows nothing else of a gene, into sets of about the median size of
    the named ones, called "other genes 1" and so on. Equal genes are dealt equally, whatever their order.

    Parameters
    ----------
    genes : sequence of str
        Genes of a cohort.
    gene_sets : mapping of str to sequence of str
        As of :func:`check_gene_sets`. Members the cohort lacks are left out, and so is a set without any other, with a
        warning.

    Returns
    -------
    dict
        Set to its genes among ``genes``, in the order of the sets.

    Raises
    ------
    ValueError
        The sets share no gene with the cohort.

    Examples
    --------
    >>> divide_among_sets(["KRAS", "TP53", "MYC"], {"growth": ["MYC", "KRAS", "ERBB2"]})
    {'growth': ['MYC', 'KRAS'], 'other genes 1': ['TP53']}
    """
    known = set(genes)
    shared = {name: [gene for gene in members if gene in known] for name, members in gene_sets.items()}
    sets = {name: members for name, members in shared.items() if members}
    if not sets:
        raise ValueError(_no_shared_gene(gene_sets, genes))
    if absent := [name for name in shared if name not in sets]:
        message = f"{len(absent)} of {len(shared)} gene sets share no gene with the cohort and are left out, first "
        warnings.warn(message + first_ids(absent), CohortWarning, stacklevel=2)
    rest = known.difference(*sets.values())
    dealt = sorted(rest, key=lambda gene: (zlib.crc32(gene.encode()), gene))
    n = math.ceil(len(dealt) / np.median([len(members) for members in sets.values()]))
    return sets | {f"other genes {i + 1}": dealt[i::n] for i in range(n)}


def _no_shared_gene(gene_sets: Mapping[str, Sequence[str]], genes: Sequence[str]) -> str:
    members = sorted({gene for genes in gene_sets.values() for gene in genes})
    return (
        f"the {len(gene_sets)} gene sets share no gene with the cohort: the sets hold {first_ids(members)}, "
        f"the cohort {first_ids(genes)}"
    )


class OnSelectedGenes:
    """A model that reads only the genes which :func:`select_genes` chooses on its own training samples.

    In repeated splits every model then has its own genes, and no test sample has a say in them.

    Parameters
    ----------
    model : estimator
        With ``fit(train, val)`` and ``predict(test)``: TxT or any baseline.
    n, gene_sets
        As in :func:`select_genes`.

    Attributes
    ----------
    genes_ : list of str

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, tasks = gx.load_cohort("demo"), [gx.Regression("age")]
    >>> train, val, test = gx.split(cohort, tasks, seed=0)
    >>> OnSelectedGenes(gx.baselines.LinearModel(tasks), n=50).fit(train, val).predict(test)["age"].values.shape
    (80,)
    """

    def __init__(
        self,
        model: Any,
        *,
        n: int = 1000,
        gene_sets: Mapping[str, Sequence[str]] | str | os.PathLike | None = None,
    ):
        self.model, self.n, self.gene_sets = model, n, gene_sets

    def fit(self, train: ad.AnnData, val: ad.AnnData | None = None) -> OnSelectedGenes:
        train = as_cohort(train, backed=True)
        genes = select_genes(train, n=self.n, gene_sets=self.gene_sets)
        chosen = pd.Index(genes)
        self.model.fit(load(train, genes=chosen) if train.isbacked else train[:, chosen].copy(), val)
        self.genes_ = genes
        return self

    def predict(self, cohort: ad.AnnData, **options) -> dict[str, Prediction]:
        refuse_unfitted(self, "genes_")
        return self.model.predict(cohort, **options)


def gene_report(cohort: ad.AnnData | pd.DataFrame, genes: Sequence[str]) -> pd.DataFrame:
    """What a cohort has of the genes a model was trained on.

    Returns
    -------
    pandas.DataFrame
        A row per gene of either: ``status`` ("present"; "absent": the model counts it as missing; "extra": the model
        does not use it) and ``missing``, the share of its cells without a value.
    """
    cohort, genes = as_cohort(cohort), pd.Index(genes)
    missing = pd.Series(np.isnan(cohort.X).mean(axis=0), index=cohort.var_names)
    names = genes.append(cohort.var_names.difference(genes, sort=False))
    status = np.where(~names.isin(cohort.var_names), "absent", np.where(names.isin(genes), "present", "extra"))
    return pd.DataFrame({"status": status, "missing": missing.reindex(names).fillna(1.0)}, index=names.rename("gene"))


def harmonise(cohort: ad.AnnData, *, like: ad.AnnData, method: str = "quantile") -> ad.AnnData:
    """Bring a cohort measured elsewhere (another platform, unit or scale) to the genes and scale of another one.

    No label is read. Gene by gene, the values of the cohort are mapped so that their distribution becomes that of
    ``like``. This takes away what the laboratories did to the numbers, and with it any true difference between the two
    groups of patients: it is right where both are samples of about the same population.

    Parameters
    ----------
    cohort : AnnData
        The new cohort; at least ten samples, since its own distribution is estimated from them.
    like : AnnData
        The cohort whose scale and genes are wanted: the training cohort of a model.
    method : {"quantile", "zscore"}
        The whole distribution, or its mean and standard deviation.

    Returns
    -------
    AnnData
        All samples of ``cohort``, all genes of ``like``, NaN where either has no value of a gene; ``obs`` as it was.
    """
    cohort, like = as_cohort(cohort), as_cohort(like)
    x = Scaler.fit(like.X, method="zscore").harmonise(align_genes(cohort, like.var_names), method)
    x[:, np.isnan(like.X).all(axis=0)] = np.nan
    return ad.AnnData(x.astype("float32"), obs=cohort.obs.copy(), var=like.var.copy(), uns=dict(cohort.uns))


def align_genes(cohort: ad.AnnData | pd.DataFrame, genes: Sequence[str], *, min_coverage: float = 0.5) -> np.ndarray:
    """Expression of the given genes in the given order, (N, G) float32, NaN where the cohort lacks a gene.

    Parameters
    ----------
    cohort : AnnData or DataFrame
        Samples x any genes; genes that are not asked for are not used.
    genes : sequence of str
        The genes a model was trained on.
    min_coverage : float
        Smallest acceptable share of ``genes`` in the cohort, 0 to 1.

    Raises
    ------
    ValueError
        The cohort has less than ``min_coverage`` of the genes.

    Warns
    -----
    CohortWarning
        Some genes are absent and count as missing.
    """
    if not 0 <= min_coverage <= 1:
        message = f"min_coverage is a share between 0 and 1, not {min_coverage}"
        raise ValueError(message)
    cohort, genes = as_cohort(cohort, backed=True), pd.Index(genes)
    column = cohort.var_names.get_indexer(genes)  # (G,), -1 where absent
    present = column >= 0
    coverage = present.mean()
    lacking = f"{(~present).sum()} of {len(genes)} genes (first {first_ids(genes[~present])})"
    if coverage < min_coverage:
        message = (
            f"the cohort lacks {lacking}: coverage {coverage:.0%}, min_coverage is {min_coverage:.0%}; its own genes "
            f"are called {first_ids(cohort.var_names)}{_naming_hint(cohort.var_names, genes)}"
        )
        raise ValueError(message)
    if not present.all():
        message = f"the cohort lacks {lacking}; they count as missing{_naming_hint(cohort.var_names, genes)}"
        warnings.warn(message, CohortWarning, stacklevel=2)
    if cohort.isbacked and present.all():
        return load(cohort, genes=genes).X
    x = np.full((cohort.n_obs, len(genes)), np.nan, dtype="float32")  # (N, G)
    x[:, present] = load(cohort, genes=genes[present]).X if cohort.isbacked else cohort.X[:, column[present]]
    return x


def fill_in(cohort: ad.AnnData, genes: Sequence[str], values: np.ndarray) -> ad.AnnData:
    """The given genes of a cohort, its measured values as they are, to the bit, and ``values`` (N, G) in the holes."""
    genes = pd.Index(genes)
    column = cohort.var_names.get_indexer(genes)
    x = np.full((cohort.n_obs, len(genes)), np.nan, dtype=cohort.X.dtype)
    x[:, column >= 0] = cohort.X[:, column[column >= 0]]
    hole = np.isnan(x)
    x[hole] = values[hole]
    return ad.AnnData(x, obs=cohort.obs.copy(), var=pd.DataFrame(index=genes), uns=dict(cohort.uns))


def _naming_hint(have: pd.Index, want: pd.Index) -> str:
    keys = {"upper and lower case": str.upper, "the version after the dot": lambda gene: gene.split(".")[0]}
    for what, key in keys.items():
        more = len(set(map(key, have)) & set(map(key, want))) - len(set(have) & set(want))
        if more > 0:
            return f"; {more} more would match without {what}"
    if have.str.match("ENS").any() != want.str.match("ENS").any():
        return "; one list holds Ensembl ids, the other symbols: convert the names of the cohort"
    return ""

"""Which genes a model attends to in one group of samples more than in the others, and what that is worth.

Attention differs between groups wherever expression does. So the table of attended genes comes with what it has to be
held against: expression itself, groups drawn by chance, and the gradients of a prediction.
Shapes: B samples of a batch, N samples, G genes, K groups, R shuffles.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import stats

from ..cohort import as_cohort
from ..estimator import NeuralEstimator
from ..tasks import first_ids
from ..training import choose_device

_SHUFFLES = 50  # compared at once
_BATCH = 32  # samples differentiated at once


# ------------------------------------------------------------------------------------------------ groups


def attended_genes(attention: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """Genes that receive more attention in one group of samples than in all the others.

    Any table of numbers will do: expression in place of attention gives the genes that a group expresses differently.

    Parameters
    ----------
    attention : pandas.DataFrame, (N, G)
        ``GexBERT.attention(cohort)``; NaN where a gene of a sample was not read.
    groups : pandas.Series, (N,)
        The group of each sample, aligned by id; those without one are left out.

    Returns
    -------
    pandas.DataFrame
        A row per group and gene: group, gene, ``attention`` (mean in the group), ``others`` (mean of all other
        samples), their difference, ``z``, ``p`` and ``q``. Groups are in sorted order or that of a categorical, genes
        by falling z; a gene that no sample has is left out.

    Notes
    -----
    ``z`` and ``p`` are the normal approximation of the Mann-Whitney test (two-sided, corrected for ties, NaN where one
    side has no value), ``q`` the false discovery rate over the whole table by Benjamini and Hochberg.

    Examples
    --------
    >>> attention = pd.DataFrame({"KRAS": [0.2, 0.3, 0.8, 0.9], "MYC": [0.8, 0.7, 0.2, 0.1]}, index=list("abcd"))
    >>> attended = attended_genes(attention, pd.Series(list("xxyy"), index=list("abcd")))
    >>> attended.groupby("group")["gene"].first().to_dict()
    {'x': 'MYC', 'y': 'KRAS'}
    """
    names, member, genes, x = _grouped(attention, groups)
    known = ~np.isnan(x)
    count, total = member @ known, member @ np.where(known, x, 0.0)  # (K, G)
    with np.errstate(invalid="ignore"):  # no value, no mean
        mean, others = total / count, (total.sum(axis=0) - total) / (count.sum(axis=0) - count)
    z = _rank_sums(member, *_ranks(x))
    p = 2 * stats.norm.sf(np.abs(z))
    q = np.full_like(p, np.nan)
    q[~np.isnan(p)] = stats.false_discovery_control(p[~np.isnan(p)])
    order = np.argsort(-z, axis=1, kind="stable")
    values = {"attention": mean, "others": others, "difference": mean - others, "z": z, "p": p, "q": q}
    columns = {name: np.take_along_axis(array, order, axis=1).ravel() for name, array in values.items()}
    return pd.DataFrame({"group": np.repeat(names, len(genes)), "gene": genes[order.ravel()], **columns})


def largest_by_chance(attention: pd.DataFrame, groups: pd.Series, *, n: int = 1000, seed: int = 0) -> pd.DataFrame:
    """How far from zero the largest z of any gene gets when the samples are dealt to the groups at random.

    Of so many genes one is always far out. A gene beyond the 95 % quantile of its group here is not there by chance,
    all genes considered. That is all it says: any model whose attention depends on expression passes.

    Parameters
    ----------
    attention, groups
        As in :func:`attended_genes`.
    n : int
        Shuffles. More of them leave the first ones as they are.
    seed : int

    Returns
    -------
    pandas.DataFrame, (R, K)
        A row per shuffle, a column per group: the largest absolute ``z`` of :func:`attended_genes`.
    """
    if n < 1:
        message = f"n is a number of shuffles, 1 or more, not {n}"
        raise ValueError(message)
    names, member, _, x = _grouped(attention, groups)
    ranks = _ranks(x)
    code, rng = member.argmax(axis=0), np.random.default_rng(seed)
    largest = []
    for start in range(0, n, _SHUFFLES):
        dealt = rng.permuted(np.tile(code, (min(_SHUFFLES, n - start), 1)), axis=1)  # (R, N)
        drawn = dealt[:, None] == np.arange(len(names))[:, None]  # (R, K, N)
        z = _rank_sums(drawn.reshape(-1, len(code)).astype(float), *ranks)  # (R K, G)
        largest.append(np.nanmax(np.abs(z), axis=1).reshape(-1, len(names)))
    return pd.DataFrame(np.concatenate(largest), columns=pd.Index(names, name="group"))


def _grouped(attention: pd.DataFrame, groups: pd.Series) -> tuple[list, np.ndarray, pd.Index, np.ndarray]:
    """Names of the groups, who is a member (K, N), the genes with a value, and the values (N, G)."""
    groups = groups.dropna()
    shared = attention.index[attention.index.isin(groups.index)]
    if shared.empty:
        message = (
            f"attention and groups share no sample: the attention is of {first_ids(attention.index)}, the groups of "
            f"{first_ids(groups.index)}"
        )
        raise ValueError(message)
    groups = groups[shared]
    rows = groups.groupby(groups, observed=True).indices
    if len(rows) < 2:
        message = f"all {len(groups)} samples with attention are of group {next(iter(rows))!r}; compare two or more"
        raise ValueError(message)
    member = np.zeros((len(rows), len(groups)))
    for row, places in zip(member, rows.values(), strict=True):
        row[places] = 1.0
    known = attention.loc[shared].dropna(axis=1, how="all")
    return list(rows), member, known.columns, known.to_numpy(float)


def _ranks(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks less their mean (N, G), 0 where missing; which cells are there (N, G); variance of the ranks (G,)."""
    known = ~np.isnan(x)
    n = known.sum(axis=0)
    rank = np.where(known, stats.rankdata(x, axis=0, nan_policy="omit") - (n + 1) / 2, 0.0)
    return rank, known.astype(float), (rank**2).sum(axis=0) / np.maximum(n - 1, 1)


def _rank_sums(member: np.ndarray, rank: np.ndarray, known: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Sum of the ranks in each group, standardised as a sum drawn without replacement; NaN if a side is empty."""
    inside, n = member @ known, known.sum(axis=0)  # (K, G), (G,)
    sd = np.sqrt(variance * inside * (n - inside) / n)
    z = np.divide(member @ rank, sd, out=np.zeros_like(sd), where=sd > 0)  # all values alike: no difference
    return np.where((inside > 0) & (inside < n), z, np.nan)


# -------------------------------------------------------------------------------------------- yardsticks


def correlate_with_expression(attention: pd.DataFrame, cohort: AnnData, groups: pd.Series) -> pd.DataFrame:
    """Rank correlation over genes of attention with what expression alone says of a group.

    Parameters
    ----------
    attention, groups
        As in :func:`attended_genes`.
    cohort : AnnData
        Expression of these samples; genes and samples are matched by name.

    Returns
    -------
    pandas.DataFrame
        A row per group and pair: group, ``attention`` ("received", its mean; "difference", the z of
        :func:`attended_genes`), ``expression`` ("mean" and "variance" in the group; "difference", the z of expression;
        "size of the difference", without the sign), ``rho`` and the number of genes. There is no p: genes that go
        together are not so many observations.
    """
    expression = as_cohort(cohort).to_df()
    genes = attention.columns[attention.notna().any() & attention.columns.isin(expression.columns)]
    if len(genes) < 3:
        message = (
            f"attention and cohort share {len(genes)} genes, 3 are the least; the attention is of "
            f"{first_ids(attention.columns)}, the cohort has {first_ids(expression.columns)}"
        )
        raise ValueError(message)
    rows = attention.index.intersection(expression.index)
    attention, expression = attention.loc[rows, genes], expression.loc[rows, genes]
    attended, expressed = attended_genes(attention, groups), attended_genes(expression, groups)
    found = []
    for name, part in attended.groupby("group", sort=False):
        own = part.set_index("gene")
        inside = expression.loc[groups.reindex(rows) == name]
        shift = expressed[expressed["group"] == name].set_index("gene")["z"]
        pairs = {
            ("received", "mean"): (own["attention"], inside.mean()),
            ("received", "variance"): (own["attention"], inside.var()),
            ("difference", "difference"): (own["z"], shift),
            ("difference", "size of the difference"): (own["z"], shift.abs()),
        }
        for (of, what), (a, b) in pairs.items():
            both = pd.concat([a, b.reindex(a.index)], axis=1).dropna()
            varies = (both.nunique() > 1).all()
            rho = stats.spearmanr(*both.to_numpy().T).statistic if varies else np.nan
            found.append({"group": name, "attention": of, "expression": what, "rho": rho, "genes": len(both)})
    return pd.DataFrame(found)


def gradient_times_input(model: NeuralEstimator, cohort: AnnData, task: str) -> pd.DataFrame:
    """What each gene adds to the log odds of the class a sample is given, to first order.

    The gradient of the log odds with respect to the normal score of a gene, times that score: against a sample whose
    genes all stand at their training median. Both paths are differentiated, encoder and linear.

    Parameters
    ----------
    model : FineTuned
        Fitted, frozen or not, with an encoder that reads continuous values: a level has no gradient.
    cohort : AnnData
        Any panel of the model's genes.
    task : str
        Name of a classification.

    Returns
    -------
    pandas.DataFrame
        Samples x genes of the model, NaN where a sample has no value. Its absolute values are what attention may be
        compared with.
    """
    module, cohort, device = model.fitted_module(), as_cohort(cohort), choose_device(model.device)
    kinds = {t.task.name: t.task.kind for t in model.targets_}
    if kinds.get(task) != "classification":
        known = [name for name, kind in kinds.items() if kind == "classification"]
        message = f"task names a classification of the model ({', '.join(known) or 'it has none'}), not {task!r}"
        raise ValueError(message)
    if model.encoder.settings.value_encoder != "continuous":
        message = "the encoder reads levels of expression, which have no gradient; pretrain it with 'continuous' values"
        raise ValueError(message)
    head = module.heads[list(kinds).index(task)]
    # a frozen model was given the encoder's summaries, of two panels where a sample has more genes than one holds
    restorer, n_panels = (model.encoder.module_, 2) if module.restorer is None else (module.restorer, 1)
    for part in (module, restorer):
        part.to(device).eval()
    score = torch.from_numpy(model.encoder.scores(cohort[:, cohort.var_names.isin(model.genes_)].copy()))
    products = []
    for part in score.split(_BATCH):
        x = part.to(device).requires_grad_()  # (B, G)
        profile = None if restorer.linear is None else restorer.linear.summary(x)
        logit = head(module.norm(restorer.represent(x, n_panels, profile)))  # (B, classes)
        given = logit.argmax(1, keepdim=True)
        odds = logit.gather(1, given)[:, 0] - logit.scatter(1, given, -math.inf).logsumexp(1)  # (B,)
        (gradient,) = torch.autograd.grad(odds.sum(), x)
        products.append((gradient * x).detach().cpu())
    table = pd.DataFrame(torch.cat(products).numpy(), index=cohort.obs_names, columns=model.encoder.genes_)
    return table[model.genes_]

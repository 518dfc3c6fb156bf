"""Which known sets of genes stand out: among some chosen genes, or at the ends of a ranking of all of them.

Both questions are answered by gseapy (Fang, Liu and Peltz 2023), offline; a third, how far a ranking tells one set
apart, by the area under the ROC curve. Shapes: G genes, R draws.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ..tasks import first_ids


def enriched_sets(
    genes: Sequence[str], gene_sets: Mapping[str, Sequence[str]], *, background: Sequence[str]
) -> pd.DataFrame:
    """Which sets hold more of some genes than as many drawn at random would (hypergeometric test).

    Parameters
    ----------
    genes : sequence of str
        The chosen ones, all of the background. With none of them every set has p 1.
    gene_sets : mapping of str to sequence of str
        :func:`gexcore.read_gene_sets`. Members outside the background do not count; a set without any is left out.
    background : sequence of str
        Genes that could have been chosen: those a model read, not all there are.

    Returns
    -------
    pandas.DataFrame
        A row per set, smallest p first: set, ``size`` (members in the background), ``hits`` (of them chosen),
        ``expected`` by chance, ``odds_ratio`` (half a gene added to each cell of the 2 x 2 table, Haldane and Anscombe,
        so that it is never 0 or infinite), ``p`` of so many hits or more, ``q`` by Benjamini and Hochberg over all
        rows, those without a hit included, and ``genes``: the hits, joined by ";", in the order they were given.
        No row if no set has a gene of the background, as with sets that name genes in another way.

    Raises
    ------
    ValueError
        There is no set or no background, or a chosen gene is not in the background.

    Examples
    --------
    >>> table = enriched_sets(["a", "b"], {"first": ["a", "b"], "last": ["y", "z"]}, background=list("abcxyz"))
    >>> table.drop(columns="genes").round(3)
         set  size  hits  expected  odds_ratio      p      q
    0  first     2     2     0.667        45.0  0.067  0.133
    1   last     2     0     0.667         0.2  1.000  1.000
    """
    from gseapy.stats import calc_pvalues  # gseapy takes more than a second to load

    background, chosen = pd.Index(background).unique(), pd.Index(genes).unique()
    if not gene_sets or background.empty:
        message = f"nothing to test: {len(gene_sets)} gene sets and a background of {len(background)} genes"
        raise ValueError(message)
    strange = chosen.difference(background, sort=False)
    if len(strange):
        message = f"{len(strange)} of {len(chosen)} genes are not in the background, first {first_ids(strange)}"
        raise ValueError(message)
    columns = list(calc_pvalues(set(chosen), gene_sets, set(background)))  # none at all if no set has a hit
    tested = {name: (p, odds) for name, p, odds, *_ in zip(*columns, strict=True)}
    rows = []
    for name, members in gene_sets.items():
        size, hits = background.isin(list(members)).sum(), chosen[chosen.isin(list(members))]
        # left out by gseapy: no hit or more is certain, and its formula of the odds ratio holds at no hit too
        odds = 0.5 * (len(background) - size - len(chosen) + 0.5) / ((size + 0.5) * (len(chosen) + 0.5))
        p, odds = tested.get(name, (1.0, odds))
        expected = size * len(chosen) / len(background)
        rows.append((name, size, len(hits), expected, odds, p, ";".join(hits)))
    table = pd.DataFrame(rows, columns=["set", "size", "hits", "expected", "odds_ratio", "p", "genes"])
    table = table[table["size"] > 0]
    table.insert(6, "q", stats.false_discovery_control(table["p"]))
    return table.sort_values("p", kind="stable").reset_index(drop=True)


def ranked_sets(
    scores: pd.Series,
    gene_sets: Mapping[str, Sequence[str]],
    *,
    n_shuffles: int = 1000,
    min_size: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Which sets gather at one end of a ranking of all genes (gene set enrichment analysis, Subramanian et al. 2005).

    No line has to be drawn between chosen genes and others. Scores should have both signs: where all have the same one,
    hardly any shuffle tells how far a set gets at the other end.

    Parameters
    ----------
    scores : pandas.Series, (G,)
        A number per gene, the difference of two groups for example; genes with NaN are left out. Genes of the same
        score stand in an order drawn by the seed.
    gene_sets : mapping of str to sequence of str
        Members without a score do not count.
    n_shuffles : int
        Random sets of the same size that each set is held against.
    min_size : int
        Sets with fewer scored members are left out, and so is a set of all scored genes.
    seed : int

    Returns
    -------
    pandas.DataFrame
        A row per set, smallest p first: set, ``size``, ``nes`` (enrichment score over the mean of the shuffles on its
        side of zero; above zero the set gathers at high scores), ``p`` (of those shuffles, the share that got as far;
        ``1 / n_shuffles`` if none did), ``q`` by Benjamini and Hochberg, ``leading``: the members up to the peak,
        joined by ";", from the end of the ranking inwards. No row if no set is large enough.

    Raises
    ------
    ValueError
        There is no set, a gene has two scores, a score is infinite, or all scores are equal.

    Examples
    --------
    >>> scores = pd.Series(range(-20, 20), [f"G{i}" for i in range(40)])
    >>> sets = {"high": [f"G{i}" for i in range(32, 40)], "spread": [f"G{i}" for i in range(0, 40, 5)]}
    >>> ranked_sets(scores, sets)[["set", "size", "p"]].round(3)
          set  size      p
    0    high     8  0.001
    1  spread     8  0.721
    """
    from gseapy import prerank  # gseapy takes more than a second to load

    least = {"n_shuffles": n_shuffles, "min_size": min_size, "gene_sets": len(gene_sets)}
    low = [name for name, value in least.items() if value < 1]
    if low:
        message = f"n_shuffles, min_size and the number of gene sets are 1 or more; too small: {first_ids(low)}"
        raise ValueError(message)
    scores = scores.dropna().astype(float)
    repeated, infinite = scores.index[scores.index.duplicated()], scores.index[np.isinf(scores)]
    if len(repeated) or len(infinite) or scores.nunique() < 2:
        fault = f"{len(scores)} genes have a score and {scores.nunique()} different ones"
        if len(infinite):
            fault = f"{len(infinite)} are infinite, first {first_ids(infinite)}"
        if len(repeated):
            fault = f"{len(repeated)} genes occur again, first {first_ids(repeated.unique())}"
        message = f"a ranking needs one finite score per gene, and not the same for all; {fault}"
        raise ValueError(message)
    ranking = scores.sample(frac=1, random_state=seed).sort_values(ascending=False, kind="stable")
    # gseapy folds the case of names where most are upper case: genes go in under a name nothing can happen to
    code = {gene: f"G{i}" for i, gene in enumerate(ranking.index)}
    coded = {
        name: [code[gene] for gene in dict.fromkeys(members) if gene in code] for name, members in gene_sets.items()
    }
    coded = {name: members for name, members in coded.items() if min_size <= len(members) < len(code)}
    if not coded:
        return pd.DataFrame(columns=["set", "size", "nes", "p", "q", "leading"])
    with contextlib.redirect_stderr(io.StringIO()):  # where it logs that scores are tied
        found = prerank(
            ranking.rename(code),
            coded,
            min_size=min_size,
            max_size=len(code),
            permutation_num=n_shuffles,
            ascending=None,
            threads=1,
            seed=seed,
            no_plot=True,
        ).res2d.set_index("Term")
    found = found.loc[list(coded)]
    p = found["NOM p-val"].astype(float).clip(lower=1 / n_shuffles)
    leading = [";".join(ranking.index[int(name[1:])] for name in names.split(";")) for names in found["Lead_genes"]]
    table = pd.DataFrame(
        {
            "set": list(coded),
            "size": [len(members) for members in coded.values()],
            "nes": found["NES"].to_numpy(float),
            "p": p.to_numpy(),
            "q": stats.false_discovery_control(p),
            "leading": leading,
        }
    )
    order = np.lexsort([-table["nes"].abs(), table["p"]])
    return table.iloc[order].reset_index(drop=True)


def told_apart(scores: pd.Series, genes: Sequence[str], *, n_draws: int = 1000, seed: int = 0) -> dict[str, float]:
    """How well a score tells some genes from all the others, and what as many genes drawn at random would give.

    Drawn genes have nothing in common. Genes of one set do, their expression or their partners in a network, so that
    any score that depends on those puts a set as a whole high or low: a narrow range of chance is no proof.

    Parameters
    ----------
    scores : pandas.Series, (G,)
        A number per gene; genes with NaN are left out.
    genes : sequence of str
        The true ones; those without a score do not count.
    n_draws : int
        Sets of as many genes, drawn at random.
    seed : int

    Returns
    -------
    dict
        ``area`` under the ROC curve (1: all true genes stand above all others, 0: below, 0.5: as dice do, ties count
        half), ``low`` and ``high`` (95 % of the draws lie between), ``p`` (share of the draws as far from 0.5 as the
        area or farther, the set itself counted among them), ``genes`` (true ones) and ``others``.

    Raises
    ------
    ValueError
        A gene has two scores, ``n_draws`` is not positive, or no gene with a score is true, or all are.

    Examples
    --------
    >>> scores = pd.Series(range(40), [f"G{i}" for i in range(40)])
    >>> found = told_apart(scores, ["G35", "G37", "G39"], n_draws=2000)
    >>> round(found["area"], 3), found["p"] < 0.05
    (0.973, True)
    """
    if n_draws < 1:
        message = f"n_draws is a number of random sets, 1 or more, not {n_draws}"
        raise ValueError(message)
    scores = scores.dropna()
    repeated = scores.index[scores.index.duplicated()].unique()
    if len(repeated):
        message = f"{len(repeated)} genes have two scores, first {first_ids(repeated)}"
        raise ValueError(message)
    true = scores.index.isin(list(genes))
    n, others = int(true.sum()), int((~true).sum())
    if not n or not others:
        message = f"{n} of {len(scores)} genes with a score are true: there is nothing to tell apart"
        raise ValueError(message)
    rank, rng = stats.rankdata(scores), np.random.default_rng(seed)
    sums = np.array([rank[true].sum(), *(rng.choice(rank, n, replace=False).sum() for _ in range(n_draws))])
    area, *drawn = (sums - n * (n + 1) / 2) / (n * others)  # (1 + R,): Mann-Whitney
    low, high = np.quantile(drawn, [0.025, 0.975])
    far = np.abs(np.array(drawn) - 0.5) >= abs(area - 0.5) - 1e-12
    p = (1 + far.sum()) / (1 + n_draws)
    chance = {"low": float(low), "high": float(high), "p": float(p)}
    return {"area": float(area), **chance, "genes": n, "others": others}

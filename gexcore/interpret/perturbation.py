"""What becomes of a prediction when one gene is raised or lowered: for one model, over several, and by chance.

A perturbation asks the model, not the patient: other genes stay as they are, which no cell would let them.
Shapes: N samples, G genes that are shifted, B rows of a chunk, K outputs, S models.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import stats

from ..cohort import as_cohort
from ..comparison import corrected_t, false_discovery_rate
from ..tasks import ClassPrediction, CohortWarning, Prediction, SurvivalPrediction, first_ids

_DIRECTIONS = {"up": 1.0, "down": -1.0}
_OF_EFFECT = ["task", "output", "gene"]  # what names an effect


def perturb_genes(
    model: Any,
    cohort: AnnData,
    *,
    genes: Sequence[str] | None = None,
    shift: float = 1.0,
    reference: AnnData | None = None,
    max_rows: int = 4096,
) -> pd.DataFrame:
    """Raise and lower each gene in every sample, all others as they are, and see how the predictions move.

    Parameters
    ----------
    model : estimator
        Fitted, with ``predict(cohort)``: TxT, a fine-tuned GexBERT or any baseline.
    cohort : AnnData
        Samples the model has not seen. A missing cell stays missing, and its sample does not count for that gene.
    genes : sequence of str, optional
        Genes to shift; unless given, those of the cohort that the model reads.
    shift : float
        Size of a step in standard deviations of the gene.
    reference : AnnData, optional
        Samples whose standard deviations are meant, the training cohort for example; ``cohort`` unless given. A gene
        that is constant there is not shifted.
    max_rows : int
        Samples that are predicted at once. Memory depends on it and not on the number of samples times genes; the
        result does not.

    Returns
    -------
    pandas.DataFrame
        Per task, output and gene one row "up" and one "down": task, ``output`` (the class; "" for survival and
        numbers), gene, direction, ``effect`` (mean change over samples), low, high (95 % t interval of the mean over
        samples, the model as it is), ``same_sign`` (share of samples that change in the direction of the mean, NaN
        where it is 0), ``n`` (samples with a value). Units are those of the model's risk (TxT: minus the months
        expected within the horizon, Cox: log hazard), of probabilities, and of the label.

    Notes
    -----
    Where a model clips expression, a shift beyond its range counts as far as the range goes.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Regression("age")
    >>> train, _, test = gx.split(cohort, task, seed=0)
    >>> model = gx.baselines.LinearModel(task).fit(train)
    >>> effects = perturb_genes(model, test, genes=train.var_names[:3], reference=train)
    >>> effects[["gene", "direction", "n"]].head(2).to_dict("list")
    {'gene': ['ESTRO_06', 'ESTRO_06'], 'direction': ['up', 'down'], 'n': [80, 80]}
    """
    if not (np.isfinite(shift) and shift > 0):
        message = f"shift is a positive number of standard deviations, not {shift!r}"
        raise ValueError(message)
    if not max_rows >= 1:
        message = f"max_rows is a number of samples, 1 or more, not {max_rows!r}"
        raise ValueError(message)
    cohort = as_cohort(cohort)
    reference = cohort if reference is None else as_cohort(reference)
    genes = _genes_to_shift(model, cohort, reference, genes)
    column = cohort.var_names.get_indexer(genes)  # (G,)
    there = reference[:, genes].to_df().astype(float)
    step = shift * there.std(ddof=0).where(there.max() > there.min(), 0.0).to_numpy()  # (G,)

    before = _outputs(model.predict(cohort))  # warns of what the perturbed samples would only repeat
    start = before.to_numpy(float)  # (N, K)
    # sums over samples of a change, of its square, and of its being positive or negative
    totals = np.zeros((4, len(genes), len(_DIRECTIONS), start.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        for shifted, gene, direction, sample in _shifted(cohort, column, step, max_rows):
            change = _outputs(model.predict(shifted)).to_numpy(float) - start[sample]  # (B, K)
            change[np.isnan(cohort.X[sample, column[gene]])] = 0.0
            for total, value in zip(totals, (change, change**2, change > 0, change < 0), strict=True):
                np.add.at(total, (gene, direction), value)

    n = (~np.isnan(cohort.X[:, column])).sum(axis=0)  # (G,)
    summary = _summary(totals, n[:, None, None])
    index = pd.MultiIndex.from_product([genes, _DIRECTIONS], names=["gene", "direction"])
    tables = []
    for k, (task, output) in enumerate(before):
        values = {name: value[..., k].ravel() for name, value in summary.items()}
        tables.append(pd.DataFrame({"task": task, "output": output, **values}, index))
    table = pd.concat(tables).reset_index()
    return table[[*_OF_EFFECT, "direction", *summary]]


def gene_effects(
    perturbed: Sequence[pd.DataFrame] | Mapping[Any, pd.DataFrame], *, test_ratio: float = 0.2 / 0.7
) -> pd.DataFrame:
    """The effect of one step up of each gene, averaged over models that were trained on different splits.

    Parameters
    ----------
    perturbed : sequence or mapping of DataFrame
        What :func:`perturb_genes` returned for each model. A gene need not be in all of them.
    test_ratio : float
        Test samples per training sample of a split, as in :func:`gexcore.comparison.paired_difference`.

    Returns
    -------
    pandas.DataFrame
        task, output, gene, ``effect`` (half the difference of up and down, the mean over models), low, high, p (the
        corrected resampled t interval and test of :func:`gexcore.comparison.paired_difference`), ``q`` by Benjamini
        and Hochberg over the genes of a task and output, ``same_sign`` (share of models with the sign of the mean),
        ``models``. Within task and output the largest effects stand first. Interval, p and q are NaN with a single
        model or where all models say the same.
    """
    tables = list(perturbed.values() if isinstance(perturbed, Mapping) else perturbed)
    needed = [*_OF_EFFECT, "direction", "effect"]
    if not tables or not all(isinstance(t, pd.DataFrame) and set(needed) <= set(t) for t in tables):
        message = f"perturbed holds a table of perturb_genes for each model (columns {', '.join(needed)}), one or more"
        raise ValueError(message)
    steps = []
    for table in tables:
        # a text file gives an empty output back as missing
        effect = table.fillna({"output": ""}).set_index(needed[:-1])["effect"]
        steps.append((effect.xs("up", level="direction") - effect.xs("down", level="direction")) / 2)
    by_model = pd.concat(steps, axis=1, keys=range(len(steps)), sort=False)  # (effects, S)
    tested = corrected_t(by_model, test_ratio=test_ratio).rename(columns={"mean": "effect", "splits": "models"})
    mean, models = tested["effect"], tested["models"]
    agree = np.sign(by_model).eq(np.sign(mean), axis=0).sum(axis=1) / models.where((models > 0) & (mean != 0))
    effects = tested.assign(q=tested["p"], same_sign=agree).reset_index()
    effects = effects[[*_OF_EFFECT, "effect", "low", "high", "p", "q", "same_sign", "models"]]
    parts = effects.groupby(["task", "output"], sort=False)
    effects["q"] = parts["p"].transform(false_discovery_rate)
    order = np.lexsort([-effects["effect"].abs(), parts.ngroup()])
    return effects.iloc[order].reset_index(drop=True)


def permuted(cohort: AnnData, *, seed: int = 0) -> AnnData:
    """A cohort whose clinical rows are dealt to the samples at random: what is found there is found by chance.

    Every claim about genes is held against the same analysis, training included, of such a cohort. Clinical columns
    stay together, and so do genes; only their relation is lost.

    Parameters
    ----------
    cohort : AnnData
    seed : int

    Returns
    -------
    AnnData
        A copy with ids and expression as they were.

    Examples
    --------
    >>> table = pd.DataFrame({"TP53": [1.0, 2.0, 3.0]}, index=["a", "b", "c"])
    >>> cohort = AnnData(table, obs=pd.DataFrame({"age": [40, 50, 60]}, index=table.index))
    >>> permuted(cohort, seed=2).obs["age"].to_dict()
    {'a': 60, 'b': 40, 'c': 50}
    """
    cohort = as_cohort(cohort).copy()
    dealt = np.random.default_rng(seed).permutation(cohort.n_obs)
    cohort.obs = cohort.obs.iloc[dealt].set_axis(cohort.obs_names, axis=0)
    return cohort


def _genes_to_shift(model: Any, cohort: AnnData, reference: AnnData, genes: Sequence[str] | None) -> pd.Index:
    """Genes by name, each once; refused where a cohort lacks them or nothing is left."""
    if genes is None:
        genes = [gene for gene in getattr(model, "genes_", cohort.var_names) if gene in cohort.var_names]
    genes = pd.Index(genes).unique()
    for which, part in (("cohort", cohort), ("reference", reference)):
        absent = genes[~genes.isin(part.var_names)]
        if len(absent):
            message = (
                f"the {which} lacks {len(absent)} of {len(genes)} genes to shift, first {first_ids(absent)}; its own "
                f"genes are called {first_ids(part.var_names)}"
            )
            raise ValueError(message)
    if genes.empty:
        message = f"there is no gene to shift: name some of the cohort's ({first_ids(cohort.var_names)})"
        raise ValueError(message)
    return genes


def _shifted(
    cohort: AnnData, column: np.ndarray, step: np.ndarray, max_rows: int
) -> Iterator[tuple[AnnData, np.ndarray, np.ndarray, np.ndarray]]:
    """All samples with one gene shifted, in chunks, and which gene, direction and sample each row is, (B,) each."""
    moved, sign = np.flatnonzero(step), np.array(list(_DIRECTIONS.values()))
    shape = (len(moved), len(sign), cohort.n_obs)
    n_rows = math.prod(shape)
    for first in range(0, n_rows, max_rows):
        row = np.arange(first, min(first + max_rows, n_rows))
        gene, direction, sample = np.unravel_index(row, shape)
        gene = moved[gene]
        x = np.asarray(cohort.X)[sample].astype("float32")  # of a view too, which would write through
        x[np.arange(len(row)), column[gene]] += sign[direction] * step[gene]
        obs = cohort.obs.iloc[sample].set_axis(row.astype(str), axis=0)  # some models read covariates
        yield AnnData(x, obs=obs, var=cohort.var), gene, direction, sample


def _outputs(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """Every number a model predicts, samples x (task, output)."""
    columns = {}
    for task, prediction in predictions.items():
        if isinstance(prediction, ClassPrediction):
            columns |= {(task, name): values for name, values in prediction.probabilities.items()}
        else:
            columns[task, ""] = prediction.risk if isinstance(prediction, SurvivalPrediction) else prediction.values
    return pd.DataFrame(columns)


def _summary(totals: np.ndarray, n: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, interval, agreement and number of the changes whose sums are given, (G, 2, K) each."""
    total, squares, above, below = totals
    some = np.where(n > 0, n, np.nan)
    mean = total / some
    variance = np.maximum(squares - total * mean, 0.0) / np.where(n > 1, n - 1, np.nan)
    half = np.sqrt(variance / some) * stats.t.ppf(0.975, n - 1)
    agree = np.select([mean > 0, mean < 0], [above, below], np.nan) / some
    n = np.broadcast_to(n, mean.shape)
    return {"effect": mean, "low": mean - half, "high": mean + half, "same_sign": agree, "n": n}

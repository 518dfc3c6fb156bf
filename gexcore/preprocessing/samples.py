"""Which samples stay: of one kind, one per tumour and patient, with labels.

No step here learns anything, so all may come before the split. Shapes: N samples, G genes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import anndata as ad
import numpy as np
import pandas as pd

from ..cohort import as_cohort
from ..tasks import Classification, Survival, Task, check_tasks, first_ids
from .report import column_of, join, keys_of, mean_of_groups, refuse_empty, row

_KEEP = ("first_id", "last_id", "most_complete")


def select_samples(cohort: ad.AnnData, where: Mapping[str, str | Sequence[str]]) -> tuple[ad.AnnData, pd.DataFrame]:
    """Keep the samples whose clinical columns hold given values, such as primary tumours alone.

    Parameters
    ----------
    cohort : AnnData
        Samples x genes.
    where : mapping
        Clinical column to the value or values that are wanted, compared as text (1 and 1.0 are the same). A sample
        without a value is dropped.

    Returns
    -------
    cohort, report : AnnData, DataFrame
        The report has a row per column, with the values that were dropped and how often.

    Raises
    ------
    KeyError
        No such column.
    ValueError
        A wanted value that never occurs, or no sample left.

    Examples
    --------
    >>> import gexcore as gx
    >>> low, report = select_samples(gx.load_cohort("demo"), {"grade": ["1", "2"]})
    >>> low.n_obs, report["why"].item()
    (246, 'grade is not 1 or 2: 3 (134), missing (20)')
    """
    cohort, rows = as_cohort(cohort), []
    keep = np.ones(cohort.n_obs, dtype=bool)
    for column, wanted in where.items():
        as_text = Classification(column, column=column_of(cohort, column)).read
        values, several = as_text(cohort.obs), np.iterable(wanted) and not isinstance(wanted, str)
        wanted = as_text(pd.DataFrame({column: list(wanted) if several else [wanted]})).tolist()
        if strangers := [value for value in wanted if value not in set(values.dropna())]:
            message = f"column {column!r} never holds {first_ids(strangers)}; it holds {_counts(values) or 'nothing'}"
            raise ValueError(message)
        fits = values.isin(wanted).to_numpy()
        lost, keep = keep & ~fits, keep & fits
        others = f": {_counts(values[lost])}" if lost.any() else ""
        why = f"{column} is not {' or '.join(wanted)}{others}"
        rows.append(row("select_samples", "samples", int(keep.sum()), why, dropped=cohort.obs_names[lost]))
    refuse_empty(cohort.obs_names[keep], "sample", f"none has the wanted values of {', '.join(where)} together")
    return cohort[keep].copy(), join(rows)


def keep_one_per_patient(
    cohort: ad.AnnData, patient: str | Callable[[str], str], *, keep: str = "first_id"
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Keep one sample of every patient and call it by the patient.

    Two samples of one patient in training and test would make any model look better than it is.

    Parameters
    ----------
    cohort : AnnData
        Samples x genes.
    patient : str or callable
        Clinical column of patients, or what makes a patient of a sample id: ``lambda barcode: barcode[:12]`` cuts
        TCGA barcodes.
    keep : {"first_id", "last_id", "most_complete"}
        Which sample: first or last in the order of the ids, or the one with the fewest missing cells (of several, the
        first id). The order of the rows has no say.

    Returns
    -------
    cohort, report : AnnData, DataFrame
        Sample ids are the patients; column ``sample_id`` of ``obs`` tells which sample each was.

    Raises
    ------
    KeyError
        No such column.
    ValueError
        A sample without a patient, or an unknown rule.

    Examples
    --------
    >>> import gexcore as gx
    >>> table = pd.DataFrame({"TP53": [3.0, 4.0, 5.0]}, index=["TCGA-A1-A0SB-01", "TCGA-A1-A0SB-06", "TCGA-A1-A0SD-01"])
    >>> cohort, report = keep_one_per_patient(gx.read_cohort(table), lambda barcode: barcode[:12])
    >>> cohort.obs["sample_id"].to_dict()
    {'TCGA-A1-A0SB': 'TCGA-A1-A0SB-01', 'TCGA-A1-A0SD': 'TCGA-A1-A0SD-01'}
    """
    if keep not in _KEEP:
        message = f"keep must be one of {', '.join(_KEEP)}, not {keep!r}"
        raise ValueError(message)
    cohort = as_cohort(cohort)
    keys = keys_of(cohort, patient, "patient")
    order = keys.sort_index(ascending=keep != "last_id")
    if keep == "most_complete":
        missing = pd.Series(np.isnan(cohort.X).sum(axis=1), index=cohort.obs_names)
        order = order[missing[order.index].sort_values(kind="stable").index]
    chosen = cohort.obs_names.isin(order.drop_duplicates().index)
    several = keys[chosen & keys.duplicated(keep=False).to_numpy()].nunique()
    kept = cohort[chosen].copy()
    kept.obs["sample_id"] = kept.obs_names.astype(object)
    kept.obs_names = keys[chosen].to_numpy(dtype=object)
    why = f"{several} patients have several samples, kept by the rule {keep}"
    return kept, row("keep_one_per_patient", "samples", kept.n_obs, why, dropped=cohort.obs_names[~chosen])


def average_replicates(cohort: ad.AnnData, tumour: str | Callable[[str], str]) -> tuple[ad.AnnData, pd.DataFrame]:
    """Average the replicates of one tumour, gene by gene, on the log scale.

    Parameters
    ----------
    cohort : AnnData
        Samples x genes, on a log scale (:func:`to_log2`).
    tumour : str or callable
        Clinical column of tumours, or what makes a tumour of a sample id: ``lambda name: name.removesuffix("repl")``.

    Returns
    -------
    cohort, report : AnnData, DataFrame
        A sample per tumour, called by the tumour, in the order of their first samples; a mean is over the replicates
        that have a value. A clinical column keeps the first value in the order of the sample ids; columns in which
        replicates disagree are reported.

    Raises
    ------
    KeyError
        No such column.
    ValueError
        A sample without a tumour, or values on a linear scale.

    Notes
    -----
    assumed: the paper handles replicates as its supplement says, which was not at hand.

    Examples
    --------
    >>> import gexcore as gx
    >>> table = pd.DataFrame({"TP53": [3.0, 4.0, 6.0]}, index=["F1", "F2", "F2repl"])
    >>> cohort, _ = average_replicates(gx.read_cohort(table), lambda name: name.removesuffix("repl"))
    >>> cohort.to_df()["TP53"].to_dict()
    {'F1': 3.0, 'F2': 5.0}
    """
    cohort, step = as_cohort(cohort), "average_replicates"
    keys = keys_of(cohort, tumour, "tumour")
    if keys.duplicated().any() and np.nanmin(cohort.X) >= 0 and np.nanmax(cohort.X) > 100:
        message = (
            f"replicates are averaged on the log scale, but values run from {np.nanmin(cohort.X):g} to "
            f"{np.nanmax(cohort.X):g}; bring them to it with to_log2 first"
        )
        raise ValueError(message)
    groups, tumours = pd.factorize(keys)
    obs = cohort.obs.sort_index().groupby(keys.sort_index())
    merged = obs.first().reindex(tumours).rename_axis(index=cohort.obs_names.name)
    replicated = np.flatnonzero(np.bincount(groups) > 1)
    rows = [
        row(
            step,
            "samples",
            len(tumours),
            f"{len(replicated)} tumours have replicates; their mean is kept",
            dropped=cohort.obs_names[keys.duplicated()],
        )
    ]
    at_odds = obs.nunique().gt(1).any()
    if at_odds.any():
        why = "replicates disagree in these clinical columns; the value of the first sample id is kept"
        rows.append(row(step, "columns", cohort.obs.shape[1], why, changed=at_odds.index[at_odds]))
    x = mean_of_groups(cohort.X, groups)
    return ad.AnnData(x, obs=merged, var=cohort.var.copy(), uns=dict(cohort.uns)), join(rows)


def drop_samples_without_labels(
    cohort: ad.AnnData, tasks: Task | Sequence[Task], *, need: str = "all"
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Drop the samples that lack the labels of the tasks.

    Parameters
    ----------
    cohort : AnnData
        Samples x genes, labels in ``obs``.
    tasks : sequence of tasks
        What is predicted.
    need : {"all", "any"}
        A sample stays with the labels of all tasks, or with that of any. The models here learn from samples with
        some labels; the published code of TxT has no way to miss one. assumed: its cohorts hold samples with all.

    Returns
    -------
    cohort, report : AnnData, DataFrame
        The report has a row per task (``need="all"``; a sample counts where it is dropped first).

    Raises
    ------
    KeyError
        A task whose columns are not there.
    ValueError
        No sample left, an unknown rule, or labels that a task refuses.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort = gx.load_cohort("demo")
    >>> cohort.obs.loc[cohort.obs_names[:3], "age"] = np.nan
    >>> labelled, report = drop_samples_without_labels(cohort, gx.Regression("age"))
    >>> labelled.n_obs, report["dropped"].item()
    (397, 3)
    """
    if need not in ("all", "any"):
        message = f"need must be 'all' or 'any', not {need!r}"
        raise ValueError(message)
    cohort, tasks, step = as_cohort(cohort), check_tasks(tasks), "drop_samples_without_labels"
    labelled = {task.name: _has_label(task, cohort.obs) for task in tasks}
    names = ", ".join(labelled)
    if need == "any":
        keep = np.any(list(labelled.values()), axis=0)
        rows = [row(step, "samples", int(keep.sum()), f"no label of any of {names}", dropped=cohort.obs_names[~keep])]
    else:
        keep, rows = np.ones(cohort.n_obs, dtype=bool), []
        for name, has_label in labelled.items():
            lost, keep = keep & ~has_label, keep & has_label
            rows.append(row(step, "samples", int(keep.sum()), f"no label of {name}", dropped=cohort.obs_names[lost]))
    refuse_empty(cohort.obs_names[keep], "sample", f"none has {'a label' if need == 'any' else 'labels'} of {names}")
    return cohort[keep].copy(), join(rows)


def _has_label(task: Task, obs: pd.DataFrame) -> np.ndarray:
    labels = task.read(obs)
    return (labels["time"] if isinstance(task, Survival) else labels).notna().to_numpy()


def _counts(values: pd.Series) -> str:
    counts = values.astype(object).fillna("missing").value_counts()
    return first_ids([f"{value} ({count})" for value, count in counts.items()], 8)

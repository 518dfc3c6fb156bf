"""All steps in the order of the paper, from the files of a cohort to the table a model is trained on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anndata as ad
import pandas as pd

from ..cohort import as_cohort
from ..tasks import Task
from .genes import drop_flat_genes, keep_gene_sets, keep_variable_genes, map_genes
from .report import join, row
from .samples import average_replicates, drop_samples_without_labels, keep_one_per_patient, select_samples
from .scale import convert_times, to_log2

Train = ad.AnnData | Sequence[str] | Callable[[ad.AnnData], ad.AnnData | Sequence[str]] | None


def preprocess(
    cohort: ad.AnnData,
    tasks: Task | Sequence[Task],
    *,
    train: Train,
    where: Mapping[str, str | Sequence[str]] | None = None,
    scale: str | None = None,
    tumour: str | Callable[[str], str] | None = None,
    patient: str | Callable[[str], str] | None = None,
    keep: str = "first_id",
    times: Mapping[str, str] | None = None,
    time_unit: str = "months",
    need: str = "all",
    gene_table: str | os.PathLike | pd.DataFrame | None = None,
    min_coverage: float = 0.5,
    duplicates: str = "mean",
    gene_sets: Mapping[str, Sequence[str]] | str | os.PathLike | None = None,
    n_genes: int | None = 1000,
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Take a cohort through all steps of the paper that it needs, and tell what each has done.

    The order: samples selected, values to log2(x + 1), replicates averaged, one sample per patient, times to one unit,
    samples without labels dropped; genes named by symbols, flat genes dropped, members of gene sets kept, the most
    variable kept. A step whose argument is None is left out. Genes are scaled by the models, not here.

    Parameters
    ----------
    cohort : AnnData
        Samples x genes, clinical columns in ``obs`` (:func:`gexcore.read_cohort`).
    tasks : sequence of tasks
        What is predicted.
    train : AnnData, sequence of str, callable or None
        The samples that genes are chosen on, or their ids, or what takes them from the cohort once its samples are
        final: ``lambda cohort: gx.split(cohort, tasks, seed=0)[0]``. None stands for all samples, which is right where
        none is kept for a test.
    where
        As in :func:`select_samples`.
    scale
        As in :func:`to_log2`.
    tumour
        As in :func:`average_replicates`.
    patient, keep
        As in :func:`keep_one_per_patient`.
    times, time_unit
        As ``units`` and ``to`` in :func:`convert_times`.
    need
        As in :func:`drop_samples_without_labels`.
    gene_table, min_coverage, duplicates
        As ``table``, ``min_coverage`` and ``duplicates`` in :func:`map_genes`.
    gene_sets
        As in :func:`keep_gene_sets`; the paper takes the hallmark sets.
    n_genes
        As ``n`` in :func:`keep_variable_genes`.

    Returns
    -------
    cohort : AnnData
        All samples that are left, those outside ``train`` too, and the genes chosen.
    report : DataFrame
        A row per step and reason: ``step``, ``what``, ``kept``, ``dropped``, ``changed``, ``why``, ``first_ids``.

    Raises
    ------
    KeyError
        A clinical column that is not there.
    ValueError
        What a step refuses.

    Notes
    -----
    assumed: the paper's supplement on samples, replicates and thresholds was not at hand. Replicates are averaged on
    the log scale, samples need the labels of all tasks, and genes are chosen on training samples.

    Examples
    --------
    >>> import gexcore as gx
    >>> tasks = gx.load_tasks("demo")
    >>> cohort, report = preprocess(
    ...     gx.load_cohort("demo"),
    ...     tasks,
    ...     train=lambda cohort: gx.split(cohort, tasks, seed=0)[0],
    ...     scale="log2(x + 1)",
    ...     gene_sets=gx.data_path("demo/gene_sets.gmt"),
    ...     n_genes=100,
    ... )
    >>> cohort.shape
    (361, 100)
    >>> report.query("what == 'genes'")[["step", "kept", "dropped"]].tail(2).values.tolist()
    [['keep_gene_sets', 183, 17], ['keep_variable_genes', 100, 83]]
    """
    cohort = as_cohort(cohort)
    reports = [
        row("as read", "samples", cohort.n_obs, "all samples of the file"),
        row("as read", "genes", cohort.n_vars, "all genes of the file"),
    ]

    on_samples = [
        (where, lambda c: select_samples(c, where)),
        (scale, lambda c: to_log2(c, scale=scale)),
        (tumour, lambda c: average_replicates(c, tumour)),
        (patient, lambda c: keep_one_per_patient(c, patient, keep=keep)),
        (times, lambda c: convert_times(c, times, to=time_unit)),
        (tasks, lambda c: drop_samples_without_labels(c, tasks, need=need)),
    ]
    cohort = _run(on_samples, cohort, reports)
    train = train(cohort) if callable(train) else train
    mapping = {"min_coverage": min_coverage, "duplicates": duplicates, "train": train}
    on_genes = [
        (gene_table, lambda c: map_genes(c, gene_table, **mapping)),
        ("always", lambda c: drop_flat_genes(c, train=train)),
        (gene_sets, lambda c: keep_gene_sets(c, gene_sets)),
        (n_genes, lambda c: keep_variable_genes(c, train=train, n=n_genes)),
    ]
    return _run(on_genes, cohort, reports), join(reports)


def _run(steps: list[tuple[Any, Callable]], cohort: ad.AnnData, reports: list[pd.DataFrame]) -> ad.AnnData:
    for argument, step in steps:
        if argument is not None:
            cohort, report = step(cohort)
            reports.append(report)
    return cohort

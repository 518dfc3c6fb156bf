"""What all simulated cohorts share: the result, its files, and the steps that are the same in every model.

Shapes: N samples, G genes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..files import write_file


@dataclass(frozen=True)
class SimulatedCohort:
    """A simulated cohort and everything that is true of it.

    Attributes
    ----------
    expression : pandas.DataFrame
        Samples x genes, log2(TPM + 1), rounded to ``decimals``.
    clinical : pandas.DataFrame
        Samples x clinical columns, which the function that drew the cohort lists.
    network : pandas.DataFrame or None
        Undirected edges ``gene_a``, ``gene_b``, ``score`` (150 to 999, STRING's scale).
    gene_sets : dict of str to list of str
        One set per module; some cohorts add sets of genes drawn by chance.
    truth : pandas.DataFrame
        One row per gene: ``gene``, ``module``, ``role`` and its effects, as the function that drew the cohort says.
    log_hazard : pandas.Series
        The true eta of every sample: no model can rank better on average.
    decimals : int
        Of the expression, in memory as in the file.
    """

    expression: pd.DataFrame
    clinical: pd.DataFrame
    network: pd.DataFrame | None
    gene_sets: dict[str, list[str]]
    truth: pd.DataFrame
    log_hazard: pd.Series
    decimals: int = 3


def write_cohort(simulated: SimulatedCohort, folder: str | Path) -> Path:
    """Write ``expression.csv``, ``clinical.csv``, ``network.tsv``, ``gene_sets.gmt`` and ``truth.csv``.

    Equal cohorts give equal bytes: fixed decimals for expression, one for months, one line feed at every line end.
    A cohort without a network has no ``network.tsv``.

    Returns
    -------
    pathlib.Path
        The folder, made where it was not there.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    decimals, end = f"%.{simulated.decimals}f", {"lineterminator": "\n"}
    files = {
        "expression.csv": simulated.expression.to_csv(float_format=decimals, **end),
        "clinical.csv": simulated.clinical.to_csv(float_format="%.1f", **end),
        "truth.csv": simulated.truth.to_csv(float_format="%g", index=False, **end),
        "gene_sets.gmt": "".join(
            "\t".join([name, "simulated", *genes]) + "\n" for name, genes in simulated.gene_sets.items()
        ),
    }
    if simulated.network is not None:
        files["network.tsv"] = simulated.network.to_csv(sep="\t", index=False, **end)
    for name, text in files.items():
        write_file(folder / name, text)
    return folder


# ------------------------------------------------------------------------------------------------ steps


def check_sizes(n_samples: int, n_genes: int, *, least: tuple[int, int]) -> None:
    """Refuse a cohort too small to hold what is planted."""
    if n_samples < least[0] or n_genes < least[1]:
        message = (
            f"a simulated cohort needs at least {least[0]} samples and {least[1]} genes, "
            f"got n_samples={n_samples} and n_genes={n_genes}"
        )
        raise ValueError(message)


def check_scales(**scales: float) -> None:
    """Refuse factors that are not finite."""
    for name, scale in scales.items():
        if not np.isfinite(scale):
            message = f"{name} must be finite, got {scale}"
            raise ValueError(message)


def sample_names(n: int) -> pd.Index:
    """P001, P002 and so on, all equally long."""
    return pd.Index([f"P{i:0{len(str(n))}d}" for i in range(1, n + 1)], name="sample")


def draw_age(rng: np.random.Generator, shift: np.ndarray) -> np.ndarray:
    """Whole years (N,) around 60 plus a shift (N,)."""
    return np.round(np.clip(60 + shift + 12 * rng.standard_normal(len(shift)), 25, 90))


def standardised(x: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and SD 1; a constant column becomes 0."""
    sd = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(sd > 0, sd, 1.0)


def follow_up(rng: np.random.Generator, eta: np.ndarray, samples: pd.Index, scales: dict[str, float]) -> pd.DataFrame:
    """Times and events of endpoints with their Weibull scales in months; ``os`` is death and ends all others."""
    n = len(eta)
    times = {name: scale * (rng.standard_exponential(n) * np.exp(-eta)) ** (1 / 1.3) for name, scale in scales.items()}
    end = np.minimum(rng.uniform(60, 120, n), 300 * rng.standard_exponential(n))
    columns = {}
    for name, own in times.items():
        time = np.minimum(own, times["os"])
        columns[f"{name}_time"] = np.maximum(np.round(np.minimum(time, end), 1), 0.1)
        columns[f"{name}_event"] = (time <= end).astype(int)
    return pd.DataFrame(columns, index=samples).astype({f"{name}_event": "Int64" for name in times})


def module_sets(truth: pd.DataFrame) -> dict[str, list[str]]:
    """The genes of every module, in the order of the truth table."""
    names = truth["module"].unique()
    return {name: truth.loc[truth["module"] == name, "gene"].tolist() for name in names if name}

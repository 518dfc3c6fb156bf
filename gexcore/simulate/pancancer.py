"""Several cancer types in one cohort with known truth: which genes move together and which matter depends on the type.

Shapes: N samples, G genes. All names of cancer types, modules and genes are invented.

The model, with e standing for independent standard normal noise, s for the cancer type of a sample and ~x for x
standardised within its type:

    type       s ~ Categorical(shares);  age = 60 + shift[s] + 12 e years, kept within 25 and 90
    activity   z[m] = e                        one level per module and sample; z[AGING] = 0.7 (age - 60) / 12 + 0.7 e
    level      b[j, s] = b[j] + 0.9 sd[j] e    every gene of a module has its own level in every type
    anchor     x[j] = b[j, s] + sd (l z[m] + sqrt(1 - l^2) e),  l = 0.9           so its module tells it
    member     the same with 0.6 < l < 0.85                                       linear co-expression
    switching  the same with l[s] = + or - l, 0.75 < l < 0.9                      + in three types, - in the others
    gated      the same with sqrt(2) l z[m] [z[gate] > 0], 0.75 < l < 0.9         silent until another module opens it
    background x[j] = b + sd e;  every x is log2(TPM + 1), negative values become 0
    hazard     eta = risk[s] + sum_j beta[j, s] ~x[j] + 0.25 age / 12,  then centred;  beta is 0 but for anchors
    death      S(t) = exp(-(t / 70)^1.3 exp(eta)) months
    follow-up  C = min(Uniform(60, 120), Exponential(mean 300)) months;  os = min(death, C)

Six modules are shared by all types. Genes of the three others (SECRET, KERAT, NEURO) are co-expressed in three types
and vary alone in the rest: l[s] = 0 there. Levels, anchors and members are what a linear model of expression can
learn. The sign of a switching gene follows from the type, an open gate from another module: knowing the products takes
a model that is not linear. Every module but AGING has two anchors; they raise the hazard in some types, lower it in
others and are without effect in the rest.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .common import (
    SimulatedCohort,
    check_scales,
    check_sizes,
    draw_age,
    follow_up,
    module_sets,
    sample_names,
    standardised,
)


@dataclass(frozen=True)
class CancerType:
    """Share of the samples, mean age as a difference to 60 years, log hazard at mean expression."""

    share: float
    age_shift: float
    log_hazard: float


CANCER_TYPES = {  # types of cancer in the simulated pan-cancer cohort
    "arboma": CancerType(0.20, 2.0, 0.0),
    "beloma": CancerType(0.18, 0.0, -0.3),
    "cortoma": CancerType(0.17, 4.0, 0.4),
    "dunoma": CancerType(0.16, -4.0, 0.0),
    "estoma": CancerType(0.15, 0.0, 0.2),
    "feloma": CancerType(0.14, -2.0, 0.0),
}


@dataclass(frozen=True)
class PanCancerModule:
    """Where the genes of a module are co-expressed, and where its two anchors raise or lower the hazard."""

    raises: tuple[str, ...] = ()
    lowers: tuple[str, ...] = ()
    types: tuple[str, ...] = tuple(CANCER_TYPES)


PAN_CANCER_MODULES = {  # modules of genes in the simulated pan-cancer cohort, by their prefix
    "PROLIF": PanCancerModule(raises=("arboma", "beloma", "estoma")),
    "IMMUNE": PanCancerModule(lowers=("beloma", "cortoma", "feloma")),
    "ECM": PanCancerModule(raises=("arboma",), lowers=("dunoma",)),
    "HYPOX": PanCancerModule(raises=("cortoma", "dunoma")),
    "METAB": PanCancerModule(raises=("estoma",), lowers=("feloma",)),
    "AGING": PanCancerModule(),
    "SECRET": PanCancerModule(lowers=("arboma", "beloma"), types=("arboma", "beloma", "cortoma")),
    "KERAT": PanCancerModule(raises=("cortoma",), lowers=("dunoma",), types=("cortoma", "dunoma", "estoma")),
    "NEURO": PanCancerModule(raises=("feloma",), lowers=("estoma",), types=("dunoma", "estoma", "feloma")),
}
LOADINGS = {"anchor": (0.9, 0.9), "member": (0.6, 0.85), "switching": (0.75, 0.9), "gated": (0.75, 0.9)}
SWITCHING, GATED = 0.4, 0.2  # shares of the genes of a module
ANCHOR_EFFECT = 0.35  # log hazard ratio per SD of one anchor
LEVEL_SD = 0.9  # between cancer types, in SDs of the gene: four genes then tell a little more than half of the samples
MIN_SAMPLES, MIN_GENES = 60, 100


def simulate_pan_cancer(
    *,
    n_samples: int = 1000,
    n_genes: int = 300,
    seed: int = 0,
    hazard_scale: float = 1.0,
    linear: bool = False,
) -> SimulatedCohort:
    """Draw a cohort of six cancer types from the model at the top of its module.

    Parameters
    ----------
    n_samples, n_genes : int
        At least 60 samples and 100 genes.
    seed : int
        Seed of ``numpy.random.default_rng``; equal arguments give equal cohorts.
    hazard_scale : float
        Factor on the whole log hazard; 0 makes survival independent of everything.
    linear : bool
        The control in which a non-linear model has nothing to gain: plain members in place of switching and gated
        genes, and every module co-expressed in every type.

    Returns
    -------
    SimulatedCohort
        ``clinical`` holds ``cancer_type``, ``age`` (years), ``os_time`` (months) and ``os_event`` (1 = died).
        ``truth`` holds ``gene``, ``module``, ``role``, ``gate`` (the module that opens a gated gene) and, for every
        cancer type, ``loading_<type>`` (signed l of the model) and ``log_hazard_<type>`` (per SD within the type).
        There is no network.

    Raises
    ------
    ValueError
        Sizes below the ranges above, a scale that is not finite.

    Examples
    --------
    >>> simulated = simulate_pan_cancer(n_samples=80, n_genes=100, seed=1)
    >>> simulated.clinical.columns.tolist()
    ['cancer_type', 'age', 'os_time', 'os_event']
    """
    check_sizes(n_samples, n_genes, least=(MIN_SAMPLES, MIN_GENES))
    check_scales(hazard_scale=hazard_scale)
    rng = np.random.default_rng(seed)
    samples = sample_names(n_samples)
    truth = _truth(rng, n_genes, hazard_scale, linear=linear)
    types = list(CANCER_TYPES.values())

    cancer_type = rng.choice(len(types), size=n_samples, p=[t.share for t in types])
    age = draw_age(rng, np.array([t.age_shift for t in types])[cancer_type])
    activity = {name: rng.standard_normal(n_samples) for name in PAN_CANCER_MODULES}
    activity["AGING"] = 0.7 * (age - 60) / 12 + 0.7 * activity["AGING"]
    expression = _expression(rng, activity, truth, cancer_type, samples)
    baseline = np.array([t.log_hazard for t in types])[cancer_type] + 0.25 * age / 12
    eta = _log_hazard(hazard_scale * baseline, expression, truth, cancer_type)

    clinical = pd.DataFrame({"cancer_type": np.array(list(CANCER_TYPES))[cancer_type], "age": age}, index=samples)
    clinical = clinical.astype({"age": "Int64"}).join(follow_up(rng, eta, samples, {"os": 70.0}))
    return SimulatedCohort(
        expression=expression,
        clinical=clinical,
        network=None,
        gene_sets=module_sets(truth),
        truth=truth,
        log_hazard=pd.Series(eta, samples, name="log_hazard"),
        decimals=2,
    )


# ------------------------------------------------------------------------------------------------ steps


def _truth(rng: np.random.Generator, n_genes: int, hazard_scale: float, *, linear: bool) -> pd.DataFrame:
    """Lay out the truth table: anchors head their module, background genes come last."""
    size = int(0.9 * n_genes) // len(PAN_CANCER_MODULES)
    shared = [name for name, module in PAN_CANCER_MODULES.items() if module.types == tuple(CANCER_TYPES)]
    rows = []
    for name, module in PAN_CANCER_MODULES.items():
        gates = itertools.cycle(other for other in shared if other != name)  # one each, in turn
        active = np.array([linear or cancer_type in module.types for cancer_type in CANCER_TYPES], dtype=int)
        effects = np.array([(t in module.raises) - (t in module.lowers) for t in CANCER_TYPES])
        for number, role in enumerate(_roles(size, linear=linear, anchors=effects.any()), start=1):
            loading = np.round(rng.uniform(*LOADINGS[role]), 2)
            signs = rng.permutation([1, 1, 1, -1, -1, -1]) if role == "switching" else 1
            effect = hazard_scale * ANCHOR_EFFECT * effects if role == "anchor" else 0 * effects
            row = {"gene": f"{name}_{number:02d}", "module": name, "role": role}
            row["gate"] = next(gates) if role == "gated" else ""
            row |= {f"loading_{t}": x for t, x in zip(CANCER_TYPES, loading * (signs * active), strict=True)}
            rows.append(row | {f"log_hazard_{t}": x for t, x in zip(CANCER_TYPES, effect, strict=True)})
    background = {"module": "", "role": "background", "gate": ""}
    rows += [{"gene": f"OTHER_{i:02d}"} | background for i in range(1, n_genes - len(rows) + 1)]
    return pd.DataFrame(rows).fillna(0.0)


def _roles(size: int, *, linear: bool, anchors: bool) -> list[str]:
    counts = {
        "anchor": 2 * anchors,
        "switching": 0 if linear else int(SWITCHING * size),
        "gated": 0 if linear else int(GATED * size),
    }
    special = [role for role, count in counts.items() for _ in range(count)]
    return special + ["member"] * (size - len(special))


def _expression(
    rng: np.random.Generator,
    activity: dict[str, np.ndarray],
    truth: pd.DataFrame,
    cancer_type: np.ndarray,
    samples: pd.Index,
) -> pd.DataFrame:
    loadings = truth[[f"loading_{t}" for t in CANCER_TYPES]].to_numpy()
    columns = {}
    for row, loading in zip(truth.itertuples(), loadings, strict=True):
        level, sd = rng.uniform(2.0, 9.0), rng.uniform(0.6, 1.5)
        levels = level + LEVEL_SD * sd * rng.standard_normal(len(CANCER_TYPES))
        signal = rng.standard_normal(len(samples))
        if row.role == "background":
            levels = np.full(len(CANCER_TYPES), level)
        else:
            driver = activity[row.module]
            if row.gate:
                driver = np.sqrt(2) * driver * (activity[row.gate] > 0)  # open half of the time: the variance stays 1
            own = loading[cancer_type]
            signal = own * driver + np.sqrt(1 - own**2) * signal
        columns[row.gene] = np.round(np.maximum(levels[cancer_type] + sd * signal, 0.0), 2)
    order = rng.permutation(list(columns))  # neighbouring columns mean nothing, as in a real table
    return pd.DataFrame(columns, index=samples)[order]


def _log_hazard(
    baseline: np.ndarray, expression: pd.DataFrame, truth: pd.DataFrame, cancer_type: np.ndarray
) -> np.ndarray:
    """Eta (N,): terms are added one after the other, since a matrix product may round differently on another CPU."""
    eta = baseline.copy()
    for code, name in enumerate(CANCER_TYPES):
        rows = cancer_type == code
        for row in truth[truth[f"log_hazard_{name}"] != 0].to_dict("records"):
            eta[rows] += row[f"log_hazard_{name}"] * standardised(expression[row["gene"]].to_numpy()[rows])
    return eta - eta.mean()

"""A breast cancer cohort with known truth: expression, clinical table, network and gene sets from a written model.

Shapes: N samples, G genes, M modules. All gene, module and subtype names are invented.

The model, with e standing for independent standard normal noise and ~x for x standardised over the cohort:

    subtype    s ~ Categorical(shares);  age = 60 + shift[s] + 12 e years, kept within 25 and 90
    activity   z[m] = mean[m, s] + drift[m] (age - 60) / 12 + e                 one level per module and sample
    regulator  x[m_TF] = b + sd ~z[m]                                          its level is the module's activity
    member     x[j] = b + sd (l ~z[m] + sqrt(1 - l^2) e),  0.45 < l < 0.9      driven by its regulator
    background x[j] = b + sd e;  every x is log2(TPM + 1), negative values become 0
    grade      1 + [q > -0.9] + [q > 0.5] with q = 0.8 ~z[PROLIF] + 0.6 e
    size       20 exp(0.2 (grade - 2) + 0.2 ~z[HYPOX] + 0.35 e) mm
    hazard     eta = sum_j beta[j] ~x[j] + sum_(i,j) delta[i,j] ~x[i] ~x[j]
                     + 0.25 grade + 0.15 log2(size) + 0.25 age / 12,  then centred
    death      S(t) = exp(-(t / 130)^1.3 exp(eta)) months;  recurrence alike with 160 in place of 130
    follow-up  C = min(Uniform(60, 120), Exponential(mean 300)) months
    os         min(death, C);  rfs = min(recurrence, death, C), so both endpoints share eta
"""

from __future__ import annotations

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

SUBTYPES = {"hormonal": 0.32, "cycling": 0.22, "amplified": 0.18, "basal": 0.16, "stromal": 0.12}  # share of each
AGE_SHIFT = {"hormonal": 2.0, "cycling": 0.0, "amplified": -1.0, "basal": -5.0, "stromal": 2.0}  # mean age, less 60
MIN_MEMBERS = 5  # planted genes carry the numbers 01 to 05 of their module
MIN_SAMPLES, MIN_GENES = 20, 60


@dataclass(frozen=True)
class Module:
    """What one module does: its share of the genes, class means, drift with age, effect of its regulator."""

    share: float
    means: tuple[float, ...]  # of the activity, in the order of SUBTYPES
    drift: float = 0.0  # change of the activity per 12 years of age
    log_hazard: float = 0.0  # per SD of the regulator
    traits: tuple[str, ...] = ()  # clinical columns tied to the module


MODULES = {  # modules of genes in the simulated breast cancers, by their prefix
    "PROLIF": Module(0.14, (-1.4, 1.2, 0.4, 1.0, -0.8), log_hazard=0.45, traits=("subtype", "grade", "size")),
    "ESTRO": Module(0.13, (1.4, 1.1, -0.4, -2.1, 0.0), log_hazard=-0.25, traits=("subtype",)),
    "AMPLI": Module(0.07, (-0.6, -0.4, 2.5, -0.6, -0.4), traits=("subtype",)),
    "BASAL": Module(0.10, (-0.6, -0.5, 0.0, 2.2, -0.2), traits=("subtype",)),
    "ECM": Module(0.13, (0.2, -0.7, 0.0, -0.3, 2.1), traits=("subtype",)),
    "IMMUNE": Module(0.14, (-0.2, -0.1, 0.2, 0.5, 0.0), log_hazard=-0.45),
    "HYPOX": Module(0.11, (0.0, 0.0, 0.0, 0.0, 0.0), log_hazard=0.30, traits=("size",)),
    "AGING": Module(0.09, (0.0, 0.0, 0.0, 0.0, 0.0), drift=0.85, traits=("age",)),
    "METAB": Module(0.09, (0.0, 0.0, 0.0, 0.0, 0.0)),
}
RISK = {"ECM_01": 0.30, "AMPLI_01": 0.25, "METAB_01": 0.30}  # log hazard ratio per SD
PROTECTIVE = {"BASAL_01": -0.25, "ESTRO_01": -0.25, "AGING_01": -0.25}  # log hazard ratio per SD
PAIRS = {  # log hazard of the product of two genes
    ("ECM_02", "ECM_03"): 0.30,
    ("HYPOX_02", "METAB_02"): 0.35,
    ("IMMUNE_02", "PROLIF_02"): 0.30,
}
PAIR_MAIN = 0.12  # each gene of a pair also acts alone, so that high-high is worst and low-low is not


def simulate_cohort(
    *,
    n_samples: int = 400,
    n_genes: int = 200,
    seed: int = 0,
    hazard_scale: float = 1.0,
    pair_scale: float = 1.0,
    missing: float = 0.05,
) -> SimulatedCohort:
    """Draw a cohort from the model at the top of its module.

    Parameters
    ----------
    n_samples, n_genes : int
        At least 20 samples and 60 genes.
    seed : int
        Seed of ``numpy.random.default_rng``; equal arguments give equal cohorts.
    hazard_scale : float
        Factor on the whole log hazard; 0 makes survival independent of everything.
    pair_scale : float
        Factor on the product terms; 0 makes the log hazard additive.
    missing : float
        Share of grades that are missing, between 0 and 0.5; half as many sizes, subtypes and recurrence times are.

    Returns
    -------
    SimulatedCohort
        ``clinical`` holds ``age`` (years), ``size`` (mm), ``grade`` (1 to 3), ``subtype``, ``os_time`` and
        ``rfs_time`` (months), ``os_event`` and ``rfs_event`` (1 = it happened); some cells are missing. ``truth``
        holds ``gene``, ``module``, ``role``, ``log_hazard_ratio`` (per SD of its expression), ``partner``,
        ``pair_log_hazard_ratio`` (of the product of both standardised genes) and ``traits``. ``gene_sets`` holds
        the modules and three sets of genes drawn by chance.

    Raises
    ------
    ValueError
        Sizes or shares outside the ranges above, scales that are not finite.

    Examples
    --------
    >>> simulated = simulate_cohort(n_samples=50, n_genes=80, seed=1)
    >>> simulated.expression.shape
    (50, 80)
    """
    check_sizes(n_samples, n_genes, least=(MIN_SAMPLES, MIN_GENES))
    check_scales(hazard_scale=hazard_scale, pair_scale=pair_scale)
    if not 0 <= missing <= 0.5:
        message = f"missing is a share of the grades between 0 and 0.5, got {missing}"
        raise ValueError(message)
    rng = np.random.default_rng(seed)
    samples = sample_names(n_samples)
    truth = _truth(n_genes, hazard_scale, pair_scale)

    subtype = rng.choice(len(SUBTYPES), size=n_samples, p=list(SUBTYPES.values()))
    age = draw_age(rng, np.array(list(AGE_SHIFT.values()))[subtype])
    activity = _activity(rng, subtype, age)
    expression = _expression(rng, activity, truth, samples)
    grade, size = _grade_and_size(rng, activity)
    clinical_effect = 0.25 * grade + 0.15 * np.log2(size) + 0.25 * age / 12
    eta = _log_hazard(hazard_scale * clinical_effect, expression, truth)

    clinical = pd.DataFrame({"age": age, "size": size, "grade": grade}, index=samples).astype("Int64")
    clinical["subtype"] = np.array(list(SUBTYPES), dtype=object)[subtype]
    clinical = clinical.join(follow_up(rng, eta, samples, {"os": 130.0, "rfs": 160.0}))
    network = _network(rng, truth)
    gene_sets = _gene_sets(rng, truth)
    _hide(rng, clinical, missing)
    return SimulatedCohort(expression, clinical, network, gene_sets, truth, pd.Series(eta, samples, name="log_hazard"))


# ------------------------------------------------------------------------------------------------ steps


def _truth(n_genes: int, hazard_scale: float, pair_scale: float) -> pd.DataFrame:
    """Lay out the truth table: a regulator heads its module, background genes come last."""
    spare = int(0.9 * n_genes) - len(MODULES) * (1 + MIN_MEMBERS)
    main = RISK | PROTECTIVE | {gene: PAIR_MAIN for pair in PAIRS for gene in pair}
    partner = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
    product = {gene: delta for pair, delta in PAIRS.items() for gene in pair}
    rows = []
    for name, module in MODULES.items():
        n_members = MIN_MEMBERS + int(module.share * spare)
        numbers = ["TF"] + [f"{i:02d}" for i in range(1, n_members + 1)]
        rows += [{"gene": f"{name}_{number}", "module": name, "traits": ";".join(module.traits)} for number in numbers]
    rows += [{"gene": f"OTHER_{i:02d}", "module": "", "traits": ""} for i in range(1, n_genes - len(rows) + 1)]

    truth = pd.DataFrame(rows)
    regulators = {f"{name}_TF": module.log_hazard for name, module in MODULES.items()}
    roles = (
        dict.fromkeys(regulators, "regulator")
        | dict.fromkeys(RISK, "risk")
        | dict.fromkeys(PROTECTIVE, "protective")
        | dict.fromkeys(partner, "interaction")
    )
    plain = np.where(truth["module"] == "", "background", "member")
    return pd.DataFrame(
        {
            "gene": truth["gene"],
            "module": truth["module"],
            "role": truth["gene"].map(roles).fillna(pd.Series(plain)),
            "log_hazard_ratio": hazard_scale * truth["gene"].map(main | regulators).fillna(0.0),
            "partner": truth["gene"].map(partner).fillna(""),
            "pair_log_hazard_ratio": hazard_scale * pair_scale * truth["gene"].map(product).fillna(0.0),
            "traits": truth["traits"],
        }
    )


def _activity(rng: np.random.Generator, subtype: np.ndarray, age: np.ndarray) -> dict[str, np.ndarray]:
    """Standardised activity (N,) of every module."""
    activity = {}
    for name, module in MODULES.items():
        noise = rng.standard_normal(len(age))
        activity[name] = standardised(np.array(module.means)[subtype] + module.drift * (age - 60) / 12 + noise)
    return activity


def _expression(
    rng: np.random.Generator, activity: dict[str, np.ndarray], truth: pd.DataFrame, samples: pd.Index
) -> pd.DataFrame:
    columns = {}
    for gene, module, role in truth[["gene", "module", "role"]].itertuples(index=False):
        level, sd, loading = rng.uniform(2.0, 11.0), rng.uniform(0.6, 1.5), rng.uniform(0.45, 0.9)
        own = rng.standard_normal(len(samples))
        if role == "regulator":
            signal = activity[module]
        elif role == "background":
            signal = own
        else:
            signal = loading * activity[module] + np.sqrt(1 - loading**2) * own
        columns[gene] = np.round(np.maximum(level + sd * signal, 0.0), 3)
    order = rng.permutation(list(columns))  # neighbouring columns mean nothing, as in a real table
    return pd.DataFrame(columns, index=samples)[order]


def _grade_and_size(rng: np.random.Generator, activity: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    n = len(activity["PROLIF"])
    latent = 0.8 * activity["PROLIF"] + 0.6 * rng.standard_normal(n)
    grade = 1.0 + (latent > -0.9) + (latent > 0.5)
    size = 20 * np.exp(0.2 * (grade - 2) + 0.2 * activity["HYPOX"] + 0.35 * rng.standard_normal(n))
    return grade, np.maximum(np.round(size), 3.0)


def _log_hazard(clinical_effect: np.ndarray, expression: pd.DataFrame, truth: pd.DataFrame) -> np.ndarray:
    """Eta (N,): terms are added one after the other, since a matrix product may round differently on another CPU."""
    z = dict(zip(expression.columns, standardised(expression.to_numpy()).T, strict=True))
    eta = clinical_effect
    for row in truth.itertuples():
        if row.log_hazard_ratio:
            eta = eta + row.log_hazard_ratio * z[row.gene]
        if row.partner and row.gene < row.partner:
            eta = eta + row.pair_log_hazard_ratio * z[row.gene] * z[row.partner]
    return eta - eta.mean()


def _network(rng: np.random.Generator, truth: pd.DataFrame) -> pd.DataFrame:
    """Edges: regulators reach most of their module, members some of it, any two genes by chance.

    A gene's popularity (log-normal, at most 2) multiplies its chances, which gives the uneven degrees of real networks.
    """
    genes, module = truth["gene"].to_numpy(), truth["module"].to_numpy()
    regulator = (truth["role"] == "regulator").to_numpy()
    popularity = np.where(regulator, 2.0, np.minimum(np.exp(0.5 * rng.standard_normal(len(genes))), 2.0))
    edges = []
    for i in range(len(genes) - 1):
        rest = slice(i + 1, None)
        same = (module[rest] == module[i]) & (module[i] != "")
        chance = np.where(same, 0.16, 0.005) * popularity[i] * popularity[rest]
        chance = np.where(same & regulator[i], 0.85, chance)  # a regulator precedes its members in the table
        pair = genes[rest] == truth["partner"][i]
        chance = np.where(pair, 1.0, chance)
        scores = np.where(same | pair, rng.integers(400, 1000, len(same)), rng.integers(150, 700, len(same)))
        for j in np.flatnonzero(rng.random(len(same)) < chance):
            edges.append((genes[i], genes[i + 1 + j], int(scores[j])))
    return pd.DataFrame(edges, columns=["gene_a", "gene_b", "score"])


def _gene_sets(rng: np.random.Generator, truth: pd.DataFrame) -> dict[str, list[str]]:
    sets = module_sets(truth)
    size = len(truth) // 10
    for i in range(1, 4):
        sets[f"CHANCE_{i}"] = truth["gene"][np.sort(rng.choice(len(truth), size, replace=False))].tolist()
    return sets


def _hide(rng: np.random.Generator, clinical: pd.DataFrame, missing: float) -> None:
    """Empty a share of the clinical cells, independently per column; both cells of a recurrence label go together."""
    for columns, share in [
        (["grade"], missing),
        (["size"], missing / 2),
        (["subtype"], missing / 2),
        (["rfs_time", "rfs_event"], missing / 2),
    ]:
        rows = rng.choice(len(clinical), int(share * len(clinical)), replace=False)
        for column in columns:
            clinical.iloc[rows, clinical.columns.get_loc(column)] = np.nan

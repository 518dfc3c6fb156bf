"""Cancer types told from few genes; by hand, about an hour and a half on one core:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_small_panels.py
"""

import numpy as np
import pandas as pd
import pytest
from studies import COHORTS, record

import gexcore as gx
from gexcore.baselines import (
    DenoisingAutoencoder,
    LinearModel,
    LinearSVM,
    Majority,
    OnRepresentation,
    PrincipalComponents,
    RandomForest,
    VariationalAutoencoder,
)

FILE = COHORTS / "tcga-absolute.h5ad"
FINGERPRINTS = COHORTS / "tcga-pan-cancer.h5ad"
pytestmark = pytest.mark.filterwarnings("ignore::gexcore.CohortWarning")  # one gene is constant
TASK = gx.Classification("cancer_type")
SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)


# A third of the time of the autoencoders' own defaults, at no cost in accuracy that could be seen.
LEAN = {"hidden": (256, 64), "batch_size": 128, "learning_rate": 2e-3, "max_epochs": 100, "patience": 10}


def models_on(bert):
    """What is compared on every panel, and the costly one that stops at panels of 128 genes."""

    def logistic(representation, **how):
        return OnRepresentation(LinearModel(TASK), representation, **how)

    models = {
        "majority": lambda seed: Majority(TASK, seed=seed),
        "logistic regression": lambda seed: LinearModel(TASK, seed=seed),
        "linear SVM": lambda seed: LinearSVM(TASK, seed=seed),
        "random forest": lambda seed: RandomForest(TASK, seed=seed),
        "PCA": lambda seed: logistic(PrincipalComponents(seed=seed)),
        "DAE": lambda seed: logistic(DenoisingAutoencoder(**LEAN, seed=seed)),
        "VAE": lambda seed: logistic(VariationalAutoencoder(beta=0.1, **LEAN, seed=seed)),
        "GexBERT, frozen": lambda seed: logistic(bert, pretrained=True),
    }
    return models, {"GexBERT, fine-tuned": lambda seed: gx.FineTuned(TASK, encoder=bert, max_epochs=6, seed=seed)}


@pytest.mark.skipif(not FILE.is_file(), reason="needs the TCGA tables on an absolute scale")
def test_panels_of_tcga():
    train, val, test = gx.split(gx.read_cohort(FILE), TASK, seed=0)
    models, tuned = models_on(gx.GexBERT(preset="quick", max_epochs=12).fit(train, val))
    panels = {
        "random": gx.panels.random_panels(train.var_names, SIZES, n_draws=10),
        "variance": gx.panels.top_variance_panels(train, SIZES),
    }
    tables = []
    for choice, drawn in panels.items():
        for draw in sorted({panel.draw for panel in drawn}):
            some = [panel for panel in drawn if panel.draw == draw]
            few = [panel for panel in some if panel.size <= 128]
            for compared, on in ((models, some), (tuned, few)):
                table = gx.panels.compare_panels(compared, train, test, TASK, on, val=val)
                tables.append(table.assign(choice=choice))
            record(pd.concat(tables, ignore_index=True), "panels_tcga")  # a run that breaks off keeps what it has
    random = pd.concat(tables).query("choice == 'random'")
    print(gx.panels.against_best_rival(random, "GexBERT, frozen").to_string())
    assert random["value"].notna().all()


def test_panels_of_demo():
    """The embedded cohort, with draws enough for an interval."""
    train, val, test = gx.split(gx.load_cohort("demo-pan-cancer"), TASK, seed=0)
    models, _ = models_on(gx.GexBERT(preset="quick", max_epochs=12).fit(train, val))
    panels = gx.panels.random_panels(train.var_names, SIZES[:6], n_draws=10)
    table = gx.panels.compare_panels(models, train, test, TASK, panels, val=val)
    record(table, "panels_demo")
    assert table["value"].notna().all()


@pytest.mark.skipif(not FINGERPRINTS.is_file(), reason="needs the TCGA pan-cancer table")
def test_a_forest_reads_how_a_cohort_was_normalised():
    """Values z-scored cohort by cohort tell the cohort by what normalisation left, not by biology."""
    cohort = gx.read_cohort(FINGERPRINTS)
    train, _, test = gx.split(cohort, TASK, seed=0)
    few = np.random.default_rng(0).permutation(train.n_obs)[:1500]
    models = {"logistic regression": LinearModel, "random forest": RandomForest}
    factories = {name: lambda seed, model=model: model(TASK, seed=seed) for name, model in models.items()}
    panels = gx.panels.random_panels(train.var_names, [64], n_draws=1)
    table = gx.panels.compare_panels(factories, train[np.sort(few)].copy(), test, TASK, panels)
    record(table, "panels_tcga_fingerprints")
    accuracy = table.query("metric == 'accuracy'").set_index("model")["value"]
    assert accuracy["random forest"] > accuracy["logistic regression"] + 0.3

    rng = np.random.default_rng(0)  # each gene dealt anew within a cohort: nothing is left of how genes go together
    for part in (train, test):
        part.X = part.to_df().groupby(part.obs["cancer_type"], observed=True).transform(rng.permutation)
    table = gx.panels.compare_panels(
        {"random forest": factories["random forest"]}, train[np.sort(few)].copy(), test, TASK, panels
    )
    assert table.query("metric == 'accuracy'")["value"].item() > 0.95

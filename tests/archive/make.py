"""Keeps small models of this version for ever, with what they say: ``python tests/archive/make.py`` at a release."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

import gexcore as gx

TASKS = [gx.Survival("os", time="os_time", event="os_event"), gx.Classification("subtype"), gx.Regression("age")]
FEW = {"preset": "quick", "max_epochs": 2, "d_model": 8, "d_ff": 8, "n_heads": 2, "n_layers": 1, "device": "cpu"}


def said(model, cohort):
    """All numbers of a model about some samples, as JSON values."""
    if isinstance(model, gx.GexBERT):
        filled = model.impute(cohort)
        return {"filled": filled.X.tolist(), "sd": filled.layers["sd"].tolist(), "vectors": listed(model.embed(cohort))}
    found = model.predict(cohort)
    values = {"risk": found["os"].risk, "curves": found["os"].survival, "classes": found["subtype"].probabilities}
    return {name: listed(table) for name, table in {**values, "age": found["age"].values}.items()}


def listed(table):
    return table.to_numpy(float).tolist()


def main():
    """Write the folder of this version, which must not be there."""
    folder = Path(__file__).parent / version("gexcore")
    folder.mkdir()
    cohort = gx.load_cohort("demo")[:, :16].copy()
    cohort.X[np.random.default_rng(0).random(cohort.shape) < 0.1] = np.nan
    train, val, test = gx.split(cohort, TASKS, seed=0)
    bert = gx.GexBERT(**FEW, panel=8, n_targets=4, n_factors=2).fit(train, val)
    vectors = bert.gene_embedding()
    few = {name: FEW[name] for name in ("preset", "max_epochs", "device")}
    models = {
        "txt": gx.TxT(TASKS, gene_embedding=vectors, multitask="pcgrad", **FEW).fit(train, val),
        "txt-linear": gx.TxT(TASKS, attention="linear", **FEW).fit(train, val),
        "gexbert": bert,
        "fine-tuned": gx.FineTuned(TASKS, encoder=bert, hidden=(), **few).fit(train, val),
        "mlp": gx.baselines.MLP(TASKS, hidden=(), **few).fit(train, val),
    }
    test = test[:5].copy()
    test.to_df().to_csv(folder / "expression.csv")
    for name, model in models.items():
        model.save(folder / f"{name}.safetensors")
        (folder / f"{name}.json").write_text(json.dumps(said(model, test)) + "\n")


if __name__ == "__main__":
    main()

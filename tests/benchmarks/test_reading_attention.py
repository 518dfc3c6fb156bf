"""What reading attention costs at the paper's size, 1000 genes, 8 layers, 4 heads; by hand, some minutes:

python -m pytest -s tests/benchmarks/test_reading_attention.py
"""

import resource
import time

import anndata as ad
import numpy as np
import pandas as pd
import torch
from stopwatch import alone
from studies import record

import gexcore as gx
from gexcore.interpret import NetworkCollector, ReceivedAttention, read_attention

N_GENES = 1000


def patients(n, seed=0):
    x = np.random.default_rng(seed).normal(6, 2, (n, N_GENES)).astype("float32")
    obs = pd.DataFrame({"age": np.linspace(30, 80, n)}, index=[f"p{i}" for i in range(n)])
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{j}" for j in range(N_GENES)]))


def reading(n):
    """Patients, seconds and peak memory in MB of reading them, seconds of predicting them; in a process of its own."""
    torch.set_num_threads(1)
    model = gx.TxT(gx.Regression("age"), batch_size=4, max_epochs=1, pooling="mean").fit(patients(4, seed=1))
    cohort = patients(n)
    groups = pd.Series(np.arange(n) % 2, cohort.obs_names)
    start = time.monotonic()
    model.predict(cohort)
    predicted = time.monotonic()
    read_attention(model, cohort, {"received": ReceivedAttention(), "networks": NetworkCollector(groups=groups)})
    seconds = time.monotonic() - predicted
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"patients": n, "seconds": seconds, "seconds_predicting": predicted - start, "peak_mb": peak}


def test_memory_does_not_grow_with_the_cohort():
    table = pd.DataFrame([alone(reading, n) for n in (50, 200, 500)])
    record(table, "reading_attention")
    few, _, many = table["peak_mb"]
    assert many < 1.1 * few  # ten times the patients

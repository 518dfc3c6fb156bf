"""A hundred thousand samples of a thousand genes, a file of 400 MB, predicted and imputed; by hand, some minutes:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_load.py
"""

import json
import subprocess
import sys

import pandas as pd
import pytest
from studies import record
from test_backed import write

SAMPLES, GENES = 100_000, 1000
# Small networks: what is measured is what grows with the samples, not what a network needs for a batch of them.
TRAIN = """
import sys
import numpy as np
import gexcore as gx

small = {"preset": "quick", "n_layers": 1, "d_model": 16, "d_ff": 16, "max_epochs": 1, "device": "cpu"}
cohort = gx.read_cohort(sys.argv[1], backed=True)
known = gx.cohort.backed.load_rows(cohort, np.arange(400))
known.obs["age"] = 60.0 + np.arange(400) % 20
gx.TxT(gx.Regression("age"), **small).fit(known).save(f"{sys.argv[2]}/predict")
gx.GexBERT(linear="none", panel=32, n_targets=32, **small).fit(known).save(f"{sys.argv[2]}/impute")
"""
USE = """
import json, sys, time
from pathlib import Path
import numpy as np
import gexcore as gx

def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

file, folder, use, n = *sys.argv[1:4], int(sys.argv[4])
cohort, model = gx.read_cohort(file, backed=True), gx.load_model(f"{folder}/{use}", device="cpu")
before, begun = peak(), time.perf_counter()
if use == "predict":
    assert np.isfinite(model.predict(cohort[:n])["age"].values).all()
else:
    panel = cohort.var_names[np.arange(cohort.n_vars) % 4 > 0]  # every fourth gene was not measured
    for start in range(0, n, 1000):
        filled = model.impute(cohort[start : start + 1000, panel])
        assert filled.shape == (1000, cohort.n_vars)
        assert np.isfinite(filled.X).all()
print(json.dumps({"use": use, "samples": n, "seconds": time.perf_counter() - begun, "MB": peak() - before}))
"""


def run(code, *arguments):
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_memory_does_not_grow_with_the_number_of_samples(tmp_path):
    file = tmp_path / "large.h5ad"
    write(file, samples=SAMPLES, genes=GENES)
    run(TRAIN, file, tmp_path)
    rows = [json.loads(run(USE, file, tmp_path, use, n)) for use in ("predict", "impute") for n in (10_000, SAMPLES)]
    table = pd.DataFrame(rows)
    record(table, "load")
    few, many = (table[table["samples"] == n].set_index("use") for n in (10_000, SAMPLES))
    assert (many["MB"] < few["MB"] + 60).all()  # of the 360 MB more that are read
    assert (many["seconds"] < 15 * few["seconds"]).all()

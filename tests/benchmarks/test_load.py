"""A hundred thousand samples of a thousand genes, a file of 400 MB, predicted and imputed; by hand, ten minutes or so:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_load.py
"""

import json
import subprocess
import sys

import pandas as pd
import pytest
from studies import record
from test_backed import write

GENES = 1000
RUN = """
import json, sys, time
from pathlib import Path
import numpy as np
import gexcore as gx

def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

cohort = gx.read_cohort(sys.argv[1], backed=True)
known = gx.cohort.backed.load_rows(cohort, np.arange(400))
known.obs["age"] = 60.0 + np.arange(400) % 20
txt = gx.TxT(gx.Regression("age"), preset="quick", max_epochs=1, device="cpu").fit(known)
bert = gx.GexBERT(preset="quick", max_epochs=1, device="cpu").fit(known)
known.X[:, ::4] = np.nan
txt.predict(known), bert.impute(known)  # what torch loads for its first use is no part of what is measured
rows, n = [], int(sys.argv[2])
for use in ("predict", "impute"):
    before, begun = peak(), time.perf_counter()
    if use == "predict":
        assert len(txt.predict(cohort[:n])["age"].values) == n
    else:
        panel = cohort.var_names[np.arange(cohort.n_vars) % 4 > 0]  # every fourth gene was not measured
        for start in range(0, n, 1000):
            filled = bert.impute(cohort[start : start + 1000, panel])
            assert np.isfinite(filled.X).all()
    rows.append({"use": use, "seconds": time.perf_counter() - begun, "MB": peak() - before})
print(json.dumps(rows))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_memory_does_not_grow_with_the_number_of_samples(tmp_path):
    write(tmp_path / "large.h5ad", samples=100_000, genes=GENES)
    rows = []
    for n in (10_000, 100_000):
        command = [sys.executable, "-W", "ignore", "-c", RUN, str(tmp_path / "large.h5ad"), str(n)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        rows += [{"samples": n, "genes": GENES, **row} for row in json.loads(done.stdout)]
    table = pd.DataFrame(rows)
    record(table, "load")
    few, many = (table[table["samples"] == n].set_index("use") for n in (10_000, 100_000))
    assert (many["MB"] < few["MB"] + 60).all()  # of 400 MB of expression
    assert (many["seconds"] < 15 * few["seconds"]).all()

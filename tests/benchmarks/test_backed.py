"""A file of 400 MB learned from on disk and in memory; by hand, some minutes on two cores:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_backed.py
"""

import json
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import write_elem
from studies import record

SAMPLES, GENES = 20_000, 5000
RUN = """
import json, sys, time, warnings
from pathlib import Path
import gexcore as gx
from gexcore.streams import InMemory, Streamed

def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

def clocks():
    "Seconds that pass, seconds of this thread, and of all: those of the reader are the difference."
    return time.perf_counter(), time.thread_time(), time.process_time()

def timed(own):
    def epoch(self, *what):
        begun, batches = clocks(), own(self, *what)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waited.append(time.perf_counter() - asked)
            if batch is None:
                break
            yield batch
        epochs.append((len(self), [now - then for now, then in zip(clocks(), begun)]))
    return epoch

waited, epochs = [], []
for kind in (InMemory, Streamed):
    kind.epoch = timed(kind.epoch)
# A network so small that a step takes little longer than the reading of its batch: any other waits less.
settings = {"preset": "quick", "linear": "none", "n_layers": 1, "d_model": 16, "d_ff": 16, "panel": 32, "n_targets": 32,
            "fit_samples": 500, "buffer_samples": 2048, "max_epochs": 1, "device": "cpu"}
gx.GexBERT(**settings).fit(gx.load_cohort("demo"))  # what torch loads for its first training counts for neither
epochs.clear()
waited.clear()
before, begun = peak(), time.perf_counter()
cohort = gx.read_cohort(sys.argv[1], backed=sys.argv[2] == "disk")
read = time.perf_counter() - begun
train, val, test = gx.split(cohort)
gx.GexBERT(**settings).fit(train, val[:500] if sys.argv[2] == "memory" else val)
((n, (seconds, steps, both)),) = epochs
print(json.dumps({"opening, s": read, "s per 1000 samples": 1000 * seconds / n, "steps": 1000 * steps / n,
                  "reader": 1000 * (both - steps) / n, "waiting": sum(waited) / seconds, "MB": peak() - before}))
"""


def write(path, *, samples=SAMPLES, genes=GENES):
    """Samples of twenty factors, written block by block."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(20, genes)).astype("float32")
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", pd.DataFrame(index=[f"p{i}" for i in range(samples)]))
        write_elem(file, "var", pd.DataFrame(index=[f"G{j}" for j in range(genes)]))
        x = file.create_dataset("X", (samples, genes), "float32")
        x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        for start in range(0, samples, 1000):
            factors = rng.standard_normal((1000, 20), dtype="float32")
            x[start : start + 1000] = factors @ loadings + rng.standard_normal((1000, genes), dtype="float32") + 8


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_learning_from_disk_and_from_memory(tmp_path):
    write(tmp_path / "large.h5ad")
    rows = []
    for where in ("disk", "memory"):
        command = [sys.executable, "-W", "ignore", "-c", RUN, str(tmp_path / "large.h5ad"), where]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        rows.append({"where": where, "samples": SAMPLES, "genes": GENES, **json.loads(done.stdout)})
        record(pd.DataFrame(rows), "large_cohort")
    disk, memory = rows
    assert disk["MB"] < 0.5 * memory["MB"]
    assert disk["steps"] < 1.3 * memory["steps"]  # seconds of a processor, which do not depend on what else it does
    assert disk["reader"] < disk["steps"]  # so that with a processor of its own it keeps ahead

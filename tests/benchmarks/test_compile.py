"""Whether ``torch.compile`` makes a training step faster; by hand, some minutes:

GEXCORE_RECORD=notebooks/recorded python -m pytest -s tests/benchmarks/test_compile.py
"""

import pandas as pd
import test_speed
import test_speed_of_gexbert as gexbert
import torch
from stopwatch import measure
from studies import record

SMALL = {"genes": 200, "layers": 1, "batch": 64, "tasks": 5, "dropout": 0.0, "checkpointing": False}
# With dropout a compiler meets the attention that is written out some samples at a time, and is busy for many minutes.
LARGE = {**SMALL, "genes": 1000, "layers": 2, "batch": 16}
NETWORKS = {"TxT, 1000 genes": LARGE, "TxT, 200 genes": SMALL, "GexBERT": None}


def make_step(network, precision, compiled):
    case, own = NETWORKS[network], (test_speed if NETWORKS[network] else gexbert).make
    if case is None:
        gexbert.BATCH = 16

    def make(what):
        module, *rest = own(what)
        if compiled and case:
            module.encoder.forward = torch.compile(module.encoder.forward)
        elif compiled:
            module.encode, module.decode = torch.compile(module.encode), torch.compile(module.decode)
        return module, *rest

    if case is None:
        gexbert.make = make
        return gexbert.pretraining("package", precision)
    test_speed.make = make
    return test_speed.package_step(case, "pcgrad-fast", precision)


def test_compiled_steps():
    rows = []
    for network in NETWORKS:
        for precision in ("float32", "bfloat16"):
            for compiled in (False, True):
                row = {"network": network, "precision": precision, "compiled": compiled}
                rows.append(row | measure(make_step, network, precision, compiled, repeats=3))
                print(rows[-1], flush=True)
    record(pd.DataFrame(rows), "speed_compile")

"""The same versions, seed and threads give the same bits, in any process; other threads give others by rounding alone.

As a script it trains and saves what the test compares: ``python test_determinism.py FOLDER``.
"""

import ast
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

import gexcore as gx

TASKS = [gx.Survival("os", time="os_time", event="os_event"), gx.Classification("subtype"), gx.Regression("age")]
QUICK = {"preset": "quick", "max_epochs": 2, "device": "cpu"}
PACKAGE = Path(gx.__file__).parent


@contextmanager
def threads(n):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_and_save(folder):
    """Files of the two models and of their table of scores, from the cohort that comes with the package."""
    graph, cohort = gx.network.read_network(gx.data_path("demo/network.tsv")), gx.load_cohort("demo")
    cohort = cohort[:, cohort.var_names.isin(graph)][:, :40].copy()
    train, val, test = gx.split(cohort, TASKS, seed=0)
    vectors, _ = gx.network.node2vec(graph, dimensions=8, n_walks=2, seed=0)
    model = gx.TxT(TASKS, gene_embedding=vectors, multitask="pcgrad", **QUICK).fit(train, val)
    model.save(folder / "txt.safetensors")
    gx.evaluate(model.predict(test), test, train=train).to_csv(folder / "scores.csv")
    small = {"d_model": 8, "d_ff": 8, "n_heads": 2, "panel": 16, "n_targets": 8, "n_factors": 4}
    gx.GexBERT(**QUICK, **small).fit(train, val).save(folder / "gexbert.safetensors")


def test_another_process_writes_the_same_bytes(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    environment = os.environ | {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}  # sets of words come in another order
    command = [sys.executable, "-W", "ignore", __file__, str(there)]
    child = subprocess.Popen(command, env=environment)
    try:
        with threads(1):
            train_and_save(here)
    finally:
        assert child.wait() == 0
    assert len(list(here.iterdir())) == 3
    for path in here.iterdir():
        assert path.read_bytes() == (there / path.name).read_bytes(), path.name


def test_another_number_of_threads_differs_by_rounding():
    cohort = gx.load_cohort("demo")[:, :60].copy()
    train, val, test = gx.split(cohort, TASKS, seed=0)
    found = []
    for n in (1, 2):
        with threads(n):
            predicted = gx.TxT(TASKS, **QUICK).fit(train, val).predict(test)
        found.append(np.column_stack([predicted["os"].survival.T, predicted["subtype"].probabilities]))
    np.testing.assert_allclose(*found, rtol=0, atol=1e-6)


def test_nothing_in_the_package_seeds_what_is_not_its_own():
    """Random numbers come from generators that are passed on, or from torch's within ``training.seeded``."""
    allowed = {"training.py": {"torch.manual_seed"}, "parallel.py": {"torch.manual_seed"}}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if re.fullmatch(r"(np\.)?random\.[a-z]\w*|torch\.(\w+\.)*(manual_)?seed\w*", name):
                assert name in {"np.random.default_rng", *allowed.get(path.name, ())}, (
                    f"{path.name}:{node.lineno} {name}"
                )


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_and_save(Path(sys.argv[1]))

"""Processes killed at random moments, again and again: nothing they leave is corrupt, and what they did goes on.

python tests/killing.py --kills 200 --seed 0              every kind of work, and a table; exit status 1 if one failed
python tests/killing.py --kills 50 --kinds TxT model.save
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import networkx as nx
import numpy as np
import pandas as pd
import psutil
import torch

sys.path.append(str(Path(__file__).parents[1] / "notebooks"))
import processes
import run
from commands import DEMO, EXPRESSION, FILES, SMALL, SURVIVAL
from serving import Served, serving
from sigkill import HOME, Kind, kill_often

import gexcore as gx
from gexcore.attention import fused
from gexcore.checkpoint import read_checkpoint, read_kind
from gexcore.cli import main
from gexcore.interpret.networks import write_network
from gexcore.sources import SOURCES, File, Source


class Training(Kind):
    """``fit(checkpoint=)``: what stood in the file stays done, and all ends with the bits of a training without it."""

    def __init__(self, make: Callable):
        self.make, (self.train, self.val, _) = make, processes.parts()
        with tempfile.TemporaryDirectory() as folder:
            make().fit(self.train, self.val).save(Path(folder, "end"))
            self.whole = _content(Path(folder, "end"))

    def begin(self, home):
        self.epochs = {}

    def work(self, home):
        self.make().fit(self.train, self.val, checkpoint=home / "run").save(home / "end")

    def check(self, home):
        for path in home.glob("run*"):
            epoch = read_checkpoint(path, read_kind(path))[1]["progress"]["epoch"]
            assert epoch >= self.epochs.get(path.name, 1), f"{path.name} fell back to epoch {epoch}"
            self.epochs[path.name] = epoch
        assert self.epochs.keys() == {path.name for path in home.glob("run*")}
        if (home / "end").exists():
            assert _content(home / "end") == self.whole

    def end(self, home):
        self.check(home)
        assert (home / "end").exists()
        assert not list(home.glob(".run*")), "drafts of the checkpoint are left"

    def drafts(self, home):
        return {name: state for name, state in super().drafts(home).items() if name[0] == "."}


class Rewriting(Kind):
    """A file with one content, replaced by another and back: it always has one of them."""

    def __init__(self, name: str, old: Callable, new: Callable, *, read: Callable = Path.read_bytes):
        self.names, self.writers, self.read = (name,), (old, new), read
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, f"{i}-{name}") for i in range(2)]
            for write, path in zip(self.writers, paths, strict=True):
                write(path)
            self.contents = [read(path) for path in paths]

    def begin(self, home):
        self.writers[0](home / self.names[0])

    def work(self, home):
        for _ in range(5):
            for write in self.writers[::-1]:
                write(home / self.names[0])

    def check(self, home):
        assert self.read(home / self.names[0]) in self.contents, f"{self.names[0]} holds neither the old nor the new"


class Fetching(Kind):
    """``gx.fetch``: a file is whole, its part is a beginning of it, and the next call goes on from there."""

    names = ("matrix", "checksums.sha256", ".lock")
    data = np.random.default_rng(0).bytes(1 << 20)

    def __init__(self, served: Served, *, processes: int):
        self.served, self.processes = served, processes
        served.files["/matrix"], served.pause = self.data, 0.02
        SOURCES[HOME] = Source(HOME, "cohort", *[""] * 5, (File("matrix", f"{served.url}/matrix"),), parser=None)

    def begin(self, home):
        self.arrived, self.asked = 0, len(self.served.seen)

    def work(self, home):
        gx.fetch(HOME, folder=home.parent)

    def check(self, home):
        for _, asked in self.served.seen[self.asked :][:1]:
            assert asked == (f"bytes={self.arrived}-" if self.arrived else None), "what had arrived was asked for again"
        part = home / "matrix.part"
        arrived = part.read_bytes() if part.exists() else b""
        assert self.data.startswith(arrived)
        if (home / "matrix").exists():
            assert (home / "matrix").read_bytes() == self.data
        self.arrived, self.asked = len(arrived), len(self.served.seen)

    def end(self, home):
        self.check(home)
        assert (home / "matrix").exists()
        assert (home / "checksums.sha256").read_text() == f"{hashlib.sha256(self.data).hexdigest()}  matrix\n"


class Notebooks(Kind):
    """``notebooks/run.py``: a notebook is the old one or the new one, and no process outlives its run."""

    names = ("01_add.py", "02_add.py", "01_add.ipynb", "02_add.ipynb")

    def begin(self, home):
        for source, notebook in zip(self.names[:2], self.names[2:], strict=True):
            (home / source).write_text('# %% tags=["parameters"]\na: int = 1  # a number\n\n# %%\nprint(a)\n')
            (home / notebook).write_text("old")

    def work(self, home):
        run.HERE = home
        os.chdir(home)  # by which processes that are left are known
        os.environ |= {"TMPDIR": f"{home.parent}", "JUPYTER_RUNTIME_DIR": f"{home.parent}"}
        tempfile.tempdir = None
        assert run.main([]) == 0

    def learn(self, home):
        self.new = {name: (home / name).read_bytes() for name in self.names[2:]}
        for name in self.new:
            notebook = nbformat.read(home / name, as_version=4)
            assert [output["text"] for output in notebook.cells[-1].outputs] == ["1\n"]

    def kill(self, leader, rng):
        """All processes but the kernels, which have groups of their own; or the first alone, as for want of memory."""
        (os.killpg if rng.random() < 0.5 else os.kill)(leader, signal.SIGKILL)

    def check(self, home):
        deadline = time.monotonic() + 5
        while left := [p.info for p in psutil.process_iter(["cwd", "cmdline"]) if p.info["cwd"] == f"{home}"]:
            assert time.monotonic() < deadline, f"processes are left: {left}"
            time.sleep(0.1)
        for name, content in self.new.items():
            assert (home / name).read_bytes() in (b"old", content), name

    def end(self, home):
        assert {name: (home / name).read_bytes() for name in self.new} == self.new


class Command(Kind):
    """``gexcore COMMAND --out``: the folder holds all its files, with their recorded checksums, or is not there."""

    names = ("out",)

    def __init__(self, *arguments: str, files: set[str]):
        self.arguments, self.files = arguments, files

    def work(self, home):
        if not (home / "out").exists():
            assert main([*self.arguments, "--out", f"{home / 'out'}"]) == 0

    def check(self, home):
        if (home / "out").exists():
            found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (home / "out").iterdir()}
            recorded = json.loads((home / "out" / "run.json").read_text())["outputs"]
            assert found == recorded | {"run.json": found["run.json"]}
            assert found.keys() == self.files

    def end(self, home):
        assert (home / "out").exists()
        self.check(home)


class Compiling(Kind):
    """The compiled attention in the cache: what has its name can be called."""

    def work(self, home):
        os.environ["XDG_CACHE_HOME"] = f"{home}"
        assert fused._library(4, torch.float32) is not None

    def check(self, home):
        for path in home.glob("gexcore/kernels/*.so"):
            assert ctypes.CDLL(f"{path}").ready()

    def end(self, home):
        self.check(home)
        assert len(list(home.glob("gexcore/kernels/*.so"))) == 1

    def drafts(self, home):
        return {f"{path}": (0, 0) for path in home.glob("gexcore/kernels/*") if path.suffix != ".so"}


def _content(path: Path) -> tuple[dict, dict]:
    """All bits of a model."""
    tensors, config = read_checkpoint(path, read_kind(path))
    return {name: (str(t.dtype), t.shape, t.numpy().tobytes()) for name, t in tensors.items()}, config


# ------------------------------------------------------------------------------------------------ table

KINDS = {  # and how many of the kills are theirs
    "TxT": 6,
    "GexBERT": 5,
    "FineTuned": 4,
    "OmiEmbed": 5,
    "model.save": 8,
    "write_splits": 2,
    "write_network": 2,
    "fetch": 4,
    "fetch, three at once": 2,
    "kernel": 1,
    "notebooks": 2,
    "gexcore train": 2,
    "gexcore predict": 1,
    "gexcore impute": 1,
}
BERT = {"d_model": 8, "d_ff": 8, "n_heads": 2, "panel": 6, "n_targets": 4, "n_factors": 2, "n_components": 1}
BERT |= {"preset": "quick", "batch_size": 13, "max_epochs": 8}
TUNED = {name: processes.SMALL[name] for name in ("n_intervals", "hidden", "head_dropout", "batch_size")}
OMI = {"preset": "quick", "widths": (16, 8), "latent": 4, "vae_epochs": 4, "head_epochs": 4, "max_epochs": 4}


def _txt(**settings) -> gx.TxT:
    return gx.TxT(processes.TASKS, **{**processes.TXT, "head_dropout": 0.2, "max_epochs": 8, **settings})


def _make(name: str, served: Served, folder: Path) -> Kind:
    train, val, _ = processes.parts()
    if name == "TxT":
        return Training(_txt)
    if name == "GexBERT":
        return Training(lambda: gx.GexBERT(**BERT))
    if name == "FineTuned":
        bert = gx.GexBERT(**BERT).fit(train, val)
        return Training(lambda: gx.FineTuned(processes.TASKS, encoder=bert, max_epochs=8, **TUNED))
    if name == "OmiEmbed":
        return Training(lambda: gx.baselines.OmiEmbed(processes.TASKS, **OMI))
    if name == "model.save":
        models = [_txt(hidden=(500, 500), max_epochs=1, seed=seed).fit(train, val) for seed in range(2)]
        return Rewriting("model", *[model.save for model in models], read=_content)
    if name == "write_splits":
        rng, samples = np.random.default_rng(0), [f"p{i}" for i in range(5000)]
        tables = [pd.DataFrame(rng.choice(["train", "val", "test"], (5000, 9)), samples) for _ in range(2)]
        return Rewriting("splits.csv", *[lambda p, t=t: gx.splits.write_splits(t, p) for t in tables])
    if name == "write_network":
        graphs = [nx.gnm_random_graph(100, 1000, seed=seed, directed=True) for seed in range(2)]
        return Rewriting("network.graphml", *[lambda p, g=g: write_network(g, p) for g in graphs])
    if name.startswith("fetch"):
        return Fetching(served, processes=3 if "three" in name else 1)
    if name == "kernel":
        return Compiling()
    if name == "notebooks":
        return Notebooks()
    if name == "gexcore train":
        return Command("train", *DEMO, *SURVIVAL, *SMALL, files=FILES)
    if name == "gexcore predict":
        _txt(max_epochs=1).fit(train, val).save(folder / "model")
        train.to_df().to_csv(folder / "expression.csv")
        files = {"predictions.csv", "genes.csv", "report.html", "run.json"}
        return Command("predict", f"{folder / 'model'}", "--expression", f"{folder / 'expression.csv'}", files=files)
    table = pd.read_csv(EXPRESSION, index_col=0).iloc[:60, :24]
    table.mask(np.random.default_rng(0).random(table.shape) < 0.05).to_csv(folder / "holes.csv")
    files = {"expression.csv", "sd.csv", "report.html", "run.json"}
    return Command("impute", "--expression", f"{folder / 'holes.csv'}", "--max-epochs", "1", files=files)


def _main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # a fork does not take other threads along
    total, failed = sum(KINDS[name] for name in options.kinds), False
    columns = ("kills", "while writing", "drafts left", "corrupt", "resumed", "core seconds")
    print(f"{'':22}" + "".join(f"{column:>15}" for column in columns))
    with serving() as served, tempfile.TemporaryDirectory() as folder:
        for name in options.kinds:
            begun = sum(os.times()[:4])  # of this process and of those that it has waited for
            kills, rng = max(1, round(options.kills * KINDS[name] / total)), np.random.default_rng(options.seed)
            tally = kill_often(_make(name, served, Path(folder)), kills, rng)
            resumed = f"{tally.resumed} of {tally.chains}"
            row = (tally.kills, tally.while_writing, tally.drafts, tally.corrupt, resumed)
            print(f"{name:22}" + "".join(f"{x:>15}" for x in row) + f"{sum(os.times()[:4]) - begun:15.1f}", flush=True)
            failed |= tally.failed
            print(*tally.faults[:1], sep="\n", end="", file=sys.stderr, flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(_main())

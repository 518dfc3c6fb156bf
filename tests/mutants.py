"""Core lines broken one at a time: does a test notice? By hand, some minutes: ``python tests/mutants.py [name]``.

A copy of the package gets each fault by itself, and the test files that are named with it are run on the copy. What no
test of them notices is printed as survived, and the exit status is 1.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Fault(NamedTuple):
    """A line that is there exactly once, what takes its place, and the tests that should notice."""

    module: str
    right: str
    wrong: str
    tests: str


FAULTS = {
    "risk has the other sign": Fault("heads", "risk = -np.trapezoid", "risk = np.trapezoid", "heads"),
    "events fall one interval early": Fault(
        "tasks/__init__", 'labels["time"], side="right")', 'labels["time"])', "tasks"
    ),
    "censored means after the interval": Fault("losses", "k >= interval[:, None]", "k > interval[:, None]", "losses"),
    "scores add up from the wrong end": Fault(
        "losses", "scores.flip(-1).cumsum(-1).flip(-1)", "scores.cumsum(-1)", "losses"
    ),
    "ties leave Cox's risk set": Fault(
        "losses", "searchsorted(-t, -t, right=True) - 1", "arange(len(t))", "goldens properties_losses"
    ),
    "predicted numbers stay standardised": Fault("heads", " * target.sd + target.mean", "", "heads"),
    "the expression term lacks its scale": Fault(
        "attention/expression", "strength[:, None] / self.scale * g", "strength[:, None] * g", "attention"
    ),
    "attention is transposed": Fault(
        "attention/expression",
        "(q * self.scale @ k.transpose(2, 3))",
        "(k * self.scale @ q.transpose(2, 3))",
        "attention",
    ),
    "edges point the other way": Fault("interpret/networks", '"key": genes[key]', '"key": genes[query]', "networks"),
    "the scaler sees validation samples": Fault(
        "estimator",
        "model.fit_inputs(align_genes(train, model.genes_))",
        "model.fit_inputs(np.concatenate([align_genes(c, model.genes_) for c in (train, val) if c is not None]))",
        "leakage",
    ),
    "labels are fitted on validation samples": Fault(
        "estimator", "model.fit_labels(train)", "model.fit_labels(train if val is None else val)", "leakage"
    ),
    "the scaler forgets to cut": Fault(
        "scaling", 'np.clip(x[rows].astype("float64"), self.low, self.high)', 'x[rows].astype("float64")', "scaling"
    ),
    "genes are matched by position": Fault(
        "genes",
        "get_indexer(genes)  # (G,), -1",
        "get_indexer(cohort.var_names[: len(genes)])  # (G,), -1",
        "genes txt",
    ),
    "clinical rows are those of the next sample": Fault(
        "cohort/__init__",
        "obs = obs.join(labels)\n    x =",
        "obs = obs.join(labels.set_axis(np.roll(labels.index, 1)))\n    x =",
        "cohort",
    ),
    "censoring counts events as at risk": Fault("metrics", " - (events if censoring else 0)", "", "metrics"),
    "equal risks count as won": Fault(
        "metrics", "0.5 * (risk[case, None] == risk)", "(risk[case, None] == risk)", "metrics"
    ),
    "censoring weights are not squared": Fault("metrics", "upto=horizon) ** 2", "upto=horizon)", "metrics"),
    "Brier scores lack the weight of the free": Fault("metrics", "free / censored_after(times)", "free", "metrics"),
    "the last epoch is kept, not the best": Fault("training", "module.load_state_dict(progress.best)", "", "training"),
    "the worst epoch is kept": Fault(
        "training", "followed < progress.best_loss", "followed > progress.best_loss", "training"
    ),
    "a resumed training draws other samples": Fault(
        "resume", 'self.generator.bit_generator.state = config["generator"]', "", "resume"
    ),
    "damaged files are read": Fault(
        "checkpoint", 'description.pop("checksum", None) !=', 'description.pop("checksum", None) is', "checkpoint"
    ),
    "validation samples are drawn from all": Fault("splits", "val = _halves(rest,", "val = _halves(strata,", "splits"),
    "measured values are overwritten": Fault(
        "genes", "x[hole] = values[hole]", "x = values.astype(x.dtype)", "gexbert"
    ),
    "hidden genes are shown": Fault(
        "pretraining", "torch.where(own.seen, score[rows], math.nan)", "score[rows]", "pretraining"
    ),
    "conflicts are added, not projected": Fault(
        "multitask", '"pcgrad": aggregation.PCGrad', '"pcgrad": aggregation.Sum', "multitask"
    ),
}


def notices(fault: Fault, copy: Path) -> bool:
    """Whether a test fails on a copy with this fault; the copy is then as it was."""
    path = copy / "gexcore" / f"{fault.module}.py"
    text = path.read_text(encoding="utf-8")
    if (n := text.count(fault.right)) != 1:
        message = f"{fault.module}.py has {fault.right!r} {n} times"
        raise ValueError(message)
    path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
    files = [f"tests/test_{name}.py" for name in fault.tests.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)}, capture_output=True, text=True)
    path.write_text(text, encoding="utf-8")
    if done.returncode not in (0, 1):  # neither passed nor failed
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return done.returncode == 1


def main(names: list[str]) -> int:
    """Print what became of every fault, and return how many survived, at most 1."""
    survived = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "gexcore-copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "_build", "__pycache__", "sweep"))
        for name in names or FAULTS:
            begun = time.perf_counter()
            noticed = notices(FAULTS[name], copy)
            survived += [] if noticed else [name]
            print(f"{'noticed' if noticed else 'SURVIVED':9} {time.perf_counter() - begun:4.0f} s  {name}", flush=True)
    print(f"{len(names or FAULTS) - len(survived)} of {len(names or FAULTS)} were noticed")
    return int(bool(survived))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

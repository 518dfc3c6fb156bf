"""A kind of broken file: the option of the command it belongs to, its file, and a pattern of the sentence expected."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

GENES = ["TP53", "MYC", "EGFR", "ESR1", "KRAS", "ERBB2", "PTEN", "MKI67", "GATA3", "FOXA1", "CDH1", "PIK3CA"]
GENES += ["AKT1", "BRCA1", "BRCA2", "ATM", "RB1", "CCND1", "AURKA", "TOP2A", "XBP1", "KRT5", "KRT17", "VIM"]
SAMPLES = [f"P{i:02d}" for i in range(60)]


def good_files() -> dict[str, str]:
    """The text of every file of a cohort that can be trained on, by option."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(6, 2, (60, len(GENES))).round(3), SAMPLES, GENES)
    clinical = pd.DataFrame(
        {
            "os_time": (10 * rng.exponential(size=60) + 1).round(1),
            "os_event": np.tile([1, 0, 1], 20),
            "subtype": np.tile(["basal", "luminal"], 30),
            "age": rng.integers(30, 80, 60),
        },
        index=SAMPLES,
    )
    tasks = [
        {"kind": "survival", "name": "os", "time": "os_time", "event": "os_event"},
        {"kind": "classification", "name": "subtype"},
        {"kind": "regression", "name": "age"},
    ]
    edges = "".join(f"{a}\t{b}\t900\n" for a, b in itertools.pairwise(GENES))
    return {
        "expression": x.to_csv(index_label="sample"),
        "clinical": clinical.to_csv(index_label="sample"),
        "tasks": json.dumps(tasks, indent=1),
        "gene-sets": "A\tna\t" + "\t".join(GENES[:12]) + "\nB\tna\t" + "\t".join(GENES[12:]) + "\n",
        "network": "gene_a\tgene_b\tscore\n" + edges,
        "gene-table": "id,symbol\n" + "".join(f"{i},{gene}\n" for i, gene in enumerate(GENES, 1001)),
    }


FILE_NAMES = {
    "expression": "expression.csv",
    "clinical": "clinical.csv",
    "tasks": "tasks.json",
    "gene-sets": "sets.gmt",
    "network": "network.tsv",
    "gene-table": "genes.csv",
}


@dataclass(frozen=True)
class Kind:
    """A way for a file to be broken: ``make`` turns the text of a good one into its content."""

    option: str
    file: str
    says: str
    make: Callable[[str], bytes | str]

    @property
    def name(self) -> str:
        return f"{self.option}: {self.make.__name__}"

    def write(self, folder: Path) -> Path:
        """Write the broken file and return its path."""
        content = self.make(good_files()[self.option])
        path = folder / self.file
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


KINDS: list[Kind] = []


def broken(option: str, says: str, *, file: str | None = None) -> Callable:
    """Add a function to the kinds."""

    def add(make: Callable[[str], bytes | str]) -> Callable[[str], bytes | str]:
        KINDS.append(Kind(option, file or FILE_NAMES[option], says, make))
        return make

    return add


def table_of(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), index_col=0, dtype={0: str})


def with_cells(text: str, column: str, value: object, n: int = 2) -> str:
    table = table_of(text).astype(object)
    table.iloc[1 : 1 + n, table.columns.get_loc(column)] = value
    return table.to_csv()

"""A cohort whose expression stays in its .h5ad file, read by blocks of samples where it is needed.

To anndata it is an AnnData in backed mode. Here its samples and genes are found in the file by name, also those of a
view, and rows are read in the order of the file in stretches, whatever order they are asked for in.
Shapes: N samples, G genes, n samples asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd

from .checks import to_names
from .tally import Block, rows_together

_GAP = 16  # rows nobody asked for that are read along rather than jumped over
_FINGERPRINTS = 8  # rows that stand for all when two files are told apart


@contextlib.contextmanager
def whole(path: Path) -> Iterator[None]:
    """What is done here to a .h5ad file needs it undamaged."""
    try:
        yield
    except OSError as error:
        message = f"{path}: not a whole .h5ad file; it was cut short or is of another kind, write or download it again"
        raise ValueError(message) from error


def open_file(path: Path) -> h5py.File:
    """The file of an AnnData, open for reading; what is damaged or of another kind is refused."""
    with whole(path):
        file = h5py.File(path)
    if lacking := ", ".join(name for name in ("X", "obs", "var") if name not in file):
        file.close()
        message = f"{path}: an HDF5 file, but not an AnnData, for it lacks {lacking}; of which program is it?"
        raise ValueError(message)
    return file


def open_backed(path: Path) -> ad.AnnData:
    """The AnnData of a file without its expression; layers and all but ``obs``, ``var`` and ``uns`` stay there too."""
    with whole(path), open_file(path) as file:
        kept = {part: ad.io.read_elem(file[part]) for part in ("obs", "var", "uns") if part in file}
        shape, names = _matrix(path, file).shape, (len(kept["obs"]), len(kept["var"]))
    if shape != names:
        cells, named = (" x ".join(map(str, numbers)) for numbers in (shape, names))
        message = f"{path}: X has {cells} cells for {named} samples and genes; it was not written to its end"
        raise ValueError(message)
    for part, kind in (("obs", "sample id"), ("var", "gene name")):
        kept[part].index = to_names(kept[part].index, kind, "expression")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* names are not unique", category=UserWarning)  # refused later
        return ad.AnnData(**kept, filename=path, filemode="r")


def load(cohort: ad.AnnData, *, samples: np.ndarray | None = None, genes: pd.Index | None = None) -> ad.AnnData:
    """A backed cohort in memory: all of it, or samples by position and genes by name; what is too large is refused."""
    samples = np.arange(cohort.n_obs) if samples is None else samples
    genes = cohort.var_names if genes is None else genes
    refuse_size(len(samples), len(genes), 4, "choose genes first, as in cohort[:, gx.select_genes(cohort)]")
    x = ExpressionFile(cohort, genes).read(samples)
    return ad.AnnData(x, obs=cohort.obs.iloc[samples].copy(), var=cohort.var.loc[genes].copy(), uns=dict(cohort.uns))


def load_rows(cohort: ad.AnnData, samples: np.ndarray, *, genes: Sequence[str] | None = None) -> ad.AnnData:
    """Some samples of any cohort, by position, in memory; of ``genes`` those that it has, or all of its own."""
    known = cohort.var_names if genes is None else cohort.var_names[cohort.var_names.isin(genes)]
    return load(cohort, samples=samples, genes=known) if cohort.isbacked else cohort[samples, known]


def drawn(n: int, most: int, seed: int) -> np.ndarray:
    """Positions of at most so many of n samples, in ascending order, drawn by chance: all where they are no more."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def refuse_size(n_samples: int, n_genes: int, n_bytes: int, remedy: str) -> None:
    """Refuse what would fill more than half of the machine's memory, where that is known."""
    if not hasattr(os, "sysconf"):
        return
    memory, size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), n_samples * n_genes * n_bytes
    if size > memory / 2:
        message = (
            f"{n_samples:,} samples x {n_genes:,} genes are {size / 2**30:,.1f} GiB, more than half of the "
            f"{memory / 2**30:,.1f} GiB of this machine; {remedy}"
        )
        raise ValueError(message)


class ExpressionFile:
    """The expression of a backed cohort, or of a view of one, read where it is asked for; of all genes or of some.

    Attributes
    ----------
    place : numpy.ndarray
        Row of every sample in the file, (N,).
    """

    def __init__(self, cohort: ad.AnnData, genes: pd.Index | None = None):
        self.path, self.samples = Path(cohort.filename), cohort.obs_names
        self.genes = cohort.var_names if genes is None else genes
        self._file, self._state = open_file(self.path), self._now()
        self._x = _matrix(self.path, self._file)
        self.place, columns = (self._find(part) for part in ("obs", "var"))
        self._columns = slice(None) if np.array_equal(columns, np.arange(self._x.shape[1])) else columns

    def _find(self, part: str) -> np.ndarray:
        group, wanted = self._file[part], self.samples if part == "obs" else self.genes
        names = to_names(pd.Index(ad.io.read_elem(group[group.attrs["_index"]])), "name", "expression")
        what = {"obs": "samples", "var": "genes"}[part]
        unique = names.is_unique and wanted.is_unique
        if not unique or (names.get_indexer(wanted) < 0).any():
            reason = f"other {what} than the cohort that was read from it" if unique else f"{what} that occur twice"
            message = f"{self.path} has {reason}; read it with read_cohort(path, backed=True)"
            raise ValueError(message)
        return names.get_indexer(wanted)

    def _now(self) -> tuple[int, int]:
        state = self.path.stat()
        return state.st_mtime_ns, state.st_size

    def raw(self, samples: np.ndarray, dtype: str = "float64") -> np.ndarray:
        """Expression of samples given by position, (n, G), as it stands in the file."""
        if self._now() != self._state:
            message = f"{self.path} has changed while it was read; read the cohort again"
            raise ValueError(message)
        place, together = self.place[samples], rows_together(self._x.shape[1])
        order = np.argsort(place, kind="stable")
        rows, out = place[order], np.empty((len(samples), len(self.genes)), dtype)
        apart = (np.diff(rows) > _GAP) | (np.diff(rows // together) > 0)
        for stretch in np.split(np.arange(len(rows)), np.flatnonzero(apart) + 1) if len(rows) else ():
            first, last = rows[stretch[0]], rows[stretch[-1]]
            with whole(self.path):
                slab = self._x[first : last + 1][rows[stretch] - first][:, self._columns]
            out[order[stretch]] = slab if isinstance(slab, np.ndarray) else slab.toarray()
        return out

    def read(self, samples: np.ndarray) -> np.ndarray:
        """Expression of samples given by position, (n, G) float32; infinite values are refused."""
        x = self.raw(samples, "float32")
        infinite = np.isinf(x).any(axis=1)
        if infinite.any():
            message = f"{self.path} holds infinite values, first in sample {self.samples[samples[infinite]][0]}"
            raise ValueError(message)
        return x

    def blocks(self) -> Iterator[Block]:
        """All samples in the order of the file."""
        order = np.argsort(self.place, kind="stable")
        size = rows_together(len(self.genes))
        for start in range(0, len(order), size):
            samples = order[start : start + size]
            yield samples, self.raw(samples)

    def fingerprint(self) -> str:
        """What tells this cohort from another: its size, and a hash of its names and of a few rows."""
        digest = hashlib.blake2b(digest_size=8)
        for names in (self.samples, self.genes):
            digest.update("\n".join(names).encode())
        few = np.unique(np.linspace(0, len(self.samples) - 1, _FINGERPRINTS).round().astype(int))
        digest.update(self.raw(few).tobytes())
        return f"{len(self.samples)} x {len(self.genes)} in a file, hash {digest.hexdigest()}"


def _matrix(path: Path, file: h5py.File) -> h5py.Dataset | ad.abc.CSRDataset:
    x = file["X"]
    is_dense = isinstance(x, h5py.Dataset)
    kind, values = "dense" if is_dense else x.attrs.get("encoding-type"), x if is_dense else x.get("data")
    if kind == "csc_matrix":
        message = (
            f"{path}: X is sparse by genes (CSC), of which no sample can be read alone; write it anew by samples, "
            "cohort.X = cohort.X.tocsr()"
        )
        raise ValueError(message)
    if kind not in ("dense", "csr_matrix") or "_index" not in file["obs"].attrs or "_index" not in file["var"].attrs:
        message = f"{path}: written by a version of anndata before 0.7; read it and write it anew with a later one"
        raise ValueError(message)
    if values.dtype.kind not in "biuf":
        message = f"{path}: X holds {values.dtype} values; expression is numbers"
        raise ValueError(message)
    if is_dense:
        return x
    if not len(values) == len(x["indices"]) == x["indptr"][-1]:
        message = f"{path}: the parts of the sparse X do not fit each other; it was not written to its end"
        raise ValueError(message)
    return ad.io.sparse_dataset(x)

"""Whatever is read becomes a cohort whose every value is a cell of the input, or is refused in one sentence."""

import csv
import gzip
import io
import math
import numbers
import re
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from scipy import sparse
from strategies_of_tables import CELLS, NUMBERS, TEXT_NAMES, brought, damaged
from test_malformed import CRYPTIC, good_files

from gexcore.cohort import read_cohort
from gexcore.network import read_network
from gexcore.sources import read_tasks
from gexcore.splits import read_splits
from gexcore.tables import read_gene_sets, read_table
from gexcore.tasks import Classification, CohortWarning, Regression, Survival

REFUSALS = (ValueError, TypeError, FileNotFoundError)
MISSING = {"", "NA", "N/A", "n/a", "na", "Na", "nan", "NaN", "NAN", "Nan", "NULL", "null", "None", "<NA>", "#N/A"}
once = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the folder may be used again


def outcome(read, *args, **options):
    """What is read, or None where it is refused in one clear sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CohortWarning)
        try:
            return read(*args, **options)
        except REFUSALS as refusal:
            check_refusal(refusal)


def check_refusal(refusal):
    said = str(refusal)
    assert len(said.splitlines()) == 1, said
    assert 15 < len(said) < 1000, said
    assert not CRYPTIC.search(said), said


# ----------------------------------------------------------------------------------------- cells and names


def name_of(given):
    """How a name is kept: as text without outer blanks."""
    return str(given).strip()


def number(cell):
    """What a cell of a table in memory says, by the rules of Python; what is no number fails."""
    if isinstance(cell, str):
        assert "_" not in cell
        return float(cell)
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return np.nan
    assert isinstance(cell, numbers.Real | np.bool_), repr(cell)
    return float(cell)


def number_of_text(text, decimal_comma):
    """What a cell of a text table says; a column of booleans is one of 1 and 0."""
    text = text.strip()
    if text in ("True", "False"):
        return float(text == "True")
    return np.nan if text in MISSING else number(text.replace(",", ".") if decimal_comma else text)


def trace(cohort, table, options, number=number):
    """Every value of a cohort is that of the cells of the table under its sample and gene, and nothing is left out."""
    samples, genes = ([name_of(name) for name in index] for index in (table.index, table.columns))
    assert cohort.obs_names.tolist() == samples  # in their order, unique
    assert cohort.var_names.tolist() == list(dict.fromkeys(genes))
    assert cohort.X.dtype == np.float32
    cells = np.array([[number(cell) for cell in column] for _, column in table.items()]).T  # (N, G)
    cells = np.log2(cells + 1) if options.get("log2") else cells
    how = options.get("duplicate_genes", "error")
    for j, gene in enumerate(cohort.var_names):
        same = cells[:, [k for k, name in enumerate(genes) if name == gene]]
        found = cohort.X[:, j]
        if how == "mean" and same.shape[1] > 1:
            n = (~np.isnan(same)).sum(axis=1)
            mean = np.where(n > 0, np.nansum(same, axis=1) / np.maximum(n, 1), np.nan)
            np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-6)
        elif how == "max_variance" and same.shape[1] > 1:
            spread = [np.var(column[~np.isnan(column)]) if (~np.isnan(column)).any() else -1 for column in same.T]
            nearly = [k for k, s in enumerate(spread) if np.isclose(s, max(spread), rtol=1e-9)]
            assert any(np.array_equal(found, same[:, k].astype("float32"), equal_nan=True) for k in nearly)
        else:
            np.testing.assert_array_equal(found, same[:, 0].astype("float32"))


def same_cell(kept, cell):
    if isinstance(cell, str) or not pd.api.types.is_scalar(cell):
        return kept == cell
    return bool(pd.isna(kept)) if pd.isna(cell) else bool(kept == cell)


def trace_labels(cohort, clinical, same=same_cell):
    """Clinical values stand at the sample they were given for; samples without a row have none."""
    rows = {name_of(name): i for i, name in enumerate(clinical.index)}
    assert cohort.obs.columns.tolist() == [name_of(column) for column in clinical.columns]
    for j in range(clinical.shape[1]):
        for sample, kept in cohort.obs.iloc[:, j].items():
            cell = clinical.iloc[rows[sample], j] if sample in rows else None
            assert same(kept, cell), (sample, kept, cell)


# ------------------------------------------------------------------------------------------- what is read


@given(given=brought(), genes_as_rows=st.booleans())
def test_a_table_becomes_a_cohort_of_its_cells_or_is_refused(given, genes_as_rows):
    table = given.table.T if genes_as_rows else given.table
    before = table.copy(), None if given.clinical is None else given.clinical.copy()
    cohort = outcome(read_cohort, table, given.clinical, genes_as_rows=genes_as_rows, **given.options)
    pd.testing.assert_frame_equal(table, before[0])
    if given.clinical is not None:
        pd.testing.assert_frame_equal(given.clinical, before[1])
    if cohort is not None:
        trace(cohort, given.table, given.options)
        if given.clinical is not None:
            trace_labels(cohort, given.clinical)


def written(path, table, separator, decimal):
    """A text table of a DataFrame, by the csv module; gives the text of its cells."""
    texts = [["" if cell is None or cell is pd.NA else str(cell) for cell in row] for row in table.to_numpy(object)]
    texts = [[t.replace(".", decimal) if re.fullmatch(r"-?\d+\.\d+", t) else t for t in row] for row in texts]
    buffer = io.StringIO()
    rows = csv.writer(buffer, delimiter=separator)
    rows.writerow(["id", *table.columns])
    rows.writerows([name, *row] for name, row in zip(table.index, texts, strict=True))
    content = buffer.getvalue().encode()
    path.write_bytes(gzip.compress(content, 1, mtime=0) if path.suffix == ".gz" else content)
    return pd.DataFrame(texts, table.index, table.columns, dtype=object)


def same_text(kept, text):
    text = (text or "").strip()
    if pd.isna(kept):
        return text in MISSING
    if isinstance(kept, str | bool | np.bool_):
        return str(kept).strip() == text
    return math.isclose(kept, float(text.replace(",", ".")), rel_tol=1e-15)  # pandas may miss the last bit


@once
@given(
    given=brought(names=TEXT_NAMES, cells=st.one_of(CELLS, NUMBERS)),
    ending=st.sampled_from(["csv", "tsv", "txt", "csv.gz"]),
    layout=st.sampled_from([(",", "."), ("\t", "."), (";", "."), ("\t", ","), (";", ",")]),
    genes_as_rows=st.booleans(),
)
def test_a_text_file_becomes_a_cohort_of_its_cells_or_is_refused(tmp_path, given, ending, layout, genes_as_rows):
    path = tmp_path / f"x.{ending}"
    cells = written(path, given.table.T if genes_as_rows else given.table, *layout)
    content, clinical = path.read_bytes(), None
    if given.clinical is not None:
        clinical = tmp_path / "clinical.csv"
        labels = written(clinical, given.clinical, *layout)
    cohort = outcome(read_cohort, path, clinical, genes_as_rows=genes_as_rows, **given.options)
    assert path.read_bytes() == content
    if cohort is not None:
        comma = layout[0] != "," and not re.search(r"\d\.\d", " ".join(cells.to_numpy().ravel()))
        table = cells.T if genes_as_rows else cells
        trace(cohort, table, given.options, lambda text: number_of_text(text, comma))
        if clinical is not None:
            trace_labels(cohort, labels, same_text)


@once
@given(
    given=brought(names=TEXT_NAMES, cells=None),
    kind=st.sampled_from(["csv", "tsv.gz", "parquet", "h5ad", "AnnData", "sparse", "backed", "backed sparse"]),
)
def test_every_way_to_bring_a_table_gives_the_same_cohort_or_refusal(tmp_path, given, kind):
    """Of names that every kind of file can hold."""
    table = given.table
    for index in (table.index, table.columns):
        assume(all(isinstance(name, str) and name.strip() not in MISSING for name in index))
        assume(not any(set(name) & set('\n\r"') or name != name.strip() for name in index))
    assume(kind not in ("csv", "tsv.gz", "parquet") or (table.size and "#" not in table.columns[0]))
    assume(kind != "parquet" or table.columns.is_unique)
    backed = kind.startswith("backed")
    assume(not backed or table.columns.is_unique)
    options = {} if backed else given.options
    if kind in ("csv", "tsv.gz"):
        source = tmp_path / f"x.{kind}"
        written(source, table, "\t" if "tsv" in kind else ",", ".")
    elif kind == "parquet":
        table.to_parquet(source := tmp_path / "x.parquet")
    else:
        source = ad.AnnData(np.zeros(table.shape))
        source.X = sparse.csr_matrix(table.to_numpy(float)) if "sparse" in kind else table.to_numpy(float)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata, of names that are not unique
            source.obs_names, source.var_names = table.index, table.columns
        if kind in ("h5ad", "backed", "backed sparse"):
            source.write_h5ad(tmp_path / "x.h5ad")
            source = tmp_path / "x.h5ad"
    expected = outcome(read_cohort, table, given.clinical, **options)
    found = outcome(read_cohort, source, given.clinical, backed=backed, **options)
    assert (found is None) == (expected is None)
    if found is not None:
        x = found.X[:] if backed else found.X
        x = x.toarray() if sparse.issparse(x) else x
        np.testing.assert_array_equal(np.asarray(x, "float32"), expected.X)
        pd.testing.assert_frame_equal(found.obs, expected.obs)
        assert found.var_names.equals(expected.var_names)
        assert dict(found.uns) == dict(expected.uns)
        if backed:
            found.file.close()


@example(cells=[10**400], times=[1.0])
@example(cells=[1 + 2j, b"1"], times=[1.0, 2.0])
@example(cells=[[1], "a\nb"], times=[1.0, 2.0])
@given(
    cells=st.lists(st.one_of(NUMBERS, CELLS), min_size=1, max_size=8), times=st.lists(NUMBERS, min_size=8, max_size=8)
)
def test_a_clinical_column_becomes_labels_that_are_its_cells_or_is_refused(cells, times):
    obs = pd.DataFrame({"c": pd.Series(cells, dtype=object), "t": times[: len(cells)]})
    values = outcome(Regression("c").read, obs)
    if values is not None:
        np.testing.assert_array_equal(values, [number(cell) for cell in cells])
    classes = outcome(Classification("c").read, obs)
    if classes is not None:
        for kept, cell in zip(classes, cells, strict=True):
            whole = isinstance(cell, float) and cell.is_integer()
            assert kept is None or kept == name_of(int(cell) if whole else cell)
    labels = outcome(Survival("s", time="t", event="c").read, obs)
    if labels is not None:
        known = labels.dropna()
        assert known["event"].tolist() == [number(cells[i]) for i in known.index]
        assert set(known["event"]) <= {0.0, 1.0}
        assert known["time"].tolist() == [obs["t"][i] for i in known.index]
        assert all(np.isnan(number(cells[i])) or np.isnan(obs["t"][i]) for i in obs.index.difference(known.index))


# ------------------------------------------------------------------------------------------- any bytes

FILES = {option: text.encode() for option, text in good_files().items()}
SMALL = b"sample,TP53,MYC\np1,1.5,2\np2,0.5,\n"


def parquet():
    buffer = io.BytesIO()
    pd.DataFrame({"TP53": [1.5, 2.0], "MYC": [0.5, 3.0]}, index=["p1", "p2"]).to_parquet(buffer)
    return buffer.getvalue()


READERS = {
    "table": (read_table, "x.csv", [SMALL, SMALL.replace(b",", b"\t"), SMALL.replace(b",", b";")]),
    "packed": (read_table, "x.tsv.gz", [gzip.compress(SMALL, mtime=0)]),
    "parquet": (read_cohort, "x.parquet", [parquet()]),
    "cohort": (read_cohort, "x.csv", [SMALL, SMALL.replace(b",", b";").replace(b".", b",")]),
    "gene sets": (read_gene_sets, "x.gmt", [FILES["gene-sets"]]),
    "network": (read_network, "x.tsv", [FILES["network"], b"a,b,score\nTP53,MYC,900\n"]),
    "splits": (read_splits, "x.csv", [b"sample,0,1\np1,train,val\np2,test,train\n"]),
    "tasks": (read_tasks, "x.json", [FILES["tasks"], b'[{"kind": "regression", "name": "age"}]']),
}


@pytest.mark.parametrize("name", READERS)
@once
@given(data=st.data())
def test_any_bytes_are_read_or_refused_in_one_sentence(tmp_path, name, data):
    read, file, good = READERS[name]
    content = data.draw(damaged(*good))
    (tmp_path / file).write_bytes(content)
    outcome(read, tmp_path / file)
    assert (tmp_path / file).read_bytes() == content

"""Matrices of genes x samples are read once, in the order asked for, and refused by name where they are damaged."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from gexcore.sources import matrices
from gexcore.sources.matrices import from_log2, read_matrix


def write_matrix(path, x, *, genes=None):
    genes = genes or [f"g{j}" for j in range(x.shape[1])]
    table = pd.DataFrame(x.T, index=genes, columns=[f"s{i}" for i in range(len(x))])
    table.to_csv(path, sep="\t", index_label="sample")


def test_a_matrix_is_read_in_the_order_asked_for(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(7, 40)).astype("float32")
    write_matrix(tmp_path / "m.tsv.gz", x)
    monkeypatch.setattr(matrices, "_GROWTH", 3)
    got = read_matrix(tmp_path / "m.tsv.gz", {"b": ["s5"], "a": ["s2"], "both": ["s0", "s1"]})
    np.testing.assert_allclose(got.x, np.stack([x[5], x[2], x[:2].mean(axis=0)]), rtol=1e-5, atol=1e-6)
    assert got.genes == [f"g{j}" for j in range(40)]


def test_of_several_rows_of_a_symbol_the_one_with_the_highest_mean_stays(tmp_path, monkeypatch):
    x = np.arange(12, dtype="float32").reshape(2, 6)
    x[:, 5] = np.nan
    write_matrix(tmp_path / "m.tsv", x, genes=["a", "b", "a", "c", "b", "a"])
    monkeypatch.setattr(matrices, "_GROWTH", 1)
    got = read_matrix(tmp_path / "m.tsv", {"s0": ["s0"], "s1": ["s1"]})
    assert got.genes == ["a", "b", "c"]
    np.testing.assert_array_equal(got.x, x[:, [2, 4, 3]])
    assert got.repeated == ["a", "b", "a"]


def test_a_large_matrix_is_held_once(tmp_path):
    def peak(genes):
        x = np.random.default_rng(0).normal(size=(100, genes)).astype("float32")
        write_matrix(tmp_path / "m.tsv", x.round(2))
        tracemalloc.start()
        got = read_matrix(tmp_path / "m.tsv", {f"s{i}": [f"s{i}"] for i in range(100)})
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most, got.x.nbytes

    (small, less), (large, more) = peak(500), peak(4500)
    assert more - less == 1_600_000
    assert large - small < 1.6 * (more - less)


@pytest.mark.parametrize("offset", [0.001, 0.1, 1.0])
def test_scales_come_back_to_log2_of_x_and_one(offset):
    x = np.array([0.0, 0.5, 3.0, 1000.0])
    np.testing.assert_allclose(from_log2(offset)(np.log2(x + offset)), np.log2(x + 1), atol=1e-9)
    assert (from_log2(offset)(np.array([-20.0])) == 0).all()  # below what the offset allows


def test_a_matrix_with_words_in_it_or_no_known_gene_is_refused(tmp_path):
    (tmp_path / "m.tsv").write_text("sample\ts0\ng0\thigh\n")
    with pytest.raises(ValueError, match=r"m\.tsv: row 'g0' holds cells that are not numbers \(could not convert"):
        read_matrix(tmp_path / "m.tsv", {"s0": ["s0"]})
    (tmp_path / "m.tsv").write_text("sample\ts0\ts1\ng0\t1\n")
    with pytest.raises(ValueError, match="row 'g0' has 2 cells, the header 3; was it cut off"):
        read_matrix(tmp_path / "m.tsv", {"s0": ["s0"]})
    (tmp_path / "m.tsv").write_text("sample\ts0\nENSG1.1\t1\n")
    with pytest.raises(ValueError, match=r"none of its 1 rows \(first ENSG1\.1\) is in the table of genes"):
        read_matrix(tmp_path / "m.tsv", {"s0": ["s0"]}, symbols={"ENSG2.1": "A"})


@pytest.mark.parametrize("copy", ["ENSG00000182484.15_PAR_Y", "ENSGR0000182484.12"])
def test_copies_on_chromosome_y_are_left_out_though_the_table_names_them(tmp_path, copy):
    x = np.array([[1, 9], [2, 9]], "float32")
    write_matrix(tmp_path / "m.tsv", x, genes=["ENSG00000182484.15", copy])
    symbols = {"ENSG00000182484.15": "WASH6P", copy: "WASH6P"}
    got = read_matrix(tmp_path / "m.tsv", {"s0": ["s0"], "s1": ["s1"]}, symbols=symbols)
    assert (got.genes, got.unmapped, got.repeated) == (["WASH6P"], [copy], [])
    assert got.x.ravel().tolist() == [1, 2]

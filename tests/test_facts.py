"""The tables of the page of versions, seeds and hardware."""

import importlib.util
from importlib.metadata import version
from pathlib import Path

import pytest
import run

import gexcore as gx

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def facts():
    about = importlib.util.spec_from_file_location("facts", ROOT / "book" / "facts.py")
    module = importlib.util.module_from_spec(about)
    about.loader.exec_module(module)
    return module


def test_versions_are_those_that_are_installed(facts):
    _, *rows = facts.versions(ROOT, ["numpy", "pandas", "lifelines"])
    assert {name: number for name, number, _ in rows} == {name: version(name) for name, *_ in rows}


def test_a_package_that_is_not_pinned_is_an_error(facts):
    with pytest.raises(KeyError, match="nonesuch"):
        facts.versions(ROOT, ["nonesuch"])


def test_every_chapter_has_a_row_of_seeds_with_the_values_that_papermill_knows(facts):
    _, *rows = facts.seeds(ROOT, [])
    assert [row[0] for row in rows] == [f"[](notebooks/{path.stem}.ipynb)" for path in facts.chapters(ROOT)]
    for path in facts.chapters(ROOT):
        run.check_parameters(path, {name: None for name, *_ in facts.parameters(path)})
    assert "`n_splits = 10`, random divisions" in dict(rows)["[](notebooks/03_predict_survival.ipynb)"]


def test_every_recorded_table_has_one_who_wrote_it_and_a_chapter_that_shows_it(facts):
    header, *rows = facts.recorded(ROOT, [])
    table = {row[0].strip("`"): dict(zip(header, row, strict=True)) for row in rows}
    assert set(table) == {p.name for p in (ROOT / "notebooks" / "recorded").iterdir() if p.suffix != ".json"}
    assert [name for name, row in table.items() if not row["shown in"]] == []
    assert [name for name, row in table.items() if row["written by"] == "by hand"] == ["paper_scan_b.csv"]
    assert table["benchmark_tcga_brca.csv"]["written by"] == "`tests/benchmarks/test_peers.py`"
    assert table["benchmark_tcga_brca.csv"]["seeds in it"] == "seed 0 to 9"
    assert ", torch " in table["benchmark_tcga_brca.csv"]["day, machine, data"]
    perturbed = table["gene_effects_tcga_brca.csv"]["written by"]
    assert perturbed.endswith("with `params/12_perturb_genes.tcga-brca.yaml`")


def test_the_checksums_are_those_of_the_package(facts):
    _, *rows = facts.sources(ROOT, [])
    said = {name.strip("`"): 0 if told == "recorded on first use" else told.count("<br>") + 1 for name, told in rows}
    known = gx.list_sources()
    words = {
        name: f"{n} of {known.loc[name, 'files']} pinned" if n else "recorded on first use" for name, n in said.items()
    }
    words |= {name: "pinned" for name, n in said.items() if n == known.loc[name, "files"]}
    assert words == known["checksum"].to_dict()

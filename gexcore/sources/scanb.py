"""Parsers of SCAN-B: the cohort of the paper (Mendeley Data) and its forerunner at GEO.

Some tumours were sequenced twice. How the paper handled such replicates is in a supplement that is not at hand, so the
rule is assumed: replicates are averaged on the scale log2(FPKM + 1), or, on request, the first one stays.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from anndata import AnnData

from . import clinical
from .matrices import from_linear, from_log2, read_gtf_genes, read_header, read_matrix
from .parsed import parsed

_AGE = "Age (5-year range, e.g., 35(31-35), 40(36-40), 45(41-45) etc.)"
_REPLICATES = ("mean", "first")
_UNITS = {"X": "log2(FPKM + 1)", "age": "years", "size": "mm", "os_time": "months", "drfi_time": "months"}


def scan_b(files: Mapping[str, Path], *, replicates: str = "mean") -> AnnData:
    """The follow-up cohort of Staaf et al. 2022: FPKM by Ensembl id, one workbook of clinical columns."""
    path = files["SCANB.9206.genematrix_noNeg.txt"]
    columns = ["Patient", "Follow.up.cohort", _AGE, "Size.mm", "NHG", "NCN.PAM50"]
    columns += [f"{endpoint}_{part}" for endpoint in ("OS", "DRFi") for part in ("days", "event")]
    table = clinical.read_clinical(
        files["Supplementary Data Table 1 - 2023-01-13.xlsx"], columns, index="GEX.assay", sheet="SCANB.9206"
    )
    names = read_header(path)[1:]
    followed = table[table["Follow.up.cohort"].str.upper().isin(["TRUE", "1"])]
    followed = followed.loc[[assay for assay in names if assay in followed.index]]
    groups = followed.groupby("Patient", sort=False).groups
    obs = followed.drop_duplicates("Patient").set_index("Patient")
    obs = pd.DataFrame(
        {
            "age": clinical.numbers(obs[_AGE]),
            "size": clinical.numbers(obs["Size.mm"]),
            "nhg": clinical.grades(obs["NHG"]),
            "pam50": clinical.subtypes(obs["NCN.PAM50"]),
            **clinical.follow_up("os", obs["OS_days"], obs["OS_event"], unit="days"),
            **clinical.follow_up("drfi", obs["DRFi_days"], obs["DRFi_event"], unit="days"),
        }
    )
    samples, merged = _merge({patient: list(own) for patient, own in groups.items()}, replicates)
    symbols = read_gtf_genes(files["gencode.v27.primary_assembly.annotation.gtf.gz"])
    matrix = read_matrix(path, samples, symbols=symbols, rescale=from_linear)
    steps = [
        ("read", len(names), "samples of the file"),
        ("no follow-up", len(followed) - len(names), "samples outside the follow-up cohort left out"),
        merged,
    ]
    return parsed(matrix, list(samples), obs, units=_UNITS, steps=steps)


def gse96058(files: Mapping[str, Path], *, replicates: str = "mean") -> AnnData:
    """The GEO series of Brueffer et al. 2018: log2(FPKM + 0.1) by symbol, labels in two series matrices."""
    path = files["GSE96058_gene_expression_3273_samples_and_136_replicates_transformed.csv.gz"]
    titles = pd.concat(
        read_series_matrix(files[f"GSE96058-{platform}_series_matrix.txt.gz"]) for platform in ("GPL11154", "GPL18573")
    )
    names = read_header(path, sep=",")[1:]
    groups: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: name.endswith("repl")):  # F1 before F1repl
        groups.setdefault(name.removesuffix("repl"), []).append(name)
    samples, merged = _merge(groups, replicates)
    obs = pd.DataFrame(
        {
            "age": clinical.numbers(titles["age at diagnosis"]),
            "size": clinical.numbers(titles["tumor size"]),
            "nhg": clinical.grades(titles["nhg"]),
            "pam50": clinical.subtypes(titles["pam50 subtype"]),
            **clinical.follow_up("os", titles["overall survival days"], titles["overall survival event"], unit="days"),
        }
    )
    matrix = read_matrix(path, samples, sep=",", rescale=from_log2(0.1))
    return parsed(matrix, list(samples), obs, units=_UNITS, steps=[("read", len(names), "samples of the file"), merged])


def read_series_matrix(path: Path) -> pd.DataFrame:
    """Characteristics of the samples of a GEO series matrix: titles x keys, as text, missing where NA stands.

    Every cell carries its own key ("age at diagnosis: 43"), so a row that mixes keys is read right as well.
    """
    samples: list[dict[str, str]] = []
    titles: list[str] = []
    with gzip.open(path, "rt", encoding="utf-8", newline="") as handle:
        for fields in csv.reader(handle, delimiter="\t"):
            if fields and fields[0] == "!Sample_title":
                titles = fields[1:]
                samples = [{} for _ in titles]
            elif fields and fields[0].startswith("!Sample_characteristics_ch"):
                for sample, cell in zip(samples, fields[1:], strict=True):
                    key, _, value = cell.partition(": ")
                    sample[key] = value.strip()
    if not titles:
        message = f"{path} has no line of !Sample_title; is it a series matrix of GEO?"
        raise ValueError(message)
    table = pd.DataFrame(samples, index=pd.Index(titles, name="title"), dtype=object)
    return table.mask(table.isin(["NA", ""]))


def _merge(groups: dict[str, list[str]], how: str) -> tuple[dict[str, list[str]], tuple[str, int, str]]:
    """Columns of each sample, and the row of the report."""
    if how not in _REPLICATES:
        message = f"replicates must be one of {', '.join(_REPLICATES)}, not {how!r}"
        raise ValueError(message)
    twice = sum(len(own) - 1 for own in groups.values())
    note = "averaged on the scale log2(x + 1)" if how == "mean" else "left out, the first of a tumour stays"
    samples = groups if how == "mean" else {name: own[:1] for name, own in groups.items()}
    return samples, (
        "replicates",
        -twice,
        f"samples of the same tumour {note} (assumed: the paper's rule is not known)",
    )

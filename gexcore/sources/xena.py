"""Parsers of UCSC Xena: one text matrix of genes x samples, log2 values, barcodes that tell patient and tissue.

Of several samples of a patient one primary tumour stays (:func:`gexcore.sources.clinical.one_per_patient`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from ..units import DAYS
from . import clinical
from .matrices import from_log2, read_header, read_matrix, read_probe_map
from .parsed import parsed

_UNITS = {"age": "years", "os_time": "months", "pfi_time": "months"}


def tcga_brca(files: Mapping[str, Path]) -> AnnData:
    """Breast cancer of TCGA: expression of the GDC hub, outcome of the TCGA Clinical Data Resource, PAM50 of Xena."""
    table = clinical.read_clinical(
        files["TCGA-CDR-SupplementalTableS1.xlsx"],
        ["type", *_OUTCOME, "ajcc_pathologic_tumor_stage", "Redaction"],
        index="bcr_patient_barcode",
        sheet="TCGA-CDR",
    )
    table = table[table["type"] == "BRCA"]
    obs = _outcome(table)
    obs["stage"] = table["ajcc_pathologic_tumor_stage"]
    subtype = clinical.read_clinical(files["TCGASubtype.20170308.tsv.gz"], ["Subtype_mRNA"], index="sampleID")
    subtype = subtype[subtype.index.str[13:15] == "01"]  # of the primary tumour
    subtype = subtype["Subtype_mRNA"].groupby(subtype.index.str[:12]).first()
    obs["pam50"] = clinical.subtypes(subtype).reindex(obs.index)
    return _cohort(
        files["TCGA-BRCA.star_fpkm.tsv.gz"],
        obs,
        clinical.TCGA,
        ["01"],
        symbols=read_probe_map(files["gencode.v36.annotation.gtf.gene.probemap"]),
        units={"X": "log2(FPKM + 1)"} | _UNITS,
        redacted=_redacted(table),
    )


def target_aml(files: Mapping[str, Path]) -> AnnData:
    """Childhood acute myeloid leukaemia of TARGET: primary marrow, or primary blood where there is no marrow."""
    table = clinical.read_clinical(
        files["TARGET-AML.clinical.tsv.gz"], ["age_at_diagnosis.diagnoses", "gender.demographic"], index="sample"
    )
    outcome = clinical.read_clinical(files["TARGET-AML.survival.tsv.gz"], ["OS", "OS.time"], index="sample")
    days = clinical.numbers(table["age_at_diagnosis.diagnoses"])
    columns = {
        "age": days / DAYS["years"],
        "gender": table["gender.demographic"],
        **clinical.follow_up("os", outcome["OS.time"], outcome["OS"], unit="days"),
    }
    obs = pd.DataFrame({name: column.groupby(_patients(column)).first() for name, column in columns.items()})
    return _cohort(
        files["TARGET-AML.star_fpkm.tsv.gz"],
        obs,
        clinical.TARGET_AML,
        ["09", "03"],
        symbols=read_probe_map(files["gencode.v36.annotation.gtf.gene.probemap"]),
        units={"X": "log2(FPKM + 1)", "age": "years", "os_time": "months"},
    )


def tcga_pan_cancer(files: Mapping[str, Path]) -> AnnData:
    """All of TCGA on one scale, corrected for batches by the Pan-Cancer Atlas; symbols are in the file already."""
    matrix = files["EB++AdjustPANCAN_IlluminaHiSeq_RNASeqV2.geneExp.xena.gz"]
    return _pan_cancer(files, matrix, units={"X": "log2(normalised count + 1)"})


def tcga_toil(files: Mapping[str, Path]) -> AnnData:
    """All of TCGA, computed anew by one pipeline (Toil): log2(TPM + 0.001) is brought to log2(TPM + 1)."""
    return _pan_cancer(
        files,
        files["tcga_RSEM_gene_tpm.gz"],
        symbols=read_probe_map(files["gencode.v23.annotation.gene.probemap"]),
        rescale=from_log2(0.001),
        units={"X": "log2(TPM + 1)"},
    )


_OUTCOME = ["age_at_initial_pathologic_diagnosis", "gender", "OS", "OS.time", "PFI", "PFI.time"]


def _pan_cancer(files: Mapping[str, Path], matrix: Path, *, units: dict, **how) -> AnnData:
    table = clinical.read_clinical(
        files["Survival_SupplementalTable_S1_20171025_xena_sp"],
        ["_PATIENT", "cancer type abbreviation", *_OUTCOME, "Redaction"],
        index="sample",
    )
    table = table.drop_duplicates("_PATIENT").set_index("_PATIENT")
    obs = _outcome(table)
    obs["cancer_type"] = table["cancer type abbreviation"]
    disease = clinical.read_clinical(
        files["TCGA_phenotype_denseDataOnlyDownload.tsv.gz"], ["_primary_disease"], index="sample"
    )["_primary_disease"]
    obs["disease"] = disease.groupby(disease.index.str[:12]).first().reindex(obs.index)
    return _cohort(matrix, obs, clinical.TCGA, ["01", "03"], units=units | _UNITS, redacted=_redacted(table), **how)


def _outcome(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": clinical.numbers(table["age_at_initial_pathologic_diagnosis"]),
            "gender": table["gender"],
            **clinical.follow_up("os", table["OS.time"], table["OS"], unit="days"),
            **clinical.follow_up("pfi", table["PFI.time"], table["PFI"], unit="days"),
        }
    )


def _redacted(table: pd.DataFrame) -> set[str]:
    return set(table.index[table["Redaction"].notna()])


def _patients(column: pd.Series) -> np.ndarray:
    return column.index.str.extract(clinical.TARGET_AML)[0].to_numpy()


def _cohort(
    path: Path,
    obs: pd.DataFrame,
    barcode: str,
    codes: list[str],
    *,
    units: dict[str, str],
    symbols: Mapping[str, str] | None = None,
    rescale: Callable[[np.ndarray], np.ndarray] | None = None,
    redacted: Collection[str] = (),
) -> AnnData:
    names = read_header(path)[1:]
    patients, other, second = clinical.one_per_patient(names, barcode, codes)
    steps = [
        ("read", len(names), "samples of the file"),
        ("other tissue", -other, f"sample types other than {' and '.join(codes)} (primary tumour) left out"),
        ("second sample", -second, "of several primary samples of a patient the first by type and vial stays"),
    ]
    withdrawn = [patient for patient in patients if patient in redacted]
    steps.append(("redacted", -len(withdrawn), "patients that the source withdrew left out"))
    patients = {patient: [name] for patient, name in patients.items() if patient not in redacted}
    matrix = read_matrix(path, patients, symbols=symbols, rescale=rescale)
    return parsed(matrix, list(patients), obs, units=units, steps=steps)

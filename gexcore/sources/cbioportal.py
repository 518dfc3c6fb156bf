"""Parser of METABRIC as cBioPortal publishes studies: a text file per kind of data, with # lines before the header."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from anndata import AnnData

from . import clinical
from .matrices import read_header, read_matrix
from .parsed import parsed


def metabric(files: Mapping[str, Path]) -> AnnData:
    """Breast cancer of METABRIC: log2 intensities of a microarray, outcome of patients, tumours of samples."""
    patients = clinical.read_clinical(
        files["data_clinical_patient.txt"],
        ["AGE_AT_DIAGNOSIS", "CLAUDIN_SUBTYPE", "OS_MONTHS", "OS_STATUS", "RFS_MONTHS", "RFS_STATUS"],
        index="PATIENT_ID",
    )
    tumours = clinical.read_clinical(
        files["data_clinical_sample.txt"], ["PATIENT_ID", "GRADE", "TUMOR_SIZE"], index="SAMPLE_ID"
    )
    path = files["data_mrna_illumina_microarray.txt"]
    names = [name for name in read_header(path)[1:] if name != "Entrez_Gene_Id"]
    owner = tumours["PATIENT_ID"].reindex(names)
    own = patients.reindex(owner).set_axis(names, axis=0)
    obs = pd.DataFrame(
        {
            "age": clinical.numbers(own["AGE_AT_DIAGNOSIS"]),
            "size": clinical.numbers(tumours["TUMOR_SIZE"].reindex(names)),
            "nhg": clinical.grades(tumours["GRADE"].reindex(names)),
            "pam50": clinical.subtypes(own["CLAUDIN_SUBTYPE"]),
            **clinical.follow_up("os", own["OS_MONTHS"], own["OS_STATUS"], unit="months"),
            **clinical.follow_up("rfs", own["RFS_MONTHS"], own["RFS_STATUS"], unit="months"),
        }
    )
    first = owner[owner.notna() & ~owner.duplicated()].index
    steps = [
        ("read", len(names), "samples of the file"),
        ("no patient", -int(owner.isna().sum()), "samples without a row in the table of samples left out"),
        ("second sample", len(first) - int(owner.notna().sum()), "of several samples of a patient the first stays"),
    ]
    other = own.loc[first, "CLAUDIN_SUBTYPE"].notna() & obs.loc[first, "pam50"].isna()
    steps.append(("no PAM50 class", 0, f"{other.sum()} samples are claudin-low or NC: their pam50 is missing"))
    matrix = read_matrix(path, {name: [name] for name in first})
    units = {"X": "log2 intensity", "age": "years", "size": "mm", "os_time": "months", "rfs_time": "months"}
    return parsed(matrix, list(first), obs, units=units, steps=steps)

"""The public sources this package knows.

A checksum is pinned where the source publishes it or several independent users report the same one; elsewhere it is
recorded when the file first comes to a folder, and enforced from then on. ``contacted`` says when an address was last
tried from here: None means never, the address is as the source's page or its users quote it.
"""

from __future__ import annotations

import pandas as pd

from ..tables import read_gene_sets
from . import cbioportal, scanb, stringdb, xena
from .registry import File, Source


def find_source(name: str) -> Source:
    """The source of that name.

    Raises
    ------
    ValueError
        None is called so; the message lists those there are.
    """
    if name not in SOURCES:
        message = f"no source is called {name!r}; those there are: {', '.join(SOURCES)}"
        raise ValueError(message)
    return SOURCES[name]


def list_sources() -> pd.DataFrame:
    """The public sources, a row each: what they are, their size, terms and checksums, and what is awkward about them.

    Examples
    --------
    >>> list_sources().loc["metabric", "checksum"]
    'recorded on first use'
    """
    rows = []
    for source in SOURCES.values():
        pinned = sum(file.sha256 is not None for file in source.files)
        tried = [file.contacted for file in source.files]
        rows.append(
            {
                "name": source.name,
                "kind": source.kind,
                "what": source.what,
                "size": "not known" if source.size is None else f"{source.size / 1e6:.0f} MB",
                "files": len(source.files),
                "checksum": {0: "recorded on first use", len(source.files): "pinned"}.get(
                    pinned, f"{pinned} of {len(source.files)} pinned"
                ),
                "contacted": "never" if None in tried else min(tried),
                "licence": source.licence,
                "citation": source.citation,
                "page": source.page,
                "awkward": source.awkward,
            }
        )
    return pd.DataFrame(rows).set_index("name")


# ------------------------------------------------------------------------------------------- the sources

_GDC_HUB = "https://gdc-hub.s3.us-east-1.amazonaws.com/download"
_PANCAN_HUB = "https://tcga-pancan-atlas-hub.s3.us-east-1.amazonaws.com/download"
_TOIL_HUB = "https://toil-xena-hub.s3.us-east-1.amazonaws.com/download"
_GEO = "https://ftp.ncbi.nlm.nih.gov/geo/series/GSE96nnn/GSE96058"
_MENDELEY = "https://data.mendeley.com/public-files/datasets/yzxtxn4nmd/files"
_MENDELEY_FILES = "https://prod-dcd-datasets-public-files-eu-west-1.s3.eu-west-1.amazonaws.com"
_CBIOPORTAL = "https://media.githubusercontent.com/media/cBioPortal/datahub/master/public/brca_metabric"
_STRING = "https://stringdb-downloads.org/download"

_XENA = "Goldman et al. 2020, Nat Biotechnol 38:675-8 (UCSC Xena)"
_CDR = "Liu et al. 2018, Cell 173:400-16 (TCGA Clinical Data Resource)"
_GENE_MAP = File("gencode.v36.annotation.gtf.gene.probemap", f"{_GDC_HUB}/gencode.v36.annotation.gtf.gene.probemap")
_SURVIVAL = File(
    "Survival_SupplementalTable_S1_20171025_xena_sp", f"{_PANCAN_HUB}/Survival_SupplementalTable_S1_20171025_xena_sp"
)
_PHENOTYPE = File(
    "TCGA_phenotype_denseDataOnlyDownload.tsv.gz", f"{_PANCAN_HUB}/TCGA_phenotype_denseDataOnlyDownload.tsv.gz"
)
_PROTEINS = File(
    "9606.protein.info.v12.0.txt.gz",
    f"{_STRING}/protein.info.v12.0/9606.protein.info.v12.0.txt.gz",
    sha256="144de4b0d98c6a7dfde6ddc2591cf88657f27b989eadff4f501450c3ed1f0f1c",
    size=1_970_090,
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="scan-b",
            kind="cohort",
            what="SCAN-B, early breast cancer, RNA-seq; OS and DRFi, age, size, grade, PAM50: the main cohort of TxT",
            citation="Staaf et al. 2022, NPJ Breast Cancer 8:94; Mendeley Data yzxtxn4nmd, version 3.",
            licence="CC BY 4.0",
            page="https://data.mendeley.com/datasets/yzxtxn4nmd/3",
            awkward=(
                "Genes as rows, Ensembl ids with versions (GENCODE v27), FPKM on a linear scale. 9206 libraries, of "
                "which the follow-up cohort is one per patient. Age is the upper end of a 5-year range. Days."
            ),
            files=(
                File("SCANB.9206.genematrix_noNeg.txt", f"{_MENDELEY_FILES}/636d1022-a752-4669-ab5c-2c9cbd7b60e2"),
                File(
                    "Supplementary Data Table 1 - 2023-01-13.xlsx",
                    f"{_MENDELEY}/33d08b30-4685-4814-ab87-606a20c3092b/file_downloaded",
                    also=("41523_2022_465_MOESM2_ESM.xlsx",),
                ),
                File(
                    "gencode.v27.primary_assembly.annotation.gtf.gz",
                    "https://ftp.ebi.ac.uk/pub/databases/gencode/Gencode_human/release_27/"
                    "gencode.v27.primary_assembly.annotation.gtf.gz",
                ),
            ),
            parser=scanb.scan_b,
        ),
        Source(
            name="gse96058",
            kind="cohort",
            what="SCAN-B as of 2018 at GEO, RNA-seq; OS, age, size, grade, PAM50 by symbol: smaller, in plain text",
            citation="Brueffer et al. 2018, JCO Precis Oncol 2; GEO series GSE96058.",
            licence="Public GEO series, no terms stated",
            page="https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc=GSE96058",
            awkward=(
                "Genes as rows, log2(FPKM + 0.1). 136 replicates (F1repl beside F1). Labels in two series matrices, "
                "one per sequencer, a key in every cell (age at diagnosis: 43). No DRFi. Days."
            ),
            files=(
                File(
                    "GSE96058_gene_expression_3273_samples_and_136_replicates_transformed.csv.gz",
                    f"{_GEO}/suppl/GSE96058_gene_expression_3273_samples_and_136_replicates_transformed.csv.gz",
                ),
                *(
                    File(f"GSE96058-{chip}_series_matrix.txt.gz", f"{_GEO}/matrix/GSE96058-{chip}_series_matrix.txt.gz")
                    for chip in ("GPL11154", "GPL18573")
                ),
            ),
            parser=scanb.gse96058,
        ),
        Source(
            name="tcga-brca",
            kind="cohort",
            what="TCGA breast cancer, RNA-seq; OS, PFI, age, stage, PAM50",
            citation=f"Cancer Genome Atlas Network 2012, Nature 490:61-70; {_XENA}; {_CDR}.",
            licence="Open access of the GDC; cite TCGA",
            page="https://xenabrowser.net/datapages/?cohort=GDC%20TCGA%20Breast%20Cancer%20(BRCA)",
            awkward=(
                "Genes as rows, Ensembl ids with versions, copies on chromosome Y, log2(FPKM + 1). Several samples "
                "and normal tissue of a patient. Outcome in another file (.xlsx), by patient, [Not Available]. Days."
            ),
            files=(
                File("TCGA-BRCA.star_fpkm.tsv.gz", f"{_GDC_HUB}/TCGA-BRCA.star_fpkm.tsv.gz"),
                _GENE_MAP,
                File(
                    "TCGA-CDR-SupplementalTableS1.xlsx",
                    "https://api.gdc.cancer.gov/data/1b5f413e-a8d1-4d10-92eb-7c4ae739ed81",
                    sha256="ea594c0fbb6731477c7ac511fab449ca9c38b0d42d269591ed9f5c4090e75a5a",
                    size=2_945_129,
                ),
                File("TCGASubtype.20170308.tsv.gz", f"{_PANCAN_HUB}/TCGASubtype.20170308.tsv.gz"),
            ),
            parser=xena.tcga_brca,
        ),
        Source(
            name="target-aml",
            kind="cohort",
            what="TARGET, childhood acute myeloid leukaemia, RNA-seq; OS, age",
            citation=f"Bolouri et al. 2018, Nat Med 24:103-12 (TARGET-AML); {_XENA}.",
            licence="Open access of the GDC; cite TARGET",
            page="https://xenabrowser.net/datapages/?cohort=GDC%20TARGET-AML",
            awkward=(
                "Genes as rows, Ensembl ids with versions, log2(FPKM + 1). Marrow and blood, relapses, remissions, "
                "sorted cells and cell lines in one file. Age and survival in days, by sample."
            ),
            files=(
                File("TARGET-AML.star_fpkm.tsv.gz", f"{_GDC_HUB}/TARGET-AML.star_fpkm.tsv.gz"),
                _GENE_MAP,
                File("TARGET-AML.clinical.tsv.gz", f"{_GDC_HUB}/TARGET-AML.clinical.tsv.gz"),
                File("TARGET-AML.survival.tsv.gz", f"{_GDC_HUB}/TARGET-AML.survival.tsv.gz"),
            ),
            parser=xena.target_aml,
        ),
        Source(
            name="metabric",
            kind="cohort",
            what="METABRIC breast cancer, microarray; OS, RFS, age, size, grade, PAM50: the external cohort of TxT",
            citation="Curtis et al. 2012, Nature 486:346-52; Pereira et al. 2016, Nat Commun 7:11479; cBioPortal.",
            licence="Public at cBioPortal, no licence stated; cite both papers",
            page="https://www.cbioportal.org/study/summary?id=brca_metabric",
            awkward=(
                "Log2 intensities: not comparable with RNA-seq before harmonisation. Genes as rows, two id columns. "
                "Four # lines before the clinical headers; events as 1:DECEASED; claudin-low among the PAM50 classes."
            ),
            files=(
                File(
                    "data_mrna_illumina_microarray.txt",
                    f"{_CBIOPORTAL}/data_mrna_illumina_microarray.txt",
                    also=("data_mrna_agilent_microarray.txt", "data_expression_median.txt", "data_expression.txt"),
                ),
                File("data_clinical_patient.txt", f"{_CBIOPORTAL}/data_clinical_patient.txt"),
                File("data_clinical_sample.txt", f"{_CBIOPORTAL}/data_clinical_sample.txt"),
            ),
            parser=cbioportal.metabric,
        ),
        Source(
            name="tcga-pan-cancer",
            kind="cohort",
            what="TCGA, 33 cancer types, RNA-seq corrected for batches; OS, PFI, age, cancer type: pretraining",
            citation=f"Hoadley et al. 2018, Cell 173:291-304; {_CDR}; {_XENA}.",
            licence="Open access of the GDC; cite TCGA",
            page="https://xenabrowser.net/datapages/?cohort=TCGA%20Pan-Cancer%20(PANCAN)",
            awkward=(
                "Genes as rows, log2(normalised count + 1), some genes missing in some cohorts. 0.9 GB of memory. "
                "Most melanomas are metastases (type 06) and left out. Withdrawn patients (Redaction). Days."
            ),
            files=(
                File(
                    "EB++AdjustPANCAN_IlluminaHiSeq_RNASeqV2.geneExp.xena.gz",
                    f"{_PANCAN_HUB}/EB%2B%2BAdjustPANCAN_IlluminaHiSeq_RNASeqV2.geneExp.xena.gz",
                ),
                _SURVIVAL,
                _PHENOTYPE,
            ),
            parser=xena.tcga_pan_cancer,
        ),
        Source(
            name="tcga-toil",
            kind="cohort",
            what="TCGA, 33 cancer types, RNA-seq computed anew by one pipeline, one absolute scale: cancer types",
            citation=f"Vivian et al. 2017, Nat Biotechnol 35:314-6 (Toil); {_CDR}; {_XENA}.",
            licence="Open access of the GDC; cite TCGA",
            page="https://xenabrowser.net/datapages/?cohort=TCGA%20Pan-Cancer%20(PANCAN)",
            awkward=(
                "Genes as rows, Ensembl ids with versions (GENCODE v23), log2(TPM + 0.001): zero is -9.97. 2.5 GB of "
                "memory. Otherwise as tcga-pan-cancer."
            ),
            files=(
                File("tcga_RSEM_gene_tpm.gz", f"{_TOIL_HUB}/tcga_RSEM_gene_tpm.gz"),
                File(
                    "gencode.v23.annotation.gene.probemap",
                    f"{_TOIL_HUB}/probeMap%2Fgencode.v23.annotation.gene.probemap",
                ),
                _SURVIVAL,
                _PHENOTYPE,
            ),
            parser=xena.tcga_toil,
        ),
        Source(
            name="string-v12",
            kind="network",
            what="STRING v12, human: protein links of all channels, by symbol",
            citation="Szklarczyk et al. 2023, Nucleic Acids Res 51:D638-46.",
            licence="CC BY 4.0",
            page="https://string-db.org/cgi/download?species_text=Homo+sapiens",
            awkward="Proteins (ENSP), several of one symbol; every link twice; scores from 0 to 1000.",
            files=(
                File(
                    "9606.protein.links.v12.0.txt.gz",
                    f"{_STRING}/protein.links.v12.0/9606.protein.links.v12.0.txt.gz",
                    sha256="3e22f32572211aa341d5b4bd08d30c32e693e294603202120936872f87719d4f",
                    size=83_164_437,
                ),
                _PROTEINS,
            ),
            parser=stringdb.links,
        ),
        Source(
            name="string-v12-no-text-mining",
            kind="network",
            what="STRING v12, human: protein links by symbol, the channel of text mining left out",
            citation="Szklarczyk et al. 2023, Nucleic Acids Res 51:D638-46.",
            licence="CC BY 4.0",
            page="https://string-db.org/cgi/download?species_text=Homo+sapiens",
            awkward="As string-v12; scores are combined anew from the channels, as STRING's own script does.",
            files=(
                File(
                    "9606.protein.links.full.v12.0.txt.gz",
                    f"{_STRING}/protein.links.full.v12.0/9606.protein.links.full.v12.0.txt.gz",
                ),
                _PROTEINS,
            ),
            parser=stringdb.links_without_text_mining,
        ),
        Source(
            name="hallmark",
            kind="gene sets",
            what="MSigDB hallmark gene sets, 50 sets",
            citation="Liberzon et al. 2015, Cell Syst 1:417-25.",
            licence="CC BY 4.0",
            page="https://www.gsea-msigdb.org/gsea/msigdb/human/collections.jsp",
            awkward="The symbols are those of the release's year; the page asks for a login, the address does not.",
            files=(
                File(
                    "h.all.v2023.2.Hs.symbols.gmt",
                    "https://data.broadinstitute.org/gsea-msigdb/msigdb/release/2023.2.Hs/h.all.v2023.2.Hs.symbols.gmt",
                    also=("h.all.v6.2.symbols.gmt",),
                ),
            ),
            parser=lambda files: read_gene_sets(*files.values()),
        ),
    )
}

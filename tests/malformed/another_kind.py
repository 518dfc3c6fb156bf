"""Files that are something else than their name says, or were cut short."""

import gzip
import io
import tempfile
import zipfile
from pathlib import Path

import anndata as ad
import h5py
import numpy as np

from .kinds import broken, table_of


@broken("expression", "ends too early", file="expression.csv.gz")
def gz_cut_short(text):
    return gzip.compress(text.encode())[:-400]


@broken("expression", "compressed data are damaged", file="expression.csv.gz")
def gz_damaged_in_the_middle(text):
    content = bytearray(gzip.compress(text.encode()))
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    return bytes(content)


@broken("expression", "not compressed although its name ends in .gz", file="expression.csv.gz")
def text_named_gz(text):
    return text


@broken("expression", "compressed by gzip; let its name end in .gz")
def gz_named_csv(text):
    return gzip.compress(text.encode())


@broken("expression", "compressed by gzip; .* unpack it once more", file="expression.csv.gz")
def gz_twice(text):
    return gzip.compress(gzip.compress(text.encode()))


@broken("expression", "an Excel workbook or another zip archive; save its sheet as .csv")
def zip_named_csv(text):
    return _zipped({"expression.csv": text})


@broken("clinical", "an Excel workbook or another zip archive; save its sheet as .csv")
def workbook_named_csv(text):
    return _zipped({"[Content_Types].xml": "<Types/>", "xl/worksheets/sheet1.xml": "<worksheet/>"})


@broken("clinical", "an old Excel workbook")
def old_workbook_named_csv(text):
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)


@broken("expression", "unknown kind of file; a table ends in one of", file="expression.xlsx")
def workbook_by_its_name(text):
    return _zipped({"xl/workbook.xml": "<workbook/>"})


@broken("expression", "a picture")
def picture_named_csv(text):
    return b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@broken("expression", "a PDF document")
def pdf_named_csv(text):
    return b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"


@broken("expression", "a web page; what you meant to download may need a login")
def web_page_named_csv(text):
    return "\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"


@broken("expression", "an HDF5 file; let its name end in .h5ad")
def h5ad_named_csv(text):
    return _h5ad(text)


@broken("expression", "not a whole .h5ad file; it was cut short", file="expression.h5ad")
def h5ad_cut_short(text):
    return _h5ad(text)[:5000]


@broken("expression", "not a whole .h5ad file; it was cut short or is of another kind", file="expression.h5ad")
def text_named_h5ad(text):
    return text


@broken("expression", "an HDF5 file, but not an AnnData, for it lacks X, obs, var", file="expression.h5ad")
def h5ad_of_another_program(text):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["matrix/data"] = np.ones(5)
    return buffer.getvalue()


@broken("expression", "not a complete parquet file", file="expression.parquet")
def parquet_cut_short(text):
    buffer = io.BytesIO()
    table_of(text).to_parquet(buffer)
    return buffer.getvalue()[:-200]


@broken("expression", "not a complete parquet file", file="expression.parquet")
def text_named_parquet(text):
    return text


def _zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def _h5ad(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5ad"
        ad.AnnData(table_of(text)).write_h5ad(path)
        return path.read_bytes()

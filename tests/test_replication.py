"""The page that sums up what replicates: nothing of the papers is left out, and what it quotes is what they say."""

import re
from html import unescape

import nbformat
import pandas as pd
import pytest
import run

ITEMS = [
    "Table 1",
    *(f"Table S{n}" for n in range(6, 18)),
    *(f"Figure {n}" for n in range(1, 6)),
    *(f"Figure S{n}" for n in range(1, 5)),
    *(f"GexBERT {task}" for task in ("classification", "survival", "imputation", "attention")),
]
VERDICTS = {"holds", "does not hold", "not decided", "not testable here"}
PAGE = run.HERE / "28_sum_up_what_replicates.ipynb"
BOOK = run.HERE.parent / "book"


@pytest.fixture(scope="module")
def papers():
    return pd.read_csv(BOOK / "papers.csv")


@pytest.fixture(scope="module")
def table_1():
    return pd.read_csv(run.HERE / "recorded" / "paper_scan_b.csv")


@pytest.fixture(scope="module")
def page():
    return nbformat.read(PAGE, as_version=4)


def tables(cell):
    """The HTML that a cell shows."""
    return "".join(output.get("data", {}).get("text/html", "") for output in cell.get("outputs", []))


def names(item):
    """ "Tables S11 and S12" are two."""
    kind = item.split()[0].removesuffix("s")
    return [f"{kind} {number}" for number in re.findall(r"S?\d+", item)] or [item]


def test_no_table_or_figure_of_either_paper_is_left_out(papers):
    assert [name for item in papers["item"].unique() for name in names(item)] == ITEMS
    assert papers["claim"].is_unique
    assert papers[["item", "claim", "says", "place"]].notna().all(axis=None)
    assert papers.groupby("item")["about"].first().notna().all()


def test_every_table_and_figure_has_a_row_in_the_summary_and_a_section_with_a_verdict_on_each_claim(papers, page):
    (summary,) = [tables(cell) for cell in page.cells if cell.source.endswith("\nsummary")]
    linked = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', summary)
    assert [name for _, name in linked] == ITEMS
    headings = re.findall(r"^### (.+)$", "\n".join(c.source for c in page.cells if c.cell_type == "markdown"), re.M)
    assert {anchor for anchor, _ in linked} <= {heading.lower().replace(" ", "-") for heading in headings}
    for item, claims in papers.groupby("item"):
        assert item in headings
        (shown,) = [tables(cell) for cell in page.cells if cell.source == f'section("{item}")']
        given = re.findall(r'<strong class="verdict [a-z-]+">([^<]+)</strong><br>(.*?)</td>', shown)
        assert len(given) == len(claims)
        assert {verdict for verdict, _ in given} <= VERDICTS
        assert all(reason for _, reason in given)
        assert all(says in unescape(shown) for says in claims["says"])


def test_every_finding_leads_to_a_cell_that_is_shown(page):
    found = set(re.findall(r'href="([^"#]+)\.html#cell-(\d+)"', "".join(map(tables, page.cells))))
    assert len(found) > 20
    for name, number in found:
        cell = nbformat.read(run.HERE / f"{name}.ipynb", as_version=4).cells[int(number)]
        assert cell.cell_type == "code"
        assert not {"remove-cell", "remove-output"} & set(cell.metadata.get("tags", []))


def decimals(text):
    return set(re.findall(r"(?<![\d.{:])\d+\.\d{3}(?!\d)", text))


def test_what_is_quoted_from_table_1_stands_in_it(papers, table_1):
    known = {f"{value:.3f}" for value in table_1["value"]}
    quoted = papers.loc[papers["item"] == "Table 1", "says"]
    assert decimals(" ".join(quoted)) <= known
    score = table_1.set_index(["model", "task", "metric"])["value"]
    effect = papers.set_index("claim")["effect"]
    of_txt, rivals = score["txt-multitask"], score.drop(["txt", "txt-multitask"], level="model")
    for claim, task, metric in (
        ("t1_lead_os", "os", "c_index"),
        ("t1_lead_ibs", "os", "ibs"),
        ("t1_lead_pam50", "pam50", "accuracy"),
        ("t1_lead_nhg", "nhg", "accuracy"),
        ("t1_lead_age", "age", "mae"),
        ("t1_lead_size", "size", "mae"),
    ):
        others = rivals.xs((task, metric), level=["task", "metric"])
        lower = metric in ("ibs", "mae")
        gap = others.min() - of_txt[task, metric] if lower else of_txt[task, metric] - others.max()
        assert effect[claim] == pytest.approx(gap)
    for claim, model, metric in (
        ("t1_gain", "txt", "c_index"),
        ("t1_gain_size", "txt", "c_index"),
        ("t1_gain_ibs", "txt", "ibs"),
        ("t1_gain_omiembed", "omiembed", "c_index"),
    ):
        gain = score[f"{model}-multitask", "os", metric] - score[model, "os", metric]
        assert effect[claim] == pytest.approx(abs(gain))
    assert 100 * effect["t1_gain"] / score["txt", "os", "c_index"] == pytest.approx(13.7, abs=0.05)


def test_what_chapters_quote_from_the_papers_stands_in_the_file(papers, table_1):
    known = {f"{value:.3f}" for value in table_1["value"]} | decimals(" ".join(papers["says"]))
    known |= {f"{effect:.3f}" for effect in papers["effect"].dropna()}
    quoted = 0
    for source in sorted(run.HERE.glob("[0-9][0-9]_*.py")):
        prose = "\n".join(cell.source for cell in run.read_source(source).cells if cell.cell_type == "markdown")
        for paragraph in prose.split("\n\n"):
            if re.search(r"\*\*(It|The papers?)\b.*?reports?", paragraph, re.S):
                assert decimals(paragraph) <= known, source.stem
                quoted += len(decimals(paragraph))
    assert quoted > 3

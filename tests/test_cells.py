"""Cells that can be cited, numbers that lead to their cell, captions of figures: a small book, built and looked at."""

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

BOOK = Path(__file__).parents[1] / "book"
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
CAPTION = """:::{caption}
:alt: Two bars, the left one is higher.
Scores of **two** methods, see {glue:text}`score:.2f`.

They are made up.
:::"""


def figures(*pictures):
    outputs = [new_output("display_data", {"image/png": PICTURE, "text/plain": "<Figure>"}) for _ in pictures]
    return new_code_cell("draw()", outputs=[new_output("stream", name="stdout", text="drawn"), *outputs])


def glued(key, value, tags=()):
    metadata = {"scrapbook": {"mime_prefix": "application/papermill.record/", "name": key}}
    data = {"application/papermill.record/text/plain": value}
    output = new_output("display_data", data, metadata=metadata)
    return new_code_cell(f'glue("{key}", {value}, display=False)', outputs=[output], metadata={"tags": list(tags)})


def build(folder, pages):
    """The folder of the pages, and what was warned of."""
    settings = {"extensions": ["cells"], "myst_enable_extensions": ["colon_fence"], "nb_execution_mode": "off"}
    (folder / "conf.py").write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
    for name, cells in pages.items():
        if isinstance(cells, str):
            (folder / name).write_text(cells)
        else:
            about = {"language_info": {"name": "python", "pygments_lexer": "python"}}
            nbformat.write(new_notebook(cells=cells, metadata=about), folder / name)
    command = [sys.executable, "-m", "sphinx", "-q", folder, folder / "out", "-d", folder / "trees"]
    places = os.pathsep.join([str(BOOK), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": places}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stderr


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    chapter = [
        new_markdown_cell("# Chapter\n\nThe score is {glue:text}`score:.2f`."),
        figures(1, 2),
        new_markdown_cell(CAPTION),
        glued("score", "0.8125", tags=["hide-input"]),
        figures(1),
    ]
    index = """# Book

```{toctree}
chapter
```

Elsewhere {glue:text}`chapter.ipynb::score:.3f`; see {cell}`where it is drawn <chapter: "score">`,
{cell}`chapter: 0.8125` and [the first cell](chapter.ipynb#cell-01).
"""
    return build(folder, {"index.md": index, "chapter.ipynb": chapter})


def test_a_clean_book_gives_no_warning(book):
    assert book[1] == ""


def test_every_code_cell_can_be_cited_by_its_number_in_the_notebook(book):
    page = (book[0] / "chapter.html").read_text()
    assert re.findall(r'<div class="[^"]*\bcell\b[^"]*" id="([^"]+)">', page) == ["cell-01", "cell-03", "cell-04"]
    assert re.findall(r'class="cell-link" href="#([^"]+)"', page) == ["cell-01", "cell-03", "cell-04"]


def test_a_caption_joins_the_figures_before_it_and_is_read_aloud_once(book):
    page = (book[0] / "chapter.html").read_text()
    (figure,) = re.findall(r'<figure [^>]*id="figure-01".*?</figure>', page, re.DOTALL)
    assert re.findall(r'<img alt="([^"]*)"', figure) == ["Two bars, the left one is higher.", ""]
    caption = figure.partition("<figcaption>")[2]
    assert re.sub(r"<[^>]+>|\s+", " ", caption).split()[:6] == ["Scores", "of", "two", "methods,", "see", "0.81"]
    assert "They are made up." in caption
    assert page.index('id="cell-01"') < page.index("<figure") < page.index('id="cell-03"')
    assert page.count("<img") == 3  # that of the last cell has no caption


def test_a_number_leads_to_the_cell_that_made_it(book):
    page = (book[0] / "chapter.html").read_text()
    assert re.search(r'The score is <a class="[^"]*number[^"]*" href="#cell-03" title="made by this cell">', page)


def test_a_number_and_a_word_of_another_page_lead_to_the_cell(book):
    page = (book[0] / "index.html").read_text()
    links = re.findall(r'href="chapter.html#(cell-\d+)"[^>]*>(.*?)</a>', page, re.DOTALL)
    shown = [(name, re.sub(r"<[^>]+>", "", text)) for name, text in links]
    assert shown == [
        ("cell-03", "0.812"),
        ("cell-03", "where it is drawn"),
        ("cell-03", "0.8125"),
        ("cell-01", "the first cell"),
    ]


def test_what_cannot_be_right_is_warned_of(tmp_path):
    chapter = [
        new_markdown_cell("# Chapter"),
        new_code_cell("print(1)"),
        new_markdown_cell(CAPTION.replace("score:.2f", "gone:.2f")),
        figures(1),
        new_markdown_cell(":::{caption}\nNo words for those who do not see it.\n:::"),
        glued("gone", "1.0", tags=["remove-cell"]),
        new_markdown_cell("{glue:text}`gone:.1f`, {cell}`absent code <chapter: absent>`"),
    ]
    _, said = build(tmp_path, {"index.md": "# Book\n\n```{toctree}\nchapter\n```\n", "chapter.ipynb": chapter})
    assert said.count("a caption needs words, :alt: and before it a code cell that shows a figure") == 2
    assert said.count("no cell that readers see glues 'gone'") == 1
    assert said.count("not one cell of chapter holds 'absent'") == 1
    assert said.count("WARNING") == 4


# -------------------------------------------------------------------------------------------- the chapters


@pytest.mark.parametrize("path", sorted((BOOK.parent / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_figure_of_a_chapter_has_a_caption(path):
    cells = nbformat.read(path, as_version=4).cells
    bare = [
        cell.id
        for cell, after in zip(cells, [*cells[1:], None], strict=True)
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        and not (after and after.cell_type == "markdown" and re.match(r":{3,}\{caption\}\n", after.source))
    ]
    assert bare == []

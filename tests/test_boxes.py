"""The table of goals and exercises on the page for teachers: read from the chapters, none left out."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book"))

import boxes  # noqa: E402

PAGE = """# Guess well

::::{admonition} After this chapter you can
:class: goals
- guess a number
  that nobody knows;
- stop.
::::

:::{admonition} Exercise 1
:class: exercise
Why stop?
There is no end.
:::

:::{dropdown} Solution
:class: exercise
None.
:::

:::{admonition} Try it
:class: try
Guess.
:::
"""
GUESS = boxes.Chapter("guess", "Guess well", ["guess a number that nobody knows;", "stop."], ["Why stop?"], 1)


def test_the_boxes_of_a_page_and_of_a_notebook_are_read_alike():
    cell = "\n".join(f"# {line}".rstrip() for line in PAGE.splitlines())
    assert boxes.read_chapter("guess", PAGE) == GUESS
    assert boxes.read_chapter("guess", f"# %% [markdown]\n{cell}\n\n# %%\nprint(1)\n") == GUESS


def test_a_page_without_goals_is_no_chapter():
    assert boxes.read_chapter("guess", PAGE.replace("goals", "note")) is None


def test_chapters_come_in_the_order_of_the_book(tmp_path):
    (tmp_path / "notebooks").mkdir()
    for name in ("b.md", "notebooks/01_a.py", "notebooks/01_a.md"):
        (tmp_path / name).write_text(PAGE.replace("Guess well", name))
    (tmp_path / "_toc.yml").write_text(
        "parts:\n- chapters: [{file: notebooks/01_a}, {file: gone}]\n- chapters: [{file: b}]\n"
    )
    assert [c.title for c in boxes.chapters(tmp_path)] == ["notebooks/01_a.py", "b.md"]


def test_the_book_has_a_row_for_its_teachers():
    found = {chapter.page: chapter for chapter in boxes.chapters(ROOT / "book")}
    assert {"why", "notebooks/27_step_into_pitfalls"} <= set(found)
    assert found["notebooks/27_step_into_pitfalls"].title == "Step into the pitfalls"
    assert all(chapter.goals for chapter in found.values())

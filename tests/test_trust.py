"""The pages of promises and of a reviewer's questions, and the chapter of pitfalls, name tests that are there."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PITFALLS = "notebooks/27_step_into_pitfalls.py"


def read(page):
    return (TESTS.parent / page).read_text(encoding="utf-8")


def named(text):
    """Files of tests in a page, each with the words of a test, if any."""
    found = re.findall(r"`([\w/]+\.py)`(?::\s+\*([^*]+)\*)?", text)
    return [(path, " ".join(words.split())) for path, words in found if not path.startswith("tests/")]


def absent(text):
    """Tests that a page names and that are not there."""
    missing = []
    for path, words in named(text):
        tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if words and f"test_{words.replace(' ', '_')}" not in functions:
            missing.append(f"{path}: {words}")
    return missing


def test_every_promise_names_what_proves_it():
    page = read("book/trust.md").splitlines()
    rows = [line for line in page if line.startswith("|") and not line.startswith(("| Promise", "| ---"))]
    assert len(rows) > 25
    assert all(".py`" in row or "`make test`" in row for row in rows)


@pytest.mark.parametrize(("page", "least"), [("book/trust.md", 30), ("book/review.md", 12), (PITFALLS, 6)])
def test_the_tests_that_a_page_names_are_there(page, least):
    assert len(named(read(page))) > least
    assert absent(read(page)) == []
    assert absent("`test_trust.py`: *no such test*") == ["test_trust.py: no such test"]


def test_every_pitfall_names_the_test_that_guards_against_it():
    sections = re.split(r"^# \*\*What one does\.\*\*", read(PITFALLS), flags=re.MULTILINE)[1:]
    assert len(sections) == 7
    assert all(named(section) for section in sections)

"""The pages of promises and of a reviewer's questions name tests that are there."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def read(page):
    return (TESTS.parent / "book" / page).read_text(encoding="utf-8")


def test_every_promise_names_what_proves_it():
    page = read("trust.md").splitlines()
    rows = [line for line in page if line.startswith("|") and not line.startswith(("| Promise", "| ---"))]
    assert len(rows) > 25
    assert all(".py`" in row or "`make test`" in row for row in rows)


@pytest.mark.parametrize(("page", "least"), [("trust.md", 30), ("review.md", 12)])
def test_the_tests_that_a_page_names_are_there(page, least):
    named = re.findall(r"`([\w/]+\.py)`(?::\s+\*([^*]+)\*)?", read(page))
    named = [(path, " ".join(words.split())) for path, words in named if not path.startswith("tests/")]
    assert len(named) > least
    for path, words in named:
        tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not words or f"test_{words.replace(' ', '_')}" in functions, f"{path}: {words}"

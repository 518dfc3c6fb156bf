"""The page of promises names tests that are there, and so does the chapter of pitfalls."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "book" / "trust.md").read_text(encoding="utf-8")
PITFALLS = (TESTS.parent / "notebooks" / "27_step_into_pitfalls.py").read_text(encoding="utf-8")


def test_every_promise_names_what_proves_it_and_that_is_there():
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith(("| Promise", "| ---"))]
    assert len(rows) > 25
    assert all(".py`" in row or "`make test`" in row for row in rows)
    assert len(named(PAGE)) > 30
    assert absent(PAGE) == []


def test_every_pitfall_names_the_test_that_guards_against_it():
    sections = re.split(r"^# ## \d\. ", PITFALLS, flags=re.MULTILINE)[1:]
    assert len(sections) == 7
    assert all(named(section) for section in sections)
    assert absent(PITFALLS) == []
    assert absent("`test_trust.py`: *no such test*") == ["test_trust.py: no such test"]


def named(text):
    """Files of tests in a page, each with the words of a test, if any."""
    return re.findall(r"`([\w/]+\.py)`(?:: \*([^*]+)\*)?", text)


def absent(text):
    """Tests that a page names and that are not there."""
    missing = []
    for path, words in named(text):
        tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if words and f"test_{words.replace(' ', '_')}" not in functions:
            missing.append(f"{path}: {words}")
    return missing

"""The page of promises names tests that are there."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "book" / "trust.md").read_text(encoding="utf-8")


def test_every_promise_names_what_proves_it_and_that_is_there():
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith(("| Promise", "| ---"))]
    assert len(rows) > 25
    assert all(".py`" in row or "`make test`" in row for row in rows)
    named = re.findall(r"`([\w/]+\.py)`(?:: \*([^*]+)\*)?", PAGE)
    assert len(named) > 30
    for path, words in named:
        tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not words or f"test_{words.replace(' ', '_')}" in functions, f"{path}: {words}"

"""The page of promises names tests that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "trust.md").read_text(encoding="utf-8")


def test_every_promise_names_what_proves_it_and_that_is_there():
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith(("| promise", "| ---"))]
    assert len(rows) > 25
    assert all("`tests/" in row or "`make test`" in row for row in rows)
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 30
    for path, test in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not test or test in functions, f"{path}::{test}"

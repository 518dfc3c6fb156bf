"""The package is a house: modules import from floors below their own, as its docstring lists them."""

import ast
import re
from pathlib import Path

import gexcore

ROOT = Path(gexcore.__file__).parent
FLOORS = {
    module: int(floor)
    for floor, text in re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", gexcore.__doc__, flags=re.MULTILINE | re.DOTALL)
    for module in re.findall(r"``(\w+)``", text)
}


def imported(path):
    """Modules of the package that a file imports, by their first name."""
    depth = len(path.relative_to(ROOT).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            yield from [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(name.startswith("gexcore") for name in names), f"{path.name}: import relatively"


def test_every_module_stands_on_a_floor():
    modules = {p.relative_to(ROOT).with_suffix("").parts[0] for p in ROOT.rglob("*.py")} - {"__init__", "_data"}
    assert modules == set(FLOORS)


def test_imports_only_go_down():
    for path in ROOT.rglob("*.py"):
        module = path.relative_to(ROOT).with_suffix("").parts[0]
        if module != "__init__":
            above = [name for name in imported(path) if FLOORS[name] >= FLOORS[module]]
            assert not above, f"{module} (floor {FLOORS[module]}) imports {above}"

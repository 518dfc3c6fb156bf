"""Tables of the page ``record``, made at build from the files that hold the facts, so that nothing is typed twice.

``{versions}`` reads constraints.txt, ``{seeds}`` the parameters of every chapter, ``{recorded}`` the tables in
notebooks/recorded with the scripts that write and the chapters that show them, ``{sources}`` the checksums of public
sources. Scripts are read as text, never run.
"""

import ast
import csv
import json
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

DRAWS = re.compile(r"seed|split|drawn?\b|draws|random|shuffle|permut|division")


def setup(app):
    """One directive for each table."""
    for name, rows in {"versions": versions, "seeds": seeds, "recorded": recorded, "sources": sources}.items():
        app.add_directive(name, type(name.title(), (Table,), {"rows": staticmethod(rows)}))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Table(SphinxDirective):
    """A table of Markdown; ``rows`` makes it from the folder of the project and the words in the directive."""

    has_content = True

    def run(self):
        root = Path(self.env.srcdir).parent
        header, *rows = self.rows(root, " ".join(self.content).split())
        lines = [header, ["---"] * len(header), *rows]
        for path in (root / "constraints.txt", *root.glob("notebooks/recorded/*"), *root.glob("notebooks/*.py")):
            self.env.note_dependency(path)
        made = nodes.container(classes=["words"])
        text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
        self.state.nested_parse(StringList(text, self.env.docname), self.content_offset, made)
        return [made]


# ---------------------------------------------------------------------------------------------- versions


def versions(root, names):
    """The pinned version of each package that is named."""
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    with (root / "book" / "dependencies.csv").open(encoding="utf-8", newline="") as file:
        licences = {row["package"]: row["licence"] for row in csv.DictReader(file)}
    return [("package", "version", "licence"), *((name, pinned[name], licences[name]) for name in names)]


# ----------------------------------------------------------------------------------------------- seeds


@cache
def chapters(root):
    """The sources of the notebooks, in their order."""
    return sorted((root / "notebooks").glob("[0-9][0-9]_*.py"))


def parameters(path):
    """Name, value and meaning of every parameter of a chapter."""
    cell = path.read_text(encoding="utf-8").partition('tags=["parameters"]')[2].partition("# %%")[0].partition("\n")[2]
    said = [line.partition("  # ")[2] for line in cell.splitlines()]
    return [
        (line.target.id, ast.unparse(line.value), "".join(said[line.lineno - 1 : line.end_lineno]))
        for line in ast.parse(cell).body
    ]


def seeds(root, _):
    """What decides the draws of each chapter."""
    rows = []
    for path in chapters(root):
        deciding = [(name, value, told) for name, value, told in parameters(path) if DRAWS.search(f"{name} {told}")]
        said = "<br>".join(f"`{name} = {value}`{told and ', ' + told}" for name, value, told in deciding)
        rows.append((f"[](notebooks/{path.stem}.ipynb)", said or "none among its parameters"))
    return [("chapter", "parameters that decide what is drawn, as stored"), *rows]


# ------------------------------------------------------------------------------------- recorded tables


@cache
def strings(path):
    """The strings of a script without endings and the beginnings of its f-strings, then those in its ``if record:``."""
    text = path.read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^if record:\n((?:[ ].*\n|\n)+)", text, re.MULTILINE))
    return *texts(text), *texts(blocks)


def texts(code):
    """Whole strings without an ending and figures of text, and what f-strings have before their first brace."""
    whole = {found.rpartition("/")[2].partition(".")[0] for found in re.findall(r'"([^"\n{]+)"', code)}
    whole |= set(re.findall(r"recorded/(\w+)\.", code))
    return whole, set(re.findall(r'\bf"(?:[^"\n{]*/)?(\w+)_\{', code))


def halves(name):
    """All ways to divide a name at one of its underscores, the longest beginning first."""
    parts = name.split("_")
    return [("_".join(parts[:n]), "_".join(parts[n:])) for n in range(len(parts) - 1, 0, -1)]


def writer(root, name):
    """The script that writes a table, with the parameters where it is a chapter."""
    for path in sorted(root.glob("tests/benchmarks/*.py")):
        whole, begun, *_ = strings(path)
        if name in whole or any(first in begun for first, _ in halves(name)):
            return f"`{path.relative_to(root)}`"
    for path in chapters(root):
        *_, whole, begun = strings(path)
        for first, cohort in halves(name):
            if first in whole | begun:
                scale = "" if cohort == "demo" else f".{cohort.replace('_', '-')}"
                file = root / "notebooks" / "params" / f"{path.stem}{scale}.yaml"
                return f"[](notebooks/{path.stem}.ipynb)" + (f" with `params/{file.name}`" if file.exists() else "")
    return "by hand"


def readers(root, name):
    """The chapters that show a table: those that name it or, where none does, that put its name together."""
    named, joined = [], []
    for path in chapters(root):
        whole, begun, *_ = strings(path)
        link = f"[{path.stem[:2]}](notebooks/{path.stem}.ipynb)"
        if name in whole:
            named.append(link)
        elif any(first in whole | begun and last in whole for first, last in halves(name)):
            joined.append(link)
    return ", ".join(named or joined)


def recorded(root, _):
    """Every recorded table or figure: who wrote and who shows it, over which seeds, on what machine and data."""
    rows = []
    for path in sorted((root / "notebooks" / "recorded").glob("*")):
        if path.suffix == ".json":
            continue
        drawn, about = "", path.with_suffix(".json")
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                columns, *table = csv.reader(file)
            drawn = "; ".join(
                f"{column} {span({row[columns.index(column)] for row in table})}"
                for column in ("seed", "draw", "permutation")
                if column in columns
            )
        made = "not kept"
        if about.exists():
            kept = json.loads(about.read_text(encoding="utf-8"))
            made = f"{kept['date'][1][:10]}, {kept['hardware']['cores']} cores, torch {kept['versions']['torch']}; "
            made += f"data {kept['samples']}"
        rows.append((f"`{path.name}`", writer(root, path.stem), drawn or "none in it", made, readers(root, path.stem)))
    return [("table", "written by", "seeds in it", "day, machine, data", "shown in"), *rows]


def span(found):
    """``0 to 9`` where no number between is lacking."""
    numbers = sorted({int(float(number)) for number in found})
    first, last = numbers[0], numbers[-1]
    return f"{first} to {last}" if len(numbers) == last - first + 1 > 2 else ", ".join(map(str, numbers))


# --------------------------------------------------------------------------------------------- sources


def sources(root, _):
    """The files of the public sources whose checksum is known beforehand."""
    tree = ast.parse((root / "gexcore" / "sources" / "catalogue.py").read_text(encoding="utf-8"))
    named = {n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign)}
    rows = []
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Source"):
        about = {word.arg: word.value for word in call.keywords}
        inside = [named.get(getattr(n, "id", ""), n) for n in ast.walk(about["files"])]
        sums = []
        for file in inside:
            words = {word.arg: word.value for word in getattr(file, "keywords", [])}
            if "sha256" in words:
                sums.append(f"`{file.args[0].value}`: `{words['sha256'].value[:16]}`")
        rows.append((f"`{about['name'].value}`", "<br>".join(sums) or "recorded on first use"))
    return [("source", "sha256 known beforehand (first 16 digits)"), *rows]

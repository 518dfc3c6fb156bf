"""The reference, written from the code whenever the book is built, so that it cannot be outdated.

``objects`` takes public names and gives a table of them, then what their docstrings say; ``settings`` takes the name of
a model and gives a table of its settings; ``command`` takes words of the command line and gives their help. What code
does not know, where the value of a setting comes from, stands in reference/provenance.csv.
"""

import ast
import contextlib
import csv
import gc
import importlib
import inspect
import io
import os
import pprint
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.errors import PycodeError
from sphinx.ext.autosummary import extract_summary
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

BOOK = Path(__file__).resolve().parent
sys.path.insert(0, str(BOOK.parent))  # the code beside this book, not one that is installed

from gexcore import baselines, cli, finetuning, restorer, txt  # noqa: E402

PROVENANCE = BOOK / "reference" / "provenance.csv"
KINDS = ("paper", "published code", "assumed", "ours")
_CLASSES = ("FineTuned", "MLP", "OmiEmbed", "TGEM", "AUTOSurv", "SurvConvMixer", "FeatureMapCNN", "DeepGene")
MODELS = {  # settings and presets of every network
    "TxT": (txt.TxTSettings, txt.PRESETS),
    "GexBERT": (restorer.GexBERTSettings, restorer.PRESETS),
    **{
        name: (model.settings_class, model.presets)
        for name in _CLASSES
        for model in [getattr(baselines, name, None) or getattr(finetuning, name)]
    },
}
_WHOLE = ("TxT", "GexBERT")  # all their settings are listed; of the others, those that are not TxT's


# ------------------------------------------------------------------------------------------ public names


def find(name: str) -> Any:
    """What a dotted name stands for."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def listed(text: str) -> dict[str, list[str]]:
    """The names in the body of an ``objects`` directive; a class may be followed by the members that are shown."""
    lines = (line.partition(":") for line in text.splitlines() if line.strip())
    return {name.strip(): members.replace(",", " ").split() for name, _, members in lines}


@cache
def comments(module: ModuleType) -> dict[str, str]:
    """What stands behind every assignment in a module and in its classes, by ``NAME`` or ``Class.name``."""
    source = inspect.getsource(module)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    behind = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    body = ast.parse(source).body
    scopes = [("", body), *((f"{node.name}.", node.body) for node in body if isinstance(node, ast.ClassDef))]
    return {
        scope + target.id: behind.get(node.lineno, "")
        for scope, nodes_of in scopes
        for node in nodes_of
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }


def meaning(kind: type, field: str) -> str:
    """The comment on a field of a class, where it has none that on the same field of the class below it."""
    said = (comments(inspect.getmodule(c)).get(f"{c.__name__}.{field}", "") for c in _ours(kind.__mro__))
    return next(filter(None, said), "")


def _ours(things: Iterable[Any]) -> Iterator[Any]:
    return (thing for thing in things if getattr(thing, "__module__", "").startswith("gexcore."))


def said_of(name: str) -> str:
    """The comment on a public constant, in the module it is assigned in."""
    module = importlib.import_module(name.rpartition(".")[0])
    inner = (part for part in vars(module).values() if inspect.ismodule(part) and part.__name__.startswith("gexcore."))
    constant = name.rpartition(".")[2]
    said = next(filter(None, (comments(part).get(constant, "") for part in (module, *inner))), "")
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _members(cls: type) -> list[str]:
    """The documented methods that no class of this package below it has."""
    below = {name for base in _ours(cls.__mro__[1:]) for name in vars(base)}
    kinds = (classmethod, staticmethod, property)
    return [
        name
        for name, value in vars(cls).items()
        if not name.startswith("_")
        and name not in below
        and (inspect.isfunction(value) or isinstance(value, kinds))
        and getattr(cls, name).__doc__
    ]


class Objects(SphinxDirective):
    """A table of public names, each with its first sentence, and then their docstrings."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        names = listed("\n".join(self.content))
        table = [".. list-table::", "   :class: names", "   :widths: auto", ""]
        bodies = []
        for name, members in names.items():
            thing = find(name)
            is_constant = not callable(thing)
            home = name.rpartition(".")[0] if is_constant else thing.__module__
            self.env.note_dependency(sys.modules[home].__file__)
            doc = said_of(name) if is_constant else inspect.getdoc(thing)
            summary = extract_summary(doc.splitlines(), self.state.document)
            table += [f"   * - :py:obj:`{name.removeprefix('gexcore.')} <{name}>`", f"     - {summary}"]
            if is_constant:
                ordered = sorted(thing) if isinstance(thing, set) else thing
                value = pprint.pformat(ordered, width=84, sort_dicts=False).splitlines()
                bodies += [f".. py:data:: {name}", "", f"   {doc}", "", "   .. code-block:: python", ""]
                bodies += [*(f"      {line}" for line in value), ""]
                continue
            kind = "class" if inspect.isclass(thing) else "function"
            kind = "exception" if kind == "class" and issubclass(thing, Exception) else kind
            bodies += [f".. auto{kind}:: {name}"]
            if kind == "class" and (shown := members or _members(thing)):
                bodies += [f"   :members: {', '.join(shown)}"]
            bodies += [""]
        return self.parse([*table, "", *bodies])

    def parse(self, lines: Iterable[str]) -> list[nodes.Node]:
        """The nodes of lines of reStructuredText."""
        node, text = nodes.container(), StringList(list(lines), source=self.get_source_info()[0])
        # autodoc would read every source, those of torch among them, for comments: a third of the time of these pages
        with patch.object(ModuleAnalyzer, "for_module", side_effect=PycodeError("not looked for")):
            self.state.nested_parse(text, self.content_offset, node)
        return node.children


def describe_fields(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Fields of a class of data that its docstring does not describe, with the comments on them."""
    names = [f.name for f in fields(thing)] if is_dataclass(thing) else getattr(thing, "_fields", ())
    if what != "class" or not names or any(line.strip() in ("Parameters", "Attributes") for line in lines):
        return
    while lines and not lines[-1].strip():
        lines.pop()
    lines += ["", "Parameters", "----------"]
    for field in names:
        lines += [f"{field} : {thing.__annotations__[field]}", f"    {meaning(thing, field)}".rstrip()]


# ---------------------------------------------------------------------------------------------- settings


@cache
def provenance() -> dict[tuple[str, str], dict[str, str]]:
    """Where the values of settings come from, by model and setting."""
    with PROVENANCE.open(newline="", encoding="utf-8") as file:
        return {(row["model"], row["setting"]): row for row in csv.DictReader(file)}


def written(value: Any) -> str:
    """A value as one would type it."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def settings_of(model: str) -> list[dict[str, str]]:
    """A row for every setting of a model that is listed: setting, meaning, default, quick, paper, provenance, source.

    The provenance is that of the paper preset, where there is none that of the only one.
    """
    kind, presets = MODELS[model]
    values = {"default": kind(), **{preset: kind(**changes) for preset, changes in presets.items()}}
    published = presets.get("paper", presets["quick"])
    own = inspect.get_annotations(kind)
    known = provenance()
    return [
        {
            "setting": f.name,
            "meaning": meaning(kind, f.name),
            **{preset: written(getattr(settings, f.name)) for preset, settings in values.items()},
            **{column: known[model, f.name][column] for column in ("provenance", "source")},
        }
        for f in fields(kind)
        if model in _WHOLE or f.name in own or f.name in published or (model, f.name) in known
    ]


def _row(cells: Iterable[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def _table(head: list[str], body: Iterable[list[nodes.Node]], kind: str) -> nodes.table:
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", _row(nodes.Text(word) for word in head))
    group += nodes.tbody("", *map(_row, body))
    return nodes.table("", group, classes=["colwidths-auto", kind])


class Settings(SphinxDirective):
    """The settings of a model: what they mean, their values, and where these come from."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        model = self.arguments[0]
        kind, presets = MODELS[model]
        for path in (PROVENANCE, *(inspect.getsourcefile(c) for c in _ours(kind.__mro__))):
            self.env.note_dependency(str(path))
        values = [column for column in ("default", "quick", "paper") if column in ("default", *presets)]
        body = []
        for row in settings_of(model):
            cells = [nodes.literal("", row["setting"]), nodes.Text(row["meaning"])]
            cells += [nodes.literal("", row[column]) for column in values]
            source = f" · {row['source']}" if row["source"] else ""
            cells.append(nodes.inline("", "", nodes.strong("", row["provenance"]), nodes.Text(source)))
            body.append(cells)
        return [_table(["setting", "meaning", *values, "provenance"], body, "settings")]


# ---------------------------------------------------------------------------------------------- commands


def help_of(words: Iterable[str]) -> str:
    """What ``gexcore WORDS --help`` prints on a terminal of 88 columns."""
    printed = io.StringIO()
    terminal = patch.dict(os.environ, COLUMNS="88", NO_COLOR="1")
    with terminal, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        cli.main([*words, "--help"])
    return printed.getvalue()


class Command(SphinxDirective):
    """What a command says when it is asked for help; without a word, what ``gexcore`` itself says."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        for part in vars(cli).values():
            if inspect.ismodule(part) and part.__name__.startswith(cli.__name__):
                self.env.note_dependency(part.__file__)
        text = help_of(self.arguments)
        return [nodes.literal_block(text, text, language="none")]


def setup(app: Sphinx) -> dict[str, bool]:
    """The three directives, and Sphinx's own readers of docstrings."""
    gc.freeze()  # the libraries that came with the package stay: to look through them again and again for garbage,
    gc.set_threshold(50_000, 20, 20)  # at the usual rate, takes a quarter of the time of a build
    for extension in ("sphinx.ext.autodoc", "sphinx.ext.napoleon"):
        app.setup_extension(extension)
    app.config.napoleon_google_docstring = False
    app.config.napoleon_custom_sections = [("Attributes", "params_style")]  # a list, not objects of their own
    app.config.napoleon_use_rtype = False
    app.config.autodoc_typehints = "none"  # docstrings say more than types
    app.config.autodoc_member_order = "bysource"
    app.config.toc_object_entries_show_parents = "hide"
    app.connect("autodoc-process-docstring", describe_fields, priority=400)  # before napoleon reads the sections
    for name, directive in (("objects", Objects), ("settings", Settings), ("command", Command)):
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

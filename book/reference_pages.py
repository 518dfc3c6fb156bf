"""The pages of the reference, written from the code: ``python book/reference_pages.py`` after a change of a docstring.

A page is what stands in reference/outline/ with three kinds of blocks replaced: ``objects`` lists public names and
becomes a table of them and what their docstrings say, ``settings`` names a model and becomes a table of its settings,
``command`` gives words of the command line and becomes their help. What code does not know, where the value of a
setting comes from, stands in reference/provenance.csv. Pages are stored: the book is built without the package.
"""

import ast
import contextlib
import csv
import importlib
import inspect
import io
import os
import pprint
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import docstrings
from docstrings import Link, written
from docutils.nodes import make_id

from gexcore import baselines, cli, finetuning, restorer, txt

FOLDER = Path(__file__).resolve().parent / "reference"
OUTLINE, PROVENANCE = FOLDER / "outline", FOLDER / "provenance.csv"
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
_BLOCK = re.compile(r"^```\{(objects|settings|command)\}[ ]?(.*)\n((?:.*\n)*?)```$", flags=re.MULTILINE)
_LONG = 12  # lines of a value that are shown at once
_VERBS = ("fit", "predict", "embed", "impute", "save", "load")  # what one does with what was inherited
_WHOLE = ("TxT", "GexBERT")  # all their settings are listed; of the others, those that are not TxT's


# ------------------------------------------------------------------------------------------ public names


@cache
def find(name: str) -> Any:
    """What a dotted name stands for."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def home(name: str) -> str:
    """One key for an object, under whatever name it is reached."""
    thing = find(name)
    return f"{thing.__module__}.{thing.__qualname__}" if callable(thing) else name


def blocks(kind: str, text: str) -> list[tuple[str, str]]:
    """Argument and body of every block of one kind in an outline."""
    return [(argument, body) for found, argument, body in _BLOCK.findall(text) if found == kind]


def listed(text: str) -> dict[str, list[str]]:
    """The names in an ``objects`` block, and the members that are shown of each: those it names, or its own."""
    lines = (line.partition(":") for line in text.splitlines() if line.strip())
    return {name.strip(): members.replace(",", " ").split() or _members(name.strip()) for name, _, members in lines}


def _members(name: str) -> list[str]:
    """The documented methods that no class of this package below this one has."""
    cls = find(name)
    if not inspect.isclass(cls):
        return []
    below = {member for base in _ours(cls.__mro__[1:]) for member in vars(base)}
    kinds = (classmethod, staticmethod, property)
    return [
        member
        for member, value in vars(cls).items()
        if not member.startswith("_")
        and member not in below
        and (inspect.isfunction(value) or isinstance(value, kinds))
        and getattr(cls, member).__doc__
    ]


def _ours(things: Iterable[Any]) -> Iterator[Any]:
    return (thing for thing in things if getattr(thing, "__module__", "").startswith("gexcore."))


@cache
def outlines() -> dict[str, dict[str, list[str]]]:
    """All names that are listed, and their members, by page."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(OUTLINE.glob("*.md"))}
    return {page: listed("".join(body for _, body in blocks("objects", text))) for page, text in texts.items()}


def label(name: str) -> str:
    """What pages call the place of an object; of two names that only capitals tell apart, one is given an ending."""
    twins = {other for names in outlines().values() for other in names if other.lower() == name.lower()}
    return name if len(twins) == 1 or inspect.isclass(find(name)) else f"{name}.function"


@cache
def addresses() -> dict[str, str]:
    """Page and place of every object and member of the reference, by all its dotted names."""
    found = {}
    for page, names in outlines().items():
        for name, members in names.items():
            for known in (name, home(name)):
                found[known] = f"{page}.html#{make_id(label(name))}"
                found |= {f"{known}.{m}": f"{page}.html#{make_id(f'{name}.{m}')}" for m in members}
    return found


def linker(page: str, name: str) -> Link:
    """Addresses as the docstring of an object on a page names them: whole, or within its class or module."""
    thing = find(name)
    scopes = ["", f"{name}.", f"{getattr(thing, '__module__', name.rpartition('.')[0])}.", "gexcore."]
    scopes += [f"{c.__module__}.{c.__qualname__}." for c in _ours(getattr(thing, "__mro__", ()))]

    def link(target: str) -> str | None:
        whole = next((scope + target for scope in scopes if scope + target in addresses()), None)
        if whole is None:  # a name that the module imports
            module = inspect.getmodule(thing)
            first, _, rest = target.partition(".")
            known = getattr(module, first, None)
            whole = ".".join([f"{getattr(known, '__module__', '')}.{first}", *filter(None, [rest])])
        return addresses().get(whole, "").removeprefix(f"{page}.html") or None

    return link


# -------------------------------------------------------------------------------------------- comments


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


def said_of(name: str) -> str:
    """The comment on a public constant, in the module it is assigned in."""
    module = importlib.import_module(name.rpartition(".")[0])
    inner = (part for part in vars(module).values() if inspect.ismodule(part) and part.__name__.startswith("gexcore."))
    constant = name.rpartition(".")[2]
    said = next(filter(None, (comments(part).get(constant, "") for part in (module, *inner))), "")
    return f"{said[:1].upper()}{said[1:]}." if said else ""


# --------------------------------------------------------------------------------------------- objects


def objects(page: str, body: str) -> str:
    """A table of public names, each with its first sentence, and then a section for each."""
    names = listed(body)
    rows = []
    for name in names:
        doc = inspect.getdoc(find(name)) if callable(find(name)) else said_of(name)
        short = name.removeprefix("gexcore.")
        first = docstrings.inline(docstrings.summary(doc), linker(page, name))
        rows.append(f'<tr><td><a href="#{make_id(label(name))}">{code(short)}</a></td><td>{first}</td></tr>')
    table = raw('<table class="table names">\n' + "\n".join(rows) + "\n</table>")
    return "\n\n".join([table, *(section(page, name, members) for name, members in names.items())])


def code(text: str) -> str:
    """A name or a value in a line of html."""
    return f'<code class="literal">{escape(text, quote=False)}</code>'


def raw(html: str) -> str:
    """Html in a page of Markdown."""
    return f"```{{raw}} html\n{html}\n```"


def section(page: str, name: str, members: list[str]) -> str:
    """Heading, entries of the index, signature and docstring of an object and of its members."""
    thing, short = find(name), name.rpartition(".")[2]
    where = f"in {name.rpartition('.')[0]}"
    if callable(thing):
        kind = "class" if inspect.isclass(thing) else "function"
        kind = "exception" if kind == "class" and issubclass(thing, Exception) else kind
        html = [entry(name, thing, "" if kind == "function" else kind, linker(page, name))]
        html += [member(page, name, m) for m in members]
        html += inherited(page, name, members)
        where = where if kind == "function" else f"{kind} {where}"
    else:
        ordered = sorted(thing) if isinstance(thing, set) else thing
        value = pprint.pformat(ordered, width=84, sort_dicts=False)
        html = [f'<pre class="signature"><b>{name}</b></pre>', docstrings.html(said_of(name), linker(page, name))]
        value = docstrings.code(value, "python")
        html.append(value if value.count("\n") < _LONG else f"<details><summary>Its value</summary>{value}</details>")
    index = ", ".join([f"{short} ({where})", *(f"{m} (of {short})" for m in members)])
    body = raw('<div class="api">\n' + "\n".join(html) + "\n</div>")
    return f"```{{index}} {index}\n```\n\n({label(name)})=\n## {short}\n\n{body}"


def entry(name: str, thing: Any, kind: str, link: Link) -> str:
    """Signature and docstring. Types stand in the list of parameters; where there is none, in the signature."""
    doc = inspect.getdoc(thing)
    told = docstrings.sections(doc)
    described = docstrings.described(doc, link, defaults=_defaults(thing, kind))
    if kind == "class" and not {"Parameters", "Attributes"} & set(told) and (own := _fields(thing)):
        described += '\n<p class="rubric">Parameters</p>\n'
        described += docstrings.fields("Parameters", own, link, _defaults(thing, kind))
        told["Parameters"] = ""
    return docstrings.signature(thing, name, kind, annotated="Parameters" not in told) + "\n" + described


def _defaults(thing: Any, kind: str) -> dict[str, Any]:
    if kind in ("property", "exception"):
        return {}
    parameters = inspect.signature(thing).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _fields(cls: type) -> list[tuple[str, str, str]]:
    """Name, type and meaning of the fields of a class of data, where they are said."""
    names = [f.name for f in fields(cls) if f.init] if is_dataclass(cls) else getattr(cls, "_fields", ())
    types = {name: getattr(kind, "__forward_arg__", kind) for name, kind in cls.__annotations__.items()}
    own = [(name, str(types[name]).replace("*", r"\*"), meaning(cls, name)) for name in names]
    return own if any(said for _, _, said in own) else []


def member(page: str, name: str, of: str) -> str:
    """A method or property of a class."""
    held = inspect.getattr_static(find(name), of)
    kind = {property: "property", classmethod: "classmethod", staticmethod: "staticmethod"}.get(type(held), "")
    shown = entry(of, getattr(find(name), of), kind, linker(page, name))
    return f'<div class="member" id="{make_id(f"{name}.{of}")}">\n{shown}\n</div>'


def inherited(page: str, name: str, members: list[str]) -> list[str]:
    """Where the methods are described that a class has of another one."""
    out, link = [], linker(page, name)
    for base in _ours(find(name).__mro__[1:] if inspect.isclass(find(name)) else ()):
        whole = f"{base.__module__}.{base.__qualname__}"
        more = [m for m in _VERBS if f"{whole}.{m}" in addresses() and m not in members]
        if link(whole) and more:
            named = ", ".join(f'<a href="{link(f"{whole}.{m}")}">{code(m)}</a>' for m in more)
            called = f'<a href="{link(whole)}">{code(base.__name__)}</a>'
            out.append(f'<p class="inherited">Also has, of {called}: {named}.</p>')
    return out


# ---------------------------------------------------------------------------------------------- settings


@cache
def provenance() -> dict[tuple[str, str], dict[str, str]]:
    """Where the values of settings come from, by model and setting."""
    with PROVENANCE.open(newline="", encoding="utf-8") as file:
        return {(row["model"], row["setting"]): row for row in csv.DictReader(file)}


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


def settings(model: str) -> str:
    """The table of the settings of a model."""
    values = [column for column in ("default", "quick", "paper") if column in ("default", *MODELS[model][1])]
    head = "".join(f"<th>{column}</th>" for column in ("setting", "meaning", *values, "provenance"))
    rows = []
    for row in settings_of(model):
        cells = [code(row["setting"]), escape(row["meaning"], quote=False), *(code(row[value]) for value in values)]
        source = f" · {escape(row['source'], quote=False)}" if row["source"] else ""
        cells.append(f"<strong>{row['provenance']}</strong>{source}")
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>"
    return raw(f'<div class="pst-scrollable-table-container"><table class="table settings">\n{body}\n</table></div>')


# ---------------------------------------------------------------------------------------------- commands


def help_of(words: Iterable[str]) -> str:
    """What ``gexcore WORDS --help`` prints on a terminal of 88 columns."""
    printed = io.StringIO()
    terminal = patch.dict(os.environ, COLUMNS="88", NO_COLOR="1")
    with terminal, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        cli.main([*words, "--help"])
    return printed.getvalue()


# ------------------------------------------------------------------------------------------------- pages


def page(outline: Path) -> str:
    """A page of the book."""
    text = outline.read_text(encoding="utf-8")
    written_by = (
        f"% Written by book/reference_pages.py: change docstrings and outline/{outline.name}, and run it again.\n\n"
    )
    makers = {
        "objects": lambda argument, body: objects(outline.stem, body),
        "settings": lambda argument, body: settings(argument),
        "command": lambda argument, body: f"```none\n{help_of(argument.split()).rstrip()}\n```",
    }
    return written_by + _BLOCK.sub(lambda block: makers[block[1]](block[2], block[3]), text)


if __name__ == "__main__":
    for outline in sorted(OUTLINE.glob("*.md")):
        (FOLDER / outline.name).write_text(page(outline), encoding="utf-8")

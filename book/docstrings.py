"""From numpydoc docstrings to html: sections, lists of parameters, examples in colour, links between names."""

import inspect
import re
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.parsers.rst import Parser, roles
from docutils.utils import new_document
from docutils.writers import html5_polyglot
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

Link = Callable[[str], str | None]  # the address of a name, if it has one

_LISTS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Warns")
_ROLES = ("attr", "class", "data", "func", "meth", "mod")
_WIDTH = 84  # of a signature in one line


def written(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, str):
        return '"' + value.replace('"', '\\"') + '"'
    return getattr(value, "__qualname__", None) or repr(value)


# ------------------------------------------------------------------------------------------------- text


class _Translator(html5_polyglot.HTMLTranslator):
    """What docutils writes, with code as the pages of the book have it."""

    def visit_literal(self, node):
        self.body.append(f'<code class="literal">{escape(node.astext(), quote=False)}</code>')
        raise nodes.SkipNode

    def visit_literal_block(self, node):
        self.body.append(code(node.astext(), "text"))
        raise nodes.SkipNode

    def visit_doctest_block(self, node):
        self.body.append(code(node.astext(), "pycon"))
        raise nodes.SkipNode


_PARSER = Parser()
_SETTINGS = get_default_settings(Parser, html5_polyglot.Writer)
_SETTINGS.halt_level, _SETTINGS.warning_stream = 1, False  # what docutils remarks is an error, and said once


def code(text: str, language: str) -> str:
    """Code in colour, in the boxes that give it a button to copy it."""
    return (
        f'<div class="highlight-{language} notranslate"><div class="highlight"><pre>'
        f"{highlight(text, get_lexer_by_name(language), HtmlFormatter(nowrap=True)).rstrip()}</pre></div></div>"
    )


def html(text: str, link: Link) -> str:
    """A piece of reStructuredText; what it warns of is an error."""

    def reference(role, rawtext, content, lineno, inliner, options=None, content_list=None):
        title, _, target = content.rpartition("<")
        target = target.rstrip(">")
        shown = title.strip() or (target.rpartition(".")[2] if target.startswith("~") else target)
        shown = shown.removeprefix("gexcore.") + ("()" if role in ("func", "meth") else "")
        address = link(target.lstrip("~"))
        name = nodes.literal(rawtext, shown)
        return [nodes.reference("", "", name, refuri=address) if address else name], []

    for role in _ROLES:
        roles.register_local_role(role, reference)
    document = new_document("docstring", _SETTINGS)
    _PARSER.parse(text, document)
    translator = _Translator(document)
    document.walkabout(translator)
    return "".join(translator.fragment).replace(' class="reference external"', "").strip()


def inline(text: str, link: Link) -> str:
    """One line of it, without its paragraph."""
    return re.sub(r"^<p>|</p>$", "", html(text, link)) if text else ""


# -------------------------------------------------------------------------------------------- signature


def signature(thing: Any, name: str, kind: str = "", *, annotated: bool = False) -> str:
    """Name and parameters, in one line if they fit, otherwise one parameter a line."""
    front = f'<span class="kind">{kind}</span> ' if kind else ""
    path, dot, last = name.rpartition(".")
    front += f"{path}{dot}<b>{last}</b>"
    if kind in ("property", "exception"):
        return f'<pre class="signature">{front}</pre>'
    found = inspect.signature(thing)
    parameters = [p for p in found.parameters.values() if p.name not in ("self", "cls")]
    parts, starred = [], False
    for p in parameters:
        if p.kind == p.KEYWORD_ONLY and not starred:
            parts.append("*")
        starred = starred or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        parts.append(_parameter(p, annotated=annotated))
    back = ""
    if annotated and found.return_annotation not in (inspect.Signature.empty, None, "None"):
        back = f' <span class="aside">-&gt; {_type(found.return_annotation)}</span>'
    plain = re.sub(r"<[^>]*>", "", front + ", ".join(parts) + back)
    many = len(plain.replace("&gt;", ">").replace("&quot;", '"')) > _WIDTH
    body = "".join(f"\n    {part}," for part in parts) + "\n" if many else ", ".join(parts)
    return f'<pre class="signature">{front}({body}){back}</pre>'


def _type(annotation: Any) -> str:
    return escape(annotation if isinstance(annotation, str) else inspect.formatannotation(annotation), quote=False)


def _parameter(p: inspect.Parameter, *, annotated: bool) -> str:
    stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
    is_typed = annotated and p.annotation is not p.empty
    text = f"{stars}{p.name}" + (f'<span class="aside">: {_type(p.annotation)}</span>' if is_typed else "")
    if p.default is p.empty:
        return text
    sign = " = " if is_typed else "="
    return f'{text}<span class="aside">{sign}{escape(written(p.default), quote=False)}</span>'


# --------------------------------------------------------------------------------------------- sections


def sections(doc: str) -> dict[str, str]:
    """The opening, under no name, and every section of a docstring under its own."""
    opening, *rest = re.split(r"^([A-Z][a-zA-Z ]+)\n-{3,}$", doc, flags=re.MULTILINE)
    return {"": opening.strip(), **dict(zip(rest[::2], map(str.strip, rest[1::2]), strict=True))}


def summary(doc: str) -> str:
    """The first sentence."""
    first = " ".join(doc.split("\n\n")[0].split())
    return re.split(r"(?<=[.])\s+(?=[A-Z`:])", first)[0]


def items(text: str) -> list[tuple[str, str, str]]:
    """Name, type and description of every entry of a list of parameters."""
    entries = re.findall(r"^(\S.*)\n?((?:(?:[ ].*)?(?:\n|\Z))*)", text, flags=re.MULTILINE)
    return [
        (name.strip(), kind.strip(), inspect.cleandoc("\n" + body))
        for head, body in entries
        for name, _, kind in [head.partition(" : ")]
    ]


def described(doc: str, link: Link, *, defaults: dict[str, Any] | None = None, level: str = "p") -> str:
    """The whole of a docstring; parameters that do not say so themselves are given their defaults."""
    out = []
    for title, text in sections(doc).items():
        if title:
            out.append(f'<{level} class="rubric">{title}</{level}>')
        out.append(fields(title, items(text), link, defaults or {}) if title in _LISTS else html(text, link))
    return "\n".join(out)


def fields(title: str, entries: Iterable[tuple[str, str, str]], link: Link, defaults: dict[str, Any]) -> str:
    """A list of parameters, of what is returned or of what is raised."""
    rows = []
    for name, kind, body in entries:
        is_value = title in ("Returns", "Yields") and not kind
        aside = [inline(kind, link)] if kind else []
        default = defaults.get(name)
        if title == "Parameters" and name in defaults and not (default is None and "optional" in kind):
            aside.append(f'default <code class="literal">{escape(written(default), quote=False)}</code>')
        term = inline(name, link) if is_value else f'<code class="literal">{escape(name, quote=False)}</code>'
        term += f' <span class="aside">{", ".join(aside)}</span>' if aside else ""
        rows.append(f"<dt>{term}</dt><dd>{html(body, link)}</dd>")
    return '<dl class="fields">\n' + "\n".join(rows) + "\n</dl>"

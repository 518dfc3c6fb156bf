"""The boxes of all chapters in one table: what one can do after a chapter, its exercises, and what to try.

``{boxes}`` reads the sources of the pages in the order of ``_toc.yml``, so that nothing is listed by hand.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

BOX = re.compile(r"^:{3,}\{admonition\} [^\n]+\n:class: (?P<kind>\w+)\n(?P<body>.*?)^:{3,}$", re.MULTILINE | re.DOTALL)
DOC = re.compile(r"(\{doc\}`(?:[^`<]*<)?+)(?!/)")  # what stands before the name of a page beside the one it is said on


def setup(app):
    """Teach Sphinx the table."""
    app.add_directive("boxes", Boxes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


@dataclass
class Chapter:
    """A page with goals: its document, title, goals as Markdown, exercises by their first sentence, boxes to try."""

    page: str
    title: str
    goals: list[str]
    exercises: list[str]
    tries: int


def source_of(page):
    """Where a page is written: notebooks are, beside the file that is shown, as Python."""
    return page.with_suffix(".py" if page.with_suffix(".py").exists() else ".md")


def read_chapter(page, text):
    """What stands in the boxes of a source, .md or .py, or None where it has no goals."""
    text = re.sub(r"^# ?", "", text, flags=re.MULTILINE) if text.startswith("# %%") else text
    found = [(box["kind"], box["body"]) for box in BOX.finditer(text)]
    listed = next((body for kind, body in found if kind == "goals"), None)
    if listed is None:
        return None
    goals = [" ".join(goal.split()) for goal in re.split(r"^- ", listed, flags=re.MULTILINE)[1:]]
    asked = [" ".join(body.split()) for kind, body in found if kind == "exercise"]
    first = [re.split(r"(?<=[.?!]) ", body, maxsplit=1)[0] for body in asked]
    title = re.search(r"^# (.+)$", text, re.MULTILINE)[1]
    return Chapter(page, title, goals, first, sum(kind == "try" for kind, _ in found))


def chapters(book):
    """Those that have goals, in the order of the table of contents."""
    parts = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    for page in [chapter["file"] for part in parts for chapter in part["chapters"]]:
        source = source_of(book / page)
        if source.exists() and (chapter := read_chapter(page, source.read_text(encoding="utf-8"))):
            yield chapter


class Boxes(SphinxDirective):
    """A table of all chapters with goals."""

    def run(self):
        book = Path(self.env.srcdir)
        self.env.note_dependency("_toc.yml")
        body = nodes.tbody()
        for chapter in chapters(book):
            if chapter.page == self.env.docname:
                continue
            self.env.note_dependency(str(source_of(book / chapter.page)))
            body += self.row(chapter)
        widths = (26, 44, 30)
        group = nodes.tgroup(cols=len(widths))
        group += [nodes.colspec(colwidth=width) for width in widths]
        head = nodes.row()
        head += [nodes.entry("", nodes.paragraph(text=words)) for words in ("chapter", "after it you can", "exercises")]
        group += [nodes.thead("", head), body]
        return [nodes.table("", group, classes=["boxes"])]

    def row(self, chapter):
        exercises = [f"- {words}" for words in chapter.exercises] + ["- Try it"] * bool(chapter.tries)
        folder = chapter.page.rpartition("/")[0] + "/" if "/" in chapter.page else ""
        made = nodes.row()
        for text in ([f"{{doc}}`/{chapter.page}`"], [f"- {goal}" for goal in chapter.goals], exercises):
            entry = nodes.entry()
            text = [DOC.sub(rf"\1/{folder}", line) for line in text]
            self.state.nested_parse(StringList(text, source=chapter.page), 0, entry)
            made += entry
        return made

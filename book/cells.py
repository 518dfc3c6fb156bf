"""Cells of notebooks that can be cited, numbers that lead to the cell that made them, captions of figures.

Every code cell gets the name ``cell-07``, after its number in the notebook, and its figures the name ``figure-07``. A
number that text shows with ``{glue:text}`` links to the cell that glued it.
``{cell}`words <notebooks/03_predict_survival: c_index.mean()>``` links to the one cell whose code holds what stands
behind the colon, so that a link outlives cells that come and go. The directive ``caption`` gives words to the figures
of the cell before it.
"""

import json
from functools import cache
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from myst_nb.ext.glue.roles import PasteTextRole
from myst_nb.ext.glue.utils import PendingGlueReference
from sphinx.addnodes import pending_xref
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole, SphinxDirective
from sphinx.util.nodes import make_refnode

LOGGER = logging.getLogger(__name__)
NAME = "cell-{:02d}"


def setup(app):
    """Teach Sphinx the above; myst-nb has to be there to be taught."""
    app.setup_extension("myst_nb")
    app.add_directive("caption", Caption)
    app.add_role("cell", CellRole())
    app.add_role_to_domain("glue", "text", NumberRole(), override=True)
    app.add_transform(NameCells)
    app.add_post_transform(MarkCells)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def rendered_cells(tree):
    """The code cells of a page that readers see, in their order."""
    return [cell for cell in tree.findall(nodes.container) if cell.get("nb_element") == "cell_code"]


class NameCells(SphinxTransform):
    """Names that addresses can end with; links of Markdown know them as well."""

    default_priority = 400

    def apply(self):
        for cell in rendered_cells(self.document):
            name = NAME.format(cell["cell_index"])
            cell["ids"].append(name)
            slugs = self.env.metadata[self.env.docname].setdefault("myst_slugs", {})
            slugs[name] = (cell.line, name, f"cell {cell['cell_index']}")


class MarkCells(SphinxPostTransform):
    """A mark beside each cell that shows its address, as headings have one."""

    default_priority = 250  # after myst-nb has folded what is to be folded
    formats = ("html",)

    def run(self):
        for cell in rendered_cells(self.document):
            said = f"Link to cell {cell['cell_index']}"
            link = f'<a class="cell-link" href="#{cell["ids"][0]}" title="{said}" aria-label="{said}">#</a>'
            cell.append(nodes.raw("", link, format="html"))


# ------------------------------------------------------------------------------------------------- links


@cache
def code_cells(path):
    """By its number each code cell of a notebook: its code, and the names under which it glued something."""
    return {
        number: (
            "".join(cell["source"]),
            {out["metadata"]["scrapbook"]["name"] for out in cell["outputs"] if "scrapbook" in out.get("metadata", {})},
        )
        for number, cell in enumerate(json.loads(Path(path).read_text(encoding="utf-8"))["cells"])
        if cell["cell_type"] == "code" and not {"remove-cell", "remove_cell"} & set(cell["metadata"].get("tags", []))
    }


def link(env, page, accepts, content, *, title=""):
    """Words that will lead to the one cell of a notebook which is accepted, or None where not one is."""
    path = env.doc2path(page)
    if not path.endswith(".ipynb") or not Path(path).exists():
        return None
    env.note_dependency(path)
    found = [number for number, cell in code_cells(path).items() if accepts(*cell)]
    if len(found) != 1:
        return None
    about = {"refdomain": "", "refdoc": env.docname, "reftype": "cell", "refexplicit": True}
    return pending_xref("", content, reftarget=page, refid=NAME.format(found[0]), reftitle=title, **about)


def resolve(app, env, node, content):
    """The link itself, once it is known where pages lie."""
    if node["reftype"] != "cell":
        return None
    made = make_refnode(app.builder, node["refdoc"], node["reftarget"], node["refid"], content, node["reftitle"])
    made["classes"] += node["classes"]
    return made


class NumberRole(PasteTextRole):
    """``{glue:text}`` as myst-nb has it, leading to the cell that glued the number."""

    def run(self):
        made, messages = super().run()
        if not made:
            return made, messages
        (number,), env = made, self.document.settings.env
        page, key = env.docname, self.text.rsplit(":", 1)[0]
        if isinstance(number, PendingGlueReference):
            page, key = number.refdoc, number.key
        linked = link(env, page, lambda code, glued: key in glued, number, title="made by this cell")
        if linked is None:
            said = "no cell that readers see glues %r: give its cell the tag hide-input instead of remove-cell"
            LOGGER.warning(said, key, location=(env.docname, self.line))
            return made, messages
        linked["classes"].append("number")
        self.set_source_info(linked)
        return [linked], messages


class CellRole(ReferenceRole):
    """A link to the one cell of a notebook that holds some code."""

    def run(self):
        name, _, code = (part.strip() for part in self.target.partition(":"))
        page = self.env.path2doc(self.env.relfn2path(name, self.env.docname)[1]) or name
        content = nodes.inline(self.title, self.title) if self.has_explicit_title else nodes.literal(code, code)
        linked = link(self.env, page, lambda source, glued: code in source, content)
        if linked is None:
            LOGGER.warning("not one cell of %s holds %r", page, code, location=self.get_location())
            return [content], []
        self.set_source_info(linked)
        return [linked], []


# ---------------------------------------------------------------------------------------------- captions


class Caption(SphinxDirective):
    """What the figures of the cell before it show: for those who see them, and in ``alt`` for those who do not."""

    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self):
        before = self.state_machine.node.children[-1:]
        pictures = [picture for cell in before for picture in shown_images(cell)]
        if not pictures or not self.options.get("alt") or not self.content:
            said = "a caption needs words, :alt: and before it a code cell that shows a figure"
            LOGGER.warning(said, location=self.get_location())
            return []
        words = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, words)
        figure = nodes.figure(classes=["cell-figure"], ids=[f"figure-{before[0]['cell_index']:02d}"])
        self.set_source_info(figure)
        pictures[0].parent.replace(pictures[0], figure)
        for picture in pictures[1:]:
            picture.parent.remove(picture)
        first, *others = words.children
        figure += [*pictures, nodes.caption("", "", *first.children)]
        if others:
            figure += nodes.legend("", *others)
        for number, image in enumerate(figure.findall(nodes.image)):
            image["alt"] = "" if number else self.options["alt"]  # said once for all
        return []


def shown_images(cell):
    """What a cell shows that can be an image; each thing is there in all its formats, of which myst-nb will choose."""
    bundles = [part for part in cell.findall(nodes.container) if part.get("nb_element") == "mime_bundle"]
    return [bundle for bundle in bundles if any(True for _ in bundle.findall(nodes.image))]

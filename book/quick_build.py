"""A quicker build: what libraries would look up again for every page or citation is looked up once."""

import functools
import gc
import os

import pybtex.plugin
from sphinx import addnodes
from sphinx.search.en import SearchEnglish


def setup(app):
    """Nothing of this changes a page."""
    gc.freeze()  # the libraries stay: to look through them for garbage at the usual rate costs more than it frees
    gc.set_threshold(50_000, 20, 20)
    pybtex.plugin.entry_points = functools.cache(pybtex.plugin.entry_points)  # else read from all packages a citation
    SearchEnglish.stem = functools.cache(SearchEnglish.stem)
    app.parallel = 2 * min(os.cpu_count() or 1, 4)  # more portions than cores, since pages differ in size
    app.connect("builder-inited", _vouch_for_the_silent)
    app.connect("write-started", _list_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _vouch_for_the_silent(app):
    """Pages are read side by side if every extension says they may be; those that say nothing touch no other page."""
    for extension in app.extensions.values():
        if extension.parallel_read_safe is None:
            extension.parallel_read_safe = True


def _list_pages(app, builder):
    """For the side bar, captions of parts and page to title in each: the theme would make it anew for every page."""
    env = builder.env
    app.config.html_context["side_bar"] = [
        (part["caption"], {page: _numbered(env, page) for _, page in part["entries"]})
        for part in env.get_doctree(app.config.root_doc).findall(addnodes.toctree)
    ]


def _numbered(env, page):
    number = env.toc_secnumbers.get(page, {}).get("", ())
    return " ".join([*(f"{n}." for n in number), env.titles[page].astext()])

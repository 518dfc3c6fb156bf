"""A quicker build: what libraries would look up again for every page or citation is looked up once."""

import functools
import gc
import os
from collections import defaultdict
from unittest.mock import patch

import pybtex.plugin
from sphinx.search.en import SearchEnglish


def setup(app):
    """Nothing of this changes a page."""
    gc.freeze()  # the libraries stay: to look through them for garbage at the usual rate costs more than it frees
    gc.set_threshold(50_000, 20, 20)
    pybtex.plugin.entry_points = functools.cache(pybtex.plugin.entry_points)  # else read from all packages a citation
    SearchEnglish.stem = functools.cache(SearchEnglish.stem)
    app.parallel = min(os.cpu_count() or 1, 4)
    app.connect("builder-inited", _vouch_for_the_silent)
    app.connect("html-page-context", _list_titles_alone, priority=1)  # before the theme draws the side bar
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _vouch_for_the_silent(app):
    """Pages are read side by side if every extension says they may be; those that say nothing touch no other page."""
    for extension in app.extensions.values():
        if extension.parallel_read_safe is None:
            extension.parallel_read_safe = True


def _list_titles_alone(app, pagename, templatename, context, doctree):
    """The side bar shows titles of pages: Sphinx need not copy the headings in all of them first, once a page."""
    whole = context["toctree"]

    def toctree(**options):
        with patch.object(app.env, "metadata", defaultdict(lambda: {"tocdepth": 1})):
            return whole(**options)

    context["toctree"] = toctree

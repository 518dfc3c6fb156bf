"""Formulas without a network: MathJax as it lies in the package sphinx-mathjax-offline."""


def setup(app):
    """Load that extension, but let MathJax draw: its fonts are files, which browsers refuse to pages from disk."""
    app.setup_extension("sphinx-mathjax-offline")
    app.config.mathjax_path = "mathjax/tex-svg.js"
    return {"parallel_read_safe": True, "parallel_write_safe": True}

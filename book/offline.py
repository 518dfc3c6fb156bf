"""Pages that need no network: MathJax as the package sphinx-mathjax-offline has it, and no kernels from elsewhere."""


def setup(app):
    """Load that extension, but let MathJax draw: its fonts are files, which browsers refuse to pages from disk."""
    app.setup_extension("sphinx-mathjax-offline")
    app.config.mathjax_path = "mathjax/tex-svg.js"
    app.connect("html-page-context", _leave_kernels_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _leave_kernels_out(app, pagename, templatename, context, doctree):
    """Jupyter Book brings sphinx-thebe: unused here, and its constants, declared twice, are an error in every page."""
    for files in ("script_files", "css_files"):
        context[files] = [
            file
            for file in context[files]
            if "thebe" not in f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', {}).get('body')}"
        ]

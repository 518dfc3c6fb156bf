"""One self-contained html page: headings, sentences, lists, tables and figures; nothing in it is fetched from anywhere.

What comes from a user's file (names of genes, classes, columns, files) is text, whatever signs it holds.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import jinja2
import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..plots import use_theme

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    texts: Sequence[str]
    kind: ClassVar[str] = "points"


@dataclass(frozen=True)
class Table:
    """A table of texts and numbers; its index is the first column, under the name of the index."""

    table: pd.DataFrame
    caption: str = ""
    digits: int = 3
    kind: ClassVar[str] = "table"

    def corner(self) -> str:
        return str(self.table.index.name or "")

    def header(self) -> list[tuple[str, bool]]:
        """Name of every column, and whether it holds numbers."""
        return [(str(name), pd.api.types.is_numeric_dtype(dtype)) for name, dtype in self.table.dtypes.items()]

    def rows(self) -> list[tuple[str, list[tuple[str, bool]]]]:
        """Name of every row, and its cells: text, and whether it is a number."""
        numeric = [is_number for _, is_number in self.header()]
        return [
            (str(name), [(self._shown(value), is_number) for value, is_number in zip(cells, numeric, strict=True)])
            for name, *cells in self.table.itertuples()
        ]

    def _shown(self, value: Any) -> str:
        if pd.isna(value):
            return ""
        if isinstance(value, float):
            return f"{value:,.0f}" if value.is_integer() and abs(value) >= 10 else number(value, self.digits)
        return f"{value:,}" if isinstance(value, int) else str(value)


@dataclass(frozen=True)
class Picture:
    """A figure, as :func:`picture` draws it."""

    data: str
    alt: str
    caption: str
    kind: ClassVar[str] = "picture"


Block = Text | Points | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def picture(
    draw: Callable[[Axes], Any], *, alt: str, caption: str = "", size: tuple[float, float] = (5.6, 3.6)
) -> Picture:
    """Draw a figure into the page.

    Parameters
    ----------
    draw : callable
        ``draw(ax)`` draws on given axes, as every function of :mod:`gexcore.plots` does.
    alt : str
        What the figure shows, for those who do not see it.
    caption : str
        The line below it.
    size : tuple of float
        Width and height in inches.
    """
    with mpl.rc_context():
        use_theme()
        mpl.rcParams.update({"text.parse_math": False, "svg.hashsalt": "gexcore"})  # a gene may be called "$x$"
        with warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", "Glyph .* missing from font")
            content = _drawn(draw, size)
        if caught:  # the reader's browser has fonts for more scripts than are at hand here
            mpl.rcParams["svg.fonttype"] = "none"
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph .* missing from font")
                content = _drawn(draw, size)
    return Picture(f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}", alt, caption)


def _drawn(draw: Callable[[Axes], Any], size: tuple[float, float]) -> bytes:
    figure, content = Figure(figsize=size), io.BytesIO()
    draw(figure.subplots())
    figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def number(value: float, digits: int = 3) -> str:
    """``0.724``; three figures where so many digits would show nothing (``1.25e-05``), or far too many."""
    return f"{value:.{digits}f}" if value == 0 or 10**-digits <= abs(value) < 1e6 else f"{value:.3g}"


def page(title: str, summary: str, sections: Sequence[Section], *, footer: str = "") -> str:
    """The html of a page.

    Parameters
    ----------
    title, summary : str
        The heading, and the answer in a sentence or two.
    sections : sequence of Section
    footer : str
        The last line.

    Examples
    --------
    >>> html = page("Report", "All is well.", [Section("Genes", [Points(["<b>", "TP53"])])])
    >>> "<li>&lt;b&gt;</li>" in html
    True
    """
    template = _TEMPLATES.get_template("page.html.jinja")
    return template.render(title=title, summary=summary, sections=sections, footer=footer)

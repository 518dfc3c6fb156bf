"""Tables as users bring them, drawn by hypothesis: names and cells of every kind, plain files and damaged ones."""

import datetime
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from hypothesis import strategies as st

# No n or x among free letters, so that no name reads as what check_refusal takes for the words of a library.
_LETTERS = st.characters(codec="utf-8", exclude_characters="\0nNxX")
TEXT_NAMES = st.one_of(
    st.sampled_from(
        ["p1", "p2", "p3", "P1", " p1 ", "007", "7", "7.0", "é", "名", "NA", "a,b", "a\nb", '"', "", " ", "#"]
    ),
    st.sampled_from(["TP53", "MYC", "EGFR", "G1", "G2", "G1.1", "1-Mar", "37316", "7157", "ENSG00000141510.16"]),
    st.text(_LETTERS, max_size=4),
    st.sampled_from(["p" * 500, "TCGA-A1-A0SB-01"]),
)
NAMES = st.one_of(
    TEXT_NAMES, st.integers(-2, 12), st.sampled_from([7.0, 1.5, np.nan, None, True, (1, 2), pd.Timestamp("2019-03-01")])
)
NUMBERS = st.one_of(
    st.integers(-3, 12).map(float),
    st.floats(-20, 20),
    st.floats(0, 5000, width=32),
    st.sampled_from([np.nan, -0.0, 1e-300, 3e38]),
)
_WORDS = [
    "",
    " ",
    "NA",
    "low",
    "n.d.",
    "#REF!",
    "1,5",
    "1.5 ",
    "1e3",
    "-0",
    "0b1",
    "1_0",
    "inf",
    "2019-03-04",
    "é",
    "True",
]
WORDS = st.sampled_from([*_WORDS, "a\nb", "w" * 500, "½", "٣", "1/2"])
_OBJECTS = [np.inf, -np.inf, 1e39, 1e300, 10**400, 2**70, None, pd.NA, pd.NaT, True, 1 + 2j, b"1", (1, 2), [1]]
CELLS = st.one_of(WORDS, st.sampled_from([*_OBJECTS, datetime.date(2019, 3, 4), pd.Timedelta("1D"), pd.Timestamp(0)]))


@dataclass(frozen=True)
class Brought:
    """What somebody passes to read_cohort: ``table`` is samples x genes, however it is then written."""

    table: pd.DataFrame
    clinical: pd.DataFrame | None
    options: dict = field(default_factory=dict)


def _names(n: int, letter: str, odd: st.SearchStrategy) -> st.SearchStrategy:
    numbers = st.lists(st.integers(0, 99), min_size=n, max_size=n, unique=True)
    plain = numbers.map(lambda drawn: [f"{letter}{i:02d}" for i in drawn])
    repeated = st.lists(st.sampled_from([f"{letter}1", f"{letter}2"]), min_size=n, max_size=n)
    digits = numbers.map(lambda drawn: [f"{i:03d}" for i in drawn])
    return st.one_of(plain, plain, plain, digits, numbers, repeated, st.lists(odd, min_size=n, max_size=n))


@st.composite
def brought(draw: st.DrawFn, *, names: st.SearchStrategy = NAMES, cells: st.SearchStrategy | None = CELLS) -> Brought:
    """Any table with any clinical table and options; most are right but for a name or a few cells."""
    n, g = draw(st.integers(0, 6)) or 4, draw(st.integers(0, 5)) or 3
    x = draw(st.lists(st.lists(NUMBERS, min_size=g, max_size=g), min_size=n, max_size=n))
    samples, genes = draw(_names(n, "p", names)), draw(_names(g, "G", names))
    columns = [pd.Series([row[j] for row in x]) for j in range(g)]
    if cells is not None:
        for j, i, cell in draw(st.lists(st.tuples(st.integers(0, g - 1), st.integers(0, n - 1), cells), max_size=2)):
            columns[j] = columns[j].astype(object)
            columns[j][i] = cell
        if draw(st.integers(0, 9)) == 0:
            kind = draw(
                st.sampled_from(["Float64", "boolean", "category", "string", "datetime64[s]", "complex", "Int8"])
            )
            columns[0] = pd.Series([1, 0, 1, 0, 1, 0][:n]).astype("string" if kind == "string" else kind)
    table = pd.concat(columns, axis=1)
    table.index, table.columns = _index(samples), _index(genes)
    table = table.iloc[: draw(st.sampled_from([n, n, n, n, n, n, 0])), : draw(st.sampled_from([g, g, g, g, g, g, 0]))]
    options = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "log2": st.booleans(),
                "duplicate_genes": st.sampled_from(["error", "mean", "max_variance", "first", "sum"]),
            },
        )
    )
    return Brought(table, draw(st.none() | _clinical(samples, names, cells)), options)


@st.composite
def _clinical(
    draw: st.DrawFn, samples: list, names: st.SearchStrategy, cells: st.SearchStrategy | None
) -> pd.DataFrame:
    some = draw(st.lists(st.sampled_from(samples), unique_by=str) if draw(st.booleans()) else st.just(samples))
    ids = draw(st.permutations(some + draw(st.lists(names, max_size=1))))
    values = st.one_of(NUMBERS, st.sampled_from(["I", "II", "", "007"]) if cells is None else cells)
    columns = draw(st.lists(st.sampled_from(["age", "stage", "os_time", " "]), max_size=2, unique=draw(st.booleans())))
    rows = draw(st.lists(st.lists(values, min_size=len(columns), max_size=len(columns)), min_size=len(ids)))
    table = pd.DataFrame(rows[: len(ids)], columns=columns, dtype=object)
    table.index = _index(ids)
    plain = not any(isinstance(cell, int) and abs(cell) > 2**62 for row in rows for cell in row)  # as pandas asks
    return table.infer_objects() if plain and draw(st.booleans()) else table


def _index(names: list) -> pd.Index:
    """Names as they are: tuples would make an index of several levels."""
    return pd.Index(
        names, tupleize_cols=False, dtype=object if any(isinstance(name, tuple) for name in names) else None
    )


@st.composite
def damaged(draw: st.DrawFn, *contents: bytes) -> bytes:
    """Any bytes, or one of the contents with bytes flipped, cut out, doubled or put in."""
    content = bytearray(draw(st.sampled_from([b"", *contents])) or draw(st.binary(max_size=300)))
    for _ in range(draw(st.integers(0, 3))):
        i, j = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        how = draw(st.sampled_from(["flip", "cut", "end", "double", "put"]))
        if how == "flip" and i < len(content):
            content[i] ^= draw(st.integers(1, 255))
        elif how == "cut":
            del content[i:j]
        elif how == "end":
            del content[j:]
        elif how == "double":
            content[j:j] = content[i:j]
        elif how == "put":
            content[i:i] = draw(
                st.sampled_from([b",", b"\t", b'"', b"\n", b"\0", b"\r", b";", b"\xff", b"nope", b"-1", b"{"])
            )
    return bytes(content)

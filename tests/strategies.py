"""What is legal, its corners included: one hypothesis strategy per type of data.

Values are drawn from a small pool, so that ties are everywhere, and survival is all censored, all events, one event or
mixed. Shapes: N samples.
"""

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

FLOAT32 = float(np.finfo("float32").max)


def times(longest=1e9):
    """Follow-up: zero, or from 1e-9 of whatever unit."""
    return st.one_of(st.just(0.0), st.integers(1, 9).map(float), st.floats(1e-9, longest))


def numbers(largest=1e9, least=1e-9):
    """Zero, or a number of either sign between two sizes."""
    return st.one_of(
        st.just(0.0), st.integers(-9, 9).map(float), st.floats(least, largest), st.floats(-largest, -least)
    )


def arrays(dtype, shape, elements):
    """Every entry drawn by itself, where hypothesis would draw a few and fill the rest with one value."""
    return npst.arrays(dtype, shape, elements=elements, fill=st.nothing())


def tied(elements, n):
    """(N,) numbers from a pool of at most four."""
    pools = st.lists(elements, min_size=1, max_size=4)
    return pools.flatmap(lambda pool: arrays("float64", n, st.sampled_from(pool)))


def events(n):
    """(N,) with 1 = event."""
    one = st.integers(0, max(n - 1, 0)).map(lambda i: (np.arange(n) == i).astype(float))
    mixed = arrays("float64", n, st.sampled_from([0.0, 1.0]))
    return st.one_of(mixed, mixed, one, st.just(np.zeros(n)), st.just(np.ones(n)))


@st.composite
def survival(draw, *, min_size=1, max_size=8, longest=1e9):
    """Time and event, (N,) each."""
    n = draw(st.integers(min_size, max_size))
    return draw(tied(times(longest), n)), draw(events(n))


@st.composite
def classes(draw, *, min_size=4, max_size=8):
    """(N,) labels of two to N / 2 classes, each of one sample or more, as text."""
    n = draw(st.integers(min_size, max_size))
    names = [f"c{i}" for i in range(draw(st.integers(2, n // 2)))]
    more = draw(st.lists(st.sampled_from(names), min_size=n - len(names), max_size=n - len(names)))
    return np.array(draw(st.permutations(names + more)), dtype=object)


@st.composite
def probabilities(draw, n, n_classes):
    """(N, C) rows that sum to one, certain ones and ties among them."""
    weights = draw(arrays("int64", (n, n_classes), st.integers(0, 3)))
    weights[weights.sum(axis=1) == 0] = 1
    return weights / weights.sum(axis=1, keepdims=True)


@st.composite
def curves(draw, n, grid):
    """(N, T) survival probabilities that start at one and never rise."""
    falls = draw(arrays("float64", (n, len(grid) - 1), st.sampled_from([0.0, 0.1, 0.5, 1.0])))
    return np.column_stack([np.ones(n), np.cumprod(1 - falls, axis=1)])


def known(n):
    """(N,) whether a sample has a label."""
    return st.one_of(st.just(np.ones(n, bool)), arrays("bool", n, st.booleans()))


def scores(*shape, largest=1e4):
    """What a network may say, float32: zeros, ties and extremes of either sign."""
    elements = st.one_of(
        st.sampled_from([0.0, 1.0, -largest, largest]),
        st.floats(-3.0, 3.0, width=32, allow_subnormal=False),
        st.floats(-np.float32(largest).item(), np.float32(largest).item(), width=32, allow_subnormal=False),
    )
    return arrays("float32", shape, elements.map(np.float32)).map(torch.from_numpy)

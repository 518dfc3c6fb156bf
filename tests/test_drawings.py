"""The drawings of the book: what stands in them is true, and they need nothing but themselves."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torchjd.aggregation import PCGrad

from gexcore.attention import ExpressionAttention, ExpressionTerm
from gexcore.txt import TxTSettings

STATIC = Path(__file__).resolve().parents[1] / "book" / "_static"
SVG = "{http://www.w3.org/2000/svg}"


def drawing(name):
    return ElementTree.parse(STATIC / f"{name}.svg").getroot()  # a file of this repository


def text_of(element):
    return " ".join("".join(element.itertext()).split())


def matrices(name, size):
    """Tables of size x size numbers in the order in which they are drawn."""
    groups = ([text_of(t) for t in g.findall(f"{SVG}text")] for g in drawing(name).iter(f"{SVG}g"))
    numbers = ([float(t) for t in texts] for texts in groups if all(re.fullmatch(r"[\d.]+", t) for t in texts))
    return [np.reshape(n, (size, size)) for n in numbers if len(n) == size * size]


def pairs(text):
    return [
        [float(n) for n in pair]
        for pair in re.findall(r"\((-?[\d.]+), (-?[\d.]+)\)", text.replace("\N{MINUS SIGN}", "-"))
    ]


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.svg")), ids=lambda path: path.stem)
def test_a_drawing_names_and_describes_itself_and_loads_nothing(path):
    root, source = ElementTree.parse(path).getroot(), path.read_text(encoding="utf-8")
    named = root.attrib["aria-labelledby"].split()
    assert [root.find(f"{SVG}{tag}").attrib["id"] for tag in ("title", "desc")] == named
    assert not re.search(r"<(image|script|foreignObject)|@import|@font-face|url\((?!#)|href=\"(?!#)", source)
    ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
    assert set(re.findall(r"(?:url\(#|href=\"#)([\w-]+)", source)) <= set(ids)


def test_the_worked_example_of_the_positional_term_is_what_attention_computes():
    texts = [text_of(t) for t in drawing("positional").iter(f"{SVG}text")]
    q, k = (torch.tensor([pairs(t)[0] for t in texts if t.startswith(f"{x} = (")]) for x in "qk")
    ((u, v),) = [torch.tensor(pairs(t)) for t in texts if t.startswith("u = (")]
    attention, term = ExpressionAttention(d_embed=3, d_model=2, n_heads=1), ExpressionTerm(d_model=2, n_heads=1)
    with torch.no_grad():  # gene vectors are one-hot, so that the projections hold queries and keys
        for layer, weight in ((attention.query, q.T), (attention.key, k.T), (term.query, u), (term.key, v)):
            layer.weight.copy_(weight.reshape(layer.weight.shape))
    bars = [float(t.text) for t in drawing("positional").iter(f"{SVG}text") if t.attrib.get("x") == "138"]
    drawn = matrices("positional", 3)
    assert len(drawn) == 8
    for patient in range(2):
        genes, level, score, weight = drawn[4 * patient : 4 * patient + 4]
        g = torch.tensor([bars[3 * patient : 3 * patient + 3]])
        assert np.allclose(genes, q @ k.T / 2)
        assert np.allclose(level, term().item() * np.outer(g, g), atol=1e-6)
        assert np.allclose(score, genes + level)
        computed = attention.weights(torch.eye(3)[None], g, term())[0, 0].detach()
        assert np.abs(weight - computed.numpy()).max() < 0.00501
        assert np.allclose(weight.sum(1), 1)


def test_the_column_that_is_added_gives_the_scores_of_the_other_drawing():
    query, key, score = matrices("folded", 3)
    assert np.allclose(query @ key / 2, score)
    assert np.allclose(score, matrices("positional", 3)[2])


def test_the_step_in_the_drawing_of_surgery_is_that_of_pcgrad():
    texts = [text_of(t) for t in drawing("surgery").iter(f"{SVG}text")]
    one, two, left_one, left_two, step = (torch.tensor(pairs(t)[0]) for t in texts if pairs(t))
    computed = PCGrad()(torch.stack([one, two]))
    assert (step - computed).abs().max() < 0.00501
    assert (left_one + left_two - computed).abs().max() < 0.0101
    assert abs(left_one @ two) < 0.01
    assert abs(left_two @ one) < 0.01
    for start, direction in (("times", computed), ("(of the plain sum", one + two)):
        (said,) = [re.findall(r"\d\.\d+", t) for t in texts if t.startswith(start)]
        assert [float(n) for n in said] == [round(float(direction @ g), 2) for g in (one, two)]


def test_the_sizes_in_the_drawing_of_txt_are_its_default_settings():
    s, texts = TxTSettings(), [text_of(t) for t in drawing("txt").iter(f"{SVG}text")]
    assert texts[-1].endswith(
        f"vectors of E = {s.d_model}, H = {s.n_heads} heads of width d = {s.d_model // s.n_heads}, "
        f"feed-forward {s.d_ff}, task heads {s.hidden[0]} and {s.hidden[1]}"
    )
    assert s.n_layers == 8
    assert any(t.startswith("eight, ") for t in texts)

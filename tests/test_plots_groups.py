"""Figures of two groups and of gene scores: points, bars, boxes and words against the tables they are drawn from."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from gexcore.interpret.enrichment import enriched_sets, told_apart
from gexcore.interpret.groups import compare_frequencies, compare_values
from gexcore.plots.groups import plot_areas, plot_boxes, plot_enrichment, plot_volcano

pytestmark = pytest.mark.usefixtures("canvas")
GENES = [f"GENE{i}" for i in range(200)]
IDS = [f"s{i}" for i in range(120)]


@pytest.fixture
def groups():
    return pd.Series(["low"] * 50 + ["high"] * 70, IDS)


@pytest.fixture
def frequencies(groups):
    """Twelve core genes of each group among 200; GENE0 and GENE1 are selected in the same samples."""
    rng = np.random.default_rng(0)
    chance = np.full((120, 200), 0.15)
    chance[:, :12], chance[:, 12:24] = (np.where(groups == g, 0.7, 0.05)[:, None] for g in ("high", "low"))
    selected = pd.DataFrame(rng.random((120, 200)) < chance, IDS, GENES)
    return compare_frequencies(selected.assign(GENE1=selected["GENE0"]), groups)


def points(ax):
    return np.concatenate([np.asarray(part.get_offsets()) for part in ax.collections])


# ----------------------------------------------------------------------------------------------- volcano


def test_every_gene_is_a_point_and_core_genes_have_the_colour_of_their_group(frequencies):
    _, (left, right) = plt.subplots(1, 2)
    assert plot_volcano(frequencies, names=("high", "low"), ax=left) is left
    assert not right.has_data()
    expected = set(zip(frequencies["log2_ratio"].round(9), -np.log10(frequencies["q"]).round(9), strict=True))
    assert set(map(tuple, points(left).round(9))) == expected
    _, high, low = left.collections
    assert (high.get_offsets()[:, 0] < -1).all()
    assert (low.get_offsets()[:, 0] > 1).all()
    assert mpl.colors.same_color(high.get_facecolor()[0, :3], "C0")
    assert mpl.colors.same_color(low.get_facecolor()[0, :3], "C1")
    assert [t.get_text() for t in left.get_legend().get_texts()] == [
        f"core of {name} ({(frequencies['core'] == name).sum()})" for name in ("high", "low")
    ]
    assert sorted(line.get_xdata()[0] for line in left.lines if line.get_xdata()[0] == line.get_xdata()[1]) == [-1, 1]
    assert [line.get_ydata()[0] for line in left.lines][-1] == pytest.approx(-np.log10(0.05))
    assert left.get_xlabel() == "log2 ratio of the shares, low over high"


def test_genes_on_the_same_point_are_one_larger_point_and_share_a_label(frequencies):
    ax = plot_volcano(frequencies, names=("high", "low"), n_labels=24)
    first = frequencies.set_index("gene").loc["GENE0"]
    high = ax.collections[1]
    place = np.abs(high.get_offsets()[:, 0] - first["log2_ratio"]).argmin()
    assert high.get_sizes()[place] == pytest.approx(10 * 2**0.5)
    assert "GENE0, GENE1" in [t.get_text() for t in ax.texts]


@pytest.mark.parametrize("size", [(4, 3), (6, 4)])
def test_labels_go_to_the_first_core_genes_and_cover_neither_each_other_nor_a_core_gene(frequencies, size):
    figure, ax = plt.subplots(figsize=size)
    plot_volcano(frequencies, names=("high", "low"), n_labels=8, ax=ax)
    figure.canvas.draw()
    assert 5 <= len(ax.texts) <= 8
    last = frequencies.drop_duplicates(["log2_ratio", "p"])["p"].iloc[7]
    labelled = [name for text in ax.texts for name in text.get_text().split(", ")]
    assert (frequencies.set_index("gene").loc[labelled, "p"] <= last).all()
    boxes = [mpl.text.Text.get_window_extent(text) for text in ax.texts]
    frame = ax.get_window_extent()
    for i, box in enumerate(boxes):
        assert frame.contains(*box.p0)
        assert frame.contains(*box.p1)
        assert not any(box.overlaps(other) for other in boxes[:i])
        for part in ax.collections[1:]:
            assert not any(box.contains(*spot) for spot in ax.transData.transform(part.get_offsets()))


def test_a_table_without_a_core_gene_is_drawn_all_the_same(frequencies):
    ax = plot_volcano(frequencies[frequencies["core"] == ""], names=("high", "low"))
    assert len(ax.texts) == 0
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["core of high (0)", "core of low (0)"]
    ax.figure.canvas.draw()


# -------------------------------------------------------------------------------------------- enrichment


def test_bars_are_the_first_sets_with_their_hits_beside_and_the_level_in_red():
    sets = {"HALLMARK_CELL_CYCLE": GENES[:30], **{f"HALLMARK_OTHER_{i}": GENES[i::15] for i in range(15)}}
    table = enriched_sets([*GENES[:20], *GENES[100:110]], sets, background=GENES)
    ax = plot_enrichment(table, n_top=6)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(list(-np.log10(table["q"][:6])))
    names = [t.get_text().replace("\n", " ") for t in ax.get_yticklabels()]
    assert names == [name[9:].replace("_", " ") for name in table["set"][:6]]
    assert [t.get_text() for t in ax.texts] == [f"{r.hits}/{r.size}" for r in table[:6].itertuples()]
    assert ax.yaxis_inverted()
    assert [mpl.colors.same_color(bar.get_facecolor(), "0.75") for bar in ax.patches] == list(table["q"][:6] >= 0.05)
    (line,) = ax.lines
    assert (line.get_color(), line.get_linestyle()) == ("red", "--")
    assert line.get_xdata()[0] == pytest.approx(-np.log10(0.05))
    assert line.get_xdata()[0] < ax.get_xlim()[1]


def test_sets_none_of_which_is_hit_have_bars_without_length_left_of_the_red_line():
    table = enriched_sets([], {"one": GENES[:5], "two": GENES[5:9]}, background=GENES)
    ax = plot_enrichment(table)
    assert [bar.get_width() for bar in ax.patches] == [0, 0]
    assert ax.get_xlim()[0] == 0 < ax.lines[0].get_xdata()[0] < ax.get_xlim()[1]
    ax.figure.canvas.draw()


# ------------------------------------------------------------------------------------------------- boxes


@pytest.fixture
def values(groups):
    table = pd.DataFrame(np.random.default_rng(0).normal(8, 1, (120, 3)), IDS, ["PLAU", "ESR1", "MYC"])
    table.loc[groups == "high", "PLAU"] += 2
    table.loc[IDS[:5], "ESR1"] = np.nan
    return table


def test_boxes_are_the_quartiles_of_each_group_with_every_sample_as_a_point(values, groups):
    ax = plot_boxes(values, groups.sample(frac=1, random_state=0))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["PLAU", "ESR1", "MYC"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["high (70)", "low (50)"]
    cells = [values.loc[groups == name, column].dropna() for name in ("high", "low") for column in values]
    for box, dots, cell in zip(ax.patches, ax.collections, cells, strict=True):
        edge = box.get_path().vertices[:, 1]
        assert (edge.min(), edge.max()) == (pytest.approx(cell.quantile(0.25)), pytest.approx(cell.quantile(0.75)))
        np.testing.assert_array_equal(np.sort(dots.get_offsets()[:, 1]), np.sort(cell))
    lowest, highest = ax.get_ylim()
    assert lowest < np.nanmin(values)
    assert highest > np.nanmax(values)


def test_stars_are_those_of_the_test_made_here_or_given(values, groups):
    made = compare_values(values, groups)
    assert made.loc[0, "stars"] == "***"
    assert [t.get_text() for t in plot_boxes(values, groups).texts] == list(made["stars"])
    plt.figure()
    given = made.assign(stars=["*", "", "ns"])[::-1]
    texts = plot_boxes(values, groups, tests=given).texts
    assert [(t.xy[0], t.get_text()) for t in texts] == [(0, "*"), (2, "ns")]
    assert all(t.xy[1] > values.iloc[:, t.xy[0]].max() for t in texts)
    plt.figure()
    assert [t.get_text() for t in plot_boxes(values, groups, tests=given[:1]).texts] == ["ns"]


# ---------------------------------------------------------------------------------------- what is refused


def test_nothing_to_draw_is_said(frequencies, values, groups):
    with pytest.raises(ValueError, match="nothing to draw: the table has no gene"):
        plot_volcano(frequencies[:0])
    with pytest.raises(ValueError, match="nothing to draw: the table has no gene set"):
        plot_enrichment(enriched_sets(["a"], {"foreign": ["X"]}, background=["a"]))
    with pytest.raises(ValueError, match="nothing to draw: the table has no column"):
        plot_boxes(values[[]], groups)
    with pytest.raises(ValueError, match="two groups are compared, not 1"):
        plot_boxes(values, groups[:50])


def test_names_that_are_not_those_of_the_groups_are_refused(frequencies):
    with pytest.raises(ValueError, match=r"groups as \('1', '2'\), the table has core genes of \['high', 'low'\]"):
        plot_volcano(frequencies)


# ------------------------------------------------------------------------------------------------ areas


@pytest.fixture
def areas():
    """A score that knows the first 20 genes and one that does not, each of two models."""
    rng, rows = np.random.default_rng(0), []
    for model in ("trained", "untrained"):
        for reading, lift in (("effect", 3.0), ("attention", 0.0)):
            scores = pd.Series(rng.normal(size=200), GENES)
            scores[:20] += lift * (model == "trained")
            rows.append({"of": model, "reading": reading} | told_apart(scores, GENES[:20], n_draws=200))
    return pd.DataFrame(rows)


def test_an_area_stands_in_its_row_in_the_look_of_its_kind_over_the_range_of_chance(areas):
    _, (left, right) = plt.subplots(1, 2)
    assert plot_areas(areas, rows="reading", kinds="of", ax=left) is left
    assert not right.has_data()
    assert [t.get_text() for t in left.get_yticklabels()] == ["effect", "attention"]
    assert left.yaxis_inverted()
    for part, (name, own) in zip(left.collections, areas.groupby("of"), strict=True):
        assert part.get_label() == name
        np.testing.assert_allclose(part.get_offsets(), np.column_stack([own["area"], [0, 1]]))
    first, second = (tuple(part.get_facecolor()[0]) for part in left.collections)
    assert first != second
    (band,) = left.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((areas["low"].mean(), areas["high"].mean()))
    assert len(plot_areas(areas, rows="reading", ax=right).collections) == 1


def test_without_an_area_there_is_nothing_to_draw(areas):
    with pytest.raises(ValueError, match="the table has no area"):
        plot_areas(areas[:0], rows="reading")

"""The reference pages of the book: everything public is on them once, and nothing on them is outdated."""

import inspect
import re
from collections import Counter
from types import ModuleType

import docstrings
import pytest
import reference_pages as pages
import yaml

import gexcore as gx
from gexcore.cli import main

OUTLINES = {path.stem: path for path in sorted(pages.OUTLINE.glob("*.md"))}
TEXTS = {stem: path.read_text(encoding="utf-8") for stem, path in OUTLINES.items()}
LISTED = {
    name: members
    for text in TEXTS.values()
    for _, block in pages.blocks("objects", text)
    for name, members in pages.listed(block).items()
}
TIMES = Counter(
    line.partition(":")[0]
    for text in TEXTS.values()
    for _, block in pages.blocks("objects", text)
    for line in block.splitlines()
)


@pytest.mark.parametrize("stem", OUTLINES)
def test_a_stored_page_is_what_the_code_says(stem):
    stored = (pages.FOLDER / f"{stem}.md").read_text(encoding="utf-8")
    assert stored == pages.page(OUTLINES[stem]), "run: python book/reference_pages.py"


def test_there_are_no_other_pages():
    assert {path.stem for path in pages.FOLDER.glob("*.md")} == set(OUTLINES)


def public():
    for name in gx.__all__:
        thing = getattr(gx, name)
        if not isinstance(thing, ModuleType):
            yield f"gexcore.{name}"
            continue
        own = [key for key, value in vars(thing).items() if getattr(value, "__module__", "") == thing.__name__]
        constants = [key for key in pages.comments(thing) if key.isupper()]
        for inner in getattr(thing, "__all__", own + constants):
            if not inner.startswith("_"):
                yield f"gexcore.{name}.{inner}"


def test_every_public_name_is_described_exactly_once():
    times = Counter(map(pages.home, TIMES.elements()))
    assert {name: times[pages.home(name)] for name in public() if times[pages.home(name)] != 1} == {}
    assert {name: n for name, n in times.items() if n > 1} == {}
    assert len(set(map(pages.home, public()))) > 200


def test_every_name_has_a_sentence():
    silent = [n for n in LISTED if not (pages.find(n).__doc__ if callable(pages.find(n)) else pages.said_of(n))]
    assert silent == []


def test_every_member_that_a_page_shows_has_a_sentence():
    shown = [(name, member) for name, members in LISTED.items() for member in members]
    assert len(shown) > 50
    assert [pair for pair in shown if not getattr(pages.find(pair[0]), pair[1]).__doc__] == []


def test_no_two_places_of_a_page_have_the_same_name():
    places = Counter(
        place for text in map(pages.page, OUTLINES.values()) for place in re.findall(r"^\((.*)\)=$", text, re.M)
    )
    assert max(Counter(pages.make_id(place) for place in places.elements()).values()) == 1


def test_every_reference_page_is_in_the_book_and_opens_with_prose():
    toc = yaml.safe_load((pages.FOLDER.parent / "_toc.yml").read_text(encoding="utf-8"))
    (chapters,) = [part["chapters"] for part in toc["parts"] if part["caption"] == "Reference"]
    assert {chapter["file"] for chapter in chapters} == {f"reference/{stem}" for stem in TEXTS}
    for text in TEXTS.values():
        title, opening = text.split("\n\n")[:2]
        assert title.startswith("# ")
        assert opening[0].isupper()


# ---------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("model", pages.MODELS)
def test_every_setting_of_a_network_has_a_meaning_and_a_provenance(model):
    rows = pages.settings_of(model)
    assert [row["setting"] for row in rows if not row["meaning"]] == []
    assert {row["provenance"] for row in rows} <= set(pages.KINDS)


@pytest.mark.parametrize("model", pages.MODELS)
def test_a_provenance_is_of_the_value_that_the_paper_preset_has(model):
    kind, presets = pages.MODELS[model]
    settings = kind(**presets.get("paper", presets["quick"]))
    recorded = {name: row["value"] for (of, name), row in pages.provenance().items() if of == model}
    assert recorded == {name: pages.written(getattr(settings, name)) for name in recorded}
    assert set(recorded) == {row["setting"] for row in pages.settings_of(model)}


@pytest.mark.parametrize(("model", "estimator"), [("TxT", gx.TxT), ("GexBERT", gx.GexBERT)])
def test_the_tables_of_both_papers_name_every_setting_that_a_model_takes(model, estimator):
    made = estimator(*([gx.Regression("age")] if model == "TxT" else []), preset="quick")
    shown = {row["setting"]: row["quick"] for row in pages.settings_of(model)}
    assert shown == {name: pages.written(value) for name, value in vars(made.settings).items()}


def test_provenance_is_kept_of_no_other_model():
    assert {model for model, _ in pages.provenance()} == set(pages.MODELS)


def test_what_the_code_marks_as_assumed_is_no_papers():
    marked = {"MLP", "DeepGene", "FineTuned"}  # whose docstrings say so of all settings
    for model in marked:
        assert re.search("assumed|none of them is a paper's", inspect.getdoc(pages.MODELS[model][0]))
        assert {row["provenance"] for row in pages.settings_of(model)} <= {"assumed", "ours"}


# ---------------------------------------------------------------------------------------------- commands


def test_every_command_has_its_help_on_the_page(capsys):
    with pytest.raises(SystemExit):
        main(["nonsense"])
    commands = re.findall(r"[a-z]+", capsys.readouterr().err.partition("choose from")[2])
    assert "train" in commands
    assert [words for words, _ in pages.blocks("command", TEXTS["commands"])] == ["", *commands]


def test_the_help_on_the_page_is_what_the_command_prints(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "88")
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert pages.help_of(["train"]) == capsys.readouterr().out
    assert "--survival TIME EVENT" in pages.help_of(["train"])


# ---------------------------------------------------------------------------------------------- comments


def test_a_comment_is_read_from_behind_an_assignment_and_not_out_of_a_text(tmp_path, monkeypatch):
    (tmp_path / "commented.py").write_text(
        'COLOUR = "#fff"\nSIZES = (  # of a tree\n    1,\n)\n\n'
        "class Tree:\n    height: float = 1.0  # in m\n    kind = 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import commented

    assert pages.comments(commented) == {"COLOUR": "", "SIZES": "of a tree", "Tree.height": "in m", "Tree.kind": ""}


# -------------------------------------------------------------------------------------------- docstrings


def planted(
    first, second=(1, 2), *, third_is_long: str = "a text that is long", fourth_is_long: float = 0.25, **settings
) -> dict:
    """Do one thing. Then another, with :func:`other`.

    Parameters
    ----------
    first, second : int
        Numbers <from> ``here``.
    third_is_long : str

    Raises
    ------
    ValueError
        Never.

    Examples
    --------
    >>> 1 < 2
    True
    """


def test_a_docstring_becomes_sections_lists_and_links():
    link = {"other": "page.html#other"}.get
    html = docstrings.described(inspect.getdoc(planted), link, defaults={"third_is_long": "a", "first": 0})
    assert re.findall(r'class="rubric">(\w+)<', html) == ["Parameters", "Raises", "Examples"]
    assert '<a href="page.html#other"><code class="literal">other()</code></a>' in html
    assert "Numbers &lt;from&gt; <code" in html
    assert re.findall(r"<dt>(.*)</dt>", html)[1:] == [
        '<code class="literal">third_is_long</code> '
        '<span class="aside">str, default <code class="literal">"a"</code></span>',
        '<code class="literal">ValueError</code>',
    ]
    assert '<span class="gp">&gt;&gt;&gt; </span>' in html
    assert docstrings.summary(inspect.getdoc(planted)) == "Do one thing."


def test_a_long_signature_has_one_parameter_a_line_and_a_short_one_has_one_line():
    text = re.sub(r"<[^>]*>", "", docstrings.signature(planted, "tests.planted"))
    assert text.splitlines() == [
        "tests.planted(",
        "    first,",
        "    second=(1, 2),",
        "    *,",
        '    third_is_long="a text that is long",',
        "    fourth_is_long=0.25,",
        "    **settings,",
        ")",
    ]
    short = docstrings.signature(lambda number: number, "f")
    assert re.sub(r"<[^>]*>", "", short) == "f(number)"


def test_markup_that_docutils_warns_of_is_an_error():
    with pytest.raises(Exception, match="Inline literal"):
        docstrings.html("a ``literal without an end", {}.get)

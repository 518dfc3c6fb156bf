"""The reference pages of the book: everything public is on them once, and nothing on them is outdated."""

import inspect
import re
from collections import Counter
from types import ModuleType

import pytest
import reference_pages as pages
import yaml

import gexcore as gx
from gexcore.cli import main

FOLDER = pages.BOOK / "reference"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
LISTED = [
    name
    for text in TEXTS.values()
    for block in re.findall(r"^\.\. objects::\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    for name in pages.listed(block)
]


def same(name):
    """One key for an object, under whatever name it is reached."""
    thing = pages.find(name)
    return f"{thing.__module__}.{thing.__qualname__}" if callable(thing) else name


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
    times = Counter(map(same, LISTED))
    assert {name: times[same(name)] for name in public() if times[same(name)] != 1} == {}
    assert {name: n for name, n in times.items() if n > 1} == {}
    assert len(set(map(same, public()))) > 200


def test_every_name_has_a_sentence():
    silent = [n for n in LISTED if not (pages.find(n).__doc__ if callable(pages.find(n)) else pages.said_of(n))]
    assert silent == []


def test_members_that_a_page_shows_exist():
    blocks = re.findall(r"^   (gexcore\.\S+): (.*)$", "\n".join(TEXTS.values()), flags=re.MULTILINE)
    assert blocks
    for name, members in blocks:
        assert [m for m in members.split(", ") if not getattr(pages.find(name), m).__doc__] == []


def test_every_reference_page_is_in_the_book_and_opens_with_prose():
    toc = yaml.safe_load((pages.BOOK / "_toc.yml").read_text(encoding="utf-8"))
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
    assert re.findall(r"^```\{command\} ?(\w*)$", TEXTS["commands"], flags=re.MULTILINE) == ["", *commands]


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

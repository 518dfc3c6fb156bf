"""The built book in a real browser: offline, on a desk, a phone and paper, by keyboard; and every link in it."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import browser as browsers
import pytest
import yaml

ROOT = Path(__file__).parents[1]
LAYOUTS = {"desk": ("screen", 1400), "phone": ("screen", 390), "paper": ("print", 665)}  # CSS pixels; A4 within margins

needs_browser = pytest.mark.skipif(browsers.find() is None, reason="no chromium on this machine")


def is_fresh(built):
    """Whether nothing that pages are made of has changed since they were built."""
    last = built / "searchindex.js"  # written at the end
    parts = [("book", "*"), ("notebooks", "*.ipynb"), ("gexcore", "*.py")]
    sources = [ROOT / "_config.yml", *(path for folder, kind in parts for path in (ROOT / folder).rglob(kind))]
    changed = max(path.stat().st_mtime for path in sources if "__pycache__" not in path.parts)
    return last.exists() and last.stat().st_mtime > changed


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folder of the pages: the last build if it is fresh, otherwise one made for these tests."""
    built = ROOT / "_build" / "html"
    if is_fresh(built):
        return built
    folder = tmp_path_factory.mktemp("book")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", "-W", "--keep-going", "book"]
    done = subprocess.run([*command, "--path-output", folder], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "_build" / "html"


@pytest.fixture(scope="module")
def pages(book):
    """All pages that the search knows, and those that sphinx adds."""
    index = json.loads((book / "searchindex.js").read_text(encoding="utf-8").removeprefix("Search.setIndex(")[:-1])
    return [book / f"{name}.html" for name in [*index["docnames"], "search", "genindex"]]


# ------------------------------------------------------------------------------------------------ links


class _Anatomy(HTMLParser):
    """The names within a page, and what it points to or shows."""

    def __init__(self, page):
        super().__init__()
        self.names, self.addresses = {""}, set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        about = dict(attributes)
        self.names |= {about[key] for key in ("id", "name") if about.get(key)}
        self.addresses |= {about[key] for key in ("href", "src") if about.get(key)}
        if about.get("http-equiv") == "refresh":
            self.addresses.add(about["content"].partition("url=")[2])


def dead_links(pages):
    """Addresses within the book at which nothing is, each behind its page."""
    known = {page.resolve(): _Anatomy(page) for page in pages}
    for page, anatomy in known.items():
        for address in anatomy.addresses:
            path, name = urldefrag(address)
            if path.startswith(("http:", "https:", "mailto:", "data:", "javascript:")):
                continue
            target = (page.parent / unquote(path.partition("?")[0])).resolve() if path else page
            if not target.is_file() or (target in known and unquote(name) not in known[target].names):
                yield f"{page.name}: {address}"


def test_every_link_of_the_book_leads_to_something(book, pages):
    assert len(pages) > 30
    assert list(dead_links([*pages, book / "index.html"])) == []


def test_dead_links_are_seen(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<h1 id="here"></h1><a href="#here"></a><a href="#gone"></a><img src="gone.png"><a href="page.html#x">'
    )
    assert sorted(dead_links([page])) == ["page.html: #gone", "page.html: gone.png", "page.html: page.html#x"]


def test_the_side_bar_names_every_page_in_order_and_marks_the_one_that_is_open(book):
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    for name in chapters:
        page = book / f"{name}.html"
        side_bar = page.read_text(encoding="utf-8").partition('<nav class="bd-links')[2].partition("</nav>")[0]
        addresses = [link.partition('"')[0] for link in side_bar.split('href="')[1:]]
        targets = [page if address == "#" else (page.parent / address).resolve() for address in addresses]
        assert targets == [(book / f"{chapter}.html").resolve() for chapter in chapters]
        assert addresses[chapters.index(name)] == "#"
        assert side_bar.count("toctree-l1 current active") == 1


# ---------------------------------------------------------------------------------------------- browser


@pytest.fixture(scope="module")
def browser():
    with browsers.browsing() as one:
        yield one


LOOK = """(async () => {
  await window.MathJax?.startup?.promise;
  const all = (selector) => [...document.querySelectorAll(selector)];
  return {
    "broken images": all("img").filter(i => !i.complete || !i.naturalWidth).map(i => i.src),
    "formulas not drawn": all(".math").filter(m => !m.querySelector("mjx-container svg path") ||
      m.querySelector("[data-mjx-error], [data-mml-node=merror]")).map(m => m.textContent),
  };
})()"""
FIT = """(() => {
  document.getAnimations().filter(a => a instanceof CSSTransition).forEach(a => a.finish());
  const page = document.documentElement;
  if (page.scrollWidth <= page.clientWidth) return [];
  const held = (e) => e.tagName !== "MAIN" && (getComputedStyle(e).overflowX !== "visible" || held(e.parentElement));
  return [page.scrollWidth, ...[...document.querySelectorAll("main *")]
    .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > page.clientWidth + 1 && !held(e))
    .map(e => `${e.tagName} ${e.textContent.trim().slice(0, 60)}`).slice(0, 3)];
})()"""


def faults(browser, page):
    """What readers of a page would miss or stumble over."""
    browser.show_on(*LAYOUTS["desk"])
    browser.open(page.as_uri())
    found = browser.evaluate(LOOK)
    for name, layout in LAYOUTS.items():
        browser.show_on(*layout)
        found[f"wider than a {name}"] = browser.evaluate(FIT)
    found |= {"errors": browser.errors, "requests": browser.requests}
    return {what: every for what, every in found.items() if every}


@needs_browser
def test_no_page_lacks_anything_without_a_network(browser, pages):
    assert len(pages) > 30
    found = {page.name: faults(browser, page) for page in pages}
    assert {page: what for page, what in found.items() if what} == {}


@needs_browser
def test_faults_of_a_page_are_seen(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<main><img src="gone.png"><img src="http://elsewhere.test/x.png"><span class="math">x</span>'
        '<p style="width: 500px">wide</p></main><script>console.error("told"); undefined.value</script>'
    )
    found = faults(browser, page)
    assert set(found) == {"broken images", "formulas not drawn", "wider than a phone", "errors", "requests"}
    assert found["requests"] == ["http://elsewhere.test/x.png"]
    assert found["wider than a phone"][1:] == ["P wide"]
    assert any("told" in error for error in found["errors"])
    assert any("TypeError" in error for error in found["errors"])
    page.write_text('<meta name="viewport" content="width=device-width"><main><p>short</p></main>')
    assert faults(browser, page) == {}


@needs_browser
def test_search_finds_the_chapter_that_explains_a_word(browser, book):
    browser.show_on(*LAYOUTS["desk"])
    browser.open((book / "search.html").as_uri() + "?q=censoring")
    found = browser.evaluate("""(async () => {
      for (let i = 0; i < 100 && !document.querySelector("#search-summary, #search-results .search-summary")
        ?.textContent.includes("finished"); i++) await new Promise(next => setTimeout(next, 50));
      return [...document.querySelectorAll("#search-results li a")].map(a => a.href);
    })()""")
    assert any("glossary.html" in address for address in found)
    assert any("01_meet_the_cohorts.html" in address for address in found)
    assert browser.errors == browser.requests == []


@needs_browser
def test_the_keyboard_reaches_the_text_and_the_search(browser, book):
    browser.show_on(*LAYOUTS["desk"])
    browser.open((book / "intro.html").as_uri())
    browser.press("Tab", code=9)
    assert browser.evaluate("document.activeElement.getAttribute('href')") == "#main-content"
    moved = "Promise.all(document.getAnimations().map(a => a.finished))"
    assert browser.evaluate(f"{moved}.then(() => document.activeElement.getBoundingClientRect().top >= 0)")
    browser.press("Tab", code=9)
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("k", code=75, control=True)
    assert browser.evaluate("document.querySelector('#pst-search-dialog').open && document.activeElement.name") == "q"


@needs_browser
def test_one_search_field_stands_in_a_page(browser, book):
    seen = (
        "[...document.querySelectorAll('.search-button__button, .bd-search')].filter(e => e.checkVisibility()).length"
    )
    for layout in ("desk", "phone"):
        browser.show_on(*LAYOUTS[layout])
        browser.open((book / "intro.html").as_uri())
        assert browser.evaluate(seen) == 1


@needs_browser
def test_a_number_leads_to_the_code_that_made_it_and_finds_it_unfolded(browser, book):
    browser.show_on(*LAYOUTS["desk"])
    browser.open((book / "notebooks" / "12_perturb_genes.html").as_uri())
    assert browser.evaluate("document.querySelectorAll('.cell details:not([open])').length") > 0
    led = browser.evaluate("""(async () => {
      const number = [...document.querySelectorAll("a.number")].find(a => document.querySelector(a.hash + " details"));
      number.click();
      await new Promise(next => addEventListener("hashchange", () => setTimeout(next), { once: true }));
      const cell = document.querySelector(":target");
      return [number.textContent.trim() !== "", cell.querySelector("details").open, cell.textContent.includes("glue(")];
    })()""")
    assert led == [True, True, True]
    assert browser.errors == []

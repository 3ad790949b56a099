"""The page of --report in a real Chromium: it shows, jumps, reads well, and lets nothing in or out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from report_pages import HOSTILE, make_document, make_item

from fastkv_cli.output.render.answer_page import render_answers

api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")

LOOKS = [(width, scheme) for width in (400, 1400) for scheme in ("light", "dark")]

# The lowest contrast of text against what is behind it, and that text.
LOWEST_CONTRAST = """() => {
  const parts = color => color.match(/[\\d.]+/g).map(Number);
  const light = color => {
    const [r, g, b] = parts(color).map(c => c / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let lowest = [99, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim();
    let at = walker.currentNode.parentElement;
    if (!text || at.closest("svg")) continue;
    const ink = light(getComputedStyle(at).color);
    const clear = e => (parts(getComputedStyle(e).backgroundColor)[3] ?? 1) === 0;
    while (at.parentElement && clear(at)) at = at.parentElement;
    const paper = clear(at) ? light(getComputedStyle(document.body).backgroundColor)
                            : light(getComputedStyle(at).backgroundColor);
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < lowest[0]) lowest = [contrast, text.slice(0, 60)];
  }
  return lowest;
}"""


class Visit:
    """An open page about a hostile document, and everything that it did besides showing itself."""

    def __init__(self, tab: Any, file: Path) -> None:
        self.tab = tab
        self.told: list[str] = []
        tab.on("console", lambda message: self.told.append(message.text))
        tab.on("pageerror", lambda error: self.told.append(str(error)))
        tab.on("dialog", lambda dialog: self.told.append(dialog.message))
        tab.on("request", lambda request: self.told.append(request.url))
        tab.goto(file.as_uri())

    @property
    def is_quiet(self) -> bool:
        """Whether nothing was loaded but the file and its empty icon, and nothing complained."""
        return [each for each in self.told if not each.startswith(("file:", "data:"))] == []

    def top_of(self, anchor: str) -> float:
        """Where an element is in the window, from its top."""
        return float(self.tab.locator(f"#{anchor}").bounding_box()["y"])

    def begin(self, width: int = 1400, scheme: str = "light") -> Any:
        """The tab, as if just opened; what it told so far stays."""
        self.tab.set_viewport_size({"width": width, "height": 900})
        self.tab.emulate_media(color_scheme=scheme)
        self.tab.evaluate("location.hash = ''; document.activeElement.blur(); scrollTo(0, 0)")
        return self.tab


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """One page in one browser for the module: opening them takes longer than the tests."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    page = render_answers([make_item(make_document(40, HOSTILE))], {"fastkv": "1.2.3"})
    file.write_text(page, encoding="utf-8")
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield Visit(browser.new_page(), file)
        browser.close()


def test_answer_and_sources_are_there(visit: Visit) -> None:
    tab = visit.begin()
    assert tab.get_by_role("heading", level=1).inner_text() == "What is 42?"
    assert tab.locator(".said").inner_text() == "42 is said."
    assert tab.locator(".verdict").inner_text() == "Supported by the document"
    sources = tab.get_by_role("region", name="Sources").get_by_role("link")
    assert [each.splitlines()[0].strip("“”") for each in sources.all_inner_texts()] == [
        "On page 3, line 4 says what 12 is.",
        "On page 2, line 7 says what 14 is.",
    ]
    assert tab.locator("section.page").count() == 40
    for role in ("banner", "main", "contentinfo", "complementary"):
        assert tab.get_by_role(role).count() == 1
    names = [tab.get_by_role("navigation", name=name) for name in ("Parts of this page", "Map")]
    assert [each.count() for each in names] == [1, 1]
    levels = tab.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert visit.is_quiet, visit.told


def test_jumps_land_below_the_map(visit: Visit) -> None:
    tab = visit.begin()
    for number in (2, 1):
        tab.get_by_role("region", name="Sources").get_by_role("link").nth(number - 1).click()
        below = tab.locator(".map").bounding_box()
        assert below["y"] + below["height"] <= visit.top_of(f"q1-{number}") < 900
        assert tab.locator("mark:target").inner_text().startswith("On page")
    box = tab.locator(".map svg").bounding_box()
    tab.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2)
    landed = tab.evaluate("location.hash")
    assert landed in {f"#d1p{page}" for page in range(35, 39)}
    assert 0 < visit.top_of(landed[1:]) < 900
    assert visit.is_quiet, visit.told


def test_keyboard_skips_to_the_content(visit: Visit) -> None:
    tab = visit.begin()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert tab.locator(":focus").bounding_box()["x"] >= 0  # seen once it has the focus
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")  # the first source
    assert 0 < visit.top_of("q1-1") < 900
    # the map's shapes are for the mouse: the table beside it has the same links
    assert tab.locator("svg a:not([tabindex='-1'])").count() == 0
    assert tab.locator(".pages a").count() == 40


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_reads_well(visit: Visit, width: int, scheme: str) -> None:
    tab = visit.begin(width, scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    tab.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    contrast, text = tab.evaluate(LOWEST_CONTRAST)
    assert contrast >= 4.5, text
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) < 384) == (scheme == "dark")
    assert (
        float(
            tab.evaluate("parseFloat(getComputedStyle(document.querySelector('.text')).fontSize)")
        )
        >= 16
    )
    assert visit.is_quiet, visit.told


def test_scripts_of_a_document_do_nothing(visit: Visit) -> None:
    tab = visit.begin()
    assert visit.is_quiet, visit.told
    assert tab.title() == "What is 42? – fastkv"
    assert tab.evaluate("document.querySelectorAll('script, img, iframe').length") == 0
    assert "<script>document.title" in tab.locator("#d1p1 .text").text_content()
    assert tab.locator("#d1p1").is_visible()
    # one that came in by another way would be forbidden by the policy
    tab.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<b id=b onclick=\"document.title=1\">b</b>')"
    )
    tab.locator("#b").click()
    assert tab.title() == "What is 42? – fastkv"
    assert any("Content Security Policy" in each for each in visit.told)
    assert not any(each.startswith("http") for each in visit.told)

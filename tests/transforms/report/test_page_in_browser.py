"""The report in Chromium: it draws without an error, its filters and search work, axe finds nothing to mend."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from klue_beam import open_dataset
from klue_beam.beam_pipelines.cli import main

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
WIDE, NARROW = 1280, 400

if CHROMIUM is None:
    pytest.skip("No Chromium is installed (on Debian: apt install chromium).", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install klue-beam[browser]")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install klue-beam[browser]")


@pytest.fixture(scope="module")
def reports(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report on one dataset, and one on two."""
    folder = tmp_path_factory.mktemp("reports")
    one, two = folder / "one.html", folder / "two.html"
    assert main(["report", str(undisturbed), "--output", str(one)]) == 0
    assert main(["report", str(undisturbed), "--compare", str(undisturbed), "--output", str(two), "--sample", "5"]) == 0
    return {"one": one, "two": two}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Opens a file; what the console said, and what was asked of a network, must be nothing at the end."""
    said: list[str] = []
    contexts = []

    def open_file(path: Path, scheme: str = "light", width: int = WIDE) -> Any:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else said.append(asked.url))
        page.goto(path.as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert said == []


@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize(("scheme", "width"), [("light", WIDE), ("dark", WIDE), ("light", NARROW)])
def test_axe_finds_nothing(name: str, scheme: str, width: int, reports: dict[str, Path], open_page: Any) -> None:
    page = open_page(reports[name], scheme, width)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    results = axe_api.Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_section_is_there_and_the_links_lead_to_them(reports: dict[str, Path], open_page: Any) -> None:
    page = open_page(reports["one"])
    links = page.eval_on_selector_all("nav a", "links => links.map((link) => link.getAttribute('href'))")
    assert {"#summary", "#labels", "#scores", "#lengths", "#entities", "#topics", "#faults", "#sentences"} <= set(links)
    assert all(page.query_selector(link) is not None for link in links)
    assert page.query_selector("#moved") is None
    assert open_page(reports["two"]).query_selector("#moved") is not None


def test_search_and_filters_choose_sentences(reports: dict[str, Path], undisturbed: Path, open_page: Any) -> None:
    rows = open_dataset(undisturbed).rows().read_all().to_pylist()
    page = open_page(reports["one"])
    state = page.locator("#sentences [role=status]")
    assert state.inner_text() == f"{len(rows)} of {len(rows)} sampled sentences; 10 are shown."
    page.get_by_role("button", name="Show more").click()
    assert page.locator("ol.sentences > li").count() == 20
    page.get_by_label("Text or document").fill("101번째 글이다")
    assert state.inner_text().startswith("1 of ")
    assert page.locator("ol.sentences .about").first.inner_text().startswith("101 · 0 · ")
    page.get_by_label("Text or document").fill("")
    label = rows[0]["topic"]["label"]
    have = [row for row in rows if row["topic"]["label"] == label]
    page.locator("#label").select_option(label=f"{label} ({len(have)})")
    assert state.inner_text().startswith(f"{len(have)} of ")
    bound = sorted(row["topic"]["score"] for row in have)[len(have) // 2]
    page.locator("#most").fill(f"{bound:.2f}")
    few = int(state.inner_text().split()[0])
    assert 0 < few < len(have) or len({row["topic"]["score"] for row in have}) == 1
    page.get_by_label("Text or document").fill("no sentence has this")
    assert state.inner_text().startswith("0 of ")
    assert page.locator("ol.sentences > li").count() == 0


def test_entities_are_marked_and_a_tree_has_an_arc_for_each_word(reports: dict[str, Path], open_page: Any) -> None:
    page = open_page(reports["one"])
    first = page.locator("ol.sentences > li").first
    words = first.locator("svg .word").count()
    assert words > 1
    assert first.locator("svg[aria-label^='Dependency'] .arc").count() == words
    assert page.locator("ol.sentences mark").count() > 0


def test_the_keyboard_reaches_the_content_and_the_filters(reports: dict[str, Path], open_page: Any) -> None:
    page = open_page(reports["one"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.focus("#search")
    page.keyboard.type("101번째")
    assert page.locator("#sentences [role=status]").inner_text().startswith("1 of ")


def test_markup_in_the_data_stays_text(open_page: Any, tmp_path: Path) -> None:
    from klue_beam.transforms.report.page import build_page  # noqa: PLC0415

    bad = "</script><script>console.log('ran')</script><img src=x onerror=\"console.log('ran')\">"
    entity = {"label": bad, "begin": 0, "end": 9, "text": bad[:9], "score": 1.0}
    row = {"doc_id": bad, "sentence_index": 0, "source": bad, "record_index": 0, "text": bad, "flags": [bad],
           "mood": {"label": bad, "score": 0.5}, "entities": [entity]}  # fmt: skip
    labels = {"task": bad, "title": bad, "is_list": False, "total": 1, "rows": [[bad, 1, 0.5]], "unlisted": 0,
              "bins": [1] * 20, "by_part": [[1, 1], [0, 0]]}  # fmt: skip
    figures = {"counts": [[bad, 1]], "provenance": [[bad, bad]], "config": {bad: bad}, "sources": [[bad, 1]],
               "source_count": 1, "labels": [labels], "parts": [bad, bad], "lengths": [], "entities": [[bad, bad, 1]],
               "triples": [[bad, bad, bad, bad, bad, 1, 0.5]], "types_by_topic": [[bad, bad, 1]],
               "faults": [{"kind": "flag", "reason": bad, "count": 1, "examples": [[bad, 1, bad, bad]]}]}  # fmt: skip
    path = tmp_path / "bad.html"
    columns = [{"column": "mood", "label": "label"}, {"column": "entities", "label": "label"}]
    path.write_bytes(
        build_page({"names": [bad], "columns": columns, "figures": [figures], "moved": None, "samples": [[row]]})
    )
    page = open_page(path)
    assert page.title() == f"Report on {bad}"
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    assert page.locator("ol.sentences .text").text_content() == f"{bad[:9]}{bad}{bad[9:]}"

"""The whole page from real runs: what a reader needs is on it, in one file, usable by keyboard, without network."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fake_runs import fake_result, write_fake

from bench.config import load_config
from bench.contract import DataError, Dataset, UsageError
from bench.report.html.page import Written, write_report
from bench.runs.loaded_run import images_of
from bench.runs.store import RunRecord, read_run

pytestmark = pytest.mark.slow


def unfold(page: str) -> str:
    """A page as its script shows it: every part in its place."""
    found = re.search(r'id="folded">([^<]*)<', page)
    if found is None:
        return page
    parts = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return re.sub(r'<div data-folded="(\d+)">.*?</div>', lambda place: str(parts[int(place[1])]), page)


def no_progress(items: Any, **_: Any) -> Any:
    return items


def open_digits(record: RunRecord) -> Dataset:
    return images_of(record, load_config(None), no_progress, record.folder.parents[4] / "cache")


@pytest.fixture(scope="module")
def project(three_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of three methods on a part of the digits, and one that failed."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(three_runs, folder, dirs_exist_ok=True)
    (run,) = folder.glob("runs/digits/loo/pixels/*/seed0/run.json")
    record = read_run(run.parent)
    assert record is not None
    spec = replace(record.result.spec, method="broken")
    write_fake(folder / "runs", fake_result(spec, reason="no <memory> left", data=record.result.data))
    return folder


@pytest.fixture(scope="module")
def written(project: Path) -> Written:
    return write_report(project / "runs", project / "results", open_digits, no_progress, with_files=True)


@pytest.fixture(scope="module")
def html(written: Written) -> str:
    return unfold(written.page.read_text(encoding="utf-8"))


class Outline(HTMLParser):
    """Every id, link, image address and heading of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.levels: list[int] = []
        self.unnamed = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found["href"])
        if tag in ("link", "script", "img", "source", "iframe"):
            self.addresses += [found[name] for name in ("src", "href") if name in found]
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if found.get("role") in ("img", "region") and not found.get("aria-label"):
            self.unnamed += 1


@pytest.fixture(scope="module")
def outline(html: str) -> Outline:
    found = Outline()
    found.feed(html)
    return found


def test_page_is_one_small_file_without_outside_links(written: Written, html: str, outline: Outline) -> None:
    assert written.size == written.page.stat().st_size < 700_000
    assert written.missing == ()
    assert outline.addresses == ["data:,"]
    assert not re.search(r"url\((?!data:|#)", html)
    assert "@import" not in html
    outside = {link for link in outline.links if not link.startswith("#")}
    assert all(link.startswith(("figures/", "../runs/")) for link in outside)
    assert all((written.page.parent / link).is_file() for link in outside)


def test_every_link_within_leads_somewhere_and_no_name_is_given_twice(outline: Outline) -> None:
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)


def test_headings_go_down_one_level_at_a_time_and_every_picture_has_a_name(outline: Outline) -> None:
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(outline.levels, outline.levels[1:], strict=False))
    assert outline.unnamed == 0


def test_every_number_of_the_leaderboard_links_to_its_run(html: str, project: Path) -> None:
    board = html[html.index('class="board"') : html.index("</table>")]
    numbers = re.findall(r'<a class="n" href="#([^"]+)">([^<]+)</a>', board)
    assert len(numbers) > 20
    (run,) = project.glob("runs/digits/loo/autoencoder/*/seed0/run.json")
    content = json.loads(run.read_text(encoding="utf-8"))
    anchor = f"digits-loo-autoencoder-{content['key']}-origin"
    assert (anchor, f"{content['scores']['map']:.3f}".lstrip("0")) in numbers
    origin = html[html.index(f'id="{anchor}"') :]
    assert run.relative_to(project).parent.as_posix() in origin


@pytest.mark.parametrize(
    "needed",
    [
        "95 % interval", "map, by latency of embedding", "map, by size of a vector", "Training", "training loss",
        "validation", "The same queries, every method", "Originals above their reconstructions", "Pairs",
        "probability", "class of the nearest neighbour", "mean cosine of classes",
        "The queries above against each class", "embedding map", "similarity of pairs", "threshold",
        "The audit found no image twice", "Controls", "shuffled labels", "Where each number came from", "commit",
        "Its own worst queries", "no &lt;memory&gt; left",
    ],
)  # fmt: skip
def test_the_page_shows_what_a_reader_needs(html: str, needed: str) -> None:
    assert needed in html


def test_queries_and_neighbours_on_the_page_are_labelled(html: str) -> None:
    shown = html[html.index('id="digits-loo-queries"') : html.index('id="digits-loo-methods"')]
    assert re.findall(r'<span class="kind">(\w+)</span>', shown) == ["best"] * 2 + ["typical"] * 2 + ["worst"] * 2
    marks = re.findall(r'<li class="(ok|no)"', shown)
    assert len(marks) == 6 * 3 * 8
    assert shown.count(', right"') == marks.count("ok")
    assert shown.count(', wrong"') == marks.count("no") > 0


def test_pair_probabilities_come_from_the_method_or_validation(html: str) -> None:
    assert html.count("Probability: the method's own.") == 1
    assert html.count("read off the validation pairs' error rates") == 2


def test_every_figure_is_also_a_file_in_both_forms(written: Written, html: str) -> None:
    files = (written.page.parent / "figures").iterdir()
    names = {one.name for one in files if "-reconstructions" not in one.name}  # those are drawn for the folder alone
    stems = {name.partition(".")[0] for name in names}
    assert names == {f"{stem}.{form}" for stem in stems for form in ("svg", "png")}
    assert len(stems) == html.count('<figure class="drawn"') == written.figures == 2 + 1 + 3 * 4 + 2


def test_the_same_runs_give_the_same_page(project: Path, html: str) -> None:
    again = write_report(project / "runs", project / "again", open_digits, no_progress, with_files=True)
    assert unfold(again.page.read_text(encoding="utf-8")) == html


def test_without_the_images_the_page_says_why_and_shows_the_rest(project: Path) -> None:
    def lost(record: RunRecord) -> Dataset:
        raise DataError(f"{record.result.dataset}: not <here>")

    found = write_report(project / "runs", project / "lost", lost, no_progress)
    text = unfold(found.page.read_text(encoding="utf-8"))
    assert found.missing == (
        "digits · loo · limit 160: pictures of queries and neighbours are left out: digits: not <here>",
    )
    assert "left out: digits: not &lt;here&gt;" in text
    assert "Originals above their reconstructions" in text  # the run keeps those itself
    assert re.findall(r'<span class="kind">(\w+)</span>', text)[0] == "best"


def test_the_page_names_no_folder_where_it_says_why(project: Path) -> None:
    def lost(record: RunRecord) -> Dataset:
        raise DataError(f"{record.folder.resolve()}: not these images")

    found = write_report(project / "runs", project / "nameless", lost, no_progress)
    assert str(project.resolve()) in found.missing[0]  # the command's own words, for its user
    assert str(project.resolve()) not in unfold(found.page.read_text(encoding="utf-8"))


def test_a_run_whose_arrays_are_gone_costs_its_own_pictures_only(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "runs", tmp_path / "runs")
    (run,) = (tmp_path / "runs").glob("digits/loo/pixels/*/seed0")
    (run / "embeddings.safetensors").unlink()
    found = write_report(tmp_path / "runs", tmp_path / "results", None, no_progress)
    assert any("pixels: cannot read" in reason for reason in found.missing)
    assert 'id="digits-loo-autoencoder' in found.page.read_text(encoding="utf-8")


def test_no_runs_are_an_error_that_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no runs in .*; start with: simbench run"):
        write_report(tmp_path / "runs", tmp_path / "results", None, no_progress)


@pytest.fixture
def page(browser: Any, written: Written) -> Iterator[Any]:
    """The page as opened from the disk; any request but for itself, and any error of its script, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    tab = context.new_page()
    trouble: list[str] = []
    address = written.page.as_uri()
    tab.on("request", lambda one: trouble.append(one.url) if not one.url.startswith(("data:", address)) else None)
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    tab.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    tab.goto(address)
    tab.locator("html[data-ready]").wait_for(state="attached")
    yield tab
    assert trouble == []
    context.close()


def names(page: Any) -> list[str]:
    return [str(text) for text in page.locator(".board tbody tr:visible .name").all_inner_texts()]


def test_headings_sort_by_mouse_and_by_keyboard(page: Any) -> None:
    head = page.locator(".board th", has_text="embed ms")
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page)[0] == "pixels"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert names(page)[-1] == "pixels"
    page.locator(".board th button", has_text="decode_cosine").first.click()
    assert names(page)[0] == "autoencoder"  # the others have none, and stay last


def test_the_filter_leaves_the_rows_that_match_and_says_how_many(page: Any) -> None:
    page.get_by_label("Filter").fill("AUTO")
    assert names(page) == ["autoencoder"]
    assert page.locator(".count").inner_text() == "1 of 3 rows"
    page.get_by_label("Filter").fill("")
    assert len(names(page)) == 3


def test_a_number_opens_the_run_it_came_from(page: Any) -> None:
    page.locator(".board tbody tr").nth(2).locator("a.n").first.click()
    origin = page.locator("details.origin").nth(2)
    origin.locator("dl").first.wait_for(state="visible")
    assert "run -m pixels -m autoencoder" in origin.inner_text()


def test_a_point_of_the_map_shows_its_picture_to_pointer_and_keyboard(page: Any) -> None:
    plot = page.locator("svg[data-map]").first
    plot.scroll_into_view_if_needed()
    plot.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    tip = page.locator("#tip")
    tip.wait_for(state="visible")
    assert re.fullmatch(r"\d, \d{4}", tip.inner_text().strip())
    assert "data:image/webp" in tip.locator(".t").evaluate("one => getComputedStyle(one).backgroundImage")
    page.keyboard.press("Escape")
    tip.wait_for(state="hidden")
    plot.locator('[id$="-points"] use').nth(7).hover(force=True)
    tip.wait_for(state="visible")


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_both_themes_and_plots_follow(page: Any, theme: str) -> None:
    page.emulate_media(color_scheme=theme)
    for where in ("body", ".muted", ".lead", ".drawn text", ".says a", ".k-worst .kind"):
        one = page.locator(where).first
        prop = "fill" if where.endswith("text") else "color"
        text = one.evaluate(f"one => getComputedStyle(one).{prop}")
        ground = page.evaluate(
            "where => getComputedStyle(document.querySelector(where)).backgroundColor",
            "body" if where in ("body", ".lead", ".says a") else ".scroll",
        )
        light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (where, text, ground)
    assert (luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.5) == (theme == "light")


def test_the_theme_button_goes_round(page: Any) -> None:
    button, root = page.locator("#theme"), page.locator("html")
    seen = []
    for _ in range(3):
        button.click()
        seen.append((button.inner_text(), root.get_attribute("data-theme")))
    assert seen == [("Theme: light", "light"), ("Theme: dark", "dark"), ("Theme: system", None)]


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_printing_unfolds_everything_and_leaves_the_tools_out(page: Any) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator(".tools").first.is_visible()
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_no_accessibility_issue(page: Any, theme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found = axe.run(page)
    assert [one["id"] for one in found.response["violations"]] == []

"""The page in a real browser: every way to give it a picture, what it shows, its errors, its accessibility."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

AXE = "axe-core@4.14.1"
GIVE = """([kind, type, bytes]) => {
  const given = new DataTransfer();
  if (bytes) given.items.add(new File([new Uint8Array(bytes)], "given", { type }));
  const target = document.querySelector("#drop");
  target.dispatchEvent(kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: given, bubbles: true, cancelable: true })
    : new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def expect() -> Any:
    return pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def page(browser: Any, served: Any) -> Iterator[Any]:
    """The page, ready; a request to elsewhere, or an error of its scripts or its policy, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    tab = context.new_page()
    trouble: list[str] = []
    ours = ("data:", "blob:", served.address)
    tab.on("request", lambda one: trouble.append(one.url) if not one.url.startswith(ours) else None)
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    tab.on("console", lambda message: trouble.append(message.text) if "Content Security" in message.text else None)
    tab.goto(served.address)
    tab.locator("#examples img").first.wait_for()
    yield tab
    assert trouble == []
    context.close()


@pytest.fixture
def digit(client: Any) -> bytes:
    """The picture of one gallery image."""
    return bytes(client.get("/pictures/0/42").content)


def answered(page: Any, expect: Any) -> Any:
    """Wait until all three methods have answered, and return their rows."""
    expect(page.locator("#found")).to_be_visible()
    expect(page.locator(".answer")).to_have_count(3)
    expect(page.locator(".answer[aria-busy=true]")).to_have_count(0)
    return page.locator(".answer")


def give(page: Any, kind: str, content: bytes | int | None, type_: str = "image/png") -> None:
    """Paste or drop a file: its bytes, or how many zeros it has, or None for no file at all."""
    page.evaluate(GIVE, [kind, type_, list(content) if isinstance(content, bytes) else content])


@pytest.mark.parametrize("way", ["file", "paste", "drop"])
def test_a_picture_is_uploaded_pasted_or_dropped_and_each_method_answers(
    page: Any, expect: Any, digit: bytes, way: str
) -> None:
    if way == "file":
        page.set_input_files("#file", {"name": "digit.png", "mimeType": "image/png", "buffer": digit})
    else:
        give(page, way, digit)
    rows = answered(page, expect)
    for at in range(3):
        expect(rows.nth(at).locator(".hit")).to_have_count(8)
        expect(rows.nth(at).locator(".similarity").first).to_have_text("1.000")
        expect(rows.nth(at).locator(".times")).to_contain_text("embedded in")
    expect(page.locator("#query img")).to_have_count(2)  # the picture, and what the methods see of it
    assert page.locator(".answer img").first.evaluate("image => image.naturalWidth") == 8
    expect(page.locator(".decoded")).to_have_count(1)
    expect(page.locator("#legend")).to_be_hidden()  # its class is not known


def test_a_result_is_searched_from_by_a_click_and_going_back_undoes_it(page: Any, expect: Any) -> None:
    page.locator("#examples .hit").first.click()
    first = answered(page, expect).first.locator(".hit").first.get_attribute("title")
    name = page.locator("#query .facts p").inner_text()
    page.locator(".answer .hit").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#query .facts p")).to_contain_text(str(first))
    answered(page, expect)
    expect(page.locator("#legend")).to_be_visible()
    assert page.locator(".answer li.ok, .answer li.no").count() == 24
    page.go_back()
    expect(page.locator("#query .facts p")).to_have_text(name)
    page.reload()
    answered(page, expect)
    expect(page.locator("#query .facts p")).to_have_text(name)


def test_going_back_from_a_result_shows_the_answers_to_the_own_picture_again(
    page: Any, expect: Any, digit: bytes
) -> None:
    give(page, "drop", digit)
    answered(page, expect)
    own = page.locator("#query .facts p").inner_text()
    page.locator(".answer .hit").nth(1).click()
    expect(page.locator("#query .facts p")).not_to_have_text(own)
    answered(page, expect)
    page.go_back()
    expect(page.locator("#query .facts p")).to_have_text(own)
    answered(page, expect)


def test_without_a_method_nothing_is_compared(page: Any, expect: Any, digit: bytes) -> None:
    page.locator("summary").click()
    for box in page.locator("#runs input").all():
        box.uncheck()
    for place in ("first", "last"):
        page.set_input_files(f"#file-{place}", {"name": "digit.png", "mimeType": "image/png", "buffer": digit})
    expect(page.get_by_role("alert")).to_have_text("Choose a method or more.")
    expect(page.locator("#compared tbody tr")).to_have_count(0)


def test_class_number_and_methods_filter_what_is_shown(page: Any, expect: Any) -> None:
    page.locator("#examples .hit").first.click()
    answered(page, expect)
    page.select_option("#label", "7")
    page.fill("#k", "5")
    page.keyboard.press("Tab")
    expect(page.locator(".answer").first.locator(".hit")).to_have_count(5)
    assert set(answered(page, expect).locator(".label").all_inner_texts()) == {"7"}
    page.locator("summary").click()
    page.get_by_role("checkbox", name="pixels").uncheck()
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator("#chosen")).to_have_text("2 of 3")
    page.fill("#k", "0")
    page.keyboard.press("Tab")
    expect(page.get_by_role("alert")).to_contain_text("from 1 to 50")


def test_two_pictures_are_compared_and_a_slider_walks_between_them(page: Any, expect: Any, digit: bytes) -> None:
    page.locator("#examples .hit").first.click()
    answered(page, expect)
    page.get_by_role("button", name="compare: as first").click()
    page.set_input_files("#file-last", {"name": "digit.png", "mimeType": "image/png", "buffer": digit})
    rows = page.locator("#compared tbody tr")
    expect(rows).to_have_count(3)
    for text in rows.all_inner_texts():
        _, cosine, probability, source = text.split("\t")
        assert -1 <= float(cosine) <= 1
        assert 0 <= float(probability) <= 1
        assert source in ("by the method", "by validation pairs")
    image, slider = page.locator("#walked img"), page.locator("#share")
    expect(image).to_have_count(1)
    slider.focus()
    seen = set()
    for key in ("Home", "PageUp", "PageUp", "End"):
        page.keyboard.press(key)
        seen.add(image.get_attribute("src"))
    assert len(seen) == 4
    expect(page.locator("#share-said")).to_have_text("100 %")


def test_what_goes_wrong_is_said(page: Any, expect: Any, served: Any) -> None:
    alert = page.get_by_role("alert")
    give(page, "drop", b"no picture")
    expect(alert).to_have_text("The picture cannot be read: not an image of a known format.")
    expect(page.locator("#found")).to_be_hidden()
    give(page, "drop", b"words", "text/plain")
    expect(alert).to_contain_text("is no picture (text/plain)")
    give(page, "paste", None)
    expect(alert).to_contain_text("no picture in what was pasted")
    give(page, "drop", 16_100_000)
    expect(alert).to_have_text("A picture may have 16 MB, this one has 16.1 MB.")
    page.route("**/api/search", lambda route: route.abort())
    page.locator("#examples .hit").first.click()
    expect(alert).to_have_text("The server does not answer. Is it still running?")
    page.unroute("**/api/search")
    page.locator("#examples .hit").nth(1).click()
    answered(page, expect)
    expect(alert).to_be_empty()


def test_the_leaderboard_and_the_report_are_on_the_site(page: Any, expect: Any) -> None:
    expect(page.locator("#ranked tbody tr")).to_have_count(3)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.locator("nav").get_by_role("link", name="Report").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Which method should you use?")
    page.get_by_role("button", name="Theme: system").click()  # its script runs under its policy
    expect(page.locator("#theme")).to_have_text("Theme: light")
    assert errors == []


def test_a_phone_shows_the_whole_page_without_scrolling_it_sideways(page: Any, expect: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.locator("#examples .hit").first.click()
    answered(page, expect)
    page.get_by_role("button", name="compare: as first").click()
    page.get_by_role("button", name="compare: as last").click()
    expect(page.locator("#compared tbody tr")).to_have_count(3)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core from npm, or the test is left out."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("axe")
    if npm is None:
        pytest.skip("there is no npm on this machine")
    try:
        words = [npm, "pack", AXE, "--prefer-offline", "--silent"]
        subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=120)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"{AXE} cannot be had from npm: {error}")
    (packed,) = Path(folder).glob("*.tgz")
    with tarfile.open(packed) as archive:
        found = archive.extractfile("package/axe.min.js")
        assert found is not None
        return found.read().decode()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_accessibility_issue(page: Any, expect: Any, axe: str, theme: str, digit: bytes) -> None:
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    give(page, "drop", b"no picture")
    expect(page.get_by_role("alert")).to_contain_text("cannot be read")
    found = check(page, axe)
    page.locator("summary").click()
    page.locator("#examples .hit").first.click()
    answered(page, expect)
    page.get_by_role("button", name="compare: as first").click()
    page.set_input_files("#file-last", {"name": "digit.png", "mimeType": "image/png", "buffer": digit})
    expect(page.locator("#walked img")).to_have_count(1)
    found += check(page, axe)
    assert found == []


def check(page: Any, axe: str) -> list[str]:
    """What axe-core finds: its rule, how serious, and where first."""
    page.evaluate(f"() => {{ {axe}\n }}")
    found = page.evaluate("() => axe.run().then((all) => all.violations)")
    return [f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}" for one in found]

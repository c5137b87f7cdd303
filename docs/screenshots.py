"""Pictures of every part of results/standard/report.html, light and dark, wide and on a phone: docs/img/report-*.webp.

``make screenshots`` runs it; it needs Chromium, and the tests' packages.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SHORTEST, TALLEST = 700, 1500  # where pictures are cut, in pixels of the sheet
WIDE, PHONE = 1280, 390
SHRUNK = {WIDE: 800, PHONE: 340}
GAP = 16

# What belongs to a heading becomes one element: the page has headings and what follows, no boxes.
_BOXED = """(slug) => {
  const boxes = {};
  const box = (name, nodes) => {
    const made = document.createElement("div");
    nodes[0].before(made);
    made.append(...nodes);
    made.dataset.part = name;
    made.style.padding = "1rem";
  };
  const table = document.getElementById(slug);
  let name = "leaderboard", nodes = [];
  for (const node of [...table.children]) {
    if (node.tagName === "H3") { box(name, nodes); name = node.id.slice(slug.length + 1); nodes = []; }
    nodes.push(node);
  }
  box(name, nodes);
  document.querySelector("section.intro").dataset.part = "top";
  const overall = document.getElementById("overall");
  if (overall) overall.dataset.part = "overall";
  table.querySelector("details.origin").open = true;
  document.querySelector("header.bar").style.position = "static";
  return [...document.querySelectorAll("[data-part]")].map((one) => one.dataset.part);
}"""


def shots(browser: Browser, report: Path, slug: str) -> Iterator[tuple[str, int, Image.Image]]:
    """Yield (part, width, picture) of every part of a table of the report, in four looks."""
    for width in (WIDE, PHONE):
        for theme in ("light", "dark"):
            page: Page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
            page.goto(report.as_uri())
            for part in page.evaluate(_BOXED, slug):
                element = page.locator(f"[data-part={part}]")
                element.scroll_into_view_if_needed()
                page.wait_for_timeout(300)  # folded parts unpack as they come into view
                yield part, width, Image.open(io.BytesIO(element.screenshot(animations="disabled"))).convert("RGB")
            page.close()


def sheet(pictures: list[tuple[int, Image.Image]]) -> Image.Image:
    """Return pictures side by side, shrunk, and cut where they are too tall."""
    small = []
    for width, picture in pictures:
        scale = SHRUNK[width] / picture.width
        shrunk = picture.resize((SHRUNK[width], max(1, round(picture.height * scale))), Image.Resampling.LANCZOS)
        small.append(shrunk)
    tallest = max(SHORTEST, min(TALLEST, small[0].height))  # a phone shows as much as there is room for
    small = [one.crop((0, 0, one.width, min(one.height, tallest))) for one in small]
    whole = Image.new(
        "RGB", (sum(one.width + GAP for one in small) - GAP, max(one.height for one in small)), (128, 128, 128)
    )
    at = 0
    for one in small:
        whole.paste(one, (at, 0))
        at += one.width + GAP
    return whole


def main(slug: str) -> None:
    """Write one picture a part of the table called slug (``fashionmnist-loo``)."""
    report, parts = ROOT / "results" / "standard" / "report.html", dict[str, list[tuple[int, Image.Image]]]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for part, width, picture in shots(browser, report, slug):
            parts.setdefault(part, []).append((width, picture))
        browser.close()
    for part, pictures in parts.items():
        path = ROOT / "docs" / "img" / f"report-{part}.webp"
        sheet(pictures).save(path, quality=70, method=6)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "fashionmnist-loo")

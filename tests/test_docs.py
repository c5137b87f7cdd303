"""The pages of docs/: no link is broken, what is generated is up to date, and the site builds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from programs import run_simbench

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = [
    *CHECKOUT.glob("*.md"),
    *sorted(page for folder in ("docs", "results") for page in (CHECKOUT / folder).rglob("*.md")),
]
SOURCES = [
    path
    for folder in ("bench", "methods", "datasets", "examples", "tests", "docs", ".ci", ".github")
    for path in sorted((CHECKOUT / folder).rglob("*"))
    if path.suffix in {".py", ".toml", ".md", ".yml", ".j2", ".js", ".ipynb", ""} and path.is_file()
]


def named(paths: list[Path]) -> list[str]:
    return [path.relative_to(CHECKOUT).as_posix() for path in paths]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, spelled as GitHub and mkdocs spell them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named(PAGES))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if "://" not in target and not (there.exists() and (not anchor or anchor in anchors(there))):
            broken.append(target)
    assert broken == []


def test_every_page_that_the_code_names_is_there() -> None:
    files = [*SOURCES, CHECKOUT / "Makefile", CHECKOUT / "bench.toml", CHECKOUT / "pyproject.toml"]
    told = re.compile(r"docs/[\w./-]+\.(?:md|py|png|webp)")
    missing = {
        f"{path.relative_to(CHECKOUT)}: {name}"
        for path in files
        for name in told.findall(path.read_text(encoding="utf-8", errors="replace"))
        if not (CHECKOUT / name).is_file()
    }
    assert missing == set()


def test_the_generated_pages_are_as_the_code_and_the_other_pages_make_them_now() -> None:
    pytest.importorskip("yaml")
    checked = subprocess.run(
        [sys.executable, "-P", "docs/build_pages.py", "--check"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_site_builds_and_no_page_is_missing_from_its_menu(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    built = subprocess.run(
        [sys.executable, "-P", "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    pages = {path.relative_to(CHECKOUT / "docs").with_suffix(".html") for path in (CHECKOUT / "docs").rglob("*.md")}
    assert all((tmp_path / "site" / page).is_file() for page in pages)
    assert "https://" not in re.sub(r"<a [^>]*>", "", (tmp_path / "site" / "index.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["ci.yml"])
def test_the_workflow_runs_what_there_is(name: str) -> None:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((CHECKOUT / ".github" / "workflows" / name).read_text(encoding="utf-8"))
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for step in steps:
        assert set(re.findall(r"^make ([a-z-]+)", step, re.MULTILINE)) <= targets
        assert all((CHECKOUT / path).exists() for path in re.findall(r"(?<=\s)(?:tests|\.ci)/\S+", step))


def test_the_python_examples_of_the_guide_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (CHECKOUT / "docs" / "guides" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for example in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(example, names)
    assert len(names["vectors"]) == len(names["found"].per_query["map@10"])


def test_the_encoder_of_the_guide_passes_the_check_as_a_file_of_ones_own(tmp_path: Path) -> None:
    page = (CHECKOUT / "docs" / "guides" / "adding-an-encoder.md").read_text(encoding="utf-8")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "plain.py").write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0])
    checked = run_simbench(["check", "plain", "--methods", "mine"], tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr

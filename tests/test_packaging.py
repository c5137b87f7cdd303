"""What a user installs: a wheel that adds one package of ours and hides nobody else's."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    # A copy without .git and caches: building must not write into the checkout.
    copy = folder / "source"
    listed = subprocess.run(
        ["git", "-C", str(source), "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if name.startswith("results/") or not (source / name).is_file():
            continue
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((source / name).read_bytes())
    subprocess.run([*command, str(copy)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_our_package_and_nothing_at_the_top_that_could_hide_another(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"bench"}
    assert {"bench/methods/arcface.py", "bench/datasets/digits.py", "bench/py.typed"} <= set(names)


def test_the_wheel_holds_every_module_of_the_checkout(wheel: Path, checkout: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    ours = {str(path.relative_to(checkout)) for path in (checkout / "bench").rglob("*.py")}
    ours |= {
        f"bench/{path.relative_to(checkout)}"
        for top in ("methods", "datasets")
        for path in (checkout / top).glob("*.py")
    }
    assert packed == ours


def test_an_installed_wheel_lists_its_methods_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(target)
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import bench.cli; bench.cli.main()", "list", "methods"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "arcface" in done.stdout


def test_importing_datasets_does_not_find_our_folder(checkout: Path) -> None:
    spec = importlib.util.find_spec("datasets")
    assert spec is None or not str(spec.origin).startswith(str(checkout))


def test_there_is_no_root_conftest_and_no_tests_package(checkout: Path) -> None:
    assert not (checkout / "conftest.py").exists()
    assert list((checkout / "tests").rglob("__init__.py")) == []

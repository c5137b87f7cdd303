"""Plugins: found by file name or entry point, listed without importing, checked when made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from programs import run_simbench

from bench.contract import MethodError, UsageError
from bench.plugins import DATASET, ENCODER, ENGINE, INDEX, METHOD, Kind, dataset, method
from bench.registry import get_dataset, get_method, get_plugin, list_plugins, plugin_names

pytestmark = pytest.mark.slow

PROGRAM = [sys.executable, "-P", "-c", "import bench.cli; bench.cli.main()"]


def test_every_file_is_a_plugin_with_a_summary_and_private_files_are_not() -> None:
    for kind in (METHOD, DATASET, ENCODER, ENGINE, INDEX):
        plugins = [plugin for plugin in list_plugins(kind) if plugin.name not in dict(kind.standing)]
        assert [plugin.name for plugin in plugins] == plugin_names(kind)
        assert all(plugin.summary and not plugin.name.startswith("_") for plugin in plugins)


def test_listing_imports_no_plugin() -> None:
    code = (
        "import sys; from bench import plugins; from bench.registry import list_plugins;"
        "[list_plugins(kind) for kind in vars(plugins).values() if isinstance(kind, plugins.Kind)];"
        "heavy = ('bench.methods.', 'bench.datasets.', 'bench.training.', 'torch', 'numpy', 'faiss');"
        "sys.exit(any(name.startswith(heavy) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_every_plugin_can_be_made_without_options() -> None:
    assert all(get_method(name)() for name in plugin_names(METHOD))
    assert all(get_dataset(name)() for name in plugin_names(DATASET))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (ENCODER, {"resnet", "airbench", "simplecnn", "embeddingnet", "timm"}),
        (ENGINE, {"openvino", "onnx", "inductor"}),
        (INDEX, {"flat", "fp16", "int8", "hnsw", "nsg", "ivf", "pq", "ivfpq", "rabitq"}),
    ],
)
def test_built_in_encoders_engines_and_indexes_come_through_the_same_door(kind: Kind, names: set[str]) -> None:
    assert set(plugin_names(kind)) == names
    assert all(callable(get_plugin(kind, name)) for name in names)


def test_an_unknown_name_is_told_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"unknown method 'arc-fase'; did you mean 'arcface'\?"):
        get_method("arc-fase")


def test_dashes_and_underscores_are_the_same() -> None:
    assert get_method("ArcFace") is get_method("arcface")


def test_a_class_that_breaks_the_contract_is_refused_when_it_is_made() -> None:
    with pytest.raises(MethodError, match=r"lacks embed\(\)"):

        @method
        @dataclass
        class NoEmbed:
            def fit(self, train: object, validation: object, run: object) -> None: ...

    with pytest.raises(MethodError, match="no dataclass"):

        @dataset
        class NoDataclass:
            def load(self, place: object) -> None: ...

    with pytest.raises(MethodError, match="'size' has none"):

        @dataset
        @dataclass
        class NoDefault:
            size: int

            def load(self, place: object) -> None: ...


# ------------------------------------------------------------------------------------------------ plugins of others


@pytest.fixture
def example(checkout: Path) -> str:
    """The method that docs/guides/adding-a-method.md shows."""
    return examples(checkout)[0]


def examples(checkout: Path) -> list[str]:
    text = (checkout / "docs" / "guides" / "adding-a-method.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def installed(tmp_path: Path, name: str, code: str) -> dict[str, str]:
    """Lay a package of somebody else's that brings one method as pip would leave it; return its environment."""
    site = tmp_path / "site"
    info = site / "other_methods-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "other_methods.py").write_text(code, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-methods\nVersion: 1.0\nSummary: Colours\n")
    (info / "entry_points.txt").write_text(f"[simbench.methods]\n{name} = other_methods\n")
    return {**os.environ, "PYTHONPATH": str(site), "SIMBENCH_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def other_package(tmp_path: Path, example: str) -> dict[str, str]:
    return installed(tmp_path, "colour", example)


def test_the_example_of_the_docs_is_short(example: str) -> None:
    assert len(example.splitlines()) <= 20


def test_a_method_of_another_package_is_listed_checked_and_run(other_package: dict[str, str], tmp_path: Path) -> None:
    def simbench(*words: str) -> str:
        done = run_simbench([*words], tmp_path, other_package)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert re.search(r"colour +Colours +\[other-methods\]", simbench("list", "methods"))
    assert "FAILED" not in simbench("check", "colour")
    assert "| colour" in simbench("run", "-m", "colour", "-o", "colour.power=2", "-q")


def test_the_trained_method_of_the_docs_keeps_every_promise(checkout: Path, tmp_path: Path) -> None:
    env = installed(tmp_path, "centre", examples(checkout)[1])
    done = run_simbench(["check", "centre"], tmp_path, env)
    assert done.returncode == 0, done.stdout + done.stderr


def test_vectors_that_are_not_numbers_are_a_failed_run_that_names_the_method(
    other_package: dict[str, str], tmp_path: Path, example: str
) -> None:
    broken = example.replace("+ 1e-6", "* float('nan')")
    (tmp_path / "site" / "other_methods.py").write_text(broken, encoding="utf-8")
    done = run_simbench(["run", "-m", "colour", "-q"], tmp_path, other_package)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("simbench: colour failed: ")
    assert "Colour.embed" in line
    assert "failed: " in (tmp_path / "runs" / "report" / "leaderboard.md").read_text(encoding="utf-8")


def test_one_new_file_in_methods_is_a_method_without_any_other_edit(
    checkout: Path, tmp_path: Path, example: str
) -> None:
    copy = tmp_path / "bench_copy"
    for folder in ("bench", "methods", "datasets"):
        target = copy / "bench" / folder if folder != "bench" else copy / "bench"
        for path in (
            path for ending in ("py", "pyi", "toml", "csv") for path in (checkout / folder).rglob(f"*.{ending}")
        ):
            place = target / path.relative_to(checkout / folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    (copy / "bench" / "methods" / "colour.py").write_text(example, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(copy), "SIMBENCH_CACHE": str(tmp_path / "cache")}
    quick = "import bench.cli, bench.runs.costs; bench.runs.costs._PACE = 0.02; bench.cli.main()"
    command = [sys.executable, "-P", "-c", quick, "run", "-m", "colour", "--limit", "100", "-q"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| colour" in done.stdout


def test_the_data_set_example_of_the_docs_is_listed_and_run(
    other_package: dict[str, str], tmp_path: Path, checkout: Path
) -> None:
    text = (checkout / "docs" / "guides" / "adding-a-dataset.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    (tmp_path / "site" / "other_methods.py").write_text(code, encoding="utf-8")
    points = tmp_path / "site" / "other_methods-1.0.dist-info" / "entry_points.txt"
    points.write_text("[simbench.datasets]\nstripes = other_methods\n")
    done = run_simbench(["run", "-m", "pixels", "-d", "stripes", "-q"], tmp_path, other_package)
    assert done.returncode == 0, done.stderr
    assert "## stripes · holdout" in done.stdout


def test_a_name_that_simbench_has_already_is_refused(tmp_path: Path, other_package: dict[str, str]) -> None:
    points = tmp_path / "site" / "other_methods-1.0.dist-info" / "entry_points.txt"
    points.write_text("[simbench.methods]\narcface = other_methods\n")
    done = run_simbench(["list"], tmp_path, other_package)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "simbench: package other-methods brings a method called 'arcface', which simbench has already"
    )

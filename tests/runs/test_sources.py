"""What a run is made of: the source of its plugins and the files that its options name, in its key and its record."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_runs import fake_spec

from bench import registry
from bench.contract import RunSpec
from bench.options import FileNamed, names_of
from bench.plugins import ENCODER
from bench.registry import get_method
from bench.runs.provenance import uncommitted_plugins
from bench.runs.sources import distributions_of, sources_of
from bench.session import open_run, run

METHOD = '''"""A power of the mean colour, with all that a method's source may be spread over."""

from dataclasses import dataclass

import torch

from bench import file_option, method

from . import _base
from .nets import deep


@method
@dataclass
class {name}(_base.Base):
    book: str = file_option("none", words=("none",))
    notes: str = ""
    power: float = 1.0

    def fit(self, train, validation, run):
        self.scale = torch.ones(1)

    def embed(self, pixels):
        return pixels.pow(self.power).flatten(1) + 1e-6

    def state(self):
        return {{"scale": self.scale}}

    def restore(self, state, shape, device):
        self.scale = state["scale"]
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of own methods in use: ``mixed`` and the files that it imports, one encoder, and files it does not."""
    home = tmp_path / "mine"
    (home / "nets").mkdir(parents=True)
    for name, text in {
        "mixed.py": METHOD.format(name="Mixed"),
        "_base.py": "from ._deeper import THING\n\n\nclass Base:\n    pass\n",
        "_deeper.py": "THING = 1\n",
        "nets/__init__.py": "",
        "nets/deep.py": "import json\n",
        "json.py": "x = 1\n",
        "other.py": "x = 1\n",
        "small.py": "import bench\n\n\n@bench.encoder\nclass Small(bench.Encoder):\n    pass\n",
    }.items():
        (home / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("SIMBENCH_METHODS", str(home))
    return home


def spec_of(method: str = "mixed", **options: object) -> RunSpec:
    return fake_spec(method=method, options=options, sources=sources_of(method, options))


def test_sources_of_an_own_method_are_its_file_and_those_it_imports(folder: Path) -> None:
    assert list(sources_of("mixed", {"power": 1.0, "book": "none", "notes": ""})) == [
        f"method/{name}" for name in ("_base.py", "_deeper.py", "mixed.py", "nets/__init__.py", "nets/deep.py")
    ]


@pytest.mark.parametrize("name", ["mixed.py", "_base.py", "_deeper.py", "nets/deep.py"])
def test_another_loss_in_any_file_of_a_method_is_another_key(folder: Path, name: str) -> None:
    before = spec_of().key
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write("# another loss\n")
    assert spec_of().key != before


def test_files_that_a_method_does_not_import_change_no_key(folder: Path) -> None:
    before = spec_of().key
    for name in ("other.py", "json.py", "small.py"):
        (folder / name).write_text("y = 2\n", encoding="utf-8")
    assert spec_of().key == before


def test_the_folder_of_a_method_does_not_decide_its_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = spec_of().key
    moved = folder.rename(folder.parent / "elsewhere")
    monkeypatch.setenv("SIMBENCH_METHODS", str(moved))
    assert spec_of().key == before


def test_simbenchs_own_methods_and_encoders_count_as_well() -> None:
    assert list(sources_of("triplet", {"encoder": "resnet"})) == ["-o encoder/resnet.py", "method/triplet.py"]
    assert set(sources_of("pixels", {}, "onnx")) == {"method/pixels.py", "engine/compile.py"}


def test_another_encoder_under_the_same_name_is_another_key(folder: Path) -> None:
    before = spec_of("triplet", encoder="small")
    with (folder / "small.py").open("a", encoding="utf-8") as file:
        file.write("# wider\n")
    after = spec_of("triplet", encoder="small")
    assert before.sources["method/triplet.py"] == after.sources["method/triplet.py"]
    assert before.key != after.key


def test_the_content_of_weights_decides_a_key_and_their_path_does_not(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    first.write_bytes(b"one")
    second.write_bytes(b"one")
    same = {spec_of("pretrained", weights=str(path)).key for path in (first, second)}
    assert len(same) == 1
    first.write_bytes(b"two")
    assert spec_of("pretrained", weights=str(first)).key not in same
    assert spec_of("pretrained", weights="none").key != spec_of("pretrained", weights="pretrained").key
    assert spec_of("pretrained", weights=str(first)).options == {"weights": str(first)}


def test_a_file_that_an_option_names_without_saying_so_counts_too(folder: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("one", encoding="utf-8")
    before = spec_of(notes=str(notes))
    notes.write_text("two", encoding="utf-8")
    assert "-o notes=notes.txt" in before.sources
    assert spec_of(notes=str(notes)).key != before.key
    assert spec_of(notes="words, and no file").sources == spec_of().sources


def test_options_say_what_they_name(folder: Path) -> None:
    assert names_of(get_method("mixed")) == {"book": FileNamed(("none",))}
    named = names_of(get_method("arcface"))
    assert (named["encoder"], named["weights"]) == (ENCODER, FileNamed(("pretrained", "none")))


def test_a_method_that_cannot_be_imported_has_its_files_source(folder: Path) -> None:
    (folder / "lacking.py").write_text("import nothing_of_this_name\n" + METHOD.format(name="A"), encoding="utf-8")
    assert "method/lacking.py" in sources_of("lacking", {})


def test_marks_tell_rows_of_other_code_and_other_files_apart(folder: Path, tmp_path: Path) -> None:
    book = tmp_path / "book.npy"
    book.write_bytes(b"centres")
    marks = spec_of(book=str(book)).marks
    assert list(marks) == ["code", "book content"]
    assert spec_of().marks == {"code": marks["code"]}
    assert fake_spec().marks == {}


def test_opening_a_run_says_where_its_method_has_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record = run("mixed", "digits", limit=60, protocol="loo", runs=str(tmp_path / "runs"))
    assert next(iter(record.result.spec.sources)) == "method/_base.py"
    open_run(record.folder)
    assert not caplog.records
    with (folder / "mixed.py").open("a", encoding="utf-8") as file:
        file.write("# another loss\n")
    with caplog.at_level(logging.WARNING):
        open_run(record.folder)
    (told,) = [one.getMessage() for one in caplog.records]
    assert told == f"{record.folder}: the method mixed has changed since this run was made (method/mixed.py)"


# ---------------------------------------------------------------------------------------------- provenance


def test_plugins_that_are_untracked_changed_or_ignored_are_told_by_file(folder: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)

    assert uncommitted_plugins(spec_of()) == (), "outside any checkout nothing can be said"
    git("init", "-q")
    assert "mine/mixed.py" in uncommitted_plugins(spec_of())
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all")
    assert uncommitted_plugins(spec_of()) == ()
    (folder / "other.py").write_text("not in use\n", encoding="utf-8")
    assert uncommitted_plugins(spec_of()) == ()
    (folder / "_deeper.py").write_text("THING = 2\n", encoding="utf-8")
    assert uncommitted_plugins(spec_of()) == ("mine/_deeper.py",)
    git("checkout", "-q", "_deeper.py")
    (folder / ".gitignore").write_text("late.py\n", encoding="utf-8")
    (folder / "late.py").write_text(METHOD.format(name="Late"), encoding="utf-8")
    assert uncommitted_plugins(spec_of("late")) == ("mine/late.py",)


def test_plugins_in_a_folder_that_git_ignores_are_told(folder: Path) -> None:
    subprocess.run(["git", "-C", str(folder.parent), "init", "-q"], check=True)
    (folder.parent / ".gitignore").write_text("mine/\n", encoding="utf-8")
    assert "mine/mixed.py" in uncommitted_plugins(spec_of())


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of somebody else's with a method and a data set, as pip would leave it."""
    site = tmp_path / "site-packages"
    info = site / "their_methods-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "their_methods").mkdir()
    (site / "their_methods" / "__init__.py").write_text("", encoding="utf-8")
    (site / "their_methods" / "_base.py").write_text("class Base:\n    pass\n", encoding="utf-8")
    text = METHOD.format(name="Theirs").replace("from .nets import deep\n", "")
    (site / "their_methods" / "mean.py").write_text(text, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-methods\nVersion: 1.2\n", encoding="utf-8")
    points = "[simbench.methods]\ntheirs = their_methods.mean\n[simbench.datasets]\ntheir_set = their_methods.data\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    registry._entry_points.cache_clear()
    yield site
    registry._entry_points.cache_clear()
    for name in [name for name in sys.modules if name.startswith("their_methods")]:
        del sys.modules[name]


def test_packages_that_brought_a_plugin_are_recorded_with_their_versions(package: Path) -> None:
    assert distributions_of(spec_of("theirs")) == {"their-methods": "1.2"}
    assert distributions_of(fake_spec(dataset="their_set")) == {"their-methods": "1.2"}
    assert distributions_of(fake_spec()) == {}


def test_sources_of_a_packages_method_are_named_within_the_package(package: Path) -> None:
    found = ["__init__.py", "_base.py", "mean.py"]
    assert list(sources_of("theirs", {})) == [f"method/their_methods/{name}" for name in found]
    assert uncommitted_plugins(spec_of("theirs")) == ()


def test_sources_are_read_back_from_json_with_the_same_key(folder: Path) -> None:
    spec = spec_of(book="none")
    content = json.loads(json.dumps(dict(spec.sources)))
    assert replace(spec, sources=content).key == spec.key

"""Code from outside simbench that ends, or holds up, whatever calls it: a failed row with its name, and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_runs import fake_spec
from programs import COMMAND, run_simbench

from bench import registry
from bench.contract import MethodError
from bench.plugins import ENCODER, METHOD
from bench.registry import find_plugins, get_method, plugin_names
from bench.runs.sources import of_own_code
from bench.suites.cell import try_outside

METHOD_FILE = '''"""A method that does something odd."""

import os, sys, time
from dataclasses import dataclass

from bench import method

{importing}


@method
@dataclass
class Odd:
    power: float = 1.0

    def __post_init__(self):
        {making}

    def fit(self, train, validation, run):
        {fitting}

    def embed(self, pixels):
        {embedding}
        return pixels.pow(self.power).flatten(1) + 1e-6
'''
ODD = {  # what each does, and how its reason ends
    "fit_exits": ({"fitting": "sys.exit(0)"}, "method fit_exits of fit_exits.py raised SystemExit(0)"),
    "fit_ends": ({"fitting": "os._exit(0)"}, "ended without a result (exit code 0): method fit_ends of fit_ends.py"),
    "embed_raises": (
        {"embedding": "raise BaseException('odd')"},
        "method embed_raises of embed_raises.py raised BaseException('odd')",
    ),
    "import_exits": ({"importing": "sys.exit(0)"}, "import_exits.py: SystemExit: 0"),
    "import_ends": (
        {"importing": "os._exit(0)"},
        "import_ends of import_ends.py: ended without a result (exit code 0)",
    ),
    "import_hangs": ({"importing": "time.sleep(600)"}, "import_hangs of import_hangs.py: it took over 1 s"),
    "import_raises": ({"importing": "raise KeyError('no')"}, "import_raises.py: KeyError: 'no'"),
    "init_exits": ({"making": "sys.exit(3)"}, "cannot import the method init_exits of init_exits.py: SystemExit: 3"),
    "init_ends": ({"making": "os._exit(0)"}, "init_ends of init_ends.py: ended without a result (exit code 0)"),
}
SOON = f"import bench.suites.cell; bench.suites.cell.IMPORT_SECONDS = 1.0; {COMMAND}"


def write_method(folder: Path, name: str, **does: str) -> None:
    said = {"importing": "", "making": "pass", "fitting": "pass", "embedding": "pass", **does}
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(METHOD_FILE.format(**said), encoding="utf-8")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder of methods that each do one odd thing, and ``good``, which does none."""
    for name, (does, _) in ODD.items():
        write_method(tmp_path / "odd", name, **does)
    write_method(tmp_path / "odd", "good")
    return tmp_path / "odd"


def reasons_in(runs: Path) -> dict[str, str]:
    """Return each run's reason to fail, nothing for a finished one, by its method."""
    found = [json.loads(path.read_text("utf-8")) for path in runs.glob("*/*/*/*/seed*/run.json")]
    return {run["spec"]["method"]: run["reason"] for run in found}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "bench"])
def test_methods_that_end_or_hold_up_their_process_are_failed_rows(command: str, odd: Path, tmp_path: Path) -> None:
    names = [*ODD, "good", "pixels"]
    words = [word for name in names for word in ("-m", name)] + ["--limit", "60", "-o", "good.power=2"]
    if command == "bench":
        suite = {"methods": names, "datasets": ["digits"], "protocols": ["loo"], "seeds": [0], "limit": 60}
        lines = [f"{key} = {json.dumps(value)}" for key, value in suite.items()]
        (tmp_path / "bench.toml").write_text("\n".join(["[suite.odd]", *lines]), encoding="utf-8")
        words = ["--suite", "odd"]
    done = run_simbench([command, *words, "-q", "--methods", str(odd)], tmp_path, code=SOON)
    assert done.returncode == 1, done.stderr
    found = reasons_in(tmp_path / "runs")
    assert {name for name, reason in found.items() if not reason} == {"good", "pixels"}
    for name, (_, ending) in ODD.items():
        assert found[name].endswith(ending), found[name]
    assert "Traceback" not in done.stderr
    assert "| good" in done.stdout


def test_a_method_that_exits_in_another_command_is_a_failure_in_one_line(odd: Path, tmp_path: Path) -> None:
    write_method(tmp_path / "one", "init_exits", making="sys.exit(0)")
    done = run_simbench(["list", "methods", "-v", "--methods", str(tmp_path / "one")], tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "init_exits of init_exits.py: SystemExit: 0" in done.stderr


@pytest.mark.parametrize("code", ["from bench import method\n\nmethod(3)\n@method\nclass A: pass\n", "@method\nx = ("])
def test_files_that_hold_no_plugin_after_all_are_failed_rows(code: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "nothing.py").write_text(code, encoding="utf-8")
    words = ["run", "-m", "nothing", "-m", "pixels", "-o", "center=true", "--limit", "60", "-q"]
    done = run_simbench([*words, "--methods", str(tmp_path / "one")], tmp_path)
    assert done.returncode == 1
    found = reasons_in(tmp_path / "runs")
    assert not found["pixels"]
    assert "nothing" in found["nothing"]


def test_an_interrupt_of_the_user_stops_a_run_and_is_no_failed_row(odd: Path, tmp_path: Path) -> None:
    write_method(odd, "asleep", fitting="os.kill(os.getppid(), 2); time.sleep(600)")
    done = run_simbench(["run", "-m", "asleep", "--limit", "60", "-q", "--methods", str(odd)], tmp_path)
    assert done.returncode == 130, done.stderr
    assert reasons_in(tmp_path / "runs") == {}


def test_a_mended_method_leaves_no_failed_row_of_its_old_code(odd: Path, tmp_path: Path) -> None:
    for does in ({"fitting": "raise ValueError('not yet')"}, {}):
        write_method(odd, "mended", **does)
        words = ["run", "-m", "mended", "--limit", "60", "-q", "--methods", str(odd)]
        last = run_simbench(words, tmp_path)
    table = (tmp_path / "runs" / "report" / "leaderboard.md").read_text("utf-8")
    assert last.returncode == 0, last.stderr
    assert len(list((tmp_path / "runs").glob("*/*/mended/*/seed0/run.json"))) == 2
    assert "not yet" not in table
    assert "| mended " in table


def test_only_plugins_that_are_named_are_tried_and_only_process_enders_are_refused(
    odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMBENCH_METHODS", str(odd))
    monkeypatch.setattr("bench.suites.cell.IMPORT_SECONDS", 1.0)
    assert not try_outside(["pixels", "digits"])
    assert try_outside(["-o", "x=import-ends", "good", "import_raises"])
    assert [name for _, name, _ in registry.refused() if (odd / f"{name}.py").exists()] == ["import_ends"]
    with pytest.raises(MethodError, match=r"^cannot import the method import_ends of import_ends\.py: ended without"):
        get_method("import_ends")
    assert get_method("good")().power == 1.0  # type: ignore[attr-defined]  # a method of this test


def test_runs_with_an_encoder_from_outside_are_known_to_be_of_such_code(
    odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (odd / "small.py").write_text("import bench\n\n\n@bench.encoder\nclass Small(bench.Encoder):\n    pass\n", "utf-8")
    monkeypatch.setenv("SIMBENCH_METHODS", str(odd))
    assert "small" in find_plugins(ENCODER)
    assert of_own_code(fake_spec(method="triplet", options={"encoder": "resnet"}))
    assert not of_own_code(fake_spec(method="triplet", options={"encoder": "small"}))
    assert not of_own_code(fake_spec(method="good"))


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a b", "a;b", ""])
def test_a_packages_name_that_could_be_a_path_is_left_out_and_its_package_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    info = tmp_path / "site" / "odd_names-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-names\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[simbench.methods]\n{name} = odd\nfine-one = odd\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry._entry_points.cache_clear()
    try:
        assert "fine_one" in plugin_names(METHOD)
        assert name not in plugin_names(METHOD)
    finally:
        registry._entry_points.cache_clear()
    (told,) = [one.getMessage() for one in caplog.records]
    assert told.startswith(f"left out: package odd-names brings a method called '{name}', which is no name of letters")

"""The runner: every cell once, whatever dies; a failure is a row with its reason and stops nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_runs import fake_result, write_fake
from programs import COMMAND, Program

from bench.config import Settings
from bench.contract import Dataset, Images, RunSpec, SimbenchError, Split, Workplace
from bench.contract.results import SCHEMA
from bench.executors.executor import Ended, Limits
from bench.files import write_json
from bench.registry import get_protocol
from bench.runs.integrity import write_sealed
from bench.runs.store import RunRecord, all_runs, read_run
from bench.suites.card_room import CardRoom
from bench.suites.cost_model import kind_of
from bench.suites.expansion import SuiteCell
from bench.suites.leases import Leases
from bench.suites.runner import Outcome, Reporter, Runner, SuiteProgress

pytestmark = [pytest.mark.faults, pytest.mark.slow]

METHOD = '''"""A method that does what it is told."""
import os, signal, time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench import method


@method
@dataclass
class Tiny:
    how: Literal["well", "raise", "hang", "eat", "exit", "crash", "killed"] = "well"
    power: float = 1.0

    def __post_init__(self):
        if self.power <= 0:
            raise ValueError(f"power must be above 0, got {self.power}")

    def fit(self, train, validation, run):
        with Path(os.environ["FITS"]).open("a") as file:
            file.write(f"{os.getpid()} {self.how} {self.power} {run.seed}\\n")
        if self.how == "raise":
            raise RuntimeError("no such luck")
        if self.how == "hang":
            time.sleep(1000)
        if self.how == "exit":
            os._exit(3)
        if self.how == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        held = []
        while self.how == "eat":
            held.append(bytearray(b"\\1") * (1 << 25))

    def embed(self, pixels):
        return pixels.pow(self.power).flatten(1) + 1e-6
'''
# --------------------------------------------------------------------------------------- its decisions, in this process


@dataclass
class Script:
    """An executor whose cells end as they are told to, at once; ``None`` ends well."""

    root: Path
    ends: dict[int, list[Ended | str | None]]  # by seed
    slots: int = 1
    started: list[int] = field(default_factory=list)
    together: list[int] = field(default_factory=list)  # at each start, how many ran then
    stopped: bool = False
    _ended: list[tuple[SuiteCell, Ended]] = field(default_factory=list)

    def start(self, cell: SuiteCell, folder: Path) -> None:
        self.started.append(cell.seed)
        self.together.append(len(self._ended) + 1)
        left = self.ends.get(cell.seed, [])
        end = left.pop(0) if left else None
        if isinstance(end, Ended):
            self._ended.append((cell, end))
        else:
            write_record(cell, self.root, "done" if end is None else "failed", end or "")
            self._ended.append((cell, Ended("exit", int(end is not None), 0.1, 5)))

    def ended(self) -> Sequence[tuple[SuiteCell, Ended]]:
        found, self._ended = self._ended, []
        return found

    def stop(self) -> None:
        self.stopped = True


def write_record(cell: SuiteCell, root: Path, status: str, reason: str = "") -> None:
    failure = {"reason": reason} if status == "failed" else {}
    write_fake(root, fake_result(cell.spec, seed=cell.seed, **failure))


def cells(count: int) -> list[SuiteCell]:
    spec, pixels = RunSpec("data", "loo", "m", "f"), Images(np.zeros((2, 8, 8, 1), np.uint8))
    part = Split(pixels, np.zeros(2, np.int64), np.array(["a", "b"]))
    data = Dataset("data", get_protocol("loo"), ("c",), part, part, part, part, mirror=False, fingerprint="f")
    return [SuiteCell(spec, seed, data, "data", Settings()) for seed in range(count)]


def run(
    root: Path,
    some: list[SuiteCell],
    script: Script,
    told: list[str] | None = None,
    *,
    device: str = "cpu",
    room: CardRoom | None = None,
) -> list[Outcome]:
    place = Workplace(root, torch.device(device), 1, lambda items, **_: items, print)
    reporter = Reporter(lambda progress: None, (told if told is not None else []).append)
    return Runner(some, place, script, Limits(10.0, 1 << 30), reporter, room=room).run()


def of_sizes(sizes: Sequence[float]) -> tuple[list[SuiteCell], dict[str, int]]:
    """Return one cell of a kind of its own for each size, which is its seed too, and the sizes by kind."""
    made = [
        replace(cell, spec=replace(cell.spec, options={"size": size}), seed=int(size))
        for cell, size in zip(cells(len(sizes)), sizes, strict=True)
    ]
    return made, {kind_of(cell.spec): cell.seed for cell in made}


def test_finished_cells_are_skipped_failed_ones_tried_again_and_the_order_kept(tmp_path: Path) -> None:
    some = cells(4)
    write_record(some[1], tmp_path, "done")
    write_record(some[2], tmp_path, "failed", "long ago")
    os.utime(some[2].folder(tmp_path) / "run.json", (1, 1))
    (some[2].folder(tmp_path) / ".weights.1.tmp").touch()
    script = Script(tmp_path, {3: ["no luck"]})
    outcomes = run(tmp_path, some, script)
    assert script.started == [0, 2, 3]
    assert [outcome.cell.seed for outcome in outcomes] == [0, 1, 2, 3]
    assert [(outcome.done, outcome.why) for outcome in outcomes[2:]] == [
        (True, "no reason recorded"),
        (False, "no luck"),
    ]
    assert not (some[2].folder(tmp_path) / ".weights.1.tmp").exists()
    assert script.stopped
    assert json.loads((some[0].folder(tmp_path) / "cell.json").read_text())["peak_memory_bytes"] == 5


def test_a_failure_dated_next_year_is_tried_again(tmp_path: Path) -> None:
    (one,) = cells(1)
    write_record(one, tmp_path, "failed", "of a clock that was wrong")
    next_year = time.time() + 365 * 86_400
    os.utime(one.folder(tmp_path) / "run.json", (next_year, next_year))
    script = Script(tmp_path, {})
    (outcome,) = run(tmp_path, [one], script)
    assert script.started == [0]
    assert outcome.done


@pytest.mark.parametrize(
    ("end", "tries", "reason"),
    [
        (Ended("signal", signal.SIGKILL, 1, 0), 2, "killed from outside, twice (SIGKILL)"),
        (Ended("lost", 0, 1, 0, "node died"), 2, "its machine was lost, twice: node died"),
        (
            Ended("oom", signal.SIGKILL, 1, 1 << 30),
            2,
            "out of memory: the system had none left and killed it, twice; it held 1.0 GB",
        ),
        (Ended("signal", signal.SIGSEGV, 1, 0), 1, "crashed (SIGSEGV)"),
        (Ended("time", signal.SIGKILL, 10.2, 0), 1, "timed out after 10 s, the limit is 10 s (--cell-time)"),
        (
            Ended("memory", signal.SIGKILL, 1, 3 << 29),
            1,
            "out of memory: it held 1.5 GB, the limit is 1.0 GB (--cell-memory)",
        ),
        (Ended("exit", 3, 1, 0), 1, "ended without a result (exit code 3)"),
        (Ended("exit", 3, 1, 0, "any last words"), 1, "ended without a result (exit code 3)"),
        (Ended("exit", 1, 1, 0, "simbench: cannot write x"), 1, "cannot write x"),
    ],
)
def test_what_dies_is_tried_once_more_only_if_the_cause_was_outside_it(
    tmp_path: Path, end: Ended, tries: int, reason: str
) -> None:
    script = Script(tmp_path, {0: [end, end, end]})
    outcomes = run(tmp_path, cells(2), script)
    assert script.started == [0] * tries + [1]
    assert (outcomes[0].done, outcomes[0].why) == (False, reason)
    record = read_run(outcomes[0].cell.folder(tmp_path))
    assert record is not None
    assert (record.status, record.result.reason) == ("failed", reason)
    assert outcomes[1].done


def test_a_cell_that_was_killed_from_outside_once_is_done_the_second_time(tmp_path: Path) -> None:
    told: list[str] = []
    outcomes = run(tmp_path, cells(1), Script(tmp_path, {0: [Ended("signal", signal.SIGKILL, 1, 0)]}), told)
    assert outcomes[0].done
    assert any("died of a cause outside it" in line for line in told)


# ---------------------------------------------------------------------------------------------- several on one card

NO_ROOM = "out of memory: CUDA out of memory. Tried to allocate 2.00 GiB"


def test_what_runs_out_of_the_cards_memory_beside_others_is_tried_once_more_alone(tmp_path: Path) -> None:
    told: list[str] = []
    script = Script(tmp_path, {1: [NO_ROOM], 2: [NO_ROOM, NO_ROOM]}, slots=3)
    outcomes = run(tmp_path, cells(4), script, told, device="cuda")
    assert sorted(script.started[3:]) == [1, 2, 3]
    tries = list(zip(script.started, script.together, strict=True))
    assert tries[:3] == [(0, 1), (1, 2), (2, 3)]
    assert {(1, 1), (2, 1)} <= set(tries[3:])
    assert [outcome.why for outcome in outcomes if not outcome.done] == [outcomes[2].why] == [NO_ROOM]
    assert sum("alone on the card" in line for line in told) == 2


@pytest.mark.parametrize(("device", "slots"), [("cuda", 1), ("cpu", 3)])
def test_what_runs_out_of_memory_by_itself_or_off_a_card_has_failed(tmp_path: Path, device: str, slots: int) -> None:
    script = Script(tmp_path, {1: [NO_ROOM]}, slots=slots)
    outcomes = run(tmp_path, cells(3), script, device=device)
    assert script.started == [0, 1, 2]
    assert [outcome.done for outcome in outcomes] == [True, False, True]


def test_cells_run_beside_each_other_as_far_as_the_card_has_room_for_them(tmp_path: Path) -> None:
    some, sizes = of_sizes([60, 30, 5, 200, 10])  # of 100, 95 are given away; the fourth has its try alone
    script = Script(tmp_path, {}, slots=4)
    run(tmp_path, some, script, device="cuda", room=CardRoom(100, 4, sizes))
    assert list(zip(script.started, script.together, strict=True)) == [(60, 1), (30, 2), (5, 3), (200, 1), (10, 1)]


def test_of_what_nothing_is_known_each_gets_its_share_until_one_of_its_kind_is_done(tmp_path: Path) -> None:
    some = cells(6)  # seeds of one kind
    write_sealed(some[0].folder(tmp_path) / "card.json", {"peak_card_bytes": 60})
    script = Script(tmp_path, {}, slots=4)
    run(tmp_path, some, script, device="cuda", room=CardRoom(100, 4))
    assert script.together == [1, 2, 3, 4, 1, 1]


def test_a_run_of_a_newer_simbench_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    some = cells(2)
    path = some[0].folder(tmp_path) / "run.json"
    write_json(path, {"schema": SCHEMA + 1})
    before = path.read_bytes()
    outcomes = run(tmp_path, some, Script(tmp_path, {}))
    assert [outcome.done for outcome in outcomes] == [False, True]
    assert "has schema" in outcomes[0].why
    assert path.read_bytes() == before


def test_a_cell_that_another_runner_has_is_waited_for_and_not_repeated(tmp_path: Path) -> None:
    some = cells(2)
    hold = (
        "import sys, time; from pathlib import Path; from bench.suites.leases import Leases\n"
        "leases = Leases(Path(sys.argv[1])); print(leases.take(Path(sys.argv[2])), flush=True); time.sleep(500)"
    )
    folder = some[0].folder(tmp_path)
    other = Program([str(tmp_path), str(folder)], tmp_path, code=hold)
    assert other.first_line() == "True\n"
    leases = Leases(tmp_path)
    assert not leases.take(folder)
    leases.close()
    seen: list[SuiteProgress] = []

    def show(progress: SuiteProgress) -> None:
        seen.append(progress)
        if progress.elsewhere:  # the other one finishes it, and dies before it says so to anybody
            write_record(some[0], tmp_path, "failed", "of the other's")
            other.kill()

    script = Script(tmp_path, {})
    place = Workplace(tmp_path, torch.device("cpu"), 1, lambda items, **_: items, print)
    outcomes = Runner(some, place, script, Limits(), Reporter(show, lambda line: None)).run()
    other.wait()
    assert script.started == [1]
    assert [outcome.why for outcome in outcomes] == ["of the other's", "no reason recorded"]


def test_sighup_stops_the_suite_unless_it_was_ignored(tmp_path: Path) -> None:
    def hang_up(progress: SuiteProgress) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` starts a program
    try:
        place = Workplace(tmp_path, torch.device("cpu"), 1, lambda items, **_: items, print)
        runner = Runner(cells(2), place, Script(tmp_path, {}), Limits(), Reporter(hang_up, lambda line: None))
        assert all(outcome.done for outcome in runner.run())
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        runner = Runner(cells(3), place, Script(tmp_path, {}), Limits(), Reporter(hang_up, lambda line: None))
        with pytest.raises(KeyboardInterrupt):
            runner.run()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_where_nothing_can_be_written_the_suite_stops_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, room: int = 0) -> None:
        raise SimbenchError(f"cannot write {folder}: No space left on device")

    monkeypatch.setattr("bench.suites.runner.ensure_writable", full)
    script = Script(tmp_path, {0: [Ended("exit", 1, 1, 0)]})
    with pytest.raises(SimbenchError, match="No space left on device"):
        run(tmp_path, cells(2), script)
    assert script.started == [0]
    assert script.stopped


# ---------------------------------------------------------------------------------------- real processes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    info = tmp_path / "site" / "tiny-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "tiny.py").write_text(METHOD, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nSummary: Tiny\n")
    (info / "entry_points.txt").write_text("[simbench.methods]\ntiny = tiny\n")
    return tmp_path


def start(folder: Path, suite: str, *words: str, before: str = "") -> Program:
    (folder / "bench.toml").write_text(suite, encoding="utf-8")
    env = {"PYTHONPATH": str(folder / "site"), "FITS": str(folder / "fits"), "SIMBENCH_CACHE": str(folder / "cache")}
    return Program(["bench", "--threads", "1", *words], folder, env, code=f"{before}\n{COMMAND}")


def ended(process: Program) -> tuple[int, str, str]:
    out, err = process.communicate()
    return process.wait(), out, err


def fits(folder: Path) -> list[str]:
    """Return what was fitted, a line a fit, without the process."""
    return [line.partition(" ")[2] for line in (folder / "fits").read_text().splitlines()]


def records(folder: Path) -> dict[tuple[str, float, int], RunRecord]:
    found = all_runs(folder / "runs")
    named = {
        (str(r.result.spec.options.get("how")), float(r.result.spec.options.get("power", 0)), r.result.seed): r
        for r in found
    }
    assert len(named) == len(found), "a cell lies there twice"
    return named


GOOD = "[suite.quick]\nmethods = ['tiny']\nprotocols = ['loo']\nlimit = 100\nseeds = {seeds}\n"


def test_each_way_of_failing_is_a_row_with_its_reason_and_the_others_complete(folder: Path) -> None:
    suite = (
        GOOD.format(seeds=[0])
        + "cell_time = '5s'\ncell_memory = '900M'\n[suite.quick.options]\n"
        + "how = ['raise', 'hang', 'eat', 'exit', 'crash', 'killed', 'wlel', 'well']\n"
    )
    code, out, err = ended(start(folder, suite, "--jobs", "2"))
    assert code == 1, err
    assert "Traceback" not in err
    expected = {
        "raise": "RuntimeError: no such luck",
        "hang": "timed out after 5 s",
        "eat": "out of memory: it held",
        "exit": "ended without a result (exit code 3)",
        "crash": "crashed (SIGSEGV)",
        "killed": "killed from outside, twice (SIGKILL)",
        "wlel": "did you mean 'well'?",
    }
    for how, reason in expected.items():
        assert any(f"tiny how={how}" in line and reason in line for line in out.splitlines()), (how, out)
    assert "7 of 8 cells failed" in out
    done = {name[0]: record for name, record in records(folder).items()}
    assert done.pop("well").status == "done"
    assert {how: record.status for how, record in done.items()} == dict.fromkeys(expected, "failed")
    for how, reason in expected.items():
        assert reason in done[how].result.reason
        assert reason in (folder / "runs" / "report" / "leaderboard.md").read_text(), "never hidden"
    assert sorted(fits(folder)) == sorted(
        f"{how} 1.0 0" for how in ("raise", "hang", "eat", "exit", "crash", "killed", "killed", "well")
    )


def test_two_runners_started_together_do_the_work_once(folder: Path) -> None:
    suite = GOOD.format(seeds=list(range(6)))
    both = [start(folder, suite), start(folder, suite)]
    results = [ended(one) for one in both]
    assert [code for code, _, _ in results] == [0, 0], results
    assert sorted(fits(folder)) == [f"well 1.0 {seed}" for seed in range(6)]
    assert len(records(folder)) == 6
    for _, out, _ in results:
        assert "| tiny" in out, "each prints the whole table"


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    try:
        return [int(word) for task in tasks.iterdir() for word in (task / "children").read_text().split()]
    except OSError:
        return []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are found by /proc")
def test_killed_at_random_runner_or_worker_no_cell_is_lost_and_none_is_run_twice(folder: Path) -> None:
    kills = int(os.environ.get("KILLS", "3"))
    count = 4 + kills
    suite = GOOD.format(seeds=list(range(count)))
    rng = random.Random()
    finished: dict[Path, bytes] = {}
    left = kills
    while left:
        process = start(folder, suite, "-q")
        workers: set[int] = set()
        while process.poll() is None and left:
            time.sleep(rng.uniform(0.02, 0.4))
            workers = set(children_of(process.pid))
            if not workers:
                continue  # it has not begun
            target = rng.choice([process.pid, *workers, *workers])
            try:
                os.kill(target, signal.SIGKILL)
            except ProcessLookupError:
                continue
            left -= 1
            if target == process.pid:
                process.wait()
                deadline = time.monotonic() + 10
                while any(is_alive(worker) for worker in workers):
                    assert time.monotonic() < deadline, "a worker outlives its runner"
                    time.sleep(0.01)
        if not left and process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate()
        for run in all_runs(folder / "runs"):
            text = (run.folder / "run.json").read_bytes()
            if run.status == "done":
                assert finished.setdefault(run.folder, text) == text, "a finished cell was run again"
        if len(finished) == count:
            break
    code, _, err = ended(start(folder, suite))
    assert code == 0, err
    assert {record.result.seed: record.status for record in records(folder).values()} == dict.fromkeys(
        range(count), "done"
    )
    for place, text in finished.items():
        assert (place / "run.json").read_bytes() == text


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_ctrl_c_stops_cleanly_and_a_second_start_goes_on(folder: Path) -> None:
    suite = GOOD.format(seeds=[0]) + "[suite.quick.options]\nhow = ['well', 'hang']\n"
    process = start(folder, suite)
    while len(fits(folder) if (folder / "fits").exists() else []) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    workers = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert code == 130
    assert err.splitlines()[-1] == "simbench: interrupted; the same command resumes where this one stopped"
    assert not any(is_alive(worker) for worker in workers)
    code, out, _ = ended(start(folder, suite, "--cell-time", "3s"))
    assert code == 1
    assert "1 of 2 cells failed" in out
    assert sorted(fits(folder)) == ["hang 1.0 0", "hang 1.0 0", "well 1.0 0"]


def test_a_disk_that_takes_nothing_more_is_told_in_one_line_and_nothing_is_corrupt(folder: Path) -> None:
    small_files_only = (  # what a full disk does to large files, without filling one
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 15, 1 << 15))"
    )
    suite = GOOD.format(seeds=[0, 1])
    code, _, err = ended(start(folder, suite, "-q", before=small_files_only))
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("simbench: cannot write runs/")
    assert all(run.status == "failed" for run in all_runs(folder / "runs"))
    code, _, err = ended(start(folder, suite))
    assert code == 0, err
    assert {record.status for record in records(folder).values()} == {"done"}


def test_on_ray_the_same_cells_give_the_same_rows(folder: Path) -> None:
    pytest.importorskip("ray")
    suite = GOOD.format(seeds=[0, 1]) + "[suite.quick.options]\nhow = ['well', 'raise', 'killed']\n"
    code, out, err = ended(start(folder, suite, "--executor", "ray", "--jobs", "2"))
    assert code == 1, err
    assert "4 of 6 cells failed" in out
    found = records(folder)
    assert [found["well", 1.0, seed].status for seed in (0, 1)] == ["done", "done"]
    assert found["killed", 1.0, 0].result.reason == "killed from outside, twice (SIGKILL)"
    assert found["raise", 1.0, 0].result.reason == "RuntimeError: no such luck"

"""A folder embedded in shards: the same vectors as in one process, and every picture once, whatever dies."""

from __future__ import annotations

import csv
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from programs import Program
from safetensors.numpy import load_file

from bench.cli.embed import jobs_on_card
from bench.contract import DataError, Dataset, SimbenchError, Workplace
from bench.executors.executor import Ended
from bench.executors.ray import run_watched, take_over
from bench.runs.loaded_run import TrainedRun
from bench.search import gallery_index, sharded
from bench.search.gallery import Changes, OwnGallery, open_gallery
from bench.search.gallery_index import IndexBuilder, read_index
from bench.search.shard import VECTORS, Shard, ShardProgram
from bench.search.sharded import cut, embed_folder

pytestmark = [pytest.mark.faults, pytest.mark.slow]

KILLED = Ended("signal", signal.SIGKILL, 1.0, 0)
COUNT = 60


def no_bar(items, *, total, what):  # type: ignore[no-untyped-def]  # a bar that does nothing
    return items


class Here:
    """A pool whose jobs run in this process, at once; the job that holds ``victim`` ends as ``ends`` say first."""

    def __init__(self, program: ShardProgram, victim: str = "", ends: Sequence[Ended] = ()) -> None:
        self.slots, self.started, self.stopped = 2, 0, False
        self._program, self._victim, self._left = program, victim, list(ends)
        self._ended: list[tuple[Shard, Ended]] = []

    def start(self, shard: Shard, folder: Path) -> None:
        assert folder.is_dir()
        assert len(self._ended) < self.slots
        self.started += 1
        if self._victim in shard.names and self._left:
            end = self._left.pop(0)
        else:
            end = Ended("exit", self._program.run(shard), 1.0, 0)
        self._ended.append((shard, end))

    def ended(self) -> Sequence[tuple[Shard, Ended]]:
        found, self._ended = self._ended, []
        return found

    def stop(self) -> None:
        self.stopped = True


class Own:
    """A folder of pictures, a cache, and which pictures were read at the last start."""

    def __init__(self, run: TrainedRun, data: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run, self.data, self.root, self.cache = run, data, folder / "own", folder / "cache"
        self.read: Counter[str] = Counter()
        self.said: list[str] = []
        self.pools: list[Here] = []
        read = gallery_index._read

        def counted(root: Path, preparation: Any, name: str) -> np.ndarray | str:
            self.read[name] += 1
            return read(root, preparation, name)

        monkeypatch.setattr(gallery_index, "_read", counted)
        for row in range(COUNT):
            self.put(f"{'even' if row % 2 == 0 else 'odd'}/{row}.png", row)
        (self.root / "odd" / "broken.png").write_bytes(b"no picture")

    def put(self, name: str, row: int) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.data.gallery.images.take(slice(row, row + 1))[0, ..., 0]).save(path)

    def embed(self, victim: str = "", ends: Sequence[Ended] = (), cache: Path | None = None) -> OwnGallery:
        self.read.clear()
        self.said.clear()
        cache = cache or self.cache
        place = Workplace(cache, torch.device("cpu"), 1, no_bar, self.said.append, cache=cache)

        def make(program: ShardProgram) -> Here:
            self.pools.append(Here(program, victim, ends))
            return self.pools[-1]

        return embed_folder(self.root, self.run.record, place, make, size=20)

    def alone(self, cache: Path) -> OwnGallery:
        """What one process makes of the folder: the oracle."""
        return open_gallery(self.root, self.run, cache, no_bar, self.said.append)


@pytest.fixture
def own(run: TrainedRun, digits: tuple[Path, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    return Own(run, digits[1], tmp_path, monkeypatch)


def same(one: OwnGallery, other: OwnGallery) -> bool:
    return (
        one.items.names == other.items.names
        and one.items.labels == other.items.labels
        and one.broken == other.broken
        and np.allclose(one.items.vectors, other.items.vectors, rtol=0, atol=1e-6)
    )


def test_shards_give_the_vectors_that_one_process_gives(own: Own, tmp_path: Path) -> None:
    found = own.embed()
    (pool,) = own.pools
    assert (pool.started, pool.stopped) == (4, True)  # 61 files, 20 a shard
    assert set(own.read.values()) == {1}
    assert len(own.read) == COUNT + 1
    assert found.changes == Changes(unchanged=0, added=COUNT + 1, changed=0, deleted=0)
    assert [name for name, _ in found.broken] == ["odd/broken.png"]
    assert "known format" in found.broken[0][1]
    assert same(found, own.alone(tmp_path / "other"))
    assert [path.suffix for path in sorted((own.cache / "galleries").iterdir())] == [".lock", ".safetensors"]


def test_a_second_start_starts_no_pool_and_search_finds_the_same(own: Own) -> None:
    first, second = own.embed(), own.embed()
    assert len(own.pools) == 1
    assert not own.read
    assert own.said == []
    assert second.changes == Changes(unchanged=COUNT + 1, added=0, changed=0, deleted=0)
    assert same(first, second)
    assert same(first, own.alone(own.cache))
    assert not own.read


def test_only_what_has_changed_is_embedded_again(own: Own, tmp_path: Path) -> None:
    own.embed()
    own.put("even/4.png", 70)
    own.put("even/first.png", 71)
    (own.root / "odd" / "7.png").unlink()
    found = own.embed()
    assert own.read == {"even/4.png": 1, "even/first.png": 1}
    assert found.changes == Changes(unchanged=COUNT - 1, added=1, changed=1, deleted=1)
    assert same(found, own.alone(tmp_path / "other"))


def test_a_worker_killed_from_outside_is_started_once_more(own: Own, tmp_path: Path) -> None:
    found = own.embed("even/4.png", [KILLED])
    assert own.pools[0].started == 5
    assert set(own.read.values()) == {1}
    assert any("even/4.png" not in line and "once more" in line for line in own.said)
    assert same(found, own.alone(tmp_path / "other"))


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ([KILLED, KILLED], "killed from outside, twice"),
        ([Ended("exit", 1, 1.0, 0, "simbench: embed returned nan")], "embed returned nan"),
        ([Ended("signal", signal.SIGSEGV, 1.0, 0)], "crashed"),
        ([Ended("exit", 0, 1.0, 0)], "without a result"),
    ],
)
def test_a_shard_that_fails_is_one_clear_error_and_the_others_are_kept(
    own: Own, tmp_path: Path, ends: list[Ended], reason: str
) -> None:
    with pytest.raises(SimbenchError, match=f"(?s)^20 pictures .* could not be embedded: .*{reason}") as caught:
        own.embed("odd/59.png", ends)
    assert "\n" not in str(caught.value)
    assert own.pools[-1].stopped
    done = set(own.read)
    found = own.embed()
    assert done
    assert not done & set(own.read)
    assert len(done) + len(own.read) == COUNT + 1
    assert same(found, own.alone(tmp_path / "other"))


@pytest.mark.parametrize("again", ["in shards", "alone"])
def test_what_a_killed_shard_had_saved_is_taken_over(
    own: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """Half of one shard, as its process wrote it before it was killed, and nothing of the others."""
    embed, left = TrainedRun.embed, [1]

    def interrupted(one: TrainedRun, pixels: np.ndarray) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return embed(one, pixels)

    with monkeypatch.context() as patched:
        patched.setattr(TrainedRun, "embed", interrupted)
        patched.setattr("bench.search.gallery_index.BATCH", 8)
        with pytest.raises(KeyboardInterrupt):
            own.embed()
    assert own.pools[-1].stopped
    (partial,) = (own.cache / "galleries").glob(f"*.shards/*/{VECTORS}")
    saved = read_index(partial)
    assert saved is not None
    assert len(saved.names) == 8
    own.read.clear()
    found = own.embed() if again == "in shards" else own.alone(own.cache)
    assert not set(saved.names) & set(own.read)
    assert len(own.read) == COUNT + 1 - 8
    assert found.changes == Changes(unchanged=8, added=COUNT + 1 - 8, changed=0, deleted=0)
    assert same(found, own.alone(tmp_path / "other"))
    assert not list((own.cache / "galleries").glob("*.shards"))


@given(
    count=st.integers(1, 200),
    done=st.sets(st.integers(0, 199)),
    size=st.integers(1, 300),
    slots=st.integers(1, 20),
)
def test_every_picture_that_is_left_is_in_one_shard(count: int, done: set[int], size: int, slots: int) -> None:
    names = [f"{number}.png" for number in range(count)]
    state = np.arange(3 * count, dtype=np.int64).reshape(-1, 3)
    half_done = IndexBuilder(names, state, 2)
    half_done.done[[row for row in done if row < count]] = True
    shards = cut(half_done, size, slots)
    left = [row for row in range(count) if row not in done]
    assert [name for shard in shards for name in shard.names] == [names[row] for row in left]
    assert all((shard.state[:, 0] // 3 == [names.index(name) for name in shard.names]).all() for shard in shards)
    assert max((len(shard.names) for shard in shards), default=0) <= size
    assert len({shard.key for shard in shards}) == len(shards)
    if len(left) >= slots:
        assert 2 * len(shards) > slots, "about half of the slots would be idle"


def test_a_shard_returns_by_value_and_refuses_another_run(own: Own, tmp_path: Path) -> None:
    oracle = own.alone(tmp_path / "other")
    (index,) = (tmp_path / "other" / "galleries").glob("*.safetensors")
    place = Workplace(tmp_path / "shards", torch.device("cpu"), 1, no_bar, print)
    names = list(oracle.items.names[:5])
    shard = Shard(names, np.zeros((5, 3), np.int64))
    limits, folder = {"seconds": 100.0, "memory": None}, shard.folder(place.root)
    program = ShardProgram(place, own.run.record.folder, own.root, index.name)

    told = run_watched(program.as_json(shard), limits, str(folder), str(tmp_path / "not there"), "")
    assert (told["cause"], told["code"]) == ("exit", 0), told["words"]
    assert not place.root.exists()
    take_over(told["files"], folder, program.last)
    found = read_index(folder / VECTORS)
    assert found is not None
    assert found.names == names
    assert np.allclose(found.vectors, oracle.items.vectors[:5], rtol=0, atol=1e-6)
    with pytest.raises(DataError, match="another run, or another Pillow"):
        ShardProgram(place, own.run.record.folder, own.root, "another.safetensors").run(shard)


# ---------------------------------------------------------------------------------------- the command, real processes

# The command as a user runs it, but a white picture takes as long as the file HOLD is there.
PROGRAM = """
import os, time
import bench.cli
from bench.runs.loaded_run import TrainedRun
embed = TrainedRun.embed

def held(self, pixels):
    with open("embedded", "a") as file:
        file.write(f"{os.getpid()} {len(pixels)} {int((pixels == 255).all(axis=(1, 2, 3)).any())}\\n")
    while os.path.exists("HOLD") and (pixels == 255).all(axis=(1, 2, 3)).any():
        time.sleep(0.02)
    return embed(self, pixels)

TrainedRun.embed = held
bench.cli.main()
"""


def embedded(folder: Path) -> list[list[int]]:
    """Process, pictures, and whether it is held, of each batch that was begun."""
    try:
        return [[int(word) for word in line.split()] for line in (folder / "embedded").read_text().splitlines()]
    except FileNotFoundError:
        return []


def wait(for_what: Callable[[], bool], process: Program) -> None:
    deadline = time.monotonic() + 120
    while not for_what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked, and looked for in /proc")
def test_kill_9_of_worker_and_command_and_ctrl_c_lose_nothing_that_is_finished(own: Own, tmp_path: Path) -> None:
    Image.new("L", (8, 8), 255).save(own.root / "odd" / "zz.png")  # the last one: in the last shard of three
    (tmp_path / "HOLD").touch()
    words = ("embed", str(own.run.record.folder), "own", "--shard", "30", "--jobs", "2", "--threads", "1")

    process = Program(words, tmp_path, code=PROGRAM)
    wait(lambda: sum(held for *_, held in embedded(tmp_path)) == 1, process)
    os.kill(embedded(tmp_path)[-1][0], signal.SIGKILL)
    wait(lambda: sum(held for *_, held in embedded(tmp_path)) == 2, process)
    worker = embedded(tmp_path)[-1][0]
    wait(lambda: len(list((own.cache / "galleries").glob(f"*.shards/*/{VECTORS}"))) == 2, process)
    process.kill()
    _, err = process.communicate(timeout=60)
    assert err.count("once more") == 1
    wait_gone = time.monotonic() + 10
    while is_alive(worker):
        assert time.monotonic() < wait_gone, "a worker outlives its command"
        time.sleep(0.01)

    process = Program(words, tmp_path, code=PROGRAM)
    wait(lambda: sum(held for *_, held in embedded(tmp_path)) == 3, process)
    # what is left are two shards of one picture: that of the broken one ends beside the one that is held
    wait(lambda: len(list((own.cache / "galleries").glob(f"*.shards/*/{VECTORS}"))) == 3, process)
    worker = embedded(tmp_path)[-1][0]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, is_alive(worker)) == (130, False), err
    assert err.splitlines()[-1] == "simbench: interrupted; the same command resumes where this one stopped"
    assert not (tmp_path / "vectors.safetensors").exists()

    (tmp_path / "HOLD").unlink()
    process = Program([*words, "--executor", "local"], tmp_path, code=PROGRAM)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert "61 vectors of 16 dimensions; pictures: 61 kept, 1 new, 0 changed, 0 gone; 1 embedded, 1 unreadable" in out
    assert sum(pictures for _, pictures, held in embedded(tmp_path) if not held) == COUNT
    written(tmp_path, own)


def written(folder: Path, own: Own) -> None:
    """Assert that the files of ``embed`` are what one process makes of the folder."""
    oracle = own.alone(folder / "other")
    vectors = load_file(folder / "vectors.safetensors")["vectors"]
    assert np.allclose(vectors, oracle.items.vectors, rtol=0, atol=1e-6)
    with (folder / "vectors.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == oracle.items.names
    assert [row["label"] for row in rows] == oracle.items.labels
    with (folder / "vectors.unreadable.csv").open(encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["odd/broken.png"]


def test_on_ray_the_same_shards_give_the_same_vectors(own: Own, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words = ("embed", str(own.run.record.folder), "own", "--shard", "31", "--jobs", "2", "--executor", "ray")
    process = Program(words, tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "60 vectors of 16 dimensions; pictures: 61 new or changed" in out
    written(tmp_path, own)


class Refusing(Here):
    """A pool with one process that embeds nothing, and remembers what it was asked for."""

    def __init__(self, program: ShardProgram) -> None:
        super().__init__(program)
        self.slots, self.asked = 1, list[int]()

    def start(self, shard: Shard, folder: Path) -> None:
        self.asked.append(len(shard.names))
        self._ended.append((shard, Ended("exit", 1, 1.0, 0)))


@pytest.mark.parametrize(("device", "first"), [("cpu", 20), ("cuda", COUNT + 1)])
def test_a_gpu_whose_processes_begin_slowly_gets_larger_shards(
    own: Own, device: str, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded, "_SHARD", 20)
    assert sharded._SHARD_ON_GPU > 20
    place = Workplace(own.cache, torch.device(device), 1, no_bar, own.said.append, cache=own.cache)
    pools: list[Refusing] = []

    def make(program: ShardProgram) -> Refusing:
        pools.append(Refusing(program))
        return pools[-1]

    with pytest.raises(SimbenchError, match="could not be embedded"):
        embed_folder(own.root, own.run.record, place, make)
    assert pools[0].asked == [first]


@pytest.mark.parametrize(
    ("gigabytes", "cores", "jobs"), [(80, 16, 2), (80, 4, 1), (8, 64, 1), (24, 64, 1), (80, 64, 5), (0, 8, 1)]
)
def test_a_card_gets_as_many_processes_as_decode_for_it_and_fit(gigabytes: int, cores: int, jobs: int) -> None:
    assert jobs_on_card(gigabytes << 30, cores) == jobs

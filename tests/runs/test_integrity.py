"""What is read of a run are the bytes that it wrote: one door for every reader, looked at once a process."""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_runs import change_run, fake_result, fake_spec, record_in, write_beside, write_fake

from bench.config import Config, Settings
from bench.contract import DataError, SimbenchError, Workplace, no_progress
from bench.files import json_digest
from bench.runs.integrity import DamagedError, check_seal, read_json, verify, write_sealed
from bench.runs.loaded_run import open_run
from bench.runs.run import execute
from bench.runs.run_plan import Cell, load_collection, plan_cells
from bench.runs.store import RunRecord, read_run

CPU = torch.device("cpu")
BESIDE = {"per_query.npz", "replicates.npz", "embeddings.safetensors", "weights.safetensors", "latency.npz"}


def place(root: Path, *, force: bool = False) -> Workplace:
    return Workplace(root, CPU, 1, no_progress, lambda line: None, force=force)


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    cache = tmp_path_factory.mktemp("cache")
    config = Config(Settings(limit=60))
    digits = {"digits": load_collection("digits", config, no_progress, cache)}
    return plan_cells(["pca"], digits, config, [], "cpu", cache=cache)[0]


@pytest.fixture
def run(cell: Cell, tmp_path: Path) -> RunRecord:
    """A finished run of few digits."""
    return execute(cell.spec, cell.seed, cell.dataset, place(tmp_path))


def test_a_run_has_the_digest_of_itself_and_of_every_file_that_it_wrote(run: RunRecord) -> None:
    content = json.loads((run.folder / "run.json").read_bytes())
    assert content.pop("digest") == json_digest(content) == run.digest
    assert set(run.result.files) == BESIDE
    written = {path.name for path in run.folder.iterdir() if path.is_file()}
    assert written == BESIDE | {"run.json"}
    for name, digest in run.result.files.items():
        assert hashlib.sha256((run.folder / name).read_bytes()).hexdigest() == digest
        assert run.file(name) == run.folder / name


@pytest.mark.parametrize("name", ["weights.safetensors", "embeddings.safetensors", "per_query.npz"])
def test_a_flipped_bit_is_named_by_all_who_read_the_file(run: RunRecord, name: str) -> None:
    path = run.folder / name
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(bytes(damaged))
    with pytest.raises(DamagedError, match=f"cannot read .*{name}: it is damaged"):
        open_run(run.folder, CPU).gallery()


def test_a_damaged_finished_run_is_neither_read_nor_replaced_without_force(run: RunRecord, cell: Cell) -> None:
    path, root = run.folder / "run.json", run.folder.parents[4]
    text = path.read_text(encoding="utf-8").replace('"map": 0.', '"map": 0.1', 1)
    path.write_text(text, encoding="utf-8")
    found = execute(cell.spec, cell.seed, cell.dataset, place(root))
    assert found.status == "failed"
    assert f"cannot read {path}: it is damaged" in found.result.reason
    assert "--force" in found.result.reason
    assert path.read_text(encoding="utf-8") == text
    again = execute(cell.spec, cell.seed, cell.dataset, place(root, force=True))
    assert again.result.scores == run.result.scores


def test_a_file_is_read_once_a_process_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, reads = tmp_path / "file", []
    path.write_bytes(b"numbers")
    digest = hashlib.sha256(b"numbers").hexdigest()
    worked_out: Callable[..., Any] = hashlib.file_digest

    def counting(file: Any, kind: str) -> Any:
        reads.append(file.name)
        return worked_out(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", counting)
    for _ in range(3):
        verify(path, digest)
    assert len(reads) == 1
    path.write_bytes(b"nombers")
    os.utime(path, ns=(1, 1))
    with pytest.raises(DamagedError):
        verify(path, digest)


def test_a_file_that_a_run_did_not_write_is_not_read(tmp_path: Path) -> None:
    folder = write_fake(tmp_path, fake_result(fake_spec()))
    (folder / "samples.npz").write_bytes(b"of another run")
    with pytest.raises(DataError, match="the run wrote no such file"):
        record_in(folder).file("samples.npz")
    write_beside(folder, "samples.npz", b"its own")
    assert record_in(folder).file("samples.npz") == folder / "samples.npz"
    (folder / "samples.npz").unlink()
    with pytest.raises(DamagedError, match="No such file"):
        record_in(folder).file("samples.npz")


def test_every_changed_byte_of_a_sealed_file_is_found_or_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_sealed(path, {"a": [1, 2.5, None], "b": {"c": "text", "d": True}})
    whole, content = path.read_bytes(), read_json(path)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            changed = read_json(path)
            check_seal(path, changed)
        except DamagedError:
            continue
        assert changed == content


def test_a_moved_run_opens_by_its_own_path_but_not_under_another_seed_or_key(tmp_path: Path) -> None:
    folder = write_fake(tmp_path / "runs", fake_result(fake_spec(), seed=3))
    moved = folder.rename(tmp_path / "best")
    assert record_in(moved).result.seed == 3
    for name, said in (("seed4", "folder is called seed4"), ("0123456789/seed3", "folder lies in 0123456789")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        moved = moved.rename(tmp_path / name)
        with pytest.raises(SimbenchError, match=said):
            read_run(moved)


def test_a_key_that_is_not_its_specifications_is_refused(tmp_path: Path) -> None:
    folder = write_fake(tmp_path, fake_result(fake_spec(), key="0123456789"))
    with pytest.raises(SimbenchError, match="its key is '0123456789', its specification's is"):
        read_run(folder)


def test_options_that_json_does_not_keep_are_refused_before_the_run(cell: Cell, tmp_path: Path) -> None:
    spec = fake_spec(options={"margin": float("inf")})
    with pytest.raises(SimbenchError, match="its options do not come back"):
        execute(spec, 0, cell.dataset, place(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_run_of_an_older_simbench_says_so(tmp_path: Path) -> None:
    folder = write_fake(tmp_path, fake_result(fake_spec()))
    content = json.loads((folder / "run.json").read_bytes())
    (folder / "run.json").write_text(json.dumps({**content, "schema": 3}), encoding="utf-8")
    with pytest.raises(SimbenchError, match=r"an older simbench made it: it has schema 3.*run it again"):
        read_run(folder)


def loose_paths(tree: ast.Module) -> Iterator[str]:
    """Yield what is joined to ``something.folder`` with a slash, as source."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)):
            continue
        if ast.unparse(node.left).endswith(".folder"):
            yield ast.unparse(node.right)


def test_no_reader_goes_around_the_digests(checkout: Path) -> None:
    """A run's files are named in one module, and found by ``RunRecord.file`` alone."""
    home, named = {"bench/runs/artifacts.py", "bench/runs/store.py"}, []
    others = {"bench/runs/external_embeddings.py", "bench/conformance/embedding.py"}  # files of these names of no run
    names = {"PER_QUERY", "REPLICATES", "SAMPLES", "VECTORS", "WEIGHTS", "HISTORY"}
    files = {*BESIDE, "samples.npz", "history.csv"} - {"latency.npz"}  # which `simbench index` writes as well
    for path in (checkout / "bench").rglob("*.py"):
        where, text = path.relative_to(checkout).as_posix(), path.read_text(encoding="utf-8")
        if not any(one in text for one in (*names, *files)):
            continue
        tree = ast.parse(text)
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value in files}
        if where not in home | others:
            named += [f"{where} names {one}" for one in sorted(map(str, texts))]
        messages = {"bench/report/tables/groups.py"}  # where a path is only told
        named += [f"{where} opens {one}" for one in loose_paths(tree) if one in names and where not in messages]
    assert named == []


def test_changed_fakes_lie_where_their_key_says(tmp_path: Path) -> None:
    moved = change_run(write_fake(tmp_path, fake_result(fake_spec())), {"ties": "mean"})
    assert moved.parent.name == record_in(moved).result.spec.key

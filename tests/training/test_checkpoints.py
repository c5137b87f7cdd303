"""Checkpoints: whole or not there, and never code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from damage import one_bit_flipped
from torch import nn

from bench.contract import SimbenchError
from bench.evaluation.evaluate import evaluate
from bench.training.checkpoints import FolderCheckpoints, load_tensors, pack_optimizer, save_tensors, unpack_optimizer
from bench.training.validation import retrieval_map


def test_tensors_and_facts_come_back(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5), "flag": torch.tensor(True)}
    FolderCheckpoints(tmp_path).save("x", tensors, {"epoch": 3, "best": 0.5})
    loaded = FolderCheckpoints(tmp_path).load("x")
    assert loaded is not None
    assert loaded[1] == {"epoch": 3, "best": 0.5}
    assert all(torch.equal(tensor, loaded[0][name]) for name, tensor in tensors.items())


def test_a_missing_checkpoint_is_none_and_no_temporary_file_stays(tmp_path: Path) -> None:
    store = FolderCheckpoints(tmp_path)
    assert store.load("none") is None
    store.save("x", {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_disk_that_fills_inside_a_checkpoint_leaves_the_earlier_one_whole(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="files cannot be limited here")
    store = FolderCheckpoints(tmp_path)
    store.save("x", {"a": torch.arange(10.0)}, {"epoch": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(SimbenchError, match=r"cannot write .*x\.safetensors: .*File too large") as caught:
            store.save("x", {"a": torch.zeros(10_000)}, {"epoch": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(str(caught.value).splitlines()) == 1
    loaded = store.load("x")
    assert loaded is not None
    assert torch.equal(loaded[0]["a"], torch.arange(10.0))
    assert loaded[1] == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04cos\nsystem\n(S'true'\ntR."])
def test_a_damaged_or_foreign_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(SimbenchError, match="cannot read the weights") as caught:
        load_tensors(path)
    assert len(str(caught.value).splitlines()) == 1


def test_tensors_that_share_memory_are_saved_each(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    save_tensors(tmp_path / "x.safetensors", {"a": whole, "b": whole[:3], "c": whole.view(2, 3)})
    loaded, _ = load_tensors(tmp_path / "x.safetensors")
    assert torch.equal(loaded["b"], whole[:3])
    assert torch.equal(loaded["c"], whole.view(2, 3))


def test_an_optimizer_goes_on_as_if_it_had_not_stopped() -> None:
    def made() -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = nn.Linear(3, 2)
        return net, torch.optim.AdamW(net.parameters(), lr=0.1)

    def step(net: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        net(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    net, optimizer = made()
    step(net, optimizer)
    other, fresh = made()
    other.load_state_dict(net.state_dict())
    unpack_optimizer(fresh, {name: tensor.clone() for name, tensor in pack_optimizer(optimizer).items()})
    step(net, optimizer)
    step(other, fresh)
    assert torch.equal(net.weight, other.weight)


def test_the_validation_map_is_the_harness_map() -> None:
    torch.manual_seed(0)
    vectors, labels = nn.functional.normalize(torch.randn(60, 8), dim=1), torch.randint(0, 4, (60,))
    ids = [str(number) for number in range(60)]
    ours = evaluate(vectors, labels.numpy(), vectors, labels.numpy(), query_ids=ids, gallery_ids=ids)
    assert retrieval_map(vectors, labels) == pytest.approx(ours.scores["map"], abs=1e-6)


@pytest.mark.faults
def test_no_flipped_bit_of_a_checkpoint_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = FolderCheckpoints(tmp_path, "run 1")
    tensors = {"a": torch.arange(6.0).view(2, 3), "half": torch.ones(3, dtype=torch.bfloat16), "n": torch.tensor(4)}
    facts = {"epoch": 3, "history": [{"loss": 0.25}]}
    store.save("x", tensors, facts)
    path = tmp_path / "x.safetensors"
    whole = path.read_bytes()
    for damaged in one_bit_flipped(whole, 5):
        path.write_bytes(damaged)
        loaded = store.load("x")
        if loaded is not None:  # a bit of the header that means nothing
            assert loaded[1] == facts
            assert loaded[0].keys() == tensors.keys()
            assert all(torch.equal(loaded[0][name], tensor) for name, tensor in tensors.items())
            assert all(loaded[0][name].dtype == tensor.dtype for name, tensor in tensors.items())
        else:
            assert not path.exists()
    assert all(len(record.getMessage().splitlines()) == 1 for record in caplog.records)


def test_a_checkpoint_of_another_run_or_phase_is_thrown_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    FolderCheckpoints(tmp_path, "key seed 0").save("x", {"a": torch.ones(2)}, {})
    path = tmp_path / "x.safetensors"
    whole = path.read_bytes()
    assert FolderCheckpoints(tmp_path, "key seed 1").load("x") is None
    (tmp_path / "y.safetensors").write_bytes(whole)
    assert FolderCheckpoints(tmp_path, "key seed 0").load("y") is None
    assert caplog.text.count("of another run or phase; it is thrown away") == 2
    path.write_bytes(whole)
    assert FolderCheckpoints(tmp_path, "key seed 0").load("x") is not None

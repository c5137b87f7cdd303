"""A suite of bench.toml becomes its cells, each once; what is wrong with it is told before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from fake_runs import fake_result, write_fake

from bench.config import Config, load_config
from bench.contract import DataError, SimbenchError, UsageError, Workplace
from bench.executors.memory import byte_count, held_by, held_together, in_words, machine_memory, session_of
from bench.runs.integrity import DIGEST, read_sealed, write_sealed
from bench.suites.cost_model import Prediction, fitted_epochs
from bench.suites.expansion import Expansion, SuiteCell, expand, with_epochs
from bench.suites.planning import Asked, plan_suite
from bench.suites.runner import Reporter
from bench.suites.suite import combinations, find_suite

MB = 1 << 20


def config(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "bench.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def expanded(tmp_path: Path, text: str, name: str = "a") -> Expansion:
    checked = config(tmp_path, text)
    return expand(
        find_suite(checked, name), checked, "cpu", progress=lambda items, **_: items, cache=tmp_path / "cache"
    )


def test_a_suite_is_every_method_data_set_protocol_and_seed_once(tmp_path: Path) -> None:
    found = expanded(
        tmp_path,
        "[suite.a]\nmethods = ['pixels', 'p*', 'hog']\nwithout = ['p[cr]*', 'proxy_anchor']\n"
        "protocols = ['loo', 'holdout']\nseeds = [0, 1]\nepochs = 2.5\nlimit = 400\n",
    )
    names = [(cell.seed, cell.spec.protocol, cell.spec.method) for cell in found.cells]
    assert names == list(itertools.product([0, 1], ["loo", "holdout"], ["pixels", "hog"])), (
        "a whole seed, then the next"
    )
    assert len({cell.folder(Path()) for cell in found.cells}) == 8
    assert {cell.spec.budget.epochs for cell in found.cells} == {2.5}
    assert all(len(cell.dataset.query) <= 400 for cell in found.cells)
    assert {id(cell.dataset.query.images.pixels) for cell in found.cells} == {
        id(found.cells[0].dataset.query.images.pixels)
    }, "one copy of the images for all"


def test_a_grid_of_options_is_every_combination_for_the_methods_that_have_them(tmp_path: Path) -> None:
    text = (
        "[methods.arcface]\nscale = 20\n[suite.a]\nmethods = ['arcface', 'triplet', 'pixels']\nepochs = 1\n"
        "[suite.a.options]\nembedding_dim = [32, 64]\narcface.margin = [0.2, 0.3]\n"
    )
    checked = config(tmp_path, text)
    grids = combinations(find_suite(checked, "a"))
    assert grids["pixels"] == [{}]
    assert grids["triplet"] == [{"embedding_dim": 32}, {"embedding_dim": 64}]
    assert grids["arcface"] == [{"embedding_dim": d, "margin": m} for d in (32, 64) for m in (0.2, 0.3)]
    cells = expanded(tmp_path, text).cells
    assert len(cells) == 1 + 2 + 4
    assert {cell.spec.options["scale"] for cell in cells if cell.spec.method == "arcface"} == {20}
    assert "arcface embedding_dim=32 margin=0.2" in {cell.label for cell in cells}


def test_variants_are_options_tried_together_by_the_methods_that_have_them_all(tmp_path: Path) -> None:
    text = (
        "[suite.a]\nmethods = ['triplet', 'pca', 'pixels']\nepochs = 1\n"
        "variants = [{}, {encoder = 'simplecnn', freeze-fraction = 1}, {embedding_dim = 8}]\n"
    )
    found = combinations(find_suite(config(tmp_path, text), "a"))
    assert found["triplet"] == [{}, {"encoder": "simplecnn", "freeze_fraction": 1}, {"embedding_dim": 8}]
    assert found["pca"] == [{}, {"embedding_dim": 8}]
    assert found["pixels"] == [{}]
    crossed = combinations(find_suite(config(tmp_path, f"{text}options.whiten = [true, false]"), "a"))
    assert crossed["pca"] == [{**one, "whiten": white} for one in found["pca"] for white in (True, False)]
    labels = [cell.label for cell in expanded(tmp_path, text).cells]
    assert labels[:2] == ["triplet", "triplet encoder=simplecnn freeze_fraction=1"]
    untrained = combinations(find_suite(config(tmp_path, text.replace("'triplet', 'pca', ", "")), "a"))
    assert untrained == {"pixels": [{}]}
    alone = combinations(find_suite(config(tmp_path, text.replace("{}, ", "")), "a"))
    assert alone["pixels"] == [{}]  # as it is, since it can be nothing else


def test_set_changes_a_grid_line_by_a_list_or_to_one_value(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text("[suite.a]\nmethods = ['arcface']\noptions.embedding_dim = [8]\n", encoding="utf-8")
    for text, values in (("[64, 128]", (64, 128)), ("32", ("32",))):
        found = find_suite(load_config(path, overrides=[f"suite.a.options.embedding_dim={text}"]), "a")
        assert found.grid == {"embedding_dim": values}


def test_a_bad_option_of_a_method_is_a_cell_to_fail_not_an_end(tmp_path: Path) -> None:
    text = "[suite.a]\nmethods = ['arcface', 'pixels']\n[suite.a.options]\narcface.margin = [0.3, 9, 'wide']\n"
    cells = expanded(tmp_path, text).cells
    assert [cell.spec.options.get("margin") for cell in cells] == [0.3, 9, "wide", None]
    assert len({cell.folder(Path()) for cell in cells}) == 4


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[suite.quik]", "unknown suite 'a' \\(there are: quick, .*, quik\\)"),
        ("", "unknown suite 'a' \\(there are: quick, standard, "),
        ("[suite.a]\nmethod = ['pixels']", "no key 'method'; did you mean 'methods'"),
        ("[suite.a]\nmethods = ['pixles']", "did you mean 'pixels'"),
        ("[suite.a]\nmethods = []", "methods must name at least one"),
        ("[suite.a]\nmethods = ['pixels']\nwithout = ['p*']", "leaves no method"),
        ("[suite.a]\ndatasets = ['digit']", "did you mean 'digits'"),
        ("[suite.a]\nprotocols = ['lo']\nmethods = ['pixels']", "did you mean 'loo'"),
        ("[suite.a]\nseeds = ['x']", "expected a whole number"),
        ("[suite.a]\nlimit = 0", "\\[suite.a\\]: limit must be 1 or more"),
        ("[suite.a]\nseeds = [-1]", "seeds must be whole numbers from 0"),
        ("[suite.a]\nbudget = 'soon'", "expected a duration"),
        ("[suite.a]\noptions.embedding_dim = '[64,'", "\\[64, is no list of values such as"),
        ("[suite.a]\nepochs = 1\nbudget = '5m'", "not both"),
        ("[suite.a]\ncell_time = 'soon'", "expected a duration"),
        ("[suite.a]\ncell_memory = 'much'", "expected an amount of memory"),
        ("[suite.a.options]\nmargni = [1]", "takes 'margni'; did you mean 'margin'"),
        ("[suite.a.options]\narcfase.margin = [1]", "did you mean 'arcface'"),
        ("[suite.a]\nvariants = []", "variants must be a list of tables"),
        ("[suite.a]\nvariants = [1]", "variants must be a list of tables"),
        ("[suite.a]\nvariants = [{margni = 1}]", "takes 'margni'; did you mean 'margin'"),
        ("suite = 1", "\\[suite\\] holds sections"),
    ],
)
def test_a_mistake_in_a_suite_is_told(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        expanded(tmp_path, text)


def test_data_that_is_missing_or_does_not_fit_is_skipped_with_its_reason(tmp_path: Path) -> None:
    text = "[suite.a]\nmethods = ['pixels']\ndatasets = ['./nowhere', 'digits']\nprotocols = ['given', 'loo']\n"
    found = expanded(tmp_path, text)
    assert [cell.spec.protocol for cell in found.cells] == ["loo"]
    assert found.skipped[0] == "./nowhere: no such file or folder, here or under the data root"
    assert found.skipped[1].startswith("digits, protocol given:")
    with pytest.raises(DataError, match="none of its data is here"):
        expanded(tmp_path, text.replace(", 'digits'", ""))


def test_the_suites_of_this_project_are_sound(checkout: Path) -> None:
    checked = load_config(checkout / "bench.toml")  # which brings none of its own
    for name in checked.suites:
        suite = find_suite(checked, name)
        assert suite.keys.epochs is not None, "one equal budget for every method"
        assert combinations(suite)
    assert {"quick", "standard", "full"} <= set(checked.suites)


def test_a_suite_validates_on_whole_classes_where_it_says_so(tmp_path: Path) -> None:
    text = "[suite.a]\nmethods = ['pixels']\nprotocols = ['unseen_loo']\nsplit_seeds = [0, 1]\nlimit = 400\n"
    usual, whole = (expanded(tmp_path, text + more).cells for more in ("", "validation = 'classes'\n"))
    assert [cell.spec.data.get("validation") for cell in (*usual, *whole)] == [None, None, "classes", "classes"]
    for cell in whole:
        held = {*cell.dataset.validation.labels.tolist()}
        assert len(held) == 2
        assert held.isdisjoint([*cell.dataset.train.labels.tolist(), *cell.dataset.query.labels.tolist()])
    assert {cell.spec.key for cell in usual}.isdisjoint(cell.spec.key for cell in whole)


def test_other_epochs_are_other_runs_the_same_for_all(tmp_path: Path) -> None:
    cells = expanded(tmp_path, "[suite.a]\nmethods = ['pixels', 'hog']\nepochs = 5\n").cells
    fewer = with_epochs(cells, 1.5)
    assert {cell.spec.budget.epochs for cell in fewer} == {1.5}
    assert not {cell.folder(Path()) for cell in cells} & {cell.folder(Path()) for cell in fewer}


def test_a_budget_cuts_epochs_equally_and_leaves_room_for_error() -> None:
    costs = [
        Prediction(10, 30, 14, source="runs"),
        Prediction(20, 60, 14, source="trial"),
        Prediction(5, source="runs"),
    ]
    whole = 35 + 90 * 14
    assert fitted_epochs(costs, whole / 0.9 + 1, 1, 14) == 14
    cut = fitted_epochs(costs, 600, 1, 14)
    assert cut == 5.6  # (0.9 * 600 - 35) / 90 = 5.61
    assert fitted_epochs(costs, 300, 2, 14) == cut
    with pytest.raises(UsageError, match="needs 1 minutes even with a tenth of an epoch"):
        fitted_epochs(costs, 45, 1, 14)


def test_a_budget_that_cuts_epochs_counts_what_is_done_too_and_the_first_plan_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predicted(cells: Sequence[SuiteCell], *_: object) -> list[Prediction]:
        return [Prediction(0, 30, 2, source="runs") for _ in cells]

    def planned(budget: str) -> str:
        asked = Asked(1, budget, None, None, predicted=False, here=True)
        return plan_suite("a", checked, place, asked, Reporter(lambda standing: None, lambda line: None)).note

    monkeypatch.setattr("bench.suites.planning.predict", predicted)
    checked = config(tmp_path, "[suite.a]\nmethods = ['pixels']\nseeds = [0, 1]\nepochs = 2\n")
    place = Workplace(
        tmp_path / "runs", torch.device("cpu"), 1, lambda items, **_: items, print, cache=tmp_path / "cache"
    )
    done = expand(find_suite(checked, "a"), checked, "cpu", progress=place.progress, cache=tmp_path / "cache").cells[0]
    write_fake(place.root, fake_result(done.spec))
    assert planned("70s") == "budget 70s: the suite fits with its 2 epochs"  # 60 s are left
    assert planned("65s") == "budget 65s: 0.9 epochs instead of 2, for every method"  # both cells again
    (plan,) = [path for path in (place.root / ".plans").glob("*.json") if '"65s"' in path.read_text()]
    kept = {name: value for name, value in read_sealed(plan).items() if name != DIGEST}
    write_sealed(plan, {**kept, "epochs": 0.5})  # of a start on a slower machine
    assert planned("65s") == "budget 65s: 0.5 epochs instead of 2, for every method"
    whole = plan.read_text("utf-8")
    plan.write_text(whole.replace("0.5", "0.4"), encoding="utf-8")
    with pytest.raises(SimbenchError, match=rf"{plan}.*it is damaged.*delete it to plan again"):
        planned("65s")
    (other,) = {*plan.parent.glob("*.json")} - {plan}
    plan.write_bytes(other.read_bytes())
    with pytest.raises(SimbenchError, match=rf"{plan}.*it is another start's"):
        planned("65s")


@pytest.mark.parametrize(("text", "value"), [("8G", 8 << 30), ("512M", 512 * MB), ("1.5 GiB", 3 << 29), ("1000", 1000)])
def test_amounts_of_memory_are_read(text: str, value: int) -> None:
    assert byte_count(text) == value


def test_memory_held_is_what_a_process_has_written_not_what_it_maps() -> None:
    import os

    before = held_by([os.getpid()])
    held = bytearray(b"\1") * (200 * MB)
    grown = held_by([os.getpid()]) - before
    assert 190 * MB < grown < 260 * MB
    assert 0 < held_together([os.getpid()]) < machine_memory()
    assert os.getpid() in session_of(os.getsid(0))
    assert held_by([2**30]) == 0  # nobody
    assert in_words(len(held)) == "200 MB"

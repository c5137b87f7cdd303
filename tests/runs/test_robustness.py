"""A robustness sweep: corrupted queries, the run's clean gallery, paired drops; done once, and stopped anywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_runs import record_in

from bench.config import Config, Settings
from bench.contract import DataError, Dataset, SimbenchError, Workplace
from bench.evaluation.corruptions import corrupt
from bench.evaluation.statistics.estimates import estimate, of_queries
from bench.files import write_arrays
from bench.report.curves.robustness_curves import robustness_panels, sweeps_of
from bench.runs.artifacts import arrays_in, read_arrays, read_vectors
from bench.runs.integrity import DamagedError, write_sealed
from bench.runs.loaded_run import open_run
from bench.runs.robustness import ROBUSTNESS, VALUES, conditions, read_robustness, sweep_run
from bench.runs.run_plan import chosen_data, load_collection, plan_cells, run_cells
from bench.runs.store import RunRecord, write_run

CPU = torch.device("cpu")


def no_bar(items: Iterable[Any], *, total: int, what: str) -> Iterable[Any]:
    return items


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """A run of pixels on 150 digits, each asking all others."""
    root = tmp_path_factory.mktemp("runs")
    config = Config(Settings(protocol="loo", limit=150))
    collection = load_collection("digits", config, no_bar, root / "cache")
    cells = plan_cells(["pixels"], {"digits": collection}, config, [], "cpu")
    (record,) = run_cells(cells, Workplace(root, CPU, 1, no_bar, lambda line: None))
    return record.folder, chosen_data(collection, config.settings, None)


@pytest.fixture(scope="module")
def swept_once(made: tuple[Path, Dataset], tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """The run swept; to be copied, not written to."""
    record = copied(made[0], tmp_path_factory.mktemp("swept"))
    sweep(record, made[1])
    return record


@pytest.fixture
def run(made: tuple[Path, Dataset], tmp_path: Path) -> RunRecord:
    """A copy of the run, never swept."""
    return copied(made[0], tmp_path)


@pytest.fixture
def swept(swept_once: RunRecord, tmp_path: Path) -> RunRecord:
    """A copy of the run and its finished sweep."""
    return copied(swept_once.folder, tmp_path)


def copied(folder: Path, where: Path) -> RunRecord:
    return record_in(shutil.copytree(folder, where / "run" / "seed0"))


def sweep(record: RunRecord, data: Dataset, **changes: Any) -> Any:
    return sweep_run(record, data.query, **{"device": CPU, "threads": 1, "progress": no_bar, **changes})


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Return the textbook's, item by item; a wrong item with the score of a right one stands before it."""
    order = sorted(range(len(scores)), key=lambda item: (-scores[item], relevant[item]))
    found, total = 0, 0.0
    for place, item in enumerate(order, start=1):
        if relevant[item]:
            found += 1
            total += found / place
    return total / found


def test_a_condition_ranks_corrupted_queries_against_clean_gallery(
    swept: RunRecord, made: tuple[Path, Dataset]
) -> None:
    data = made[1]
    gallery = read_vectors(swept)["gallery"].astype(np.float64)
    kept = arrays_in(swept.folder / VALUES, "rotate-2/map", "rotate-2/hit@1")
    turned = corrupt(data.query.images.take(slice(None)), data.query.ids, "rotate", 2)
    vectors = open_run(swept.folder, CPU).embed(turned).astype(np.float64)
    for row in range(0, len(data.query), 17):
        others = data.gallery.ids != data.query.ids[row]
        scores, relevant = gallery[others] @ vectors[row], (data.gallery.labels == data.query.labels[row])[others]
        assert kept["rotate-2/map"][row] == pytest.approx(average_precision(scores, relevant), abs=1e-3)
        assert kept["rotate-2/hit@1"][row] == relevant[scores.argmax()]


def test_scores_and_paired_drops_are_the_means_of_what_is_kept(swept: RunRecord) -> None:
    found = read_robustness(swept)
    assert found is not None
    assert found["clean"]["scores"]["map"] == pytest.approx(swept.result.scores["map"])
    clean, values = read_arrays(swept, "per_query.npz"), arrays_in(swept.folder / VALUES)
    queries = estimate(of_queries(clean["map"][None], clean["labels"]))
    assert found["clean"]["ci95"]["map"] == pytest.approx((queries.low, queries.high))
    assert swept.result.ci95["map"][0] < queries.low, "the gallery stays as it is"
    assert queries.high < swept.result.ci95["map"][1]
    assert len(found["conditions"]) == 15, "digits are grey: five corruptions, three severities"
    drops = []
    for one in found["conditions"]:
        for metric in ("map", "hit@1"):
            kept = values[f"{one['corruption']}-{one['severity']}/{metric}"]
            assert one["scores"][metric] == pytest.approx(kept.mean())
            assert one["drop"]["scores"][metric] == pytest.approx((clean[metric] - kept).mean())
            for told in (one, one["drop"]):
                low, high = told["ci95"][metric]
                assert low <= told["scores"][metric] <= high
        drops.append(one["drop"]["scores"]["map"])
    assert found["mean_drop"]["scores"]["map"] == pytest.approx(np.mean(drops))
    assert drops[-1] > drops[-3] > 0, "a narrower crop costs more"
    assert {one.corruption for one in conditions(3)} - {one.corruption for one in conditions(1)} == {"grey"}


def test_a_finished_sweep_is_kept_and_a_stopped_one_goes_on_to_the_same_numbers(
    run: RunRecord, made: tuple[Path, Dataset]
) -> None:
    def stopped(items: Iterable[Any], *, total: int, what: str) -> Iterator[Any]:
        for number, item in enumerate(items):
            if number == 4:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        sweep(run, made[1], progress=stopped)
    assert read_robustness(run) is None
    before = arrays_in(run.folder / VALUES)
    assert len(before) == 1 + 4 * 2
    marked = {**before, "blur-1/map": before["blur-1/map"] * 0 + 0.25}  # to be seen again, if it is not made again
    write_arrays(run.folder / VALUES, marked)
    found = sweep(run, made[1])
    assert found["conditions"][0]["scores"]["map"] == 0.25
    whole = sweep(run, made[1], force=True)
    assert whole["conditions"][0]["scores"]["map"] == before["blur-1/map"].mean()
    assert whole["conditions"][1:] == found["conditions"][1:]
    written = (run.folder / ROBUSTNESS).stat().st_mtime_ns
    assert sweep(run, made[1]) == json.loads((run.folder / ROBUSTNESS).read_text())
    assert (run.folder / ROBUSTNESS).stat().st_mtime_ns == written


def test_a_forced_sweep_that_is_stopped_does_not_pass_for_finished_and_goes_on(
    swept: RunRecord, made: tuple[Path, Dataset]
) -> None:
    def stopped(items: Iterable[Any], *, total: int, what: str) -> Iterator[Any]:
        yield next(iter(items))
        raise KeyboardInterrupt

    found = read_robustness(swept)
    assert found is not None
    with pytest.raises(KeyboardInterrupt):
        sweep(swept, made[1], force=True, progress=stopped)
    assert read_robustness(swept) is None
    assert len(arrays_in(swept.folder / VALUES)) == 1 + 2
    assert robustness_panels(sweeps_of([swept])) == []
    assert sweep(swept, made[1])["conditions"] == found["conditions"]


def test_a_sweep_of_other_vectors_or_levels_does_not_count(swept: RunRecord) -> None:
    assert read_robustness(swept) is not None
    other = replace(swept, digest="0" * 64)
    assert read_robustness(other) is None
    path = swept.folder / ROBUSTNESS
    found = json.loads(path.read_text())
    found["plan"]["corruptions"]["blur"][0] = 0.5
    path.write_text(json.dumps(found))
    with pytest.raises(DamagedError, match="it is damaged, not what was written"):
        read_robustness(swept)
    write_sealed(path, {name: value for name, value in found.items() if name != "digest"})
    assert read_robustness(swept) is None
    path.write_text("{")
    with pytest.raises(SimbenchError, match="delete it to sweep again"):
        read_robustness(swept)


def test_other_images_and_a_method_that_embeds_otherwise_are_refused(
    run: RunRecord, made: tuple[Path, Dataset]
) -> None:
    data = made[1]
    with pytest.raises(DataError, match="not the queries that the run was asked"):
        sweep(run, replace(data, query=data.query.subset(np.arange(10, dtype=np.int64))))
    shuffled = replace(data.query, images=data.query.images.subset(np.arange(len(data.query))[::-1]))
    with pytest.raises(SimbenchError, match="does not embed clean queries as it did"):
        sweep(run, replace(data, query=shuffled))
    assert not (run.folder / VALUES).exists()
    unsaved = replace(run, result=replace(run.result, has_weights=False))
    write_run(run.folder, unsaved.result)
    with pytest.raises(SimbenchError, match="keeps no weights"):
        sweep(unsaved, data)

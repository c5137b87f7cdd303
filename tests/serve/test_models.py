"""Questions of several clients at once: taken together, answered as if each were alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.contract import DataError
from bench.runs.loaded_run import open_run
from bench.runs.store import all_runs
from bench.serve.answers import Query, Question, search
from bench.serve.models import Models, RunFailedError
from bench.serve.shared_gallery import open_galleries


def test_questions_answered_together_get_the_answers_that_each_gets_alone(project: Path) -> None:
    records = [one for one in all_runs(project / "runs") if one.result.method == "autoencoder"]
    (gallery,) = open_galleries(
        records, lambda one: open_run(one.folder, torch.device("cpu")), None, lambda items, **_: items, lambda _: None
    )
    rng = np.random.default_rng(3)
    uploads = [Query(rng.integers(0, 256, (8, 8, 1), dtype=np.uint8)) for _ in range(3)]
    asked = [
        Question(uploads[0], 4, None),
        Question(Query(None, 7), 6, None),
        Question(uploads[1], 5, 2),
        Question(uploads[2], 160, None),
    ]
    (contestant,) = gallery.contestants
    together = search(gallery, contestant, asked)
    for question, found in zip(asked, together, strict=True):
        (alone,) = search(gallery, contestant, [question])
        assert [hit["row"] for hit in found["hits"]] == [hit["row"] for hit in alone["hits"]]
        wanted = [hit["similarity"] for hit in alone["hits"]]
        np.testing.assert_allclose([hit["similarity"] for hit in found["hits"]], wanted, atol=1e-5)
        assert found["decoded_cosine"] == pytest.approx(alone["decoded_cosine"], abs=1e-4)
        assert (found["embed_ms"] is None) == (question.query.row is not None)
    assert [one["together"] for one in together] == [3] * 4


def ask(questions: Sequence[Any], work: Any) -> list[Any]:
    """Ask all questions while the thread is busy with something else, and return answers or errors."""

    async def whole() -> list[Any]:
        models = Models()
        busy = asyncio.ensure_future(models.alone(lambda: time.sleep(0.2)))
        await asyncio.sleep(0.05)
        found = await asyncio.gather(*(models.together("a", work, one) for one in questions), return_exceptions=True)
        await busy
        models.stop()
        return found

    return asyncio.run(whole())


def test_what_waits_is_taken_at_once_but_no_more_than_thirty_two() -> None:
    sizes = []

    def double(questions: Sequence[int]) -> list[int]:
        sizes.append(len(questions))
        return [2 * one for one in questions]

    assert ask(range(40), double) == [2 * one for one in range(40)]
    assert sizes == [32, 8]


def test_a_question_that_fails_fails_alone_and_is_told_no_more_than_it_may_know(caplog: Any) -> None:
    def invert(questions: Sequence[int]) -> list[float]:
        if -1 in questions:
            raise DataError("a question of ours is wrong")
        return [1 / one for one in questions]

    first, ours, theirs, last = ask([1, -1, 0, 4], invert)
    assert (first, last) == (1.0, 0.25)
    assert isinstance(ours, RunFailedError)
    assert str(ours) == "a question of ours is wrong"
    assert isinstance(theirs, RunFailedError)
    assert str(theirs) == "this run failed; the server's terminal says why"
    assert "ZeroDivisionError" in caplog.text

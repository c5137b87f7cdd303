"""A collection checks itself: no later stage has to ask again. A data set knows which classes are new."""

from __future__ import annotations

import numpy as np
import pytest

from bench.contract import Collection, DataError, Dataset, EvaluationProtocol, Images, Split


def part(labels: list[int], ids: list[str]) -> Split:
    pixels = np.zeros((len(labels), 4, 4, 1), np.uint8)
    return Split(Images(pixels), np.array(labels, np.int64), np.array(ids, np.str_))


@pytest.mark.parametrize(
    ("labels", "ids", "said"),
    [
        ([0, 2], ["a", "b"], "toy: its test part has label 2, but there are 2 classes"),
        ([0, -1], ["a", "b"], "has label -1"),
        ([0, 1], ["a", "a"], "toy: its test part has the id 'a' twice"),
    ],
)
def test_a_label_of_no_class_and_an_id_of_two_images_are_refused(labels: list[int], ids: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        Collection("toy", ("one", "two"), train=part([0, 1], ["x", "y"]), test=part(labels, ids))


@pytest.mark.parametrize(
    ("train", "validation", "query", "learnt", "seen"),
    [
        ([0, 1, 3], [], [0, 3], ("a", "b", "d"), True),
        ([0, 1], [], [2, 3], ("a", "b"), False),
        ([0, 1], [2], [2, 3], ("a", "b", "c"), None),
        ([0], [1], [1], ("a", "b"), True),
    ],
)
def test_whether_classes_are_new_is_decided_by_the_labels_whatever_the_protocol_is_called(
    train: list[int], validation: list[int], query: list[int], learnt: tuple[str, ...], seen: bool | None
) -> None:
    protocol = EvaluationProtocol("holdout", "", (), lambda collection, seed: collection)
    learn, check, asked = (part(labels, list("uvwxyz"[: len(labels)])) for labels in (train, validation, query))
    data = Dataset("toy", protocol, tuple("abcd"), learn, check, asked, asked, mirror=False, fingerprint="")
    assert (data.learnt_classes, data.seen_classes) == (learnt, seen)

"""The probabilities that a method itself gives to pairs, where it is one that does and its images are at hand."""

from __future__ import annotations

import logging

import numpy as np
import torch

from bench.contract import SimbenchError, pair_scorer_of
from bench.evaluation.arrays import Floats
from bench.report.page.pairs import Pairs
from bench.report.page.pictures import Pictures
from bench.runs.store import RunRecord
from bench.runs.trained_run import open_run

_LOG = logging.getLogger(__name__)


def own_probabilities(record: RunRecord, pairs: Pairs, pictures: Pictures) -> Floats | None:
    """Return the method's own probability of each pair, float64 ``(k,)``; None where it gives none."""
    if not record.content.get("has_weights"):
        return None
    try:
        run = open_run(record.folder, torch.device("cpu"))
    except SimbenchError as error:
        _LOG.warning("%s: its own pair probabilities are left out: %s", record.folder, error)
        return None
    scorer = pair_scorer_of(run.method)
    if scorer is None:
        return None
    data = pictures.dataset
    sides = (data.query.images.take(pairs.query), data.gallery.images.take(pairs.item))
    left, right = (torch.from_numpy(np.ascontiguousarray(side)).permute(0, 3, 1, 2).float() / 255 for side in sides)
    with torch.inference_mode():
        _, probability = scorer.pair_score(left, right)
    return np.asarray(probability.float().numpy(), dtype=np.float64)

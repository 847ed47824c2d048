"""Records of runs that were never trained, for tests of what is made of records."""

import numpy as np
import torch

from hetsyn_core.runs.record import Record
from hetsyn_core.tasks import MatchToSample, PatternGeneration


def made_up(run, value=0.9, found=None, test_curve=None, validation_curve=None, rate_hz=10.0, train_curve=None):
    """A record whose test says ``value``, with what its analyses ``found``; the curves are accuracies."""
    score = "mse" if isinstance(run, PatternGeneration) else "accuracy"
    if train_curve is None:
        train_curve = np.full(20, 0.5, np.float32)
    if test_curve is None and not isinstance(run, PatternGeneration | MatchToSample):
        test_curve = [value]
    curve = lambda values: {} if values is None else {score: np.float32(values)}
    return Record(
        run, score=score, test={score: value, "rate_hz": rate_hz}, train_curve=curve(train_curve),
        test_curve=curve(test_curve), validation_curve=curve(validation_curve), analyses={"all": found or {}},
    )  # fmt: skip


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own for each test, so that no test depends on those before it."""
    return torch.Generator().manual_seed(seed)

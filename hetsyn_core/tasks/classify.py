"""What the recognition tasks share: a data set passed epoch by epoch, AdamW, a cosine, one label per recording."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from ..model.layer import Traces
from .task import TEST_BATCH, Task


@dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """A subclass says where its recordings come from and which score each class gets."""

    recurrent: bool = True
    iterations: int = 0
    lr: float = 2e-3
    decay_lr_scale: float = 2.0  # as in the authors' script
    weight_decay: float = 0.0
    cosine_epochs: int = 40  # of a half cosine of the rates; after it they stay at its last value
    tau_a_ms: float = 100.0
    a: float = 0.05
    surrogate: str = "multi_gaussian"
    test_trials: int = 0

    DRAWN_TAU_S: ClassVar[tuple[str, float, float]] = ("uniform", 5.0, 20.0)
    optimiser: ClassVar[str] = "AdamW"
    endless: ClassVar[bool] = False

    def inputs(self, split: str, rows: np.ndarray) -> np.ndarray:
        """The recordings ``rows`` of the files' "train" or "test", float32 or boolean (trials, time, input)."""
        raise NotImplementedError

    def labels(self, split: str) -> np.ndarray:
        """Labels of all recordings of the files' "train" or "test", int64."""
        raise NotImplementedError

    def scores(self, traces: Traces) -> Tensor:
        """Score of each class, (trials, classes); the largest decides."""
        raise NotImplementedError

    def kept_aside(self) -> np.ndarray:
        """Which training recordings are kept for validation, boolean; none unless a task says which."""
        return np.zeros(len(self.labels("train")), dtype=bool)

    def rows(self, split: str) -> tuple[str, np.ndarray]:
        """Which of the files' splits, and which of its recordings, make up "train", "validation" or "test"."""
        if split == "test":
            return "test", np.arange(len(self.labels("test")))
        aside = self.kept_aside()
        return "train", np.flatnonzero(aside if split == "validation" else ~aside)

    def passed(self, split: str, rng: Generator) -> tuple[str, np.ndarray]:
        """`rows` in the order in which one pass takes them: shuffled for training, a sample where one is tested."""
        source, rows = self.rows(split)
        if split == "train":
            return source, rng.permutation(rows)
        return source, rng.permutation(rows)[: self.test_trials] if self.test_trials else rows

    def batches(self, split: str, rng: Generator) -> Iterator[tuple[Tensor, Tensor]]:
        source, rows = self.passed(split, rng)
        size = self.batch if split == "train" else TEST_BATCH
        return in_batches(lambda chosen: self.inputs(source, chosen), self.labels(source), rows, size)

    def epoch(self) -> int:
        full = math.ceil(len(self.rows("train")[1]) / self.batch)
        return min(self.iterations or full, full)

    def loss(self, traces: Traces, wanted: Tensor) -> Tensor:
        """Cross entropy of the classes' scores."""
        return F.cross_entropy(self.scores(traces), wanted)

    def measure(self, traces: Traces, wanted: Tensor) -> dict[str, Tensor]:
        """ "accuracy": 1 where the label has the largest score."""
        return {"accuracy": (self.scores(traces).argmax(-1) == wanted).double()}

    def __post_init__(self):
        super().__post_init__()
        self.must_be("a number, 0 or more", "weight_decay")
        self.must_be("a positive whole number", "cosine_epochs")


def in_batches(
    inputs: Callable[[np.ndarray], np.ndarray], labels: np.ndarray, rows: np.ndarray, size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (x, label) of ``size`` recordings, in the order of ``rows``; ``inputs`` gives those of some rows."""
    for start in range(0, len(rows), size):
        chosen = rows[start : start + size]
        yield torch.from_numpy(inputs(chosen)), torch.from_numpy(labels[chosen])

"""What the recognition tasks share: a data set passed epoch by epoch, AdamW, a cosine, one label a recording."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from ..model.layer import Network, Traces
from ..model.surrogate import MultiGaussian, Surrogate
from .run import TEST_BATCH, Run, number, whole

WARM_UP, PLATEAU = 0.05, 0.05  # shares of the cosine's batches: up to the full rate, and cut off at its end


@dataclass(frozen=True, kw_only=True)
class Classification(Run):
    """A subclass says where its recordings come from and which score each class gets."""

    recurrent: bool = True
    iterations: int = 0
    lr: float = 2e-3
    decay_lr_scale: float = 2.0  # as in the authors' script
    weight_decay: float = 0.0
    cosine_epochs: int = 40  # of a half cosine of the rates; after it they stay at its last value
    tau_s_draw: tuple[str, float, float] = ("uniform", 5.0, 20.0)
    tau_a_ms: float = 100.0
    a: float = 0.05
    test_trials: int = 0
    held_out: tuple[int, ...] = ()  # training speakers kept for validation

    surrogate: ClassVar[Surrogate] = MultiGaussian()

    def inputs(self, split: str, rows: np.ndarray) -> np.ndarray:
        """The recordings ``rows`` of the files' "train" or "test", float32 or boolean (trials, time, input)."""
        raise NotImplementedError

    def labels(self, split: str) -> np.ndarray:
        """Labels of all recordings of a split, int64."""
        raise NotImplementedError

    def speakers(self, split: str) -> np.ndarray:
        """Who speaks in each; -1 where nobody does."""
        return np.full(len(self.labels(split)), -1)

    def scores(self, traces: Traces) -> Tensor:
        """Score of each class, (trials, classes); the largest decides."""
        raise NotImplementedError

    def splits(self) -> tuple[str, ...]:
        return ("validation", "test") if self.held_out else ("test",)

    def rows(self, split: str) -> tuple[str, np.ndarray]:
        """Which of the files' splits, and which of its recordings, make up "train", "validation" or "test".

        Raises:
            ValueError: one of the held-out speakers is not there, or nobody else is.
        """
        if split == "test":
            return "test", np.arange(len(self.labels("test")))
        speakers = self.speakers("train")
        aside = np.isin(speakers, self.held_out)
        if aside.all() or not np.isin(self.held_out, speakers).all():
            raise ValueError(f"held_out must be some of the speakers {np.unique(speakers).tolist()}: {self.held_out}")
        return "train", np.flatnonzero(aside if split == "validation" else ~aside)

    def batches(self, split: str, rng: Generator) -> Iterator[tuple[Tensor, Tensor]]:
        source, rows = self.rows(split)
        if split == "train":
            rows = rng.permutation(rows)
        elif self.test_trials:  # a sample; all of them need no order
            rows = rng.permutation(rows)[: self.test_trials]
        size = self.batch if split == "train" else TEST_BATCH
        labels = self.labels(source)
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            yield torch.from_numpy(self.inputs(source, chosen)), torch.from_numpy(labels[chosen])

    def epoch(self) -> int:
        full = math.ceil(len(self.rows("train")[1]) / self.batch)
        return min(self.iterations or full, full)

    def loss(self, traces: Traces, wanted: Tensor) -> Tensor:
        """Cross entropy of the classes' scores."""
        return F.cross_entropy(self.scores(traces), wanted)

    def measure(self, traces: Traces, wanted: Tensor) -> dict[str, np.ndarray | list[float]]:
        """ "accuracy": 1 where the label has the largest score. The traces may be on any device."""
        return {"accuracy": self._right(traces, wanted).cpu().numpy()}

    def measured(self, traces: Traces, wanted: Tensor) -> dict[str, np.ndarray | list[float]]:
        return self.measure(traces, wanted)

    def score(self, traces: Traces, wanted: Tensor) -> tuple[str, Tensor]:
        return "accuracy", self._right(traces, wanted).mean()

    def _right(self, traces: Traces, wanted: Tensor) -> Tensor:
        return (self.scores(traces).argmax(-1) == wanted).double()

    def after(self, network: Network, trained: dict) -> dict[str, float | None]:
        """ "best_test_accuracy", the published habit; "chosen_test_accuracy", of the best validation epoch."""
        tested = trained.get("test_accuracy")
        metrics = {"best_test_accuracy": max(tested) if tested else None}
        if "validation_accuracy" in trained:
            metrics["chosen_test_accuracy"] = tested[int(np.argmax(trained["validation_accuracy"]))]
        return metrics

    def optimiser(self, network: Network) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """AdamW, weight decay on decays too; 5 % warm-up, a half cosine over 40 epochs, its last 5 % held at one value.

        So do the authors: the rate of epoch 38, 0.7 % of the highest, stays to the end (their script).
        """
        optimiser = torch.optim.AdamW(self.parameter_groups(network), weight_decay=self.weight_decay)
        total = self.cosine_epochs * self.epoch()
        return optimiser, LambdaLR(optimiser, lambda step: warm_cosine(step, total))

    def __post_init__(self):
        super().__post_init__()
        decay = self.weight_decay
        self.check("weight_decay", number(decay) and decay >= 0, "a number, 0 or more")
        self.check("cosine_epochs", whole(self.cosine_epochs) and self.cosine_epochs > 0, "a positive whole number")


def warm_cosine(step: int, total: int) -> float:
    """Share of the highest learning rate at a batch: up from 0, half a cosine, and its value at 95 % for ever."""
    up = int(WARM_UP * total)
    if step < up:
        return step / max(1, up)
    progress = (min(step, int(total * (1 - PLATEAU))) - up) / max(1, total - up)
    return 0.5 * (1 + math.cos(math.pi * progress))

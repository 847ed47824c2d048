"""A task is its settings and four methods: sizes, batches, loss and measure."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from typing import ClassVar

import numpy as np
from numpy.random import Generator
from torch import Tensor

from ..model.layer import Traces
from .settings import Settings

TEMPLATE, TRAINING, TEST, VALIDATION, DROPOUT = range(5)  # independent streams of random numbers
TEST_SEED = 20_251_164  # every network is tested on trials of this seed, whatever its own
TEST_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Task(Settings, ABC):
    """A task of your own is a subclass with four methods; `train` does the rest::

        class Louder(Task):
            def sizes(self): return 10, *self.hidden, 2
            def batches(self, split, rng): ...     # yields (x, wanted) for ever, or once through a data set
            def loss(self, traces, wanted): ...    # a scalar
            def measure(self, traces, wanted): ... # {"accuracy": one value per trial}

    Raises:
        ValueError: a value is out of range; the message names the field.
    """

    version: ClassVar[int] = 1  # raise it when results change; records of the old code are then no longer found
    optimiser: ClassVar[str] = "Adam"  # or "AdamW", see `make.make_optimiser`
    tiny_is_zero: ClassVar[bool] = False  # faster training where errors fade for long, see `limits.tiny_is_zero`

    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Neurons of each layer, input and readout included."""

    @abstractmethod
    def batches(self, split: str, rng: Generator) -> Iterable[tuple[Tensor, Tensor]]:
        """Batches (x, wanted) of a split, "train", "validation" or "test".

        x is (trials, time, input). Drawn trials have no end; a data set is passed once, in the order that ``rng``
        gives. Draw from ``rng`` alone, for the same seed to give the same run.
        """

    @abstractmethod
    def loss(self, traces: Traces, wanted: Tensor) -> Tensor:
        """What training makes small, a scalar."""

    @abstractmethod
    def measure(self, traces: Traces, wanted: Tensor) -> dict[str, Tensor | np.ndarray | list[float]]:
        """How well each trial went: named values, one per trial. The first is the learning curve.

        The traces are where the network is, on the CPU or a GPU, and have gradients in training.
        """

    def epoch(self) -> int:
        """Batches per epoch."""
        return self.iterations

    def splits(self) -> tuple[str, ...]:
        """What is tested after each epoch: "test", and "validation" where the task has it."""
        return ("test",)

    def step_ms(self) -> float:
        """Duration of a step of the input, for rates."""
        return self.dt_ms

    def drawn(self, split: str) -> Iterable[int]:
        """How many trials to draw for each batch: ``batch`` for ever in training, else ``test_trials`` in all."""
        if split == "train":
            return repeat(self.batch)
        full, rest = divmod(self.test_trials, TEST_BATCH)
        return [TEST_BATCH] * full + [rest] * (rest > 0)

"""Handwritten digits, one pixel a step (S-MNIST, Table 2)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from torch import Tensor

from ..datasets.mnist import MNIST, SMALL, Images, digits, mnist
from ..model.layer import Traces
from .classify import Classification
from .run import number

SOURCES = {MNIST: mnist, SMALL: digits}


@dataclass(frozen=True, kw_only=True)
class SequentialDigits(Classification):
    """S-MNIST with the paper's values, R-HetSynLIF: the pixels of an image, row by row, into one channel.

    Open in the paper: how large the input is. Here a pixel is a number from 0 (background) to ``white``.
    """

    data: str = MNIST  # or the small digits, which need no file
    hidden: tuple[int, ...] = (64, 64)
    epochs: int = 150
    batch: int = 256
    lr: float = 1e-3
    white: float = 1.0  # input of the brightest pixel

    spiking_readout: ClassVar[bool] = True

    def sizes(self) -> tuple[int, ...]:
        return 1, *self.hidden, 10

    def inputs(self, split: str, rows: np.ndarray) -> np.ndarray:
        return _images(self.data, split)[0][rows].reshape(len(rows), -1, 1) / np.float32(255 / self.white)

    def labels(self, split: str) -> np.ndarray:
        return _images(self.data, split)[1]

    def scores(self, traces: Traces) -> Tensor:
        """Spikes of each neuron of the readout."""
        return traces.readout_spikes.sum(1)

    def __post_init__(self):
        super().__post_init__()
        self.check("data", self.data in SOURCES, f"one of {', '.join(SOURCES)}")
        self.check("white", number(self.white) and self.white > 0, "a positive number")
        self.check("held_out", not self.held_out, "empty: nobody speaks here")


@lru_cache(4)
def _images(data: str, split: str) -> Images:
    return SOURCES[data](split)

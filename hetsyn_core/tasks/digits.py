"""Handwritten digits, one pixel a step (S-MNIST, Table 2)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from torch import Tensor

from ..datasets.mnist import MNIST, SMALL, Images, digits, mnist
from ..model.layer import Traces
from .classify import Classification

SOURCES = {MNIST: mnist, SMALL: digits}


@dataclass(frozen=True, kw_only=True)
class SequentialDigits(Classification):
    """S-MNIST with the paper's values, R-HetSynLIF: the pixels of an image, row by row, into one channel.

    Open in the paper: how large the input is. Here a pixel is a number from 0 (background) to ``white``. Also open:
    whether gradients are clipped, counts scaled, and over how many epochs the cosine runs.
    """

    tiny_is_zero: ClassVar[bool] = True  # or a training step of HetSynLIF takes 2.7 in place of 0.7 s

    data: str = MNIST  # or the small digits, which need no file
    hidden: tuple[int, ...] = (64, 64)
    epochs: int = 150
    batch: int = 256
    lr: float = 1e-3
    white: float = 1.0  # input of the brightest pixel
    normalised: bool = False  # pixels by the mean and deviation of all training pixels, instead of 0 to ``white``
    count_scale: float = 1.0  # by which spike counts are multiplied before the softmax
    readout: str = "spiking"
    validation: int = 0  # so many of the last training images are kept for validation

    def sizes(self) -> tuple[int, ...]:
        return 1, *self.hidden, 10

    def inputs(self, split: str, rows: np.ndarray) -> np.ndarray:
        pixels = _images(self.data, split)[0][rows].reshape(len(rows), -1, 1)
        if self.normalised:
            mean, deviation = _brightness(self.data)
            return (pixels - mean) / deviation
        return pixels / np.float32(255 / self.white)

    def labels(self, split: str) -> np.ndarray:
        return _images(self.data, split)[1]

    def kept_aside(self) -> np.ndarray:
        """Which training images are for validation.

        Raises:
            ValueError: ``validation`` leaves none to train on.
        """
        images = len(self.labels("train"))
        if self.validation >= images:
            raise ValueError(f"validation must be less than the {images:,} training images, not {self.validation:,}")
        return np.arange(images) >= images - self.validation

    def splits(self) -> tuple[str, ...]:
        return ("validation", "test") if self.validation else ("test",)

    def scores(self, traces: Traces) -> Tensor:
        """Spikes of each neuron of the readout; of a leaky one the sum over time of the softmax, as for speech."""
        if self.readout == "leaky":
            return traces.readout.softmax(-1).sum(1)
        counts = traces.readout_spikes.sum(1)
        return counts if self.count_scale == 1 else self.count_scale * counts

    def __post_init__(self):
        super().__post_init__()
        self.check("data", self.data in SOURCES, f"one of {', '.join(SOURCES)}")
        self.must_be("a positive number", "white", "count_scale")
        self.must_be("True or False", "normalised")
        self.must_be("a whole number, 0 or more", "validation")


@lru_cache(4)
def _images(data: str, split: str) -> Images:
    return SOURCES[data](split)


@lru_cache(2)
def _brightness(data: str) -> tuple[np.float32, np.float32]:
    """Mean and standard deviation of all pixels of the training images."""
    pixels = _images(data, "train")[0]
    return np.float32(pixels.mean(dtype=np.float64)), np.float32(pixels.std(dtype=np.float64))

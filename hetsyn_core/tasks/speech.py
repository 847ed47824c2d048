"""Speech as spikes (Fig. 4, A4, A5, Tables 1 and 2): SHD, what is laid out like it, and threshold crossings."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import Tensor

from ..datasets.events import Events, Raster, bin_events
from ..datasets.fsdd import SOURCE as FSDD_SOURCE
from ..datasets.fsdd import fsdd
from ..datasets.ldc import ti46_alpha, tidigits
from ..datasets.manifolds import SOURCE as GENERATED
from ..datasets.manifolds import manifolds
from ..datasets.shd import REGENERATED, shd
from ..datasets.thresholds import STEP_MS
from ..model.layer import Traces
from .classify import Classification
from .settings import whole

SHD = "SHD"
FSDD, TIDIGITS, TI46 = "Free Spoken Digit Dataset", "TIDIGITS", "TI46"


@dataclass(frozen=True, kw_only=True)
class Speech(Classification):
    """SHD with the paper's values, R-HetSynLIF.

    dt is 1 ms in the decay formula although a bin is 4 ms, as in the paper: a "ms" of tau is one bin.
    """

    data: str = REGENERATED  # what the files must be, one of `EVENTS` and `RASTERS`
    hidden: tuple[int, ...] = (128, 64)
    epochs: int = 100
    weight_decay: float = 4e-3
    dropout: float = 0.2
    bin_ms: float = 4.0
    steps: int = 250
    reading: str = "authors"  # of the files, see `bin_events`
    score_from: int = 11  # the first step that counts; the text counts all, the authors' script from here
    held_out: tuple[int, ...] = ()  # training speakers kept for validation

    def sizes(self) -> tuple[int, ...]:
        raster = self.raster("test")
        return raster.channels, *self.hidden, raster.classes

    def inputs(self, split: str, rows: np.ndarray) -> np.ndarray:
        return self.raster(split).dense(rows)

    def labels(self, split: str) -> np.ndarray:
        return self.raster(split).labels

    def kept_aside(self) -> np.ndarray:
        """The recordings of the held-out speakers.

        Raises:
            ValueError: one of them is not there, or nobody else is.
        """
        speakers = self.raster("train").speakers
        aside = np.isin(speakers, self.held_out)
        if aside.all() or not np.isin(self.held_out, speakers).all():
            raise ValueError(f"held_out must be some of the speakers {np.unique(speakers).tolist()}: {self.held_out}")
        return aside

    def splits(self) -> tuple[str, ...]:
        return ("validation", "test") if self.held_out else ("test",)

    def scores(self, traces: Traces) -> Tensor:
        """Sum over time of the softmax of the readout potentials."""
        return traces.readout[:, self.score_from :].softmax(-1).sum(1)

    def step_ms(self) -> float:
        return self.bin_ms

    def raster(self, split: str) -> Raster:
        """The binned recordings, kept in memory between calls."""
        return _raster(self.data, split, self.bin_ms, self.steps, self.reading)

    def __post_init__(self):
        super().__post_init__()
        self.must_be("a positive number", "bin_ms")
        self.must_be("a whole number, 0 or more", "steps", "score_from")
        self.check("score_from", self.score_from < self.steps, f"below the {self.steps} steps")
        self.check("reading", self.reading in ("authors", "plain"), "'authors' or 'plain'")
        self.check("data", self.data in EVENTS | RASTERS, f"one of {', '.join(EVENTS | RASTERS)}")
        speakers = isinstance(self.held_out, tuple) and all(map(whole, self.held_out))
        self.check("held_out", speakers, "numbers of speakers, such as (3, 7)")


@dataclass(frozen=True, kw_only=True)
class TiDigits(Speech):
    """The paper's values for TiDigits (Table 2): threshold crossings in 200 steps of 5 ms."""

    data: str = TIDIGITS
    hidden: tuple[int, ...] = (64, 32)
    epochs: int = 50
    weight_decay: float = 1e-2
    dropout: float = 0.5
    bin_ms: float = 5.0
    steps: int = 200


@dataclass(frozen=True, kw_only=True)
class Fsdd(TiDigits):
    """The open stand-in for TiDigits, with its values."""

    data: str = FSDD


@dataclass(frozen=True, kw_only=True)
class Ti46Alpha(Speech):
    """The paper's values for Ti46-Alpha (Table 2): threshold crossings in 200 steps of 5 ms."""

    data: str = TI46
    hidden: tuple[int, ...] = (128, 128)
    epochs: int = 50
    lr: float = 4e-3
    bin_ms: float = 5.0
    steps: int = 200


EVENTS = {  # binned here
    SHD: shd,
    REGENERATED: shd,
    GENERATED: lambda split: manifolds(split, n=400 if split == "train" else 100),
}
RASTERS = {FSDD: fsdd, TIDIGITS: tidigits, TI46: ti46_alpha}  # encoded as such
COMPLETE = {  # what they say of themselves when nothing is missing, as far as that is known
    (FSDD, "train"): FSDD_SOURCE,
    (FSDD, "test"): FSDD_SOURCE,
    (TIDIGITS, "train"): "TIDIGITS (2,464 recordings)",
    (TIDIGITS, "test"): "TIDIGITS (2,486 recordings)",
}


@lru_cache(4)
def _raster(data: str, split: str, bin_ms: float, steps: int, reading: str) -> Raster:
    if data in EVENTS:
        return bin_events(events_of(data, split), bin_ms, steps, reading)
    raster = RASTERS[data](split)
    complete = COMPLETE.get((data, split), raster.source)
    if raster.source != complete:
        raise ValueError(f"the data folder holds {raster.source}, where all files of {complete} are expected")
    if (raster.steps, STEP_MS) != (steps, bin_ms):
        raise ValueError(f"{data} has {raster.steps} steps of {STEP_MS} ms, not {steps} of {bin_ms:g} ms")
    return raster


def events_of(data: str, split: str) -> Events:
    """The recordings of a split of "train" or "test" as events.

    Raises:
        ValueError: the files in the data folder are others, or the data come as threshold crossings, without events.
    """
    if data not in EVENTS:
        raise ValueError(f"{data} has no events to change; those have them: {', '.join(EVENTS)}")
    events = EVENTS[data](split)
    if events.source != data:
        found = f"the files in the data folder are {events.source}"
        raise ValueError(f"{found}, but this run is of {data}: say which by data=..., or bring the files")
    return events

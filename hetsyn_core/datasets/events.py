"""Spike trains of many recordings: as they came (`Events`), and binned (`Raster`).

Both are ragged and sparse: recording i owns the entries ``offsets[i]:offsets[i + 1]``. Dense rasters are made batch
by batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator


@dataclass(frozen=True)
class Events:
    """Spikes of n recordings.

    Raises:
        ValueError: the arrays do not describe n recordings of spikes below ``channels`` and labels below ``classes``.
    """

    offsets: np.ndarray  # int64 (n + 1,)
    times: np.ndarray  # float32 (events,), ms
    units: np.ndarray  # uint16 (events,)
    labels: np.ndarray  # int64 (n,)
    speakers: np.ndarray  # int64 (n,)
    channels: int
    classes: int
    source: str  # what the data are, shown wherever a result is shown

    def __post_init__(self):
        _check_recordings(self, self.times, self.units)
        _check_below(self.units, self.channels, "units")
        if self.times.size and not (self.times.min() >= 0 and np.isfinite(self.times.max())):  # NaN fails the first
            raise ValueError(f"{self.source}: spike times must be finite and not negative")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Raster:
    """Which cells (step, channel) of n recordings hold a spike, each at most once.

    Raises:
        ValueError: the arrays do not describe n recordings within ``steps``, ``channels`` and ``classes``.
    """

    offsets: np.ndarray  # int64 (n + 1,)
    step: np.ndarray  # uint16 (events,)
    channel: np.ndarray  # uint16 (events,)
    labels: np.ndarray  # int64 (n,)
    speakers: np.ndarray  # int64 (n,)
    steps: int
    channels: int
    classes: int
    source: str

    def __post_init__(self):
        _check_recordings(self, self.step, self.channel)
        _check_below(self.step, self.steps, "steps")
        _check_below(self.channel, self.channels, "channels")

    def __len__(self) -> int:
        return len(self.labels)

    def dense(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The recordings ``rows`` as booleans (len(rows), steps, channels): a quarter of what float32 would move."""
        rasters = np.zeros((len(rows), self.steps * self.channels), bool)
        for raster, row in zip(rasters, rows, strict=True):
            cells = slice(self.offsets[row], self.offsets[row + 1])
            raster[self.step[cells] * np.intp(self.channels) + self.channel[cells]] = True
        return rasters.reshape(len(rows), self.steps, self.channels)


def bin_events(
    events: Events,
    bin_ms: float = 4.0,
    steps: int = 250,
    reading: Literal["authors", "plain"] = "authors",
    stretch: float = 1.0,
    delete: float = 0.0,
    rng: Generator | None = None,
) -> Raster:
    """Bin spikes into ``steps`` steps of ``bin_ms``; what comes later is cut.

    Args:
        reading: "authors", as their public script does: unit 0 is dropped, unit u becomes channel ``channels - u``
            (so channel 0 stays empty), and a spike at or before i bin_ms goes to step i. Like the times in SHD's
            files, i bin_ms is rounded to half precision (in seconds) before the comparison.
            "plain": unit u is channel u, and step i holds the spikes from i bin_ms to (i + 1) bin_ms.
        stretch: multiplies all times (time warp, Fig. 4 E, F); ``steps`` is for the caller to change with it.
        delete: probability with which a spike is dropped (Fig. 4 B, C), drawn from ``rng``.

    Raises:
        ValueError: a setting is out of range, or ``delete`` comes without ``rng``.
    """
    if reading not in ("authors", "plain"):
        raise ValueError(f'reading must be "authors" or "plain", not {reading!r}')
    if not (0 < bin_ms < np.inf and 0 < stretch < np.inf and 1 <= steps <= 2**16):
        raise ValueError(f"bin_ms {bin_ms} and stretch {stretch} must be positive, steps {steps} from 1 to 65536")
    if not 0 <= delete <= 1 or (delete and rng is None):
        raise ValueError(f"delete must be a probability, not {delete}; above 0 it needs a rng")
    ends = (np.arange(steps) * bin_ms / 1000).astype(np.float16).astype(np.float32) * 1000

    n, size = len(events), len(events.times)
    offsets = np.zeros(n + 1, np.int64)
    step, channel = np.empty((2, size), np.uint16)
    filled = np.zeros(steps * events.channels, bool)  # one recording's raster: finds cells that come twice
    for row in range(n):
        spikes = slice(events.offsets[row], events.offsets[row + 1])
        t, unit = events.times[spikes], events.units[spikes].astype(np.intp)
        if delete:
            kept = rng.random(len(t), np.float32) >= delete
            t, unit = t[kept], unit[kept]
        t = t * np.float32(stretch)
        if reading == "authors":
            when, where, kept = np.searchsorted(ends, t), events.channels - unit, unit > 0
        else:
            when, where, kept = np.minimum(t / np.float32(bin_ms), steps).astype(np.intp), unit, True
        kept = kept & (when < steps)
        filled[when[kept] * events.channels + where[kept]] = True
        cells = np.flatnonzero(filled)
        filled[cells] = False
        start, end = offsets[row], offsets[row] + len(cells)
        step[start:end], channel[start:end] = np.divmod(cells, events.channels)
        offsets[row + 1] = end
    own = {name: getattr(events, name) for name in ("labels", "speakers", "channels", "classes", "source")}
    return Raster(offsets, step[: offsets[n]], channel[: offsets[n]], steps=steps, **own)


def _check_recordings(data: Events | Raster, *columns: np.ndarray) -> None:
    n, offsets = len(data.labels), data.offsets
    if len(offsets) != n + 1 or len(data.speakers) != n:
        counts = f"{n} labels, {len(data.speakers)} speakers and {len(offsets)} offsets"
        raise ValueError(f"{data.source}: {counts} do not belong together")
    if offsets[0] != 0 or (np.diff(offsets) < 0).any() or any(len(column) != offsets[-1] for column in columns):
        raise ValueError(f"{data.source}: offsets must rise from 0 to the number of events")
    _check_below(data.labels, data.classes, "labels")


def _check_below(values: np.ndarray, limit: int, name: str) -> None:
    if values.size and not 0 <= values.min() <= values.max() < limit:
        raise ValueError(f"{name} must lie from 0 to {limit - 1}, not from {values.min()} to {values.max()}")

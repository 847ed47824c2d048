"""Pattern generation (Fig. 2, A1, A2): hear a segment three times, draw a curve of two seconds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from ..model.layer import Traces
from .settings import number
from .spikes import RATE_WEIGHT, poisson, rate_penalty
from .task import TEMPLATE, Task

STEPS = 2000  # of 1 ms
SEGMENT_STEPS = 500
SEGMENT_HZ = 10.0
SEGMENT_STARTS = (0, 750, 1500)  # between them, 250 ms of silence
COSINES_HZ = (0.5, 1.0, 1.5, 2.0, 2.5)
CHANNELS = 100


@dataclass(frozen=True, kw_only=True)
class PatternGeneration(Task):
    """The paper's values; ``test_trials`` redraws the noise; segment and targets belong to the seed and stay."""

    batch: int = 1
    test_trials: int = 10
    noise_hz: float = 2.0  # background on all channels, redrawn in every trial
    n_targets: int = 1

    def sizes(self) -> tuple[int, ...]:
        return CHANNELS, *self.hidden, self.n_targets

    def batches(self, split: str, rng: Generator) -> Iterator[tuple[Tensor, Tensor]]:
        segment, targets = _template(self.seed, self.n_targets)
        for trials in self.drawn(split):
            x = torch.cat([pattern_input(segment, self.noise_hz, rng) for _ in range(trials)])
            yield x, torch.from_numpy(targets)

    def loss(self, traces: Traces, wanted: Tensor) -> Tensor:
        """Mean square error over time, plus 0.01 x the rate penalty of each hidden layer."""
        penalty = sum(rate_penalty(spikes, self.dt_ms) for spikes in traces.spikes)
        return F.mse_loss(traces.readout, wanted.expand_as(traces.readout)) + RATE_WEIGHT * penalty

    def measure(self, traces: Traces, wanted: Tensor) -> dict[str, Tensor]:
        """ "mse": mean over time and targets of the squared difference of output and target."""
        return {"mse": F.mse_loss(traces.readout, wanted.expand_as(traces.readout), reduction="none").mean((1, 2))}

    def __post_init__(self):
        super().__post_init__()
        self.check("noise_hz", number(self.noise_hz) and 0 <= self.noise_hz <= 1000, "a rate from 0 to 1000 Hz")
        self.must_be("a positive whole number", "n_targets")
        self.check("dt_ms", self.dt_ms == 1, "1 for pattern generation")


@lru_cache(8)
def _template(seed: int, n_targets: int) -> tuple[np.ndarray, np.ndarray]:
    return pattern_template([seed, TEMPLATE], n_targets)


def pattern_template(seed: int | Sequence[int], n_targets: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The spike segment to recognise, and the traces to produce.

    A target is sum_k A_k cos(2 pi f_k t + phi_k), f = 0.5, 1, 1.5, 2, 2.5 Hz, A ~ U(0, 1), phi ~ U(0, 2 pi), divided
    by its largest absolute value. (The paper says "scaled to [-1, 1]"; dividing keeps the sum of cosines free of an
    offset.) The same seed gives the same segment whatever the number of targets.

    Returns:
        segment, boolean (500, 100), a step is 1 ms; targets, float32 (2000, n_targets).
    """
    if n_targets < 1:
        raise ValueError(f"at least one target is needed, not {n_targets}")
    # Its own branch of the seed: noise from default_rng(seed) must not begin with the draws of the segment.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    segment = poisson((SEGMENT_STEPS, CHANNELS), SEGMENT_HZ, 1.0, rng)
    # One row per target, so that a second target does not change the first.
    draws = rng.random((n_targets, 2, len(COSINES_HZ)))
    amplitude, phase = draws[:, 0], 2 * np.pi * draws[:, 1]
    t = np.arange(STEPS)[:, None, None] / 1000  # s
    targets = (amplitude * np.cos(2 * np.pi * np.array(COSINES_HZ) * t + phase)).sum(-1)
    return segment, (targets / np.abs(targets).max(0)).astype(np.float32)


def silent_steps() -> np.ndarray:
    """Boolean (2000,): where the segment is silent, in the two gaps of 250 ms."""
    silent = np.ones(STEPS, dtype=bool)
    for start in SEGMENT_STARTS:
        silent[start : start + SEGMENT_STEPS] = False
    return silent


def pattern_input(segment: np.ndarray, noise_hz: float, rng: Generator) -> Tensor:
    """Input of one trial: the segment at 0, 750 and 1500 ms, OR fresh noise on all channels for 2000 ms.

    Args:
        segment: boolean (500, channels).
        noise_hz: rate of the background.
        rng: each call draws new noise from it.

    Returns:
        float32 (1, 2000, channels) of zeros and ones.
    """
    if segment.ndim != 2 or len(segment) != SEGMENT_STEPS:
        raise ValueError(f"a segment has shape ({SEGMENT_STEPS}, channels), not {segment.shape}")
    x = poisson((STEPS, segment.shape[1]), noise_hz, 1.0, rng)
    for start in SEGMENT_STARTS:
        x[start : start + SEGMENT_STEPS] |= segment.astype(bool)
    return torch.from_numpy(x.astype(np.float32))[None]


def distances(traces: Traces, wanted: Tensor) -> dict[str, list[float] | np.ndarray]:
    """How far apart the outputs at two occurrences of the segment are, and what is left of them in the gaps.

    Args:
        traces: of tested trials; the readout is (trials, 2000, targets).
        wanted: targets (2000, targets).

    Returns:
        One value per trial: "d21" and "d32", see `normalised_distance`; "silent_rms", the root mean square output in
        the two silent gaps.
    """
    outputs, target = traces.readout.cpu().numpy(), wanted.cpu().numpy()
    return {
        "d21": [normalised_distance(y, target, 2, 1) for y in outputs],
        "d32": [normalised_distance(y, target, 3, 2) for y in outputs],
        "silent_rms": np.sqrt(np.square(outputs[:, silent_steps()]).mean((1, 2))),
    }


def normalised_distance(output: np.ndarray, target: np.ndarray, m: int, n: int) -> float:
    """How much the outputs at two occurrences of the segment differ, relative to the targets there (Fig. 2 B, C).

    The input is the same segment each time, the target is not: an output that knows nothing but the recent input
    has a distance near 0, a perfect one has 1.

    Args:
        output, target: (2000,) or (2000, n_targets).
        m, n: occurrences, counted from 1 as in "2nd vs 1st".

    Returns:
        mean square difference of the outputs over the two windows of 500 ms / the same for the targets.
    """
    output, target = np.asarray(output, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if output.shape != target.shape or len(output) != STEPS:
        raise ValueError(f"output {output.shape} and target {target.shape} must both have {STEPS} steps")
    if not {m, n} <= {1, 2, 3} or m == n:
        raise ValueError(f"two different occurrences among 1, 2, 3 are compared, not {m} and {n}")

    def difference(y: np.ndarray) -> float:
        first, second = (y[SEGMENT_STARTS[k - 1] :][:SEGMENT_STEPS] for k in (m, n))
        return float(((first - second) ** 2).mean())

    return difference(output) / difference(target)

"""The two synthetic tasks of the paper: what goes in, what should come out, and how well it does.

Pattern generation (Fig. 2, A1, A2) and delayed match-to-sample (Fig. 3, A3, Table 4). Spike trains are
Bernoulli draws, one per step, with p = rate dt: Poisson spikes up to one spike a step.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

# Pattern generation, in steps of 1 ms.
PATTERN_STEPS = 2000
SEGMENT_STEPS = 500
SEGMENT_STARTS = (0, 750, 1500)  # between them, 250 ms of silence
COSINES_HZ = (0.5, 1.0, 1.5, 2.0, 2.5)

# Match-to-sample: channels 0-9 left cue, 10-19 right cue, 20-29 noise.
GROUP = 10
MATCH_CHANNELS = 3 * GROUP
FIRST_CUE_MS = 50
CUE_MS = 100
CUE_HZ = 40.0
NOISE_HZ = 10.0

RATE_WEIGHT = 0.01  # of the rate penalty, in both tasks


def poisson(shape: Sequence[int], rate_hz: float | np.ndarray, dt_ms: float, rng: Generator) -> np.ndarray:
    """Boolean raster of ``shape``; True with probability rate dt. The rate broadcasts to the shape.

    Raises:
        ValueError: a rate is negative, or so high that rate dt exceeds 1.
    """
    p = np.asarray(rate_hz, dtype=np.float32) * np.float32(dt_ms / 1000)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"a spike rate must lie between 0 and {1000 / dt_ms:g} Hz (one spike a step)")
    return rng.random(tuple(shape), dtype=np.float32) < p


# Pattern generation


def pattern_template(
    seed: int | Sequence[int], n_targets: int = 1, channels: int = 100, rate_hz: float = 10.0
) -> tuple[np.ndarray, np.ndarray]:
    """The spike segment to recognise, and the traces to produce.

    A target is sum_k A_k cos(2 pi f_k t + phi_k), f = 0.5, 1, 1.5, 2, 2.5 Hz, A ~ U(0, 1), phi ~ U(0, 2 pi), divided
    by its largest absolute value. (The paper says "scaled to [-1, 1]"; dividing keeps the sum of cosines free of an
    offset.) The same seed gives the same segment whatever the number of targets.

    Returns:
        segment, boolean (500, channels), 1 ms a step; targets, float32 (2000, n_targets).
    """
    if n_targets < 1 or channels < 1:
        raise ValueError(f"at least one target and one channel are needed, not {n_targets} and {channels}")
    # Its own branch of the seed: noise from default_rng(seed) must not begin with the draws of the segment.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    segment = poisson((SEGMENT_STEPS, channels), rate_hz, 1.0, rng)
    # One row a target, so that a second target does not change the first.
    draws = rng.random((n_targets, 2, len(COSINES_HZ)))
    amplitude, phase = draws[:, 0], 2 * np.pi * draws[:, 1]
    t = np.arange(PATTERN_STEPS)[:, None, None] / 1000  # s
    targets = (amplitude * np.cos(2 * np.pi * np.array(COSINES_HZ) * t + phase)).sum(-1)
    return segment, (targets / np.abs(targets).max(0)).astype(np.float32)


def silent_steps() -> np.ndarray:
    """Boolean (2000,): where the segment is silent, in the two gaps of 250 ms."""
    silent = np.ones(PATTERN_STEPS, dtype=bool)
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
    x = poisson((PATTERN_STEPS, segment.shape[1]), noise_hz, 1.0, rng)
    for start in SEGMENT_STARTS:
        x[start : start + SEGMENT_STEPS] |= segment.astype(bool)
    return torch.from_numpy(x.astype(np.float32))[None]


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
    if output.shape != target.shape or len(output) != PATTERN_STEPS:
        raise ValueError(f"output {output.shape} and target {target.shape} must both have {PATTERN_STEPS} steps")
    if not {m, n} <= {1, 2, 3} or m == n:
        raise ValueError(f"two different occurrences among 1, 2, 3 are compared, not {m} and {n}")

    def difference(y: np.ndarray) -> float:
        first, second = (y[SEGMENT_STARTS[k - 1] :][:SEGMENT_STEPS] for k in (m, n))
        return float(((first - second) ** 2).mean())

    return difference(output) / difference(target)


def pattern_loss(readout: Tensor, target: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and its mean square error alone; the loss adds 0.01 x `rate_penalty`.

    Args:
        readout: (batch, 2000, n_targets).
        target: (2000, n_targets).
        spikes: of the hidden neurons, (batch, 2000, neuron).
    """
    mse = F.mse_loss(readout, target.expand_as(readout))
    return mse + RATE_WEIGHT * rate_penalty(spikes, dt_ms=1.0), mse


# Delayed match-to-sample


def match_trials(
    batch: int,
    rng: Generator,
    delay_ms: float = 800,
    dt_ms: float = 5,
    added_noise_hz: float = 0,
    noise_on: str = "all",
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Trials of two cues, left or right, with a delay between them; do they match? (Fig. 3 A)

    50 ms before the first cue, 100 ms cue, ``delay_ms``, 100 ms cue, end. A cue is 40 Hz on its ten channels, which
    are silent otherwise; the ten noise channels fire at 10 Hz throughout. All four pairs of cues are equally likely.

    Args:
        batch: number of trials.
        added_noise_hz: further noise (Fig. A3), joined with the rest by OR.
        noise_on: the channels that get it: "all" (the paper leaves this open), or only those of the "cues".

    Returns:
        input, float32 (batch, steps, 30) of zeros and ones; label, int64 (batch,), 1 = match; cues, int64
        (batch, 2), 0 = left and 1 = right.

    Raises:
        ValueError: no trial, or a delay or cue that is not a whole number of steps.
    """
    if batch < 1:
        raise ValueError(f"at least one trial is needed, not {batch}")
    before, cue, delay = (whole_steps(ms, dt_ms) for ms in (FIRST_CUE_MS, CUE_MS, delay_ms))
    steps = before + cue + delay + cue
    cues = rng.integers(0, 2, size=(batch, 2))

    x = np.zeros((batch, steps, 3, GROUP), dtype=bool)
    x[:, :, 2] = poisson((batch, steps, GROUP), NOISE_HZ, dt_ms, rng)
    trial = np.arange(batch)
    for k, start in enumerate((before, before + cue + delay)):
        x[trial, start : start + cue, cues[:, k]] = poisson((batch, cue, GROUP), CUE_HZ, dt_ms, rng)
    x = x.reshape(batch, steps, MATCH_CHANNELS)
    if added_noise_hz:
        noisy = slice(MATCH_CHANNELS if noise_on == "all" else 2 * GROUP)
        x[:, :, noisy] |= poisson(x[:, :, noisy].shape, added_noise_hz, dt_ms, rng)
    label = (cues[:, 0] == cues[:, 1]).astype(np.int64)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(label), cues


def whole_steps(ms: float, dt_ms: float) -> int:
    """Number of steps in a duration.

    Raises:
        ValueError: it is negative or not a whole number of steps.
    """
    if not dt_ms > 0:
        raise ValueError(f"dt must be positive, but is {dt_ms} ms")
    steps = round(ms / dt_ms)
    if ms < 0 or not math.isclose(steps * dt_ms, ms, abs_tol=1e-9):
        raise ValueError(f"{ms} ms is not a whole number of steps of {dt_ms} ms")
    return steps


def match_loss(readout: Tensor, label: Tensor, spikes: Tensor, dt_ms: float = 5) -> Tensor:
    """Cross entropy of the two readout potentials at the last step, plus 0.01 x `rate_penalty`.

    Args:
        readout: (batch, steps, 2).
        label: (batch,).
        spikes: of the hidden neurons, (batch, steps, neuron).
    """
    return F.cross_entropy(readout[:, -1], label) + RATE_WEIGHT * rate_penalty(spikes, dt_ms)


def match_accuracy(readout: Tensor, label: Tensor) -> float:
    """Share of trials whose larger readout potential at the last step, (batch, steps, 2), is the label's."""
    return float((readout[:, -1].argmax(-1) == label).double().mean())


# Both tasks


def rate_penalty(spikes: Tensor, dt_ms: float, target_hz: float = 10.0) -> Tensor:
    """Mean over neurons of ((rate_j - target) / target)^2, the rate over batch and time, of (batch, time, neuron)."""
    rate_hz = spikes.mean((0, 1)) * (1000 / dt_ms)
    return ((rate_hz - target_hz) / target_hz).square().mean()

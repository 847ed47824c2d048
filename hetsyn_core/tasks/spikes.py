"""What tasks do with spikes: draw them, and keep their rates near a target."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from torch import Tensor

RATE_WEIGHT = 0.01  # of the rate penalty


def rate_penalty(spikes: Tensor, dt_ms: float, target_hz: float = 10.0) -> Tensor:
    """Mean over neurons of ((rate_j - target) / target)^2, the rate over batch and time, of (batch, time, neuron)."""
    rate_hz = spikes.mean((0, 1)) * (1000 / dt_ms)
    return ((rate_hz - target_hz) / target_hz).square().mean()


def poisson(shape: Sequence[int], rate_hz: float | np.ndarray, dt_ms: float, rng: Generator) -> np.ndarray:
    """Boolean raster of ``shape``: Bernoulli draws, one per step, True with probability rate dt.

    These are Poisson spikes, at most one per step. The rate broadcasts to the shape.

    Raises:
        ValueError: a rate is negative, or so high that rate dt exceeds 1.
    """
    p = np.asarray(rate_hz, dtype=np.float32) * np.float32(dt_ms / 1000)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"a spike rate must lie between 0 and {1000 / dt_ms:g} Hz (one spike per step)")
    return rng.random(tuple(shape), dtype=np.float32) < p


def whole_steps(ms: float, dt_ms: float) -> int:
    """Number of steps in a duration.

    Raises:
        ValueError: it is negative or not a whole number of steps.
    """
    if not dt_ms > 0:
        raise ValueError(f"dt must be positive, but is {dt_ms} ms")
    if not fits(ms, dt_ms):
        raise ValueError(f"{ms} ms is not a whole number of steps of {dt_ms} ms")
    return round(ms / dt_ms)


def fits(ms: float, dt_ms: float) -> bool:
    """Whether a duration is a whole number of steps, 0 or more."""
    return ms >= 0 and math.isclose(round(ms / dt_ms) * dt_ms, ms, abs_tol=1e-9)

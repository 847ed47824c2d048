"""Delayed match-to-sample (Fig. 3, A3, Table 4): two cues with a delay between them; are they the same?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from ..model.layer import Traces
from .settings import number
from .spikes import RATE_WEIGHT, fits, poisson, rate_penalty, whole_steps
from .task import Task

GROUP = 10  # channels 0-9 left cue, 10-19 right cue, 20-29 noise
CHANNELS = 3 * GROUP
FIRST_CUE_MS = 50
CUE_MS = 100
CUE_HZ = 40.0
NOISE_HZ = 10.0


@dataclass(frozen=True, kw_only=True)
class MatchToSample(Task):
    """The paper's values, F-HetSynLIF."""

    lr: float = 5e-3
    dt_ms: float = 5.0
    tau_reset_ms: float | None = 40.0
    tau_a_ms: float = 800.0
    a: float = 0.15
    delay_ms: float = 800.0
    added_noise_hz: float = 0.0  # joined with what is there by OR (A3)
    noise_on: str = "all"  # the channels with added noise, "all" or those of the "cues"

    FIXED_TAU_S: ClassVar[float] = 40.0
    DRAWN_TAU_S: ClassVar[tuple[str, float, float]] = ("normal", 40.0, 4.0)

    def sizes(self) -> tuple[int, ...]:
        return CHANNELS, *self.hidden, 2

    def batches(self, split: str, rng: Generator) -> Iterator[tuple[Tensor, Tensor]]:
        for trials in self.drawn(split):
            x, label, _ = match_trials(trials, rng, self.delay_ms, self.dt_ms, self.added_noise_hz, self.noise_on)
            yield x, label

    def loss(self, traces: Traces, wanted: Tensor) -> Tensor:
        """Cross entropy of the two readout potentials at the last step, plus 0.01 x the rate penalty of each layer."""
        penalty = sum(rate_penalty(spikes, self.dt_ms) for spikes in traces.spikes)
        return F.cross_entropy(traces.readout[:, -1], wanted) + RATE_WEIGHT * penalty

    def measure(self, traces: Traces, wanted: Tensor) -> dict[str, Tensor]:
        """ "accuracy": 1 where the larger readout potential at the last step is the label's."""
        return {"accuracy": (traces.readout[:, -1].argmax(-1) == wanted).double()}

    def trial_ms(self) -> float:
        """From the start of a trial to the end of its second cue."""
        return FIRST_CUE_MS + CUE_MS + self.delay_ms + CUE_MS

    def __post_init__(self):
        super().__post_init__()
        rate = self.added_noise_hz
        self.check("noise_on", self.noise_on in ("all", "cues"), "'all' or 'cues'")
        possible = number(rate) and 0 <= rate * self.dt_ms <= 1000
        self.check("added_noise_hz", possible, "a rate of at most one spike per step")
        self.must_be("a number, 0 or more", "delay_ms")
        fine = fits(FIRST_CUE_MS, self.dt_ms) and CUE_HZ * self.dt_ms <= 1000  # then it fits the cues as well
        self.check("dt_ms", fine, f"a whole fraction of {FIRST_CUE_MS} ms, and at most {1000 / CUE_HZ:g} ms")
        self.check("delay_ms", fits(self.delay_ms, self.dt_ms), f"a whole number of steps of {self.dt_ms:g} ms")


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
    x = x.reshape(batch, steps, CHANNELS)
    if added_noise_hz:
        noisy = slice(CHANNELS if noise_on == "all" else 2 * GROUP)
        x[:, :, noisy] |= poisson(x[:, :, noisy].shape, added_noise_hz, dt_ms, rng)
    label = (cues[:, 0] == cues[:, 1]).astype(np.int64)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(label), cues

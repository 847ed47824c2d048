"""Delayed match-to-sample (Fig. 3, A3, Table 4): two cues with a delay between them; are they the same?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from ..model.layer import Network, Traces, parameter_from_tau, tau_from_decay
from .run import RATE_WEIGHT, WINDOW, Run, evaluate, number, poisson, rate_penalty, whole_steps

GROUP = 10  # channels 0-9 left cue, 10-19 right cue, 20-29 noise
CHANNELS = 3 * GROUP
FIRST_CUE_MS = 50
CUE_MS = 100
CUE_HZ = 40.0
NOISE_HZ = 10.0


@dataclass(frozen=True, kw_only=True)
class MatchToSample(Run):
    """The paper's values, F-HetSynLIF."""

    lr: float = 5e-3
    dt_ms: float = 5.0
    tau_s_ms: float = 40.0
    tau_s_draw: tuple[str, float, float] = ("normal", 40.0, 4.0)
    tau_reset_ms: float | None = 40.0
    tau_a_ms: float = 800.0
    a: float = 0.15
    delay_ms: float = 800.0
    added_noise_hz: float = 0.0  # joined with what is there by OR (A3)
    noise_on: str = "all"  # the channels with added noise, "all" or those of the "cues"
    reset_above_ms: float | None = None  # Table 4: how accurate without the time constants above this?

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

    def measure(self, traces: Traces, wanted: Tensor) -> dict[str, np.ndarray | list[float]]:
        """ "accuracy": 1 where the larger readout potential at the last step is the label's."""
        return {"accuracy": (traces.readout[:, -1].argmax(-1) == wanted).double().numpy()}

    def score(self, traces: Traces, wanted: Tensor) -> tuple[str, Tensor]:
        return "accuracy", (traces.readout[:, -1].argmax(-1) == wanted).double().mean()

    def after(self, network: Network, trained: dict) -> dict[str, float | None]:
        """ "iterations_to_95"; with ``reset_above_ms``, the quantities of Table 4, see `table4_taus`."""
        metrics = {"iterations_to_95": iterations_to(0.95, trained["accuracy"])}
        if self.reset_above_ms is not None:
            metrics |= table4_taus(network, self.reset_above_ms, self.trial_ms())
            metrics["reset_accuracy"] = evaluate(without_long_taus(network, self), self)["accuracy"]
        return metrics

    def trial_ms(self) -> float:
        """From the start of a trial to the end of its second cue."""
        return FIRST_CUE_MS + CUE_MS + self.delay_ms + CUE_MS

    def __post_init__(self):
        super().__post_init__()
        rate = self.added_noise_hz
        self.check("noise_on", self.noise_on in ("all", "cues"), "'all' or 'cues'")
        self.check(
            "added_noise_hz", number(rate) and 0 <= rate * self.dt_ms <= 1000, "a rate of at most a spike a step"
        )
        self.check("delay_ms", number(self.delay_ms) and self.delay_ms >= 0, "a number, 0 or more")
        above = self.reset_above_ms
        self.check("reset_above_ms", above is None or number(above) and above > 0, "a positive number or None")
        per_synapse = self.variant == "HetSynLIF" and not self.groups and self.tau_s_draw[0] != "uniform"
        rule = "None but for HetSynLIF without groups and a tau_s_draw around a centre, to which it goes back"
        self.check("reset_above_ms", above is None or per_synapse, rule)
        for ms in FIRST_CUE_MS, CUE_MS, self.delay_ms:
            whole_steps(ms, self.dt_ms)


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


def iterations_to(level: float, accuracy: list[float], window: int = WINDOW) -> int | None:
    """Iterations after which the mean of the last ``window`` accuracies first is ``level`` or more; None: never."""
    if len(accuracy) < window:
        return None
    mean = np.convolve(np.asarray(accuracy, np.float64), np.ones(window) / window, mode="valid")
    reached = np.flatnonzero(mean >= level - 1e-9)
    return int(reached[0]) + window if reached.size else None


def table4_taus(network: Network, long_ms: float, cap_ms: float) -> dict[str, float]:
    """Time constants of the input synapses in ms (Table 4): of the cue channels and of the noise channels.

    Returns:
        "cue_tau", "noise_tau": means, each counted as ``cap_ms`` at most: a decay of 1 is tau = inf, and no current
        outlives its trial; "cue_median", "noise_median"; "long_share" of the input synapses with tau > ``long_ms``.
    """
    layer = network.layers[0]
    tau = tau_from_decay(layer.decay().detach().cpu().double(), layer.dt_ms)[:, :CHANNELS].numpy()
    cue, noise = tau[:, : 2 * GROUP], tau[:, 2 * GROUP :]
    return {
        "cue_tau": float(np.minimum(cue, cap_ms).mean()),
        "noise_tau": float(np.minimum(noise, cap_ms).mean()),
        "cue_median": float(np.median(cue)),
        "noise_median": float(np.median(noise)),
        "long_share": float((tau > long_ms).mean()),
    }


@torch.no_grad()
def without_long_taus(network: Network, run: MatchToSample) -> Network:
    """A copy whose hidden synapses above ``run.reset_above_ms``, recurrent ones too, are back at the initial mean.

    Of a log-normal start it is the median.
    """
    copy = run.network()
    copy.load_state_dict(network.state_dict())
    layer = copy.layers[0]
    mu = parameter_from_tau(torch.tensor(float(run.tau_s_draw[1])), run.dt_ms, run.parameterization)
    layer.decay_parameter[layer.tau_s_ms() > run.reset_above_ms] = mu
    return copy

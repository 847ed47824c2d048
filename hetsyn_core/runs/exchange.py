"""Where a trained network keeps the first cue: parts of its state are exchanged between trials during the delay.

Each trial runs up to a time. Then a part of its state is replaced by that of another trial whose first cue was the
other one, and the trial goes on with its own second cue. If this part alone carries the first cue, the answer is that
of the other cue. Neither weights nor time constants are changed.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..model.layer import Network
from ..model.state import NetworkState
from ..model.time_constants import centre
from ..tasks.match import CUE_MS, FIRST_CUE_MS, GROUP, MatchToSample, match_trials
from .evaluate import split_rng
from .interventions import TESTED, label, pathways

SLOW = 5  # a synapse is slow if its time constant is more than so many times the centre of the initial ones
WHEN = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of the delay
NEURONS = (1, 2, 3, 5, 10, 20, 50, 100)  # whose input is exchanged

Part = Callable[[NetworkState, NetworkState], NetworkState]  # a state, with a part of the other trial's


@torch.no_grad()
def exchanged(network: Network, task: MatchToSample) -> dict[str, float]:
    """How often the answer is that of the other trial's first cue, by what is exchanged (`parts`), and when.

    At the start of the second cue also for the currents onto some of the hidden neurons alone ("neurons"), first those
    onto which they differ most between the cues, see `by_difference`. "share" is that of the slow synapses among the
    hidden ones.

    Raises:
        ValueError: the network has several hidden layers, not every synapse a time constant of its own that learns,
            or there are too few trials.
    """
    pathways(network)  # refuses other networks
    if len(network.layers) != 2:
        raise ValueError("states are exchanged in networks with one hidden layer")
    network = copy.deepcopy(network).cpu().eval()
    pairs, found, slow_ms = Pairs(network, task), {}, SLOW * centre(task.initial_tau_s())
    second_cue_ms = FIRST_CUE_MS + CUE_MS + task.delay_ms
    for ms in (second_cue_ms - (1 - share) * task.delay_ms for share in WHEN):
        for name, part in parts(network, slow_ms).items():
            found[label("exchanged", name, ms)] = pairs.follow(part, ms)
    found[label("share", "slow synapses", slow_ms)] = float((network.layers[0].tau_s_ms() > slow_ms).double().mean())
    order = by_difference(network, task)
    rank = order.argsort()[:, None].expand_as(network.layers[0].decay())
    for n in (n for n in NEURONS if n <= len(order)):
        found[label("exchanged", "neurons", n)] = pairs.follow(currents(rank < n), second_cue_ms)
    return found


class Pairs:
    """Test trials, each with another whose first cue was the other one."""

    def __init__(self, network: Network, task: MatchToSample):
        self.network, self.task = network, task
        self.x, self.label, first = trials(task, "test")
        ranks = [np.flatnonzero(first == cue) for cue in (0, 1)]
        if not all(map(len, ranks)):
            raise ValueError(f"among {len(first)} test trials there are no two with different first cues")
        self.other = torch.empty(len(first), dtype=torch.long)
        for own, others in (ranks, ranks[::-1]):
            self.other[own] = torch.from_numpy(np.resize(others, len(own)))
        self._states: dict[int, NetworkState] = {}

    def follow(self, part: Part, ms: float) -> float:
        """Share of answers that are wrong, which are those of the other first cue, with a part exchanged at a time."""
        step = round(ms / self.task.dt_ms)
        if step not in self._states:
            self._states = {step: self.network(self.x[:, :step], self.network.rest(len(self.x))).state}
        state = self._states[step]
        readout = self.network(self.x[:, step:], part(state, state[self.other])).readout[:, -1]
        return float((readout.argmax(-1) != self.label).double().mean())


def trials(task: MatchToSample, split: str) -> tuple[Tensor, Tensor, np.ndarray]:
    """Input, answer and first cue (0 left, 1 right) of trials of a split."""
    n, noise = min(TESTED, task.test_trials), (task.added_noise_hz, task.noise_on)
    x, answer, cues = match_trials(n, split_rng(split), task.delay_ms, task.dt_ms, *noise)
    return x, answer, cues[:, 0]


def parts(network: Network, slow_ms: float) -> dict[str, Part]:
    """What can be exchanged; the currents of slow synapses and the rest make up everything.

    Args:
        slow_ms: hidden synapses with a time constant above it are slow.
    """
    n_post, n_pre = network.layers[0].weight.shape
    slow = network.layers[0].tau_s_ms() > slow_ms
    channels = torch.arange(slow.shape[1]).expand_as(slow)
    cue, noise = channels < 2 * GROUP, (channels >= 2 * GROUP) & (channels < n_pre)
    found: dict[str, Part] = {
        "nothing": lambda own, other: own,
        "everything": lambda own, other: other,
        "cue channels": currents(cue),
        "noise channels": currents(noise),
        "spikes and reset": lambda own, other: hidden(
            own, neurons=replace(other.layers[0].neurons, current=own.layers[0].neurons.current)
        ),
        "readout": lambda own, other: NetworkState((own.layers[0], other.layers[1])),
        "slow synapses": currents(slow),
        "all but slow synapses": lambda own, other: currents(slow)(other, own),
    }
    if n_post + n_pre == slow.shape[1]:
        found["recurrent"] = currents(channels >= n_pre)
    return found


def hidden(state: NetworkState, **changes) -> NetworkState:
    """A state in which something of the hidden layer is another."""
    return NetworkState((replace(state.layers[0], **changes), state.layers[1]))


def currents(chosen: Tensor) -> Part:
    """The currents of some synapses of the hidden layer, a flag for each, (post, pre + recurrent)."""

    def part(own: NetworkState, other: NetworkState) -> NetworkState:
        mine, others = own.layers[0], other.layers[0]
        n_pre = mine.current.shape[-1]
        neurons = mine.neurons
        if neurons.current is not None:
            recurrent = torch.where(chosen[:, n_pre:], others.neurons.current, neurons.current)
            neurons = replace(neurons, current=recurrent)
        return hidden(own, current=torch.where(chosen[:, :n_pre], others.current, mine.current), neurons=neurons)

    return part


@torch.no_grad()
def difference(network: Network, task: MatchToSample) -> Tensor:
    """How much more current a hidden synapse carries after a right first cue than after a left one.

    Means over validation trials at the start of the second cue, in units of the threshold; (post, pre + recurrent).
    """
    x, _, first = trials(task, "validation")
    step = round((FIRST_CUE_MS + CUE_MS + task.delay_ms) / task.dt_ms)
    layer = network(x[:, :step], network.rest(len(x))).state.layers[0]
    recurrent = layer.neurons.current
    current = layer.current if recurrent is None else torch.cat([layer.current, recurrent], -1)
    return current[first == 1].mean(0) - current[first == 0].mean(0)


def by_difference(network: Network, task: MatchToSample) -> Tensor:
    """The hidden neurons, first those whose input differs most between the first cues (sum of `difference`)."""
    return difference(network, task).sum(1).abs().argsort(descending=True)

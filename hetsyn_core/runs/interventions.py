"""How good a trained network still is once some of its time constants are others, and nothing else is changed.

Changing a time constant also changes how much current a spike brings in all; `exchange` leaves that alone.
"""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..model.layer import Layer, Network
from ..model.time_constants import centre, parameter_from_tau
from ..tasks.task import Task
from .evaluate import performance
from .make import make_network

TESTED = 256  # trials or recordings, at most
DRAWS = 3  # of every random choice; the outcome is their mean
SEED = 20_251_166
PERCENT = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # of the synapses, see `put_back`
TAIL = 2.0  # percent of a pathway's synapses that are its long tail
FACTORS = tuple(2.0**k for k in range(-1, 7))  # of the centre of the initial time constants: the cuts of `clamped`
ALL = "all"


def label(what: str, where: str, level: float | str) -> str:
    """Name of an outcome: the intervention, the pathway or part of the state, and how much of it."""
    return f"{what} | {where} | {level if isinstance(level, str) else f'{level:g}'}"


def pathways(network: Network) -> dict[str, tuple[int, slice]]:
    """The synapses from one layer onto another: the index of a layer, and some columns of its decays.

    In order: "input", "recurrent", "1 to 2", "recurrent 2", ... and "readout".

    Raises:
        ValueError: not every synapse has a time constant of its own that learns.
    """
    found = {}
    last = len(network.layers) - 1
    for k, layer in enumerate(network.layers):
        if layer.sharing.by != "synapse" or layer.frozen is not None:
            raise ValueError("interventions are on HetSynLIF without groups and without frozen time constants")
        forward, back = pathway_names(k, last)
        found[forward] = k, slice(layer.n_pre)
        if layer.recurrent_weight is not None:
            found[back] = k, slice(layer.n_pre, None)
    return found


def pathway_names(k: int, last: int) -> tuple[str, str]:
    """What the synapses onto layer k from the layer before it are called, and those from itself; 0 is the first."""
    forward = "readout" if k == last else "input" if k == 0 else f"{k} to {k + 1}"
    return forward, "recurrent" if k == 0 else f"recurrent {k + 1}"


# What takes the place of a pathway's time constants, as the optimiser sees them (`Layer.decay_parameter`, which grows
# with the time constant); its arguments are those after training, those at the start, and the layer.
Change = Callable[[Tensor, Tensor, Layer], Tensor]


@torch.no_grad()
def changed(network: Network, start: Network, where: Sequence[str], change: Change) -> Network:
    """A copy of a trained network with other time constants in some pathways; all else is as it was.

    Args:
        start: the same network before training.
        where: names of `pathways`.
    """
    other, known = copy.deepcopy(network), pathways(network)
    for name in where:
        k, columns = known[name]
        now = other.layers[k].decay_parameter[:, columns]
        then = start.layers[k].decay_parameter[:, columns].to(now.device)
        now.copy_(change(now.clone(), then, other.layers[k]))
    return other


def shuffle(keep: str, rng: np.random.Generator) -> Change:
    """Deal a pathway's time constants out anew, among all its synapses, or among those that have something in common.

    Args:
        keep: "nothing"; "post": every neuron keeps the time constants of the synapses onto it; "pre": from it.
    """

    def dealt(now: Tensor, start: Tensor, layer: Layer) -> Tensor:
        values = now.cpu().numpy()
        if keep == "nothing":
            return torch.from_numpy(rng.permutation(values.ravel()).reshape(values.shape))
        return torch.from_numpy(rng.permuted(values, axis={"post": 1, "pre": 0}[keep]))

    return dealt


def clamp(at_least: float = 0.0, at_most: float = np.inf) -> Change:
    """Time constants outside of a range, in ms, are brought to its ends; at 0 and at infinity there is no end."""

    def within(now: Tensor, start: Tensor, layer: Layer) -> Tensor:
        ends = parameter_from_tau(torch.tensor([at_least, at_most]), layer.dt_ms, layer.parameterization)
        return now.clamp(*ends.tolist())

    return within


def put_back(network: Network, start: Network, where: Sequence[str], chosen: Tensor) -> Network:
    """A copy in which the chosen synapses have their initial time constants again.

    Args:
        chosen: a flag for each synapse of the pathways, which follow each other as in ``where``.
    """
    sizes = [_of(network, name).numel() for name in where]
    flags = iter(chosen.to(network.layers[0].weight.device).split(sizes))

    def back(now: Tensor, then: Tensor, layer: Layer) -> Tensor:
        return torch.where(next(flags).view_as(now), then, now)

    return changed(network, start, where, back)


def longest(network: Network, where: Sequence[str]) -> Tensor:
    """Indices of the synapses of some pathways, the longest time constant first; of equal ones the first."""
    tau = torch.cat([_of(network, name).flatten() for name in where])
    return torch.argsort(tau, descending=True, stable=True)


@torch.no_grad()
def _of(network: Network, name: str) -> Tensor:
    """Time constants of a pathway in ms."""
    k, columns = pathways(network)[name]
    return network.layers[k].tau_s_ms()[:, columns].cpu()


def places(network: Network) -> dict[str, list[str]]:
    """Where interventions are made: in each pathway, and in all of them together."""
    names = list(pathways(network))
    return {name: [name] for name in names} | {ALL: names}


def shuffled(network: Network, task: Task) -> dict[str, float]:
    """Accuracy with the time constants of a pathway dealt out anew, means over draws; see `shuffle`."""
    start, found = untrained(network, task), {}
    for where, names in places(network).items():
        for keep in "nothing", "pre", "post":
            rng = np.random.default_rng(SEED)
            draws = [changed(network, start, names, shuffle(keep, rng)) for _ in range(DRAWS)]
            found[label("shuffled", where, keep)] = float(np.mean([_accuracy(own, task) for own in draws]))
    return found


def clamped(network: Network, task: Task) -> dict[str, float]:
    """Accuracy with no time constant of a pathway above, or below, a cut in ms; see `clamp`."""
    start, found = untrained(network, task), {}
    for where, names in places(network).items():
        for cut in (centre(task.initial_tau_s()) * factor for factor in FACTORS):
            for what, change in ("at most", clamp(at_most=cut)), ("at least", clamp(at_least=cut)):
                found[label(what, where, cut)] = _accuracy(changed(network, start, names, change), task)
    return found


def restarted(network: Network, task: Task) -> dict[str, float]:
    """Accuracy with initial time constants in place of learned ones.

    Returns:
        by percent of the synapses: "longest back", those with the longest time constants have their initial one
        again; "others back", all but these have; "random back", as many chosen by chance (mean over draws). Of a single
        pathway its long tail alone, and all of it.
    """
    start, found = untrained(network, task), {label("longest back", ALL, 0.0): _accuracy(network, task)}
    for where, names in places(network).items():
        order = longest(network, names)
        for percent in PERCENT if where == ALL else (TAIL,):
            tail = torch.zeros(len(order), dtype=torch.bool)
            tail[order[: round(len(order) * percent / 100)]] = True
            rng = np.random.default_rng(SEED)
            by_chance = [torch.from_numpy(rng.permutation(tail.numpy())) for _ in range(DRAWS)]
            for what, choices in ("longest back", [tail]), ("others back", [~tail]), ("random back", by_chance):
                copies = (put_back(network, start, names, chosen) for chosen in choices)
                found[label(what, where, percent)] = float(np.mean([_accuracy(own, task) for own in copies]))
        everything = put_back(network, start, names, torch.ones(len(order), dtype=torch.bool))
        found[label("longest back", where, 100.0)] = _accuracy(everything, task)
    return found


def _accuracy(network: Network, task: Task) -> float:
    return performance(network, task.replace(test_trials=min(task.test_trials or TESTED, TESTED)))["accuracy"]


def untrained(network: Network, task: Task) -> Network:
    """The network of a run before training; its data need not be here."""
    return make_network(task, (network.layers[0].n_pre, *(layer.n_post for layer in network.layers)))

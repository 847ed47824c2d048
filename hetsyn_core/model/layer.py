"""Layers and networks. The four models differ in which synapses share a time constant, and in whether they adapt."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .checks import check_share, check_threshold
from .dropout import dropout
from .fast import dispatch
from .state import LayerState, NetworkState, NeuronState
from .surrogate import Surrogate, Triangular
from .time_constants import (
    Sharing,
    TauS,
    decay_from_parameter,
    decay_from_tau,
    draw_tau,
    parameter_from_tau,
    tau_from_decay,
)


@dataclass(frozen=True)
class Variant:
    """What tells one model of the paper from another (section 3, Propositions 1-3)."""

    sharing: Sharing
    trainable: bool  # whether the time constants learn
    adapts: bool = False


VARIANTS = {
    "HomNeuLIF": Variant(Sharing.ALL, trainable=False),
    "HomNeuALIF": Variant(Sharing.ALL, trainable=False, adapts=True),
    "HetNeuLIF": Variant(Sharing.NEURON, trainable=True),
    "HetSynLIF": Variant(Sharing.SYNAPSE, trainable=True),
}
TAU_S_FIXED = 20.0  # ms, the paper's value where time constants are fixed
TAU_S_DRAWN = ("normal", 20.0, 5.0)  # and where trained ones start


def as_variant(variant: str | Variant, sharing: Sharing | None = None) -> Variant:
    """A variant by its name, or one of your own; ``sharing`` takes the place of HetSynLIF's time constant per synapse.

    Raises:
        ValueError: an unknown name, or ``sharing`` for a variant whose synapses share already.
    """
    if isinstance(variant, str) and variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}; there are {', '.join(VARIANTS)}")
    found = VARIANTS[variant] if isinstance(variant, str) else variant
    if sharing is None:
        return found
    if found.sharing != Sharing.SYNAPSE:
        raise ValueError("sharing is for HetSynLIF; the other variants say themselves who shares a time constant")
    return replace(found, sharing=sharing)


def parameter_count(
    variant: str | Variant, n_pre: int, n_post: int, recurrent: bool, sharing: Sharing | None = None
) -> int:
    """Trainable parameters of one layer (Table 3): weights and time constants; errors as `as_variant`."""
    v = as_variant(variant, sharing)
    synapses = n_pre * n_post + (n_post * n_post if recurrent else 0)
    return synapses + (math.prod(v.sharing.shape(n_pre, n_post, recurrent)) if v.trainable else 0)


class Layer(nn.Module):
    """A layer of synapses (eq. 8) and, unless it is a plain readout, the neurons that they drive (eqs. 4, 5, 9).

    Args:
        n_pre, n_post: neurons before and after.
        sharing: which synapses share a time constant.
        trainable: whether the time constants learn.
        tau_s: initial time constants: one number in ms, or where to draw them from, see `draw_tau`. Those below
            ``dt_ms`` start there, since no synapse is faster than one step.
        dt_ms: step in ms.
        recurrent: whether the neurons also drive each other (self-connections included).
        spiking: False for a leaky readout.
        tau_reset_ms: tau_J of the reset current in ms; None ties it to the decay that a neuron's synapses share.
        threshold: theta, at which a neuron spikes.
        adaptation: (tau_a in ms, strength a) of HomNeuALIF.
        surrogate: what takes the place of the spike's derivative, see `surrogate`.
        frozen: share of decays that keep their initial value, chosen at random.
        parameterization: what the optimiser sees, see `parameter_from_tau`.
        generator: source of all random draws.

    Raises:
        ValueError: an argument is out of range; the message says which value.

    A layer in a model of your own, given 2 trials of 50 steps from 30 neurons, returns potential and spikes. Given a
    state too (`rest` at the beginning), it also returns the state after the last step, from which it can go on:

    >>> layer = Layer(30, 10, recurrent=True, generator=torch.Generator().manual_seed(0))
    >>> x = (torch.rand(2, 50, 30, generator=torch.Generator().manual_seed(1)) < 0.1).float()
    >>> potential, spikes = layer(x)
    >>> potential.shape, spikes.shape
    (torch.Size([2, 50, 10]), torch.Size([2, 50, 10]))
    >>> _, first, state = layer(x[:, :20], layer.rest(2))
    >>> _, second, state = layer(x[:, 20:], state)
    >>> torch.equal(torch.cat([first, second], 1), spikes)
    True
    """

    def __init__(
        self,
        n_pre: int,
        n_post: int,
        *,
        sharing: Sharing = Sharing.SYNAPSE,
        trainable: bool = True,
        tau_s: TauS = TAU_S_DRAWN,
        dt_ms: float = 1.0,
        recurrent: bool = False,
        spiking: bool = True,
        tau_reset_ms: float | None = 20.0,
        threshold: float = 1.0,
        adaptation: tuple[float, float] | None = None,
        surrogate: Surrogate = Triangular(),
        frozen: float = 0.0,
        parameterization: str = "decay",
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if tau_reset_ms is None and not sharing.neuron_has_one:
            raise ValueError("a reset tied to the neuron's decay needs synapses onto a neuron that share one")
        check_share("frozen", frozen)
        check_threshold(threshold)
        shape = sharing.shape(n_pre, n_post, recurrent)
        self.register_buffer("group", sharing.draw_groups(n_pre, n_post, recurrent, generator))

        self.n_pre, self.n_post, self.sharing, self.dt_ms = n_pre, n_post, sharing, dt_ms
        self.spiking, self.threshold, self.surrogate = spiking, threshold, surrogate
        self.parameterization = parameterization
        self.tied = tau_reset_ms is None
        self.reset_decay = None if self.tied else float(decay_from_tau(tau_reset_ms, dt_ms))
        self.adaptation = adaptation and (float(decay_from_tau(adaptation[0], dt_ms)), adaptation[1])

        normal = lambda *size: torch.randn(size, generator=generator)
        self.weight = nn.Parameter(normal(n_post, n_pre) / math.sqrt(max(n_pre, 1)))
        self.recurrent_weight = nn.Parameter(normal(n_post, n_post) / math.sqrt(n_post)) if recurrent else None

        tau = draw_tau(tau_s, shape, generator).clamp(min=dt_ms)
        self.decay_parameter = nn.Parameter(parameter_from_tau(tau, dt_ms, parameterization), requires_grad=trainable)
        self.register_buffer("frozen", None)
        if frozen:
            chosen = torch.randperm(tau.numel(), generator=generator)[: round(frozen * tau.numel())]
            self.frozen = torch.zeros(tau.numel(), dtype=torch.bool).index_fill(0, chosen, True).view(shape)
            self.register_buffer("initial", self.decay_parameter.detach().clone())

    def decay(self) -> Tensor:
        """All decay factors r: (), (post, 1) or (post, pre + recurrent)."""
        value = self.decay_parameter
        if self.frozen is not None:  # holds whatever the optimiser does, weight decay included
            value = torch.where(self.frozen, self.initial, value)
        value = decay_from_parameter(value, self.dt_ms, self.parameterization)
        return value if self.group is None else value[self.group]

    def split_decay(self) -> tuple[Tensor, Tensor | None]:
        """Decays of the feedforward and of the recurrent synapses (the same where they are shared)."""
        decay = self.decay()
        return (decay, None) if self.recurrent_weight is None else self.sharing.split(decay, self.n_pre)

    @torch.no_grad()
    def clamp_(self) -> None:
        """Bring the decays back into [0, 1] (paper, section 4); call after every optimiser step."""
        if self.parameterization == "decay":
            self.decay_parameter.clamp_(0, 1)
        elif self.parameterization == "tau":
            self.decay_parameter.clamp_(min=1e-6 * self.dt_ms)

    @torch.no_grad()
    def tau_s_ms(self) -> Tensor:
        """Time constants of the synapses in ms, shaped like `decay`; inf where a decay is 1."""
        return tau_from_decay(self.decay(), self.dt_ms)

    def rest(self, batch: int) -> LayerState:
        """The state of a layer that has had no input yet: zeros."""
        per = 1 if self.sharing.neuron_has_one else 2  # a current for each neuron, or for each synapse
        rest = lambda weight: weight.new_zeros(batch, *weight.shape[:per])
        if not self.spiking:
            return LayerState(rest(self.weight))
        silent = self.weight.new_zeros(batch, self.n_post)
        recurrent = None if self.recurrent_weight is None else rest(self.recurrent_weight)
        return LayerState(rest(self.weight), NeuronState(silent, silent, silent, recurrent))

    def forward(
        self, x: Tensor, state: LayerState | None = None, *, using: ModuleType | None = None
    ) -> tuple[Tensor, Tensor | None] | tuple[Tensor, Tensor | None, LayerState]:
        """Potential and spikes (None for a leaky readout), (batch, time, post) each, of input (batch, time, pre).

        Args:
            state: where to go on from; the one after the last step is then returned too. None: at rest.
            using: the implementation, `reference` or `fast.dispatch`; by default the fast one where it can run
                (float32 on the CPU, or on a GPU with Triton).
        """
        x = x if x.is_floating_point() else x.to(self.weight.dtype)  # spikes may be booleans
        using = using or dispatch.choose(x)
        decay, recurrent_decay = self.split_decay()
        if state is None:
            current = using.synaptic_current(x, self.weight, decay)
        else:
            current, left = using.synaptic_current(x, self.weight, decay, state.current)
        if not self.spiking:
            return (current, None) if state is None else (current, None, LayerState(left))
        potential, spikes, *after = using.spiking(
            current,
            self.recurrent_weight,
            recurrent_decay,
            reset_decay=decay.expand(self.n_post, 1)[:, 0] if self.tied else self.reset_decay,
            threshold=self.threshold,
            adaptation=self.adaptation,
            surrogate=self.surrogate,
            state=None if state is None else state.neurons,
        )
        return (potential, spikes) if state is None else (potential, spikes, LayerState(left, *after))

    def meaning(self) -> dict:
        """The settings without which the numbers in a `state_dict` of this layer would mean something else."""
        return {
            "dt_ms": float(self.dt_ms),
            "parameterization": self.parameterization,
            "sharing": [self.sharing.by, self.sharing.groups],
            "reset_decay": self.reset_decay,
            "threshold": float(self.threshold),
            "adaptation": self.adaptation and [float(value) for value in self.adaptation],
            "spiking": self.spiking,
        }

    def get_extra_state(self) -> Tensor:
        """`meaning` as bytes, for the `state_dict`: a tensor, as all else there."""
        return torch.frombuffer(bytearray(json.dumps(self.meaning()).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Raise ValueError where a state belongs to another kind of layer; the message names what differs."""
        theirs, mine = json.loads(bytes(state.tolist())), json.loads(json.dumps(self.meaning()))
        for name in mine:
            if theirs.get(name) != mine[name]:
                raise ValueError(f"this state is of a layer with {name} {theirs.get(name)!r}, not {mine[name]!r}")

    def _load_from_state_dict(self, state_dict, prefix, *args):
        """Checks the extra state before anything is loaded. An older `state_dict` without one is taken as it is."""
        self.set_extra_state(state_dict.setdefault(f"{prefix}_extra_state", self.get_extra_state()))
        super()._load_from_state_dict(state_dict, prefix, *args)


class Traces(NamedTuple):
    """What a network did, (batch, time, neuron) each; potentials and spikes are lists over hidden layers.

    ``state`` is the one after the last step where the network was given one, else None.
    """

    potential: list[Tensor]
    spikes: list[Tensor]
    readout: Tensor
    readout_spikes: Tensor | None
    state: NetworkState | None = None

    def cpu(self) -> "Traces":
        """The same on the CPU, without gradients."""
        moved = lambda x: None if x is None else x.detach().to("cpu")
        lists = ([moved(x) for x in own] for own in self[:2])
        return Traces(*lists, *map(moved, self[2:]))


class Network(nn.Module):
    """Hidden layers of one variant, and a readout of the same variant (paper, section 3).

    Args:
        sizes: neurons per layer, input and readout included, as in 30-100-2.
        variant: HomNeuLIF, HomNeuALIF, HetNeuLIF or HetSynLIF (see `VARIANTS`), or a `Variant` of your own.
        sharing: for HetSynLIF, groups of synapses in place of a time constant for each.
        recurrent: recurrent hidden layers (R-) or feedforward ones (F-).
        tau_s: time constants of the synapses in ms, or where to draw them from, see `draw_tau`; None for the paper's
            20 ms where they are fixed and ("normal", 20, 5) where they are trained.
        adaptation: (tau_a in ms, a); used by HomNeuALIF alone.
        readout: "leaky", or "spiking": with threshold and reset, for decisions by spike counts.
        dropout: share of a hidden layer's spikes that the next layer misses in training.
        dt_ms, tau_reset_ms, threshold, surrogate, frozen, parameterization, generator: of all layers, see `Layer`.

    Raises:
        ValueError: an unknown variant or readout, or as `Layer`.

    The recurrent network of match-to-sample on 2 trials of 50 steps, and the same bins one at a time as they arrive:

    >>> network = Network((30, 100, 2), recurrent=True, generator=torch.Generator().manual_seed(0)).eval()
    >>> x = torch.rand(2, 50, 30, generator=torch.Generator().manual_seed(1)) < 0.1
    >>> traces = network(x)
    >>> traces.readout.shape, traces.spikes[0].shape
    (torch.Size([2, 50, 2]), torch.Size([2, 50, 100]))
    >>> state = network.rest(2)
    >>> for t in range(50):
    ...     *_, readout, _, state = network(x[:, t : t + 1], state)
    >>> torch.allclose(readout[:, 0], traces.readout[:, -1], atol=1e-4)
    True
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        variant: str | Variant = "HetSynLIF",
        sharing: Sharing | None = None,
        recurrent: bool = False,
        tau_s: TauS | None = None,
        adaptation: tuple[float, float] = (500.0, 0.01),
        readout: str = "leaky",
        dropout: float = 0.0,
        dt_ms: float = 1.0,
        tau_reset_ms: float | None = 20.0,
        threshold: float = 1.0,
        surrogate: Surrogate = Triangular(),
        frozen: float = 0.0,
        parameterization: str = "decay",
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if readout not in ("leaky", "spiking"):
            raise ValueError(f"readout must be 'leaky' or 'spiking', not {readout!r}")
        check_share("dropout", dropout)
        v = as_variant(variant, sharing)
        if tau_s is None:
            tau_s = TAU_S_DRAWN if v.trainable else TAU_S_FIXED
        of_layers = dict(tau_s=tau_s, dt_ms=dt_ms, tau_reset_ms=tau_reset_ms, threshold=threshold)
        of_layers |= dict(surrogate=surrogate, frozen=frozen, parameterization=parameterization)
        # All arguments, for `files.save`, but for the source of random draws.
        self.settings = dict(sizes=tuple(sizes), variant=variant, sharing=sharing, recurrent=recurrent)
        self.settings |= dict(adaptation=adaptation, readout=readout, dropout=dropout, **of_layers)
        self.dropout = float(dropout)
        last = len(sizes) - 2
        self.layers = nn.ModuleList(
            Layer(
                n_pre,
                n_post,
                sharing=v.sharing,
                trainable=v.trainable,
                recurrent=recurrent and k < last,
                spiking=readout == "spiking" or k < last,
                adaptation=adaptation if v.adapts and k < last else None,
                generator=generator,
                **of_layers,
            )
            for k, (n_pre, n_post) in enumerate(pairwise(sizes))
        )

    def rest(self, batch: int) -> NetworkState:
        """The state of a network that has had no input yet; start from it where `Traces.state` is wanted."""
        return NetworkState(tuple(layer.rest(batch) for layer in self.layers))

    def forward(self, x: Tensor, state: NetworkState | None = None, *, using: ModuleType | None = None) -> Traces:
        """Run the network on (batch, time, input), where spikes may be booleans; the rest as in `Layer.forward`."""
        potentials, spikes, states = [], [], []
        x = x.to(self.layers[0].weight.dtype)
        for k, layer in enumerate(self.layers):
            potential, z, *after = layer(x, None if state is None else state.layers[k], using=using)
            potentials.append(potential)
            spikes.append(z)
            states += after
            if k < len(self.layers) - 1:
                x = dropout(z, self.dropout) if self.training and self.dropout > 0 else z
        left = None if state is None else NetworkState(tuple(states))
        return Traces(potentials[:-1], spikes[:-1], potentials[-1], spikes[-1], left)

    def implementation(self) -> str:
        """What computes this network where it is: "cpu", "gpu" or "reference"."""
        return dispatch.implementation(self.layers[0].weight)

    def clamp_(self) -> None:
        """Clamp the decays of every layer; call after every optimiser step."""
        for layer in self.layers:
            layer.clamp_()

    def decay_parameters(self) -> list[nn.Parameter]:
        """The decays that learn, for an optimiser group of their own."""
        return [layer.decay_parameter for layer in self.layers if layer.decay_parameter.requires_grad]

    def weights(self) -> list[nn.Parameter]:
        """Everything that learns but the decays."""
        return [p for name, p in self.named_parameters() if p.requires_grad and not name.endswith("decay_parameter")]

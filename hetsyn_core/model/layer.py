"""Layers and networks: which synapses share a time constant is all that sets the four models apart."""

import math
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import reference
from .dropout import dropout
from .fast import dispatch as fused
from .surrogate import Surrogate, Triangular


def decay_from_tau(tau_ms: Tensor | float, dt_ms: float) -> Tensor:
    """Decay factor exp(-dt / tau) of a time constant in ms. Same shape as ``tau_ms``; tau = inf gives 1.

    Raises:
        ValueError: a time constant is negative or NaN, or dt is not positive.
    """
    tau = torch.as_tensor(tau_ms)
    if not dt_ms > 0:
        raise ValueError(f"dt must be positive, but is {dt_ms} ms")
    if tau.numel() and not bool((tau >= 0).all()):
        raise ValueError("time constants must not be negative (ms)")
    return torch.exp(-dt_ms / tau)


def tau_from_decay(decay: Tensor, dt_ms: float) -> Tensor:
    """Time constant -dt / ln(decay) in ms. A decay of 1 is tau = inf, a decay of 0 is tau = 0."""
    return dt_ms / torch.log(decay).abs()


def parameter_from_tau(tau_ms: Tensor, dt_ms: float, parameterization: str) -> Tensor:
    """What the optimiser sees of a time constant: the "decay" itself (paper), "tau" in seconds, or "log_tau" (ms).

    Raises:
        ValueError: another parameterization.
    """
    if parameterization == "decay":
        return decay_from_tau(tau_ms, dt_ms)
    if parameterization == "tau":
        return tau_ms / 1000
    if parameterization == "log_tau":
        return torch.log(tau_ms)
    raise ValueError(f"parameterization must be 'decay', 'tau' or 'log_tau', not {parameterization!r}")


def draw_tau(
    tau_s: float | tuple[str, float, float], shape: tuple[int, ...], generator: torch.Generator | None = None
) -> Tensor:
    """Time constants in ms, of a shape, from a distribution.

    Args:
        tau_s: one number for all, or ("normal", mean, sd), ("uniform", low, high) or ("lognormal", median, sd of the
            natural logarithm). A normal distribution may reach below zero.

    Raises:
        ValueError: another distribution, or time constants that are not positive.
    """
    kind, a, b = tau_s if isinstance(tau_s, tuple) else ("normal", tau_s, 0.0)
    if not a > 0 or b < 0 or kind == "uniform" and b < a:
        raise ValueError(f"time constants must be positive, but tau_s is {tau_s}")
    if kind == "uniform":
        return a + (b - a) * torch.rand(shape, generator=generator)
    draws = torch.randn(shape, generator=generator)
    if kind == "normal":
        return a + b * draws
    if kind == "lognormal":
        return a * torch.exp(b * draws)
    raise ValueError(f"time constants are drawn 'normal', 'uniform' or 'lognormal', not {kind!r}")


@dataclass(frozen=True)
class Variant:
    """What tells one model of the paper from another (section 3, Propositions 1-3)."""

    shared: str | int  # one decay for "all" synapses, per "neuron", per "synapse", or P random groups of synapses
    trainable: bool
    adapts: bool = False


VARIANTS = {
    "HomNeuLIF": Variant("all", trainable=False),
    "HomNeuALIF": Variant("all", trainable=False, adapts=True),
    "HetNeuLIF": Variant("neuron", trainable=True),
    "HetSynLIF": Variant("synapse", trainable=True),
}


def parameter_count(variant: str, n_pre: int, n_post: int, recurrent: bool) -> int:
    """Trainable parameters of one layer (Table 3): weights, plus the decays of the variant."""
    synapses = n_pre * n_post + (n_post * n_post if recurrent else 0)
    v = VARIANTS[variant]
    return synapses + (0 if not v.trainable else {"all": 1, "neuron": n_post, "synapse": synapses}[v.shared])


def draw_groups(
    p: int, n_post: int, n_all: int, grouped_by: str = "random", generator: torch.Generator | None = None
) -> Tensor:
    """Which of P groups each synapse is in, see `Layer`: (post, pre), or (post, 1) where a neuron's are in one.

    Raises:
        ValueError: fewer than one group, or another way to group.
    """
    shapes = {"random": (n_post, n_all), "pre": (1, n_all), "post": (n_post, 1)}
    if p < 1:
        raise ValueError(f"there must be a group at least, not {p}")
    if grouped_by not in shapes:
        raise ValueError(f"synapses are grouped by {', '.join(shapes)}, not {grouped_by!r}")
    shape = shapes[grouped_by]
    dealt = torch.arange(math.prod(shape)) % p
    group = dealt[torch.randperm(len(dealt), generator=generator)].view(shape)
    return group.expand(n_post, -1).contiguous()


class Layer(nn.Module):
    """A layer of synapses and, unless it is a plain readout, the neurons they drive.

    Args:
        n_pre, n_post: neurons before and after.
        shared: who shares a decay: "all" synapses, those of a "neuron", none ("synapse"), or an int P: synapses
            are dealt out to P groups at random, as equal as can be (P = 1 is LIF, every synapse its own HetSynLIF).
        grouped_by: with groups, "random", or "pre" or "post", where all synapses from, or onto, a neuron stay together.
            Where there are fewer synapses or neurons than groups, each has a group.
        trainable: whether the decays learn.
        tau_s: initial time constants: one number in ms, or where to draw them from, see `draw_tau`.
        dt_ms: step in ms.
        recurrent: whether the neurons also drive each other (self-connections included).
        spiking: False for a leaky readout.
        tau_reset_ms: tau_J of the reset current in ms; None ties it to the neuron's decay (shared = "neuron" or "all").
        adaptation: (tau_a in ms, strength a) of HomNeuALIF.
        frozen: share of decays that keep their initial value, chosen at random.
        parameterization: what the optimiser sees, see `parameter_from_tau`.
        generator: source of all random draws.

    Raises:
        ValueError: an argument is out of range; the message names it.
    """

    def __init__(
        self,
        n_pre: int,
        n_post: int,
        *,
        shared: str | int = "synapse",
        grouped_by: str = "random",
        trainable: bool = True,
        tau_s: float | tuple[str, float, float] = ("normal", 20.0, 5.0),
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
        n_all = n_pre + (n_post if recurrent else 0)
        if isinstance(shared, int):
            self.register_buffer("group", draw_groups(shared, n_post, n_all, grouped_by, generator))
            shape = (int(self.group.max()) + 1,)
        elif shared in ("all", "neuron", "synapse"):
            shape = {"all": (), "neuron": (n_post, 1), "synapse": (n_post, n_all)}[shared]
        else:
            raise ValueError(f"shared must be 'all', 'neuron', 'synapse' or a number of groups, not {shared!r}")
        if tau_reset_ms is None and shared not in ("all", "neuron"):
            raise ValueError("a reset tied to the neuron's decay needs shared = 'all' or 'neuron'")
        if not 0 <= frozen <= 1:
            raise ValueError(f"frozen is a share between 0 and 1, not {frozen}")

        self.n_pre, self.n_post, self.shared, self.dt_ms = n_pre, n_post, shared, dt_ms
        self.spiking, self.threshold, self.surrogate = spiking, threshold, surrogate
        self.parameterization = parameterization
        self.tied = tau_reset_ms is None
        self.reset_decay = None if self.tied else float(decay_from_tau(tau_reset_ms, dt_ms))
        self.adaptation = None
        if adaptation is not None:
            self.adaptation = (float(decay_from_tau(adaptation[0], dt_ms)), adaptation[1])

        def normal(*size: int) -> Tensor:
            return torch.randn(size, generator=generator)

        self.weight = nn.Parameter(normal(n_post, n_pre) / math.sqrt(max(n_pre, 1)))
        self.recurrent_weight = nn.Parameter(normal(n_post, n_post) / math.sqrt(n_post)) if recurrent else None

        tau = draw_tau(tau_s, shape, generator).clamp(min=dt_ms)  # no synapse is faster than one step
        self.decay_parameter = nn.Parameter(parameter_from_tau(tau, dt_ms, parameterization), requires_grad=trainable)
        if frozen:
            order = torch.randperm(tau.numel(), generator=generator)
            mask = torch.zeros(tau.numel(), dtype=torch.bool)
            mask[order[: round(frozen * tau.numel())]] = True
            self.register_buffer("frozen", mask.view(shape))
            self.register_buffer("initial", self.decay_parameter.detach().clone())
        else:
            self.frozen = None

    def decay(self) -> Tensor:
        """All decay factors r: (), (post, 1) or (post, pre + recurrent)."""
        value = self.decay_parameter
        if self.frozen is not None:  # holds whatever the optimiser does, weight decay included
            value = torch.where(self.frozen, self.initial, value)
        if self.parameterization == "tau":
            value = torch.exp(-self.dt_ms / (1000 * value))
        elif self.parameterization == "log_tau":
            value = torch.exp(-self.dt_ms * torch.exp(-value))
        return value[self.group] if isinstance(self.shared, int) else value

    def split_decay(self) -> tuple[Tensor, Tensor | None]:
        """Decays of the feedforward and of the recurrent synapses (the same where they are shared)."""
        decay = self.decay()
        if self.recurrent_weight is None:
            return decay, None
        if decay.ndim == 2 and decay.shape[1] == self.n_pre + self.n_post and decay.shape[1] != 1:
            return decay[:, : self.n_pre], decay[:, self.n_pre :]
        return decay, decay

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

    def forward(self, x: Tensor, using: ModuleType | None = None) -> tuple[Tensor, Tensor | None]:
        """Potential and spikes (None for a leaky readout), (batch, time, post) each, of input (batch, time, pre).

        ``using`` is the implementation, `fused` or `reference`; by default the fused one where it can run
        (float32 on the CPU, or on a GPU with Triton).
        """
        using = using or implementation(x)
        decay, recurrent_decay = self.split_decay()
        current = using.synaptic_current(x, self.weight, decay)
        if not self.spiking:
            return current, None
        return using.spiking(
            current,
            self.recurrent_weight,
            recurrent_decay,
            reset_decay=decay.expand(self.n_post, 1)[:, 0] if self.tied else self.reset_decay,
            threshold=self.threshold,
            adaptation=self.adaptation,
            surrogate=self.surrogate,
        )


def implementation(x: Tensor) -> ModuleType:
    """`fused` where it can run (float32 on the CPU, or on a GPU with Triton), else `reference`."""
    return fused if fused.runs(x) else reference


class Traces(NamedTuple):
    """What a network did, (batch, time, neuron) each; potentials and spikes are lists over hidden layers."""

    potential: list[Tensor]
    spikes: list[Tensor]
    readout: Tensor
    readout_spikes: Tensor | None

    def cpu(self) -> "Traces":
        """The same on the CPU, without gradients."""
        lists = ([x.detach().cpu() for x in own] for own in (self.potential, self.spikes))
        spikes = None if self.readout_spikes is None else self.readout_spikes.detach().cpu()
        return Traces(*lists, self.readout.detach().cpu(), spikes)


class Network(nn.Module):
    """Hidden layers of one variant, and a readout of the same variant.

    Args:
        sizes: neurons per layer, input and readout included, as in 30-100-2.
        variant: HomNeuLIF, HomNeuALIF, HetNeuLIF or HetSynLIF (see `VARIANTS`), or a `Variant` of your own.
        recurrent: recurrent hidden layers (R-) or feedforward ones (F-).
        tau_s_ms: time constant of all synapses where it is fixed (HomNeuLIF, HomNeuALIF).
        tau_s_draw: where trained time constants start, see `draw_tau`.
        adaptation: (tau_a in ms, a); used by HomNeuALIF alone.
        spiking_readout: a readout with threshold and reset, for decisions by spike counts.
        dropout: share of a hidden layer's spikes that the next layer misses in training.
        **kwargs: see `Layer`.

    Raises:
        ValueError: an unknown variant, or as `Layer`.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        *,
        variant: str | Variant = "HetSynLIF",
        recurrent: bool = False,
        tau_s_ms: float = 20.0,
        tau_s_draw: tuple[str, float, float] = ("normal", 20.0, 5.0),
        adaptation: tuple[float, float] = (500.0, 0.01),
        spiking_readout: bool = False,
        dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__()
        if isinstance(variant, str) and variant not in VARIANTS:
            raise ValueError(f"unknown variant {variant!r}; there are {', '.join(VARIANTS)}")
        v = VARIANTS[variant] if isinstance(variant, str) else variant
        tau_s = tau_s_draw if v.trainable else tau_s_ms
        kwargs |= {"shared": v.shared, "trainable": v.trainable, "tau_s": tau_s}
        self.dropout = dropout
        last = len(sizes) - 2
        self.layers = nn.ModuleList(
            Layer(
                n_pre,
                n_post,
                recurrent=recurrent and k < last,
                spiking=spiking_readout or k < last,
                adaptation=adaptation if v.adapts and k < last else None,
                **kwargs,
            )
            for k, (n_pre, n_post) in enumerate(zip(sizes, sizes[1:]))
        )

    def forward(self, x: Tensor, using: ModuleType | None = None) -> Traces:
        """Run the network on (batch, time, input), where spikes may be booleans; ``using`` as in `Layer.forward`."""
        potentials, spikes = [], []
        x = x.to(self.layers[0].weight.dtype)
        for layer in self.layers[:-1]:
            potential, x = layer(x, using)
            potentials.append(potential)
            spikes.append(x)
            x = dropout(x, self.dropout) if self.training and self.dropout > 0 else x
        return Traces(potentials, spikes, *self.layers[-1](x, using))

    def implementation(self) -> str:
        """What computes this network where it is: "reference", "fused" (on the CPU) or "gpu" (the same there)."""
        weight = self.layers[0].weight
        if implementation(weight) is reference:
            return "reference"
        return "gpu" if weight.device.type == "cuda" else "fused"

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

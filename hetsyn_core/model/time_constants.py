"""Time constants and decay factors: how one follows from the other, where they start, and which synapses share one."""

import math
import operator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

TauS = float | tuple[str, float, float]  # a number in ms for all, or a distribution, see `draw_tau`


def decay_from_tau(tau_ms: Tensor | float, dt_ms: float) -> Tensor:
    """Decay factor exp(-dt / tau) of a time constant in ms. Same shape as ``tau_ms``; tau = inf gives 1.

    Raises:
        ValueError: a time constant is negative or NaN, or dt is not positive.
    """
    tau = torch.as_tensor(tau_ms)
    if not dt_ms > 0:
        raise ValueError(f"dt must be positive, but is {dt_ms} ms")
    if tau.numel() and not bool((tau >= 0).all()):
        raise ValueError(f"time constants must not be negative (ms), but the least is {tau.min():g}")
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


def decay_from_parameter(parameter: Tensor, dt_ms: float, parameterization: str) -> Tensor:
    """Decay factor of what the optimiser sees, the inverse of `parameter_from_tau`."""
    if parameterization == "tau":
        return torch.exp(-dt_ms / (1000 * parameter))
    if parameterization == "log_tau":
        return torch.exp(-dt_ms * torch.exp(-parameter))
    return parameter


def draw_tau(tau_s: TauS, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
    """Time constants in ms, of a shape, from a distribution.

    Args:
        tau_s: one number for all, or ("normal", mean, sd), ("uniform", low, high), ("lognormal", median, sd of the
            natural logarithm) or ("loguniform", low, high), whose logarithm is uniform. A normal distribution may reach
            below zero.

    Raises:
        ValueError: another distribution, or time constants that are not positive.
    """
    kind, a, b = tau_s if isinstance(tau_s, tuple | list) else ("normal", tau_s, 0.0)
    if not a > 0 or b < 0 or kind in ("uniform", "loguniform") and b < a:
        raise ValueError(f"time constants must be positive, but tau_s is {tau_s}")
    if kind == "uniform":
        return a + (b - a) * torch.rand(shape, generator=generator)
    if kind == "loguniform":
        return a * (b / a) ** torch.rand(shape, generator=generator)
    draws = torch.randn(shape, generator=generator)
    if kind == "normal":
        return a + b * draws
    if kind == "lognormal":
        return a * torch.exp(b * draws)
    raise ValueError(f"time constants are drawn 'normal', 'uniform', 'lognormal' or 'loguniform', not {kind!r}")


def centre(tau_s: TauS) -> float:
    """The median of the time constants that `draw_tau` draws, in ms."""
    if not isinstance(tau_s, tuple | list):
        return float(tau_s)
    kind, a, b = tau_s
    return {"uniform": (a + b) / 2, "loguniform": math.sqrt(a * b)}.get(kind, a)


@dataclass(frozen=True)
class Sharing:
    """Which synapses of a layer share a time constant.

    `Sharing.ALL`, `Sharing.NEURON` (all synapses onto a neuron) and `Sharing.SYNAPSE` (none) are the paper's. With
    groups the synapses are dealt out to that many, as equal as can be: one by one ("random"), or so that all synapses
    from ("pre"), or onto ("post"), a neuron stay together: `Sharing("pre", 16)`. Where there are fewer synapses or
    neurons than groups, each has a group.

    Args:
        by: "all", "neuron" or "synapse"; with groups "random", "pre" or "post".
        groups: their number, or None.

    Raises:
        ValueError: another ``by``, or fewer than one group.
    """

    by: str
    groups: int | None = None

    ALL: ClassVar["Sharing"]
    NEURON: ClassVar["Sharing"]
    SYNAPSE: ClassVar["Sharing"]

    def __post_init__(self):
        if self.groups is None:
            if self.by not in ("all", "neuron", "synapse"):
                raise ValueError(f"without groups synapses share by all, neuron or synapse, not {self.by!r}")
            return
        if self.by not in ("random", "pre", "post"):
            raise ValueError(f"synapses are grouped by random, pre, post, not {self.by!r}")
        object.__setattr__(self, "groups", operator.index(self.groups))  # NumPy's whole numbers too
        if self.groups < 1:
            raise ValueError(f"there must be a group at least, not {self.groups}")

    @property
    def neuron_has_one(self) -> bool:
        """Whether all synapses onto a neuron have one time constant, whatever was drawn."""
        return self.by in ("all", "neuron", "post")

    def shape(self, n_pre: int, n_post: int, recurrent: bool) -> tuple[int, ...]:
        """Shape of a layer's time constants: () for all, (post, 1), (post, pre + recurrent), or (groups,)."""
        n_all = n_pre + n_post * recurrent
        if self.groups is not None:
            return (min(self.groups, math.prod(self._dealt(n_all, n_post))),)
        return {"all": (), "neuron": (n_post, 1), "synapse": (n_post, n_all)}[self.by]

    def draw_groups(
        self, n_pre: int, n_post: int, recurrent: bool, generator: torch.Generator | None = None
    ) -> Tensor | None:
        """Which group each synapse is in, (post, pre + recurrent), or (post, 1) by "post"; None without groups."""
        if self.groups is None:
            return None
        shape = self._dealt(n_pre + n_post * recurrent, n_post)
        dealt = torch.arange(math.prod(shape)) % self.groups
        group = dealt[torch.randperm(len(dealt), generator=generator)].view(shape)
        return group.expand(n_post, -1).contiguous()

    def split(self, decay: Tensor, n_pre: int) -> tuple[Tensor, Tensor]:
        """Decays of the feedforward and of the recurrent synapses, from those of all; the same where shared."""
        if self.neuron_has_one:
            return decay, decay
        return decay.split([n_pre, decay.shape[1] - n_pre], 1)  # one launch backwards, which two slices do not have

    def _dealt(self, n_all: int, n_post: int) -> tuple[int, int]:
        """What is dealt out to the groups: synapses, or neurons before or after them."""
        return {"random": (n_post, n_all), "pre": (1, n_all), "post": (n_post, 1)}[self.by]


Sharing.ALL, Sharing.NEURON, Sharing.SYNAPSE = Sharing("all"), Sharing("neuron"), Sharing("synapse")

"""The state of layers and networks after a step: everything of the past that the next step needs.

A state holds many trials. It can be detached (to cut backpropagation through time), moved, and indexed by trial.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

from torch import Tensor


class _State:
    """What states have in common: tensors, and states, whose first axis is the trial."""

    def detach(self) -> Self:
        """The same values, to which no gradient flows back."""
        return self._map(Tensor.detach)

    def to(self, *args, **kwargs) -> Self:
        """The same state on another device or in another precision, as `torch.Tensor.to`."""
        return self._map(lambda x: x.to(*args, **kwargs))

    def __getitem__(self, trials) -> Self:
        """Of some trials: a slice, indices or a mask; a single index gives a batch of one."""
        one = isinstance(trials, int) or getattr(trials, "ndim", None) == 0  # NumPy's and torch's numbers too
        chosen = [int(trials)] if one else trials
        return self._map(lambda x: x[chosen])

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(*(_mapped(getattr(self, field.name), change) for field in fields(self)))


def _mapped(part, change):
    if part is None:
        return None
    if isinstance(part, tuple):
        return tuple(_mapped(one, change) for one in part)
    return change(part) if isinstance(part, Tensor) else part._map(change)


@dataclass(frozen=True, eq=False)
class NeuronState(_State):
    """State of spiking neurons after a step."""

    reset: Tensor  # J, (batch, neuron)
    adaptation: Tensor  # A, (batch, neuron)
    spikes: Tensor  # z, (batch, neuron): they reach reset, adaptation and recurrent synapses at the next step
    current: Tensor | None = None  # of recurrent synapses, as in `LayerState`; None without


@dataclass(frozen=True, eq=False)
class LayerState(_State):
    """State of a layer after a step."""

    current: Tensor  # I, (batch, post, pre) per synapse, or (batch, post) where a neuron's synapses share a decay
    neurons: NeuronState | None = None  # None for a leaky readout


@dataclass(frozen=True, eq=False)
class NetworkState(_State):
    """State of a network after a step."""

    layers: tuple[LayerState, ...]

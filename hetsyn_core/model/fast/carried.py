"""How a fast implementation goes on from a state, although its kernels start at rest.

What a state holds fades on its own, whatever comes in later, and adds to the potential. So its share in every step is
added to the current that the kernels take or return. The state after the last step is what is left of the old one, plus
the input since, each faded by its age. Both are sums over powers of the decays, which torch computes as matrix
products, with gradients by autograd. Exact up to rounding. Without a state this is not used.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..state import NeuronState

BLOCK = 64  # steps whose powers of the decays are kept at once


def current_from(
    integrate: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, decay: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """`reference.synaptic_current` with a state, by a function that starts at rest."""
    r = _per_neuron(decay, weight)
    held = state.sum(-1) if r.ndim == 1 and state.ndim == 3 else state
    current = integrate(x, weight, decay) + _fading(held * r, r, x.shape[1])
    return current, _left(held, r, x, weight)


def spikes_from(
    fire: Callable[[Tensor], tuple[Tensor, Tensor]],
    current: Tensor,
    weight: Tensor | None,
    decay: Tensor | None,
    reset_decay: Tensor | float,
    threshold: float,
    adaptation: tuple[float, float] | None,
    state: NeuronState,
) -> tuple[Tensor, Tensor, NeuronState]:
    """`reference.spiking` with a state, by a function of the current alone that starts at rest."""
    steps, neurons = current.shape[1:]
    if steps == 0:
        return *fire(current), state
    kappa = torch.as_tensor(reset_decay).to(current).expand(neurons)
    # What the state becomes at the first step, where its spikes arrive.
    reset = kappa * state.reset + threshold * state.spikes
    current = current - _fading(reset, kappa, steps)
    if adaptation is not None:
        rho_a, a = adaptation
        rho = current.new_full((neurons,), rho_a)
        adapted = rho * state.adaptation + a * state.spikes
        current = current - _fading(adapted, rho, steps)
    if weight is not None:
        r = _per_neuron(decay, weight)
        held = state.current.sum(-1) if r.ndim == 1 and state.current.ndim == 3 else state.current
        recurrent = _left(held, r, state.spikes[:, None], weight)
        current = current + _fading(recurrent, r, steps)
    potential, spikes = fire(current)
    before = spikes[:, :-1]  # those of the last step are on their way
    final = NeuronState(
        _faded(reset, kappa, threshold * before),
        torch.zeros_like(state.adaptation) if adaptation is None else _faded(adapted, rho, a * before),
        spikes[:, -1],
        None if weight is None else _left(recurrent, r, before, weight),
    )
    return potential, spikes, final


def _per_neuron(decay: Tensor, weight: Tensor) -> Tensor:
    """Decays (post, pre), or (post,) where a neuron's synapses share one."""
    post, pre = weight.shape
    return decay if decay.shape == (post, pre) and pre != 1 else decay.expand(post, 1)[:, 0]


def _powers(decay: Tensor, steps: int) -> Tensor:
    """decay^0, decay^1, ... along a new last axis, twice as many with every product."""
    powers, next_one = torch.ones_like(decay)[..., None], decay[..., None]
    while powers.shape[-1] < steps:
        powers, next_one = torch.cat([powers, powers * next_one], -1), next_one * next_one
    return powers[..., :steps]


def _fading(held: Tensor, decay: Tensor, steps: int) -> Tensor:
    """What is left of (batch, post), or (batch, post, pre), after 0, 1, ... steps, per neuron: (batch, steps, post)."""
    if decay.ndim == 1:
        return held[:, None] * _powers(decay, steps).T
    powers, parts = _powers(decay, min(BLOCK, steps)), [held.new_zeros(len(held), 0, len(decay))]
    for first in range(0, steps, BLOCK):
        parts.append(torch.einsum("bji,jit->btj", held, powers[..., : steps - first]))
        held = held * decay**BLOCK
    return torch.cat(parts, 1)


def _faded(held: Tensor, decay: Tensor, x: Tensor) -> Tensor:
    """held = decay held + x[t] over all steps, x (batch, time, post) per neuron and (batch, time, pre) per synapse."""
    if decay.ndim == 1:
        steps = x.shape[1]
        return held * decay**steps + (x * _powers(decay, steps).flip(-1).T).sum(1)
    powers = _powers(decay, min(BLOCK, x.shape[1])).flip(-1)
    for part in x.split(BLOCK, 1):
        steps = part.shape[1]
        arrived = torch.einsum("bti,jit->bji", part, powers[..., powers.shape[-1] - steps :])
        held = held * decay**steps + arrived
    return held


def _left(held: Tensor, decay: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """I = decay I + weight x[t] over all steps, per synapse or per neuron."""
    if decay.ndim == 1:
        return _faded(held, decay, x @ weight.T)
    return held * decay ** x.shape[1] + weight * _faded(torch.zeros_like(held), decay, x)

"""The equations of the paper, one line each: read this first.

Plain torch on any device and in any precision; autograd does the gradients. It keeps one current
per synapse and step (batch x post x pre x time), which is what the fast implementations avoid; tests hold them to it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_current_state, check_input, check_neuron_state, check_neurons, check_synapses
from .state import NeuronState
from .surrogate import Surrogate, Triangular, spike


def synaptic_current(
    x: Tensor, weight: Tensor, decay: Tensor, state: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Summed synaptic current sum_i I_ji[t] of every neuron j, eq. 8.

    Args:
        x: presynaptic spikes or analog input, (batch, time, pre).
        weight: w_ji, (post, pre).
        decay: r_ji = exp(-dt / tau_s,ji) in [0, 1]: (post, pre) per synapse, (post, 1) per neuron, () shared.
        state: currents I_ji to go on from, (batch, post, pre), or their sums (batch, post) where a neuron's synapses
            share a decay; None: at rest.

    Returns:
        (batch, time, post); with a state also the one after the last step.

    Raises:
        ValueError: shapes do not fit, input is not finite, a decay lies outside [0, 1].
    """
    check_synapses(weight, decay)
    check_input("x", x, weight.shape[1])
    if state is None:
        I = x.new_zeros(x.shape[0], *weight.shape)
    else:
        check_current_state(state, len(x), weight, decay)
        I = _per_synapse(state, weight.shape[1])
    total = []
    for t in range(x.shape[1]):
        I = decay * I + weight * x[:, t, None, :]  # eq. 8
        total.append(I.sum(-1))
    current = torch.stack(total, 1) if total else x.new_zeros(x.shape[0], 0, weight.shape[0])
    return current if state is None else (current, I)


def spiking(
    current: Tensor,
    recurrent_weight: Tensor | None = None,
    recurrent_decay: Tensor | None = None,
    *,
    reset_decay: Tensor | float,
    threshold: float = 1.0,
    adaptation: tuple[float, float] | None = None,
    surrogate: Surrogate = Triangular(),
    state: NeuronState | None = None,
) -> tuple[Tensor, Tensor] | tuple[Tensor, Tensor, NeuronState]:
    """Potential and spikes of neurons driven by ``current``, eqs. 4, 5, 9.

    Args:
        current: summed current of the feedforward synapses, (batch, time, neuron).
        recurrent_weight: w_jk from neuron k to neuron j, (neuron, neuron); None for no recurrent synapses.
        recurrent_decay: r_jk, shaped like ``decay`` in `synaptic_current`.
        reset_decay: kappa = exp(-dt / tau_J), scalar or (neuron,); learns if it requires a gradient.
        threshold: theta.
        adaptation: (rho_a, a) of HomNeuALIF: A[t] = rho_a A[t-1] + a z[t-1] is subtracted from V; None for none.
        surrogate: dz/dV in the backward pass.
        state: where to go on from; None: at rest.

    Returns:
        potential and spikes, (batch, time, neuron) each; with a state also the one after the last step.

    Raises:
        ValueError: shapes do not fit, input is not finite, a decay lies outside [0, 1].
    """
    check_neurons(current, recurrent_weight, recurrent_decay, reset_decay, threshold, adaptation)
    batch, time, neurons = current.shape
    rho_a, a = adaptation or (0.0, 0.0)
    if state is None:
        z = J = A = current.new_zeros(batch, neurons)
        I = None if recurrent_weight is None else current.new_zeros(batch, neurons, neurons)
    else:
        check_neuron_state(state, current, recurrent_weight, recurrent_decay)
        z, J, A = state.spikes, state.reset, state.adaptation
        I = None if state.current is None else _per_synapse(state.current, neurons)
    potential, spikes = [], []
    for t in range(time):
        V = current[:, t]
        if I is not None:
            I = recurrent_decay * I + recurrent_weight * z[:, None, :]  # eq. 8 with x_k[t] = z_k[t-1]
            V = V + I.sum(-1)
        J = reset_decay * J + threshold * z  # eq. 9
        A = rho_a * A + a * z
        V = V - J - A  # eq. 5
        z = spike(V, threshold, surrogate)  # eq. 4
        potential.append(V)
        spikes.append(z)
    V, Z = (torch.stack(potential, 1), torch.stack(spikes, 1)) if potential else (current.clone(), current.clone())
    return (V, Z) if state is None else (V, Z, NeuronState(J, A, z, I))


def _per_synapse(state: Tensor, pre: int) -> Tensor:
    """Currents (batch, post, pre) with the sums of a state; the synapses share a decay where it holds sums alone."""
    return state if state.ndim == 3 else F.pad(state[..., None], (0, pre - 1))

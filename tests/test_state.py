"""A sequence in pieces is the sequence in one go: potentials, spikes, gradients; and what one can do with a state."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hetsyn_core.model import reference
from hetsyn_core.model.fast import dispatch
from hetsyn_core.model.layer import Layer, Network
from hetsyn_core.model.time_constants import Sharing

KINDS = [
    dict(variant="HomNeuLIF"),
    dict(variant="HomNeuALIF", adaptation=(50.0, 0.3)),
    dict(variant="HetNeuLIF", tau_reset_ms=None),
    dict(variant="HetSynLIF"),
    dict(variant="HetSynLIF", sharing=Sharing("pre", 3), parameterization="log_tau"),
    dict(variant="HetSynLIF", sharing=Sharing("post", 2)),
]
networks = st.fixed_dictionaries(
    dict(
        kind=st.sampled_from(KINDS),
        recurrent=st.booleans(),
        readout=st.sampled_from(["leaky", "spiking"]),
        sizes=st.tuples(st.integers(1, 6), st.integers(1, 18), st.integers(1, 4)),
        steps=st.integers(1, 90),
        seed=st.integers(0, 99),
    )
)
cuts = st.lists(st.floats(0, 1), max_size=4)


def drawn(kind, recurrent, readout, sizes, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    network = Network(sizes, recurrent=recurrent, readout=readout, generator=generator, **kind)
    with torch.no_grad():  # busy
        for layer in network.layers:
            layer.weight *= 2
    return network, (torch.rand(2, steps, sizes[0], generator=generator) < 0.4).float()


def in_pieces(network, x, cuts, using):
    """Potentials, spikes and readout of all layers, put together from pieces; some may be empty."""
    ends = sorted(round(cut * x.shape[1]) for cut in cuts)
    state, found = network.rest(len(x)).to(x.dtype), []
    for first, last in zip([0, *ends], [*ends, x.shape[1]], strict=True):
        traces = network(x[:, first:last], state, using=using)
        state = traces.state
        found.append(tensors(traces))
    return [torch.cat(parts, 1) for parts in zip(*found, strict=True)]


def tensors(traces):
    return [*traces.potential, *traces.spikes, traces.readout, *(z for z in [traces.readout_spikes] if z is not None)]


def gradients(network, found):
    """Of a loss in which every value has a weight of its own."""
    generator = torch.Generator().manual_seed(1)
    loss = sum((x * torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)).sum() for x in found)
    return torch.autograd.grad(loss, [p for p in network.parameters() if p.requires_grad])


@settings(max_examples=30, deadline=None)
@given(network=networks, cuts=cuts, double=st.booleans())
def test_pieces_are_one_go_in_the_reference_bit_for_bit(network, cuts, double):
    network, x = drawn(**network)
    dtype = torch.float64 if double else torch.float32
    network, x = network.to(dtype), x.to(dtype)
    whole, pieces = tensors(network(x, using=reference)), in_pieces(network, x, cuts, reference)
    assert all(torch.equal(a, b) for a, b in zip(whole, pieces, strict=True))
    if double:
        for a, b in zip(gradients(network, whole), gradients(network, pieces), strict=True):
            assert (a - b).norm() <= 1e-10 * (1 + a.norm())


@settings(max_examples=40, deadline=None)
@given(network=networks, cuts=cuts)
def test_pieces_are_one_go_in_the_fast_implementation(network, cuts):
    network, x = drawn(**network)
    assume(agree(network, x, cuts, dispatch))


def agree(network, x, cuts, using):
    """Whether no tie moved a spike; where none did, potentials and gradients must be those of one go."""
    whole, pieces = tensors(network(x, using=using)), in_pieces(network, x, cuts, using)
    spikes = [k for k, a in enumerate(whole) if set(a.unique().tolist()) <= {0.0, 1.0}]
    if not all(torch.equal(whole[k], pieces[k]) for k in spikes):
        return False
    for a, b in zip(whole, pieces, strict=True):
        assert a.shape == b.shape and (a - b).abs().max() <= 1e-4 * (1 + a.abs().max())
    for a, b in zip(gradients(network, whole), gradients(network, pieces), strict=True):
        assert (a - b).norm() <= 1e-3 * (1 + a.norm())
    return True


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
@pytest.mark.parametrize("recurrent", [False, True])
def test_most_examples_have_no_ties(kind, recurrent):
    found = [
        agree(*drawn(kind, recurrent, "spiking", (5, 17, 3), 150, seed), [0.1, 0.3, 0.5], dispatch) for seed in range(4)
    ]
    assert sum(found) >= 3


@pytest.mark.parametrize("using", [reference, dispatch])
def test_a_state_goes_from_one_implementation_to_the_other(using):
    network, x = drawn(KINDS[2], True, "leaky", (5, 9, 3), 40, 0)
    other = reference if using is dispatch else dispatch
    first = network(x[:, :20], network.rest(2), using=using)
    second = network(x[:, 20:], first.state, using=other)
    assert torch.allclose(second.readout, network(x, using=using).readout[:, 20:], atol=1e-5)


def test_a_detached_state_cuts_the_gradient_and_keeps_the_values():
    network, x = drawn(KINDS[3], True, "leaky", (4, 9, 2), 30, 0)
    x.requires_grad_()
    first = network(x[:, :10], network.rest(2))
    for state in first.state, first.state.detach():
        readout = network(x[:, 10:], state).readout.sum()
        (grad,) = torch.autograd.grad(readout, x, retain_graph=True)
        assert bool(grad[:, :10].any()) == (state is first.state) and grad[:, 10:].any()


def test_a_state_is_indexed_by_trial_and_moved():
    network, x = drawn(KINDS[1], True, "spiking", (4, 9, 2), 30, 0)
    state = network(x[:, :10], network.rest(2)).state
    whole = network(x[:, 10:], state).readout
    for trials in 1, np.int64(1), torch.tensor(1), slice(1, 2), [1], torch.tensor([False, True]):
        assert torch.allclose(network(x[1:, 10:], state[trials]).readout, whole[1:], atol=1e-6)
    doubled = state.to(torch.float64)
    assert doubled.layers[0].neurons.reset.dtype == torch.float64
    assert network(x[:, :10], state).cpu().state.layers[0].current.grad_fn is None


@pytest.mark.parametrize("using", [reference, dispatch])
def test_a_state_that_does_not_fit_is_refused_in_one_line(using):
    layer = Layer(3, 4, recurrent=True)
    x, wrong = torch.zeros(2, 5, 3), Layer(3, 5, recurrent=True)
    with pytest.raises(ValueError, match=r"current must be \(2, 4, 3\), not \(7, 4, 3\)"):
        layer(x, layer.rest(7), using=using)
    with pytest.raises(ValueError, match=r"reset must be \(2, 4\), not \(2, 5\)"):
        using.spiking(x.new_zeros(2, 5, 4), reset_decay=0.5, state=wrong.rest(2).neurons)
    with pytest.raises(ValueError, match="recurrent"):
        using.spiking(x.new_zeros(2, 5, 4), reset_decay=0.5, state=layer.rest(2).neurons)

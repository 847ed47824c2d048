"""Dropout against numpy's Mersenne twister, and against torch where torch draws from its own."""

import numpy as np
import pytest
import torch
from made_up import seeded
from test_train import Parity
from torch.nn import functional as F

from hetsyn_core import train
from hetsyn_core.model.dropout import dropout
from hetsyn_core.model.layer import Network


def kept(seed, before, n, share):
    """Which of n values stay, by numpy's Mersenne twister, of which some words were drawn before."""
    words = np.random.RandomState(seed)._bit_generator.random_raw(before + 2 * n)[before:].reshape(-1, 2)
    return ((words[:, 0] & 0x1FFFFF) << 32 | words[:, 1]) / 2**53 < 1 - share


@pytest.mark.parametrize("share", [0.2, 0.5, 0.97])
@pytest.mark.parametrize("before", [0, 7, 623, 624, 625, 1247])
def test_draws_are_those_of_a_mersenne_twister(share, before):
    x = torch.randn(3, 500)
    torch.manual_seed(7)
    for _ in range(before):
        torch.randint(2, ())  # one word each
    first, second = dropout(x[:1], share), dropout(x[1:], share)
    wanted = np.where(kept(7, before, 1500, share), np.float32(1) / np.float32(1 - share), 0).astype(np.float32)
    assert np.array_equal(torch.cat((first, second)).numpy(), x.numpy() * wanted.reshape(3, 500))


def test_it_is_torchs_dropout_and_leaves_its_generator_as_torch_does():
    x = torch.randn(4, 333, 7, requires_grad=True)
    torch.manual_seed(3)
    wanted, after = F.dropout(x, 0.2), torch.rand(5)
    torch.manual_seed(3)
    if not torch.equal(dropout(x, 0.2), wanted):
        assert not np.array_equal(wanted.detach() != 0, kept(3, 0, x.numel(), 0.2).reshape(x.shape))
        pytest.skip("torch draws with another library on this processor")
    assert torch.equal(torch.rand(5), after)


def test_gradient_passes_where_a_value_is_kept():
    x = torch.randn(50, 20, requires_grad=True)
    kept = dropout(x, 0.5)
    kept.sum().backward()
    assert torch.equal(x.grad, 2.0 * (kept != 0)) and 0.4 < (kept != 0).double().mean() < 0.6


def test_share_of_zero_keeps_all_and_double_precision_is_torchs():
    x = torch.randn(5, 4)
    assert torch.equal(dropout(x, 0.0), x)
    assert dropout(x.double(), 0.5).dtype == torch.float64


def test_every_hidden_layers_spikes_are_dropped_in_training_and_never_in_a_test():
    network = Network((5, 40, 30, 2), dropout=0.5, generator=seeded())
    x = (torch.rand(3, 60, 5, generator=seeded(1)) < 0.5).float()
    torch.manual_seed(0)
    traces = network(x)
    torch.manual_seed(0)
    for k, layer in enumerate(network.layers[1:]):
        kept = dropout(traces.spikes[k], 0.5)
        assert kept.any() and not torch.equal(kept, traces.spikes[k])
        potential, _ = layer(kept)
        assert torch.equal(potential, [*traces.potential[1:], traces.readout][k])
    assert torch.equal(network.eval()(x).readout, network(x).readout)
    assert not torch.equal(network(x).readout, traces.readout)


def test_dropout_is_of_the_runs_own_seed(monkeypatch):
    seen, own = [], torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda seed: seen.append(seed) or own(seed))
    for seed in 0, 1:
        train(Parity(iterations=1, hidden=3, dropout=0.5, test_trials=4, seed=seed))
    assert len(set(seen)) == len(seen) == 2

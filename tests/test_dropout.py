"""Dropout against numpy's Mersenne twister, and against torch where torch draws from its own."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hetsyn_core.model.dropout import dropout


@pytest.mark.parametrize("share", [0.2, 0.5, 0.97])
@pytest.mark.parametrize("before", [0, 7, 623, 624, 625, 1247])
def test_draws_are_those_of_a_mersenne_twister(share, before):
    x = torch.randn(3, 500)
    torch.manual_seed(7)
    for _ in range(before):
        torch.randint(2, ())  # one word each
    words = np.random.RandomState(7)._bit_generator.random_raw(before + 2 * 1500)[before:].reshape(-1, 2)
    drawn = ((words[:, 0] & 0x1FFFFF) << 32 | words[:, 1]) / 2**53
    first, second = dropout(x[:1], share), dropout(x[1:], share)
    wanted = np.where(drawn < 1 - share, np.float32(1) / np.float32(1 - share), 0).astype(np.float32)
    assert np.array_equal(torch.cat((first, second)).numpy(), x.numpy() * wanted.reshape(3, 500))


def test_it_is_torchs_dropout_and_leaves_its_generator_as_torch_does():
    x = torch.randn(4, 333, 7, requires_grad=True)
    torch.manual_seed(3)
    wanted, after = F.dropout(x, 0.2), torch.rand(5)
    torch.manual_seed(3)
    if not torch.equal(dropout(x, 0.2), wanted):
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

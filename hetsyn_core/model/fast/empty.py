"""What no kernel is started for: no trials, no steps, no neurons before or after."""

from torch import Tensor


def no_current(x: Tensor, weight: Tensor, decay: Tensor) -> Tensor:
    """Zeros (batch, time, post), for empty input, that autograd connects to all three: their gradients are zeros."""
    return x.new_zeros(x.shape[0], x.shape[1], weight.shape[0]) + 0 * (x.sum() + weight.sum() + decay.sum())

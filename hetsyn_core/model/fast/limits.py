"""What the fast kernels cannot do, each said in one line; empty input, for which none is started; numbers near zero."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

INSTEAD = "use the reference: network(x, using=reference), from hetsyn_core.model"
TINY_IS_ZERO = ContextVar("TINY_IS_ZERO", default=False)


@contextmanager
def tiny_is_zero(wanted: bool = True) -> Iterator[None]:
    """Within, the kernels on the CPU take float32 below 1.2e-38 for zero.

    Currents and errors that fade for hundreds of steps come there, and a processor computes with such numbers up to a
    hundred times as slowly. It changes last bits, so a task asks for it, see `Task.tiny_is_zero`.
    """
    before = TINY_IS_ZERO.set(wanted)
    try:
        yield
    finally:
        TINY_IS_ZERO.reset(before)


def refuse_transforms() -> None:
    """Raise RuntimeError where a trace or a transform of functions would have to look into a kernel."""
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        raise RuntimeError(f"torch.jit.trace and torch.export cannot look into the fast kernels; {INSTEAD}")
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError(f"torch.func cannot look into the fast kernels; {INSTEAD}")


def refuse_second_derivative() -> None:
    """Raise RuntimeError in a backward pass that is itself to be differentiated (create_graph=True)."""
    if torch.is_grad_enabled():
        raise RuntimeError(f"the fast kernels have first derivatives only, not create_graph=True; {INSTEAD}")


def no_current(x: Tensor, weight: Tensor, decay: Tensor) -> Tensor:
    """Zeros (batch, time, post), for empty input, that autograd connects to all three: their gradients are zeros."""
    return x.new_zeros(x.shape[0], x.shape[1], weight.shape[0]) + 0 * (x.sum() + weight.sum() + decay.sum())

"""The equations without a current per synapse and step: the functions of `reference`, by the loops in `cpu_kernels`.

CPU and float32 only. Compiled by Numba on first use and kept on disk.
"""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_input, check_neurons, check_synapses
from ..surrogate import Kind, Surrogate, Triangular, formula, values
from . import cpu_kernels as kernels
from .lanes import LANES
from .limits import TINY_IS_ZERO, no_current, refuse_second_derivative
from .memory import Memory

EMPTY = np.zeros(0, np.float32)  # stands for an argument that a kernel does not need: Numba takes no None here
_memory = Memory()


def _check_device(*tensors: Tensor) -> None:
    for x in tensors:
        if x.dtype != torch.float32 or x.device.type != "cpu":
            raise ValueError(f"the fast kernels need float32 on the CPU, not {x.dtype} on {x.device}; use reference")


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float32)  # whatever torch's default is


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _pack(matrix: Tensor, rows: int | None = None):
    """(post, pre) -> flat (post / 16, rows or pre, 16), zero where padded."""
    post, pre = matrix.shape
    rows = rows or pre
    padded = F.pad(matrix.detach(), (0, rows - pre, 0, _up(post, LANES) - post))
    return padded.view(-1, LANES, rows).transpose(1, 2).contiguous().numpy().reshape(-1)


def _unpack(flat: Tensor, post: int, pre: int) -> Tensor:
    return flat.view(-1, pre, LANES).transpose(1, 2).reshape(-1, pre)[:post]


def _numpy(x: Tensor):
    return x.detach().contiguous().numpy()


QUIET_S = 2  # a kernel that Numba finds on disk is there sooner


@cache  # once in a process, however many kernels it needs
def _say_that_it_compiles() -> None:
    print("compiling kernels (once on this machine, some seconds each)", file=sys.stderr)


def _spread(kernel: Callable[..., None], jobs: int, *args) -> None:
    """kernel(first, last, *args) over all jobs, on torch's number of threads, which change no result."""
    if not kernel.signatures:  # its first call in this process
        slow = threading.Timer(QUIET_S, _say_that_it_compiles)
        slow.daemon = True
        slow.start()
        try:
            kernel(0, 0, *args)
        finally:
            slow.cancel()
    if TINY_IS_ZERO.get():
        kernel = _tiny_as_zero(kernel)
    threads = min(torch.get_num_threads(), jobs)
    if threads == 1:
        return kernel(0, jobs, *args)
    cuts = [jobs * k // threads for k in range(threads + 1)]
    list(_threads(threads).map(lambda first, last: kernel(first, last, *args), cuts, cuts[1:]))


_threads = cache(ThreadPoolExecutor)


def _tiny_as_zero(kernel: Callable[..., None]) -> Callable[..., None]:
    """The kernel, with numbers below 1.2e-38 as zero in its thread while it runs."""

    def run(*args) -> None:
        before = sys.float_info.min / 2 == 0
        torch.set_flush_denormal(True)
        try:
            kernel(*args)
        finally:
            torch.set_flush_denormal(before)

    return run


def _after_fork() -> None:
    """A forked process has none of its parent's threads, neither these nor torch's: it waits for them for ever."""
    _threads.cache_clear()
    _memory.lock = threading.RLock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _integrate(x: Tensor, weight: Tensor, decay: Tensor, backwards: bool = False) -> Tensor:
    batch, time, pre = x.shape
    post = weight.shape[0]
    out = _memory.empty(batch, time, post)
    args = _numpy(x), _pack(weight), _pack(decay), backwards, out.numpy()
    _spread(kernels.integrate, batch * _up(post, LANES) // LANES, *args)
    return out


def _gradients(x: Tensor, lag: int, g: Tensor, weight: Tensor, decay: Tensor) -> tuple[Tensor, Tensor]:
    """dL/dw and dL/dr of one decay per synapse, from dL/dV, where x[t - lag] enters at step t."""
    post, pre = weight.shape
    grad_w, grad_ur = _zeros(_up(post, LANES) * pre), _zeros(_up(post, LANES) * pre)
    args = _numpy(x), lag, _numpy(g), _pack(decay), grad_w.numpy(), grad_ur.numpy()
    _spread(kernels.gradients, _up(post, LANES) // LANES, *args)
    return _unpack(grad_w, post, pre), _unpack(grad_ur, post, pre) * weight


class _SynapticCurrent(torch.autograd.Function):
    """One decay per synapse."""

    @staticmethod
    def forward(ctx, x, weight, decay):
        ctx.save_for_backward(x, weight, decay)
        return _integrate(x, weight, decay)

    @staticmethod
    def backward(ctx, g):
        refuse_second_derivative()
        x, weight, decay = ctx.saved_tensors
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = _integrate(g, weight.T, decay.T, backwards=True)
        if not any(ctx.needs_input_grad[1:]):
            return grad_x, None, None
        return grad_x, *_gradients(x, 0, g, weight, decay)


class _SharedCurrent(torch.autograd.Function):
    """One decay per neuron, r (post,): its synapses share a current."""

    @staticmethod
    def forward(ctx, x, weight, r):
        ctx.save_for_backward(x, weight, r)
        out = _memory.empty(*x.shape[:2], len(weight))
        row = _up(len(weight), LANES)
        w = F.pad(weight.detach().T, (0, row - len(weight))).contiguous().numpy()
        args = _numpy(x), w, _pad_row(r, row), out.numpy()
        _spread(kernels.shared_current, len(x), *args)
        return out

    @staticmethod
    def backward(ctx, g):
        refuse_second_derivative()
        x, weight, r = ctx.saved_tensors
        needs_x, _, needs_r = ctx.needs_input_grad
        grad_w, grad_r, a = _shared_gradients(x, 0, g, weight, r, needs_r, needs_x)
        grad_x = torch.matmul(a, weight, out=_memory.empty(*x.shape)) if needs_x else None
        return grad_x, grad_w, grad_r


def _shared_gradients(x: Tensor, lag: int, g: Tensor, weight: Tensor, r: Tensor, learn_r: bool, keep_a: bool = False):
    """dL/dw, dL/dr and a of one decay per neuron, where x[t - lag] enters at step t."""
    batch, time, post = g.shape
    pre, row = x.shape[2], _up(post, LANES)
    a = _memory.empty(batch, time, row) if keep_a else _memory.empty(0, 0, 0)
    sum_a, sum_b = _zeros(pre, row), _zeros(pre, row if learn_r else 0)
    args = _numpy(x), lag, _numpy(g), _pad_row(r, row), a.numpy(), sum_a.numpy(), sum_b.numpy()
    _spread(kernels.shared_gradients, row // LANES, *args)
    grad_r = (sum_b[:, :post].T * weight).sum(1) if learn_r else None
    return sum_a[:, :post].T, grad_r, a[:, :, :post]


def _pad_row(values: Tensor, row: int):
    return F.pad(values.detach(), (0, row - len(values))).contiguous().numpy()


def synaptic_current(x: Tensor, weight: Tensor, decay: Tensor) -> Tensor:
    """See `reference.synaptic_current`; float32 on the CPU.

    Raises:
        ValueError: as there, and for another precision or device.
    """
    check_synapses(weight, decay)
    check_input("x", x, weight.shape[1])
    _check_device(x, weight, decay)
    if 0 in x.shape or 0 in weight.shape:
        return no_current(x, weight, decay)
    if decay.shape == weight.shape and decay.shape[1] != 1:
        return _SynapticCurrent.apply(x, weight, decay)
    return _SharedCurrent.apply(x, weight, decay.expand(weight.shape[0], 1)[:, 0])


class _Spiking(torch.autograd.Function):
    @staticmethod
    def forward(ctx, current, weight, decay, kappa, threshold, adaptation, surrogate):
        ctx.set_materialize_grads(False)
        batch, time, post = current.shape
        row = _up(post, LANES)
        if weight is None:
            recurrent = kernels.ABSENT
        else:
            recurrent = kernels.PER_SYNAPSE if decay.shape == (post, post) and post > 1 else kernels.PER_NEURON
        V, Z = _memory.empty(batch, time, post), _memory.empty(batch, time, post)
        args = (
            _numpy(current),
            recurrent,
            _arriving(weight, decay, recurrent),
            _decays(decay, recurrent, row),
            _pad_row(kappa, row),
            *_constants(threshold, adaptation),
            V.numpy(),
            Z.numpy(),
        )
        _spread(kernels.spike_forward, batch, *args)
        ctx.save_for_backward(weight, decay, kappa, V, Z)
        ctx.rest = recurrent, threshold, adaptation, surrogate
        return V, Z

    @staticmethod
    def backward(ctx, grad_V, grad_Z):
        refuse_second_derivative()
        weight, decay, kappa, V, Z = ctx.saved_tensors
        recurrent, threshold, adaptation, surrogate = ctx.rest
        learn_w, learn_r, learn_kappa = ctx.needs_input_grad[1:4]
        batch, time, post = V.shape
        row = _up(post, LANES)
        # `back_one` takes neurons after a spike two at a time, hence an even number of rows.
        w = EMPTY if weight is None else _pack(weight.T, _up(post, 2))
        r = _pack(decay.T, _up(post, 2)) if recurrent == kernels.PER_SYNAPSE else _decays(decay, recurrent, row)
        g, grad_kappa = _memory.empty(batch, time, post), _zeros(batch, row)
        args = (
            EMPTY[:, None, None] if grad_V is None else _numpy(grad_V),
            EMPTY[:, None, None] if grad_Z is None else _numpy(grad_Z),
            Z.numpy(),
            V.numpy(),
            *_surrogate(surrogate, V, threshold),
            recurrent,
            w,
            r,
            _pad_row(kappa, row),
            *_constants(threshold, adaptation),
            learn_kappa,
            g.numpy(),
            grad_kappa.numpy(),
        )
        _spread(kernels.spike_backward, _up(batch, 4) // 4, *args)
        grad_w = grad_r = None
        if learn_w or learn_r:
            if recurrent == kernels.PER_SYNAPSE:
                grad_w, grad_r = _gradients(Z, 1, g, weight, decay)  # x_k[t] = z_k[t-1]
            else:
                grad_w, grad_r, _ = _shared_gradients(Z, 1, g, weight, decay.expand(post, 1)[:, 0], learn_r)
                if learn_r:
                    grad_r = grad_r.view(post, 1).sum_to_size(decay.shape)
        return g, grad_w, grad_r, grad_kappa.sum(0)[:post] if learn_kappa else None, None, None, None


def _surrogate(surrogate: Surrogate, V: Tensor, threshold: float):
    """Which surrogate, its constants, and all its values where the kernel has no formula for it."""
    kind, constants = formula(surrogate, threshold)
    if kind == Kind.GIVEN:
        return int(kind), EMPTY, _numpy(values(surrogate, V, threshold))
    return int(kind), np.float32(constants), EMPTY[:, None, None]


def _decays(decay, recurrent: int, row: int):
    if recurrent == kernels.ABSENT:
        return EMPTY
    if recurrent == kernels.PER_SYNAPSE:
        return _pack(decay)
    return _pad_row(decay.expand(row if decay.ndim == 0 else len(decay), 1)[:, 0], row)


def _arriving(weight, decay, recurrent: int):
    """Recurrent weights, and where each has a decay what is left of them up to 7 steps later, see `spike_forward`."""
    if recurrent == kernels.ABSENT:
        return EMPTY
    w = _pack(weight)
    if recurrent == kernels.PER_NEURON:
        return w
    later, r = np.empty((8, w.size), np.float32), _pack(decay)
    later[0] = w
    for k in range(1, 8):
        np.multiply(later[k - 1], r, out=later[k])
    return later.reshape(-1)


def _constants(threshold, adaptation):
    return np.array([threshold, *(adaptation or (0, 0))], np.float32)


def spiking(
    current: Tensor,
    recurrent_weight: Tensor | None = None,
    recurrent_decay: Tensor | None = None,
    *,
    reset_decay: Tensor | float,
    threshold: float = 1.0,
    adaptation: tuple[float, float] | None = None,
    surrogate: Surrogate = Triangular(),
) -> tuple[Tensor, Tensor]:
    """See `reference.spiking`; float32 on the CPU.

    Raises:
        ValueError: as there, and for another precision or device.
    """
    check_neurons(current, recurrent_weight, recurrent_decay, reset_decay, threshold, adaptation)
    _check_device(current, *(x for x in (recurrent_weight, recurrent_decay) if x is not None))
    if 0 in current.shape:
        return current.clone(), current.clone()
    kappa = torch.as_tensor(reset_decay, dtype=torch.float32).expand(current.shape[2]).contiguous()
    return _Spiking.apply(current, recurrent_weight, recurrent_decay, kappa, threshold, adaptation, surrogate)

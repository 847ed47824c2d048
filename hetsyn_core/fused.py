"""The equations without a current per synapse and step: the functions of `reference`, by the loops in `kernels`.

CPU and float32 only, one thread. Compiled by Numba on first use and kept on disk.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from . import kernels
from .checks import check_input, check_neurons, check_synapses
from .surrogate import Surrogate, Triangular


def _check_fused(*tensors: Tensor) -> None:
    for x in tensors:
        if x.dtype != torch.float32 or x.device.type != "cpu":
            raise ValueError(f"the fused path needs float32 on the CPU, not {x.dtype} on {x.device}; use reference")


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _pack(matrix: Tensor, rows: int | None = None):
    """(post, pre) -> flat (post / 16, rows or pre, 16), zero where padded."""
    post, pre = matrix.shape
    rows = rows or pre
    padded = F.pad(matrix.detach(), (0, rows - pre, 0, _up(post, 16) - post))
    return padded.view(-1, 16, rows).transpose(1, 2).contiguous().numpy().reshape(-1)


def _unpack(flat: Tensor, post: int, pre: int) -> Tensor:
    return flat.view(-1, pre, 16).transpose(1, 2).reshape(-1, pre)[:post]


def _pad(x: Tensor, neurons: int, time: int):
    """Zero steps at the end and silent neurons, to the sizes the kernels work with."""
    if x.shape[1:] == (time, neurons):
        return x.detach().contiguous().numpy()
    return F.pad(x.detach(), (0, neurons - x.shape[2], 0, time - x.shape[1])).contiguous().numpy()


def _integrate(x: Tensor, weight: Tensor, decay: Tensor) -> Tensor:
    batch, time, pre = x.shape
    post = weight.shape[0]
    out = torch.empty(batch, _up(time, 8), _up(post, 16))
    kernels.integrate(_pad(x, pre, out.shape[1]), _pack(weight), _pack(decay), out.numpy())
    return out[:, :time, :post]


def _gradients(x: Tensor, g: Tensor, weight: Tensor, decay: Tensor) -> tuple[Tensor, Tensor]:
    """dL/dw and dL/dr of one decay per synapse, from dL/dV."""
    post, pre = weight.shape
    time = _up(x.shape[1], 8)
    padded = _pad(x, pre, time)
    active = (torch.from_numpy(padded).view(x.shape[0], time // 8, 8, pre) != 0).any(2).numpy()
    grad_w, grad_ur = torch.zeros(_up(post, 16) * pre), torch.zeros(_up(post, 16) * pre)
    kernels.gradients(padded, active, _pad(g, _up(post, 16), time), _pack(decay), grad_w.numpy(), grad_ur.numpy())
    return _unpack(grad_w, post, pre), _unpack(grad_ur, post, pre) * weight


class _SynapticCurrent(torch.autograd.Function):
    """One decay per synapse."""

    @staticmethod
    def forward(ctx, x, weight, decay):
        ctx.save_for_backward(x, weight, decay)
        return _integrate(x, weight, decay)

    @staticmethod
    def backward(ctx, g):
        x, weight, decay = ctx.saved_tensors
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = _integrate(g.flip(1), weight.T, decay.T).flip(1)
        if not any(ctx.needs_input_grad[1:]):
            return grad_x, None, None
        return grad_x, *_gradients(x, g, weight, decay)


class _Scan(torch.autograd.Function):
    """y[t] = r y[t-1] + x[t] with r per neuron."""

    @staticmethod
    def forward(ctx, x, r):
        ctx.save_for_backward(x, r)
        out = torch.empty(x.shape)
        kernels.scan(x.detach().contiguous().numpy(), r.detach().contiguous().numpy(), out.numpy())
        return out

    @staticmethod
    def backward(ctx, g):
        x, r = ctx.saved_tensors
        a, b = _scan_back(g, r)
        return a, (x * b).sum((0, 1))


def _scan_back(g: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    a, b = torch.empty(g.shape), torch.empty(g.shape)
    kernels.scan_back(g.contiguous().numpy(), r.detach().contiguous().numpy(), a.numpy(), b.numpy())
    return a, b


def synaptic_current(x: Tensor, weight: Tensor, decay: Tensor) -> Tensor:
    """See `reference.synaptic_current`; float32 on the CPU.

    Raises:
        ValueError: as there, and for another precision or device.
    """
    check_synapses(weight, decay)
    check_input("x", x, weight.shape[1])
    _check_fused(x, weight, decay)
    if 0 in x.shape or 0 in weight.shape:
        return x.new_zeros(x.shape[0], x.shape[1], weight.shape[0]) + 0 * (x.sum() + weight.sum() + decay.sum())
    if decay.shape == weight.shape and decay.shape[1] != 1:
        return _SynapticCurrent.apply(x, weight, decay)
    # Synapses of a neuron that share a decay share a current: sum first, then one state per neuron.
    return _Scan.apply(x @ weight.T, decay.expand(weight.shape[0], 1)[:, 0])


class _Spiking(torch.autograd.Function):
    @staticmethod
    def forward(ctx, current, weight, decay, kappa, threshold, adaptation, surrogate):
        batch, time, post = current.shape
        row = _up(post, 16)
        kind = 0 if weight is None else 2 if decay.shape == (post, post) and post > 1 else 1
        w = _pack(weight) if kind else torch.zeros(0).numpy()
        r = _decays(decay, kind, row)
        V, Z = torch.empty(batch, time, post), torch.empty(batch, time, post)
        kernels.spike_forward(
            current.detach().contiguous().numpy(), kind, w, r, F.pad(kappa.detach(), (0, row - post)).numpy(),
            *_constants(threshold, adaptation), V.numpy(), Z.numpy(),
        )
        ctx.save_for_backward(weight, decay, kappa, V, Z)
        ctx.rest = kind, threshold, adaptation, surrogate
        return V, Z

    @staticmethod
    def backward(ctx, grad_V, grad_Z):
        weight, decay, kappa, V, Z = ctx.saved_tensors
        kind, threshold, adaptation, surrogate = ctx.rest
        batch, time, post = V.shape
        row = _up(post, 16)
        # The kernel takes neurons after a spike two at a time, hence an even number of rows.
        w = _pack(weight.T, _up(post, 2)) if kind else torch.zeros(0).numpy()
        r = _pack(decay.T, _up(post, 2)) if kind == 2 else _decays(decay, kind, row)
        slope = surrogate.derivative(V - threshold, threshold)
        g, grad_kappa = torch.empty(batch, time, post), torch.zeros(row)
        kernels.spike_backward(
            *(x.detach().contiguous().numpy() for x in (grad_V, grad_Z, Z, slope)), kind, w, r,
            F.pad(kappa.detach(), (0, row - post)).numpy(), *_constants(threshold, adaptation),
            g.numpy(), grad_kappa.numpy(),
        )
        grad_w = grad_r = None
        if kind:
            before = F.pad(Z, (0, 0, 1, 0))[:, :-1]  # x_k[t] = z_k[t-1]
            if kind == 2:
                grad_w, grad_r = _gradients(before, g, weight, decay)
            else:
                a, b = _scan_back(g, decay.expand(post, 1)[:, 0])
                grad_w = a.reshape(-1, post).T @ before.reshape(-1, post)
                grad_r = ((before @ weight.T) * b).sum((0, 1)).view(post, 1).sum_to_size(decay.shape)
        return g, grad_w, grad_r, grad_kappa[:post], None, None, None


def _decays(decay, kind: int, row: int):
    if kind == 0:
        return torch.zeros(0).numpy()
    if kind == 2:
        return _pack(decay)
    return F.pad(decay.detach().expand(row if decay.ndim == 0 else len(decay), 1)[:, 0], (0, 0 if decay.ndim == 0 else row - len(decay))).contiguous().numpy()


def _constants(threshold, adaptation):
    rho_a, a = adaptation or (0.0, 0.0)
    return (torch.tensor([threshold, rho_a, a], dtype=torch.float32).numpy())


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
    _check_fused(current, *(x for x in (recurrent_weight, recurrent_decay) if x is not None))
    if 0 in current.shape:
        return current.clone(), current.clone()
    kappa = torch.as_tensor(reset_decay, dtype=torch.float32).expand(current.shape[2]).contiguous()
    return _Spiking.apply(current, recurrent_weight, recurrent_decay, kappa, threshold, adaptation, surrogate)

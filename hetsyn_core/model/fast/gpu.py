"""The functions of `reference` on a GPU, in Triton: no current per synapse and step, one launch for all steps.

Float32 alone. The algebra is that of `cpu_kernels`: forward u[t] = r u[t-1] + x[t] and V[t] = sum w u[t], backward::

    b = r b + a,  a = r a + dL/dV[t],   dL/dw = sum_t x[t] a[t],  dL/dr = w sum_t x[t] b[t]

These states of a tile of synapses stay in registers for the whole trial. A decay shared by synapses is one decay
per synapse with equal values, whose gradients autograd adds up.

A recurrent layer is one program per trial. Up to 128 neurons its synapses are in registers; up to 1,024, u is in memory
(4 bytes per trial and synapse, once, not per step) and read tile by tile; beyond that the reference runs, and a warning
says so.

Nothing is added atomically: each program writes its own partial sum and torch adds those in one order, so the same
input gives the same bits on the same card. Sums are float32 multiply-adds; there are no matrix products, hence no TF32.
"""

import warnings

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import reference
from ..checks import check_input, check_neurons, check_synapses
from ..surrogate import Kind, Surrogate, Triangular, formula, values
from .limits import no_current, refuse_second_derivative

INTERPRETED = triton.knobs.runtime.interpret
LARGEST = 1024  # neurons of a recurrent layer
RESIDENT = 128  # of these, whose synapses fit one multiprocessor's registers
PROGRAMS = 2048  # enough to fill a large card; more only cost partial sums
GIVEN, TRIANGULAR = tl.constexpr(int(Kind.GIVEN)), tl.constexpr(int(Kind.TRIANGULAR))  # as Triton takes them


@triton.jit
def integrate(x, w, r, out, time, pre, post, splits, BACKWARDS: tl.constexpr, PRE: tl.constexpr, POST: tl.constexpr):
    """out[split, b, t, j] = sum_i w_ij u_ij[t], u[t] = r u[t-1] + x[t] (eq. 8), or with t running backwards.

    A program is a trial, POST neurons j, and every splits-th tile of PRE inputs i; w and r are (pre, post).
    """
    b, split = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
    j = tl.program_id(1) * POST + tl.arange(0, POST)
    inputs = x + b * time * pre
    sums = out + (split * tl.num_programs(0) + b) * time * post
    for first in range(tl.program_id(2) * PRE, pre, splits * PRE):
        i = first + tl.arange(0, PRE)
        here = (i[:, None] < pre) & (j[None, :] < post)
        decay = tl.load(r + i[:, None] * post + j[None, :], mask=here, other=0.0)
        weight = tl.load(w + i[:, None] * post + j[None, :], mask=here, other=0.0)
        u = tl.zeros((PRE, POST), tl.float32)
        for step in tl.range(0, time, num_stages=4):
            t = time - 1 - step if BACKWARDS else step
            u = decay * u + tl.load(inputs + t * pre + i, mask=i < pre, other=0.0)[:, None]
            V = tl.sum(weight * u, 0)
            if first >= splits * PRE:
                V += tl.load(sums + t * post + j, mask=j < post, other=0.0)
            tl.store(sums + t * post + j, V, mask=j < post)
        tl.debug_barrier()


@triton.jit
def gradients(x, g, r, grad_w, grad_ur, time, pre, post, LAG: tl.constexpr, PRE: tl.constexpr, POST: tl.constexpr):
    """grad_w[b] = sum x a and grad_ur[b] = sum x b, where x[t - LAG] enters at step t.

    A program is a trial b, PRE inputs and POST neurons; r and both sums are (pre, post).
    """
    trial = tl.program_id(0).to(tl.int64)
    i = tl.program_id(2) * PRE + tl.arange(0, PRE)
    j = tl.program_id(1) * POST + tl.arange(0, POST)
    here = (i[:, None] < pre) & (j[None, :] < post)
    synapse = i[:, None] * post + j[None, :]
    decay = tl.load(r + synapse, mask=here, other=0.0)
    a = tl.zeros((PRE, POST), tl.float32)
    b = tl.zeros((PRE, POST), tl.float32)
    sum_a = tl.zeros((PRE, POST), tl.float32)
    sum_b = tl.zeros((PRE, POST), tl.float32)
    inputs, errors = x + trial * time * pre, g + trial * time * post
    for step in tl.range(0, time - LAG, num_stages=4):
        t = time - 1 - step
        b = decay * b + a
        a = decay * a + tl.load(errors + t * post + j, mask=j < post, other=0.0)[None, :]
        event = tl.load(inputs + (t - LAG) * pre + i, mask=i < pre, other=0.0)[:, None]
        sum_a += event * a
        sum_b += event * b
    tl.store(grad_w + trial * pre * post + synapse, sum_a, mask=here)
    tl.store(grad_ur + trial * pre * post + synapse, sum_b, mask=here)


@triton.jit
def resident(matrix, neurons, j, BLOCK: tl.constexpr):
    """A matrix of all recurrent synapses (neurons, neurons), zero where padded, to stay in registers."""
    i = tl.arange(0, BLOCK)
    inside = (i[:, None] < neurons) & (j[None, :] < neurons)
    return tl.load(matrix + i[:, None] * neurons + j[None, :], mask=inside, other=0.0)


@triton.jit
def through_cache(events, w, r, state, neurons, j, TILE: tl.constexpr, BLOCK: tl.constexpr):
    """One step of all recurrent synapses, u = r u + x and sum w u, with u in memory."""
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, neurons, TILE):
        i = first + tl.arange(0, TILE)
        here = (i[:, None] < neurons) & (j[None, :] < neurons)
        synapse = i[:, None] * neurons + j[None, :]
        event = tl.load(events + i, mask=i < neurons, other=0.0)
        decay = tl.load(r + synapse, mask=here, other=0.0)
        u = decay * tl.load(state + synapse, mask=here, other=0.0) + event[:, None]
        tl.store(state + synapse, u, mask=here)
        total += tl.sum(tl.load(w + synapse, mask=here, other=0.0) * u, 0)
    return total


@triton.jit
def spike_forward(
    current,
    w,
    r,
    kappa,
    state,
    V,
    Z,
    time,
    neurons,
    theta,
    rho_a,
    a,
    RECURRENT: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Eqs. 4, 5, 9 for a trial and BLOCK neurons: all of them where RECURRENT, with w and r (from, to)."""
    b = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    here = j < neurons
    k = tl.load(kappa + j, mask=here, other=0.0)
    J = tl.zeros((BLOCK,), tl.float32)
    A = tl.zeros((BLOCK,), tl.float32)
    back = tl.zeros((BLOCK,), tl.float32)
    if RECURRENT:
        if TILE == BLOCK:
            weight, decay = resident(w, neurons, j, BLOCK), resident(r, neurons, j, BLOCK)
            u = tl.zeros((BLOCK, BLOCK), tl.float32)
        else:
            state += b * neurons * neurons
    first = b * time * neurons
    ahead = tl.load(current + first + j, mask=here, other=0.0)
    for t in range(time):
        row = first + t * neurons
        v = ahead + back - J - A
        ahead = tl.load(current + row + neurons + j, mask=here & (t + 1 < time), other=0.0)  # is there when needed
        z = (v >= theta).to(tl.float32)
        tl.store(V + row + j, v, mask=here)
        tl.store(Z + row + j, z, mask=here)
        J = k * J + theta * z
        A = rho_a * A + a * z
        if RECURRENT:
            if TILE == BLOCK:
                u = decay * u + z[:, None]
                back = tl.sum(weight * u, 0)
            else:
                tl.debug_barrier()
                back = through_cache(Z + row, w, r, state, neurons, j, TILE, BLOCK)


@triton.jit
def slope_at(v, theta, c0, c1, c2, c3, c4, KIND: tl.constexpr):
    """dz/dV at potential v by the formula of a `surrogate.Kind`; v holds the values themselves where that is GIVEN."""
    if KIND == GIVEN:
        return v
    u = v - theta
    if KIND == TRIANGULAR:  # height, 1 / half the width
        return c0 * tl.maximum(1.0 - tl.abs(u) * c1, 0.0)
    left, right = u + c4, u - c4
    return c0 * tl.exp(-c1 * u * u) - c2 * (tl.exp(-c3 * right * right) + tl.exp(-c3 * left * left))


@triton.jit
def spike_backward(
    grad_V,
    grad_Z,
    V,
    Z,
    w,
    r,
    kappa,
    state,
    g,
    grad_kappa,
    time,
    neurons,
    theta,
    rho_a,
    a,
    c0,
    c1,
    c2,
    c3,
    c4,
    KIND: tl.constexpr,
    RECURRENT: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """g = dL/dV through reset, adaptation and recurrent synapses, with w and r (to, from)."""
    b = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    here = j < neurons
    k = tl.load(kappa + j, mask=here, other=0.0)
    reset = tl.zeros((BLOCK,), tl.float32)
    adapt = tl.zeros((BLOCK,), tl.float32)
    back = tl.zeros((BLOCK,), tl.float32)
    beta = tl.zeros((BLOCK,), tl.float32)
    sum_k = tl.zeros((BLOCK,), tl.float32)
    if RECURRENT:
        if TILE == BLOCK:
            weight, decay = resident(w, neurons, j, BLOCK), resident(r, neurons, j, BLOCK)
            u = tl.zeros((BLOCK, BLOCK), tl.float32)
        else:
            state += b * neurons * neurons
    last = (b * time + time - 1) * neurons
    dz = tl.load(grad_Z + last + j, mask=here, other=0.0)
    dv = tl.zeros((BLOCK,), tl.float32)
    if grad_V is not None:
        dv = tl.load(grad_V + last + j, mask=here, other=0.0)
    v = tl.load(V + last + j, mask=here, other=0.0)
    for step in range(time):
        row = last - step * neurons
        now = (dz + theta * reset + a * adapt + back) * slope_at(v, theta, c0, c1, c2, c3, c4, KIND) + dv
        tl.store(g + row + j, now, mask=here)
        before = here & (step + 1 < time)  # what the next step needs is on its way during this one
        dz = tl.load(grad_Z + row - neurons + j, mask=before, other=0.0)
        if grad_V is not None:
            dv = tl.load(grad_V + row - neurons + j, mask=before, other=0.0)
        v = tl.load(V + row - neurons + j, mask=before, other=0.0)
        if grad_kappa is not None:
            beta = k * beta + reset
            sum_k += theta * tl.load(Z + row - neurons + j, mask=before, other=0.0) * beta
        reset = k * reset - now
        adapt = rho_a * adapt - now
        if RECURRENT:
            if TILE == BLOCK:
                u = decay * u + now[:, None]
                back = tl.sum(weight * u, 0)
            else:
                tl.debug_barrier()
                back = through_cache(g + row, w, r, state, neurons, j, TILE, BLOCK)
    if grad_kappa is not None:
        tl.store(grad_kappa + b * neurons + j, sum_k, mask=here)


def _launch(kernel, grid: tuple[int, ...], *args, num_warps: int, **constants) -> None:
    device = next(x for x in args if isinstance(x, Tensor))
    with torch.cuda.device_of(device):
        kernel[grid](*args, num_warps=num_warps, **constants)


def _tile(batch: int, pre: int, post: int) -> tuple[int, int]:
    """PRE and POST: 32 x 32 synapses per warp are the least work, fewer inputs the shorter step where warps are few."""
    POST = min(triton.next_power_of_2(post), 32)
    warps = batch * triton.cdiv(post, POST) * triton.cdiv(pre, 32)
    return min(triton.next_power_of_2(pre), 32 if 4 * warps >= PROGRAMS else 8), POST


def _integrate(x: Tensor, weight: Tensor, decay: Tensor, backwards: bool) -> Tensor:
    """Weight and decay are (pre, post)."""
    batch, time, pre = x.shape
    post = weight.shape[1]
    PRE, POST = _tile(batch, pre, post)
    tiles, columns = triton.cdiv(pre, PRE), triton.cdiv(post, POST)
    rounds = triton.cdiv(tiles, triton.cdiv(PROGRAMS, batch * columns))
    splits = triton.cdiv(tiles, rounds)
    out = torch.empty(splits, batch, time, post, device=x.device, dtype=x.dtype)
    _launch(
        integrate,
        (batch, columns, splits),
        *(x.contiguous(), weight.contiguous(), decay.contiguous(), out, time, pre, post, splits),
        **dict(BACKWARDS=backwards, PRE=PRE, POST=POST, num_warps=1),
    )
    return out.sum(0) if splits > 1 else out[0]


def _gradients(x: Tensor, lag: int, g: Tensor, weight: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """dL/dw and dL/dr from dL/dV, where x[t - lag] enters at step t; ``across``: the decays as (pre, post)."""
    batch, time, pre = x.shape
    post = weight.shape[0]
    PRE, POST = _tile(batch, pre, post)
    sums = torch.empty(2, batch, pre, post, device=x.device, dtype=x.dtype)
    _launch(
        gradients,
        (batch, triton.cdiv(post, POST), triton.cdiv(pre, PRE)),
        *(x.contiguous(), g.contiguous(), across, sums[0], sums[1], time, pre, post),
        **dict(LAG=lag, PRE=PRE, POST=POST, num_warps=1),
    )
    grad_w, grad_ur = sums.sum(1).transpose(1, 2)
    return grad_w, grad_ur * weight


class _SynapticCurrent(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, decay):
        across = decay.T.contiguous()
        ctx.save_for_backward(x, weight, decay, across)
        return _integrate(x, weight.T, across, backwards=False)

    @staticmethod
    def backward(ctx, g):
        refuse_second_derivative()
        x, weight, decay, across = ctx.saved_tensors
        grad_x = _integrate(g, weight, decay, backwards=True) if ctx.needs_input_grad[0] else None
        grads = _gradients(x, 0, g, weight, across) if any(ctx.needs_input_grad[1:]) else (None, None)
        return grad_x, *grads


class _Spiking(torch.autograd.Function):
    @staticmethod
    def forward(ctx, current, weight, decay, kappa, threshold, adaptation, surrogate):
        ctx.set_materialize_grads(False)
        V, Z = torch.empty_like(current), torch.empty_like(current)
        w, across = (None, None) if weight is None else (weight.T.contiguous(), decay.T.contiguous())
        grid, state, options = _neurons(current, weight)
        rates = threshold, *(adaptation or (0.0, 0.0))
        _launch(spike_forward, grid, current, w, across, kappa, state, V, Z, *current.shape[1:], *rates, **options)
        ctx.save_for_backward(weight, decay, across, kappa, V, Z)
        ctx.rest = rates, surrogate
        return V, Z

    @staticmethod
    def backward(ctx, grad_V, grad_Z):
        refuse_second_derivative()
        weight, decay, across, kappa, V, Z = ctx.saved_tensors
        rates, surrogate = ctx.rest
        kind, constants = _constants(surrogate, rates[0])
        slope = values(surrogate, V, rates[0]).contiguous() if kind == Kind.GIVEN else V
        grad_Z = torch.zeros_like(V) if grad_Z is None else grad_Z.contiguous()
        grad_V = None if grad_V is None else grad_V.contiguous()
        g = torch.empty_like(V)
        grad_kappa = torch.empty_like(V[:, 0]) if ctx.needs_input_grad[3] else None
        synapses = (None, None) if weight is None else (weight.contiguous(), decay.contiguous())
        grid, state, options = _neurons(V, weight)
        _launch(
            spike_backward,
            grid,
            *(grad_V, grad_Z, slope, Z, *synapses, kappa, state, g, grad_kappa, *V.shape[1:], *rates, *constants),
            **dict(KIND=int(kind)),
            **options,
        )
        grads = _gradients(Z, 1, g, weight, across) if any(ctx.needs_input_grad[1:3]) else (None, None)
        return g, *grads, None if grad_kappa is None else grad_kappa.sum(0), None, None, None


def _neurons(current: Tensor, weight: Tensor | None):
    """Grid, memory for the recurrent synapses' state (or None) and options of the two neuron kernels."""
    batch, _, neurons = current.shape
    if weight is None:
        BLOCK = min(triton.next_power_of_2(neurons), 32)
        return (batch, triton.cdiv(neurons, BLOCK)), None, dict(RECURRENT=False, TILE=BLOCK, BLOCK=BLOCK, num_warps=1)
    BLOCK = triton.next_power_of_2(neurons)
    if BLOCK > 256:  # the addresses need registers too; so none are spilled
        TILE, num_warps = 16, 16
    else:  # 64 synapses a thread: their u, w, r just fit its registers, and few warps wait for each other
        TILE = BLOCK if BLOCK <= RESIDENT else 32
        num_warps = max(BLOCK * TILE // (64 * 32), 1)
    state = None if TILE == BLOCK else current.new_zeros(batch, neurons, neurons)
    return (batch, 1), state, dict(RECURRENT=True, TILE=TILE, BLOCK=BLOCK, num_warps=num_warps)


def _constants(surrogate: Surrogate, threshold: float) -> tuple[Kind, tuple[float, ...]]:
    """Kind and the five constants of `slope_at`; unused ones are 0."""
    kind, constants = formula(surrogate, threshold)
    if kind == Kind.TRIANGULAR:
        gamma, width = constants
        constants = gamma, 1 / width  # a GPU multiplies faster than it divides
    return kind, (*constants, *[0.0] * 5)[:5]


def _check_device(*tensors: Tensor) -> None:
    for x in tensors:
        if x.dtype != torch.float32 or not (x.is_cuda or INTERPRETED):
            raise ValueError(f"on a GPU the fast kernels need float32, not {x.dtype} on {x.device}; use reference")


def synaptic_current(x: Tensor, weight: Tensor, decay: Tensor) -> Tensor:
    """See `reference.synaptic_current`; float32 on a GPU, where values are left to `checks.check_values`.

    Raises:
        ValueError: shapes do not fit, or another precision or device.
    """
    check_synapses(weight, decay)
    check_input("x", x, weight.shape[1])
    _check_device(x, weight, decay)
    if 0 in x.shape or 0 in weight.shape:
        return no_current(x, weight, decay)
    return _SynapticCurrent.apply(x, weight, decay.expand_as(weight))


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
    """See `reference.spiking`; float32 on a GPU, where values are left to `checks.check_values`.

    A recurrent layer of more than 1,024 neurons is computed by the reference.

    Raises:
        ValueError: shapes do not fit, or another precision or device.
    """
    check_neurons(current, recurrent_weight, recurrent_decay, reset_decay, threshold, adaptation)
    _check_device(current, *(x for x in (recurrent_weight, recurrent_decay) if x is not None))
    if 0 in current.shape:
        return current.clone(), current.clone()
    neurons = current.shape[2]
    if recurrent_weight is not None and neurons > LARGEST:
        warnings.warn(f"{neurons} recurrent neurons: beyond {LARGEST} a GPU runs the slow reference", stacklevel=2)
        return reference.spiking(
            current,
            recurrent_weight,
            recurrent_decay,
            reset_decay=reset_decay,
            threshold=threshold,
            adaptation=adaptation,
            surrogate=surrogate,
        )
    if isinstance(reset_decay, Tensor):
        kappa = reset_decay.to(current).expand(neurons).contiguous()
    else:
        kappa = current.new_full((neurons,), reset_decay)  # filled on the device: the host waits for nothing
    if recurrent_decay is not None:
        recurrent_decay = recurrent_decay.expand_as(recurrent_weight)
    current = current.contiguous()
    return _Spiking.apply(current, recurrent_weight, recurrent_decay, kappa, threshold, adaptation, surrogate)

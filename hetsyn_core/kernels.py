"""The four loops behind `fused`.

Eq. 8 for one synapse is u[t] = r u[t-1] + x[t], V[t] += w u[t]. Sixteen postsynaptic neurons are handled side by
side and eight steps at a time: u, r, w sit in registers while V[t..t+7] are summed over the inputs, so no
current is ever stored per step. This is the sum of eq. 8 in another order, hence exact up to rounding.
Backwards, with g[t] = dL/dV[t], each synapse runs one scan from the last step to the first,
    b = r b + a,  a = r a + g[t]   and then   dL/dw = sum_t x[t] a[t],  dL/dr = w sum_t x[t] b[t]
where only steps with input contribute. The gradient of the input, sum_j w a, is eq. 8 itself, run backwards in
time through the transposed synapses, so `integrate` serves both. Recurrent currents are decayed eight steps ahead,
and each spike adds its own current to what is left of the block: again the same sum.
Weights and decays are packed as (post / 16, pre, 16). `integrate` and `gradients` take times that are a multiple of
8 and neurons after that are one of 16; the spiking kernels pad what they carry, not the tensors they read.
"""

import numpy as np
from numba import njit

from .lanes import add, fma, load, mul, splat, store

BLOCK = 8
ZERO = np.float32(0)


@njit(cache=True, nogil=True)
def integrate(x, w, r, out):
    """out[b, t, j] = sum_i w_ji u_ji[t], u[t] = r u[t-1] + x[t] (eq. 8)."""
    batch, time, pre = x.shape
    row = out.shape[2]
    flat = out.reshape(-1)
    u = np.empty(pre * 16, np.float32)
    for b in range(batch):
        for p in range(0, row, 16):
            u[:] = 0
            for t in range(0, time, 8):
                v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = splat(ZERO)
                for i in range(pre):
                    s = p * pre + i * 16
                    I, decay, weight = load(u, i * 16), load(r, s), load(w, s)
                    I = fma(decay, I, splat(x[b, t, i]))
                    v0 = fma(weight, I, v0)
                    I = fma(decay, I, splat(x[b, t + 1, i]))
                    v1 = fma(weight, I, v1)
                    I = fma(decay, I, splat(x[b, t + 2, i]))
                    v2 = fma(weight, I, v2)
                    I = fma(decay, I, splat(x[b, t + 3, i]))
                    v3 = fma(weight, I, v3)
                    I = fma(decay, I, splat(x[b, t + 4, i]))
                    v4 = fma(weight, I, v4)
                    I = fma(decay, I, splat(x[b, t + 5, i]))
                    v5 = fma(weight, I, v5)
                    I = fma(decay, I, splat(x[b, t + 6, i]))
                    v6 = fma(weight, I, v6)
                    I = fma(decay, I, splat(x[b, t + 7, i]))
                    v7 = fma(weight, I, v7)
                    store(u, i * 16, I)
                o = (b * time + t) * row + p
                store(flat, o, v0)
                store(flat, o + row, v1)
                store(flat, o + 2 * row, v2)
                store(flat, o + 3 * row, v3)
                store(flat, o + 4 * row, v4)
                store(flat, o + 5 * row, v5)
                store(flat, o + 6 * row, v6)
                store(flat, o + 7 * row, v7)


@njit(cache=True, nogil=True)
def gradients(x, active, g, r, grad_w, grad_ur):
    """grad_w = sum x a and grad_ur = sum x b; ``active[b, block, i]`` says whether input i is not silent there."""
    batch, time, pre = x.shape
    row = g.shape[2]
    flat = g.reshape(-1)
    states_a = np.empty(pre * 16, np.float32)
    states_b = np.empty(pre * 16, np.float32)
    for b in range(batch):
        for p in range(0, row, 16):
            states_a[:] = 0
            states_b[:] = 0
            for t in range(time - 8, -1, -8):
                o = (b * time + t) * row + p
                g0, g1 = load(flat, o), load(flat, o + row)
                g2, g3 = load(flat, o + 2 * row), load(flat, o + 3 * row)
                g4, g5 = load(flat, o + 4 * row), load(flat, o + 5 * row)
                g6, g7 = load(flat, o + 6 * row), load(flat, o + 7 * row)
                for i in range(pre):
                    s = p * pre + i * 16
                    A, B, decay = load(states_a, i * 16), load(states_b, i * 16), load(r, s)
                    if active[b, t // 8, i]:
                        W, U = load(grad_w, s), load(grad_ur, s)
                        B, A = fma(decay, B, A), fma(decay, A, g7)
                        W, U = fma(splat(x[b, t + 7, i]), A, W), fma(splat(x[b, t + 7, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g6)
                        W, U = fma(splat(x[b, t + 6, i]), A, W), fma(splat(x[b, t + 6, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g5)
                        W, U = fma(splat(x[b, t + 5, i]), A, W), fma(splat(x[b, t + 5, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g4)
                        W, U = fma(splat(x[b, t + 4, i]), A, W), fma(splat(x[b, t + 4, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g3)
                        W, U = fma(splat(x[b, t + 3, i]), A, W), fma(splat(x[b, t + 3, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g2)
                        W, U = fma(splat(x[b, t + 2, i]), A, W), fma(splat(x[b, t + 2, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g1)
                        W, U = fma(splat(x[b, t + 1, i]), A, W), fma(splat(x[b, t + 1, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g0)
                        W, U = fma(splat(x[b, t, i]), A, W), fma(splat(x[b, t, i]), B, U)
                        store(grad_w, s, W)
                        store(grad_ur, s, U)
                    else:
                        B, A = fma(decay, B, A), fma(decay, A, g7)
                        B, A = fma(decay, B, A), fma(decay, A, g6)
                        B, A = fma(decay, B, A), fma(decay, A, g5)
                        B, A = fma(decay, B, A), fma(decay, A, g4)
                        B, A = fma(decay, B, A), fma(decay, A, g3)
                        B, A = fma(decay, B, A), fma(decay, A, g2)
                        B, A = fma(decay, B, A), fma(decay, A, g1)
                        B, A = fma(decay, B, A), fma(decay, A, g0)
                    store(states_a, i * 16, A)
                    store(states_b, i * 16, B)


@njit(cache=True, nogil=True)
def scan(x, r, out):
    """out[t] = r out[t-1] + x[t]: one state per neuron, for decays that a neuron's synapses share."""
    batch, time, neurons = x.shape
    for b in range(batch):
        for j in range(neurons):
            out[b, 0, j] = x[b, 0, j]
        for t in range(1, time):
            for j in range(neurons):
                out[b, t, j] = r[j] * out[b, t - 1, j] + x[b, t, j]


@njit(cache=True, nogil=True)
def scan_back(g, r, a, b_out):
    """The a and b of `gradients` with one state per neuron."""
    batch, time, neurons = g.shape
    for b in range(batch):
        for j in range(neurons):
            a[b, time - 1, j] = g[b, time - 1, j]
            b_out[b, time - 1, j] = 0
        for t in range(time - 2, -1, -1):
            for j in range(neurons):
                a[b, t, j] = r[j] * a[b, t + 1, j] + g[b, t, j]
                b_out[b, t, j] = r[j] * b_out[b, t + 1, j] + a[b, t + 1, j]


@njit(cache=True, nogil=True)
def decay_ahead(I, r, ahead, pre, row):
    """Decay the carried currents by eight steps; ahead[k] receives their sum after k + 1 steps."""
    for p in range(0, row, 16):
        v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = splat(ZERO)
        for i in range(pre):
            s = p * pre + i * 16
            current, decay = load(I, s), load(r, s)
            current = mul(decay, current)
            v0 = add(v0, current)
            current = mul(decay, current)
            v1 = add(v1, current)
            current = mul(decay, current)
            v2 = add(v2, current)
            current = mul(decay, current)
            v3 = add(v3, current)
            current = mul(decay, current)
            v4 = add(v4, current)
            current = mul(decay, current)
            v5 = add(v5, current)
            current = mul(decay, current)
            v6 = add(v6, current)
            current = mul(decay, current)
            v7 = add(v7, current)
            store(I, s, current)
        store(ahead, p, v0)
        store(ahead, p + row, v1)
        store(ahead, p + 2 * row, v2)
        store(ahead, p + 3 * row, v3)
        store(ahead, p + 4 * row, v4)
        store(ahead, p + 5 * row, v5)
        store(ahead, p + 6 * row, v6)
        store(ahead, p + 7 * row, v7)


@njit(cache=True, nogil=True)
def spike_forward(current, kind, w, r, kappa, theta, rho_a, a, V, Z):
    """Eqs. 4, 5, 9. ``kind``: 0 no recurrent synapses, 1 one decay per neuron, 2 one per synapse (packed)."""
    batch, time, neurons = current.shape
    row = kappa.size
    pre = w.size // row
    I = np.zeros(w.size if kind == 2 else row, np.float32)
    ahead = np.zeros(8 * row, np.float32)
    J, A, z = np.zeros(row, np.float32), np.zeros(row, np.float32), np.zeros(row, np.float32)
    for b in range(batch):
        I[:] = 0
        J[:] = 0
        A[:] = 0
        z[:] = 0
        for t in range(time):
            step = t % 8
            if kind == 2:
                if step == 0:
                    decay_ahead(I, r, ahead, pre, row)
                for k in range(pre):
                    if z[k] != 0:
                        for p in range(0, row, 16):
                            s = p * pre + k * 16
                            decay, event = load(r, s), load(w, s)
                            for m in range(step, 7):
                                store(ahead, m * row + p, add(load(ahead, m * row + p), event))
                                event = mul(decay, event)
                            store(ahead, 7 * row + p, add(load(ahead, 7 * row + p), event))
                            store(I, s, add(load(I, s), event))
            elif kind == 1:
                for j in range(row):
                    I[j] *= r[j]
                for k in range(pre):
                    if z[k] != 0:
                        for p in range(0, row, 16):
                            store(I, p, add(load(I, p), load(w, p * pre + k * 16)))
                for j in range(row):
                    ahead[step * row + j] = I[j]
            for j in range(neurons):
                J[j] = kappa[j] * J[j] + theta * z[j]
                A[j] = rho_a * A[j] + a * z[j]
                V[b, t, j] = current[b, t, j] + ahead[step * row + j] - J[j] - A[j]
                z[j] = np.float32(1) if V[b, t, j] >= theta else ZERO
                Z[b, t, j] = z[j]


@njit(cache=True, nogil=True)
def spike_backward(grad_V, grad_Z, Z, slope, kind, w, r, kappa, theta, rho_a, a, g, grad_kappa):
    """g = dL/dV through reset, adaptation and recurrent synapses (w, r packed the transposed way)."""
    batch, time, neurons = g.shape
    row = kappa.size
    post = w.size // row
    state = np.zeros(w.size if kind == 2 else row, np.float32)
    reset, beta, adapt = np.zeros(row, np.float32), np.zeros(row, np.float32), np.zeros(row, np.float32)
    back, now = np.zeros(row, np.float32), np.zeros(row, np.float32)
    for b in range(batch):
        state[:] = 0
        reset[:] = 0
        beta[:] = 0
        adapt[:] = 0
        back[:] = 0
        for t in range(time - 1, -1, -1):
            for j in range(neurons):
                dz = grad_Z[b, t, j] + theta * reset[j] + a * adapt[j] + back[j]
                now[j] = grad_V[b, t, j] + dz * slope[b, t, j]
                g[b, t, j] = now[j]
                beta[j] = kappa[j] * beta[j] + reset[j]
                reset[j] = kappa[j] * reset[j] - now[j]
                adapt[j] = rho_a * adapt[j] - now[j]
            if t > 0:
                for j in range(neurons):
                    grad_kappa[j] += theta * Z[b, t - 1, j] * beta[j]
            if kind == 2:
                for p in range(0, row, 16):
                    even = odd = splat(ZERO)
                    for j in range(0, post, 2):
                        s = p * post + j * 16
                        S = fma(load(r, s), load(state, s), splat(now[j]))
                        store(state, s, S)
                        even = fma(load(w, s), S, even)
                        S = fma(load(r, s + 16), load(state, s + 16), splat(now[j + 1]))
                        store(state, s + 16, S)
                        odd = fma(load(w, s + 16), S, odd)
                    store(back, p, add(even, odd))
            elif kind == 1:
                for j in range(row):
                    state[j] = r[j] * state[j] + now[j]
                for p in range(0, row, 16):
                    sum_ = splat(ZERO)
                    for j in range(post):
                        sum_ = fma(load(w, p * post + j * 16), splat(state[j]), sum_)
                    store(back, p, sum_)

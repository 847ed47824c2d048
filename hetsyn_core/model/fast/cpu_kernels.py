"""The loops behind `cpu`.

Eq. 8 for one synapse is u[t] = r u[t-1] + x[t], V[t] += w u[t]. Sixteen postsynaptic neurons are handled side by
side and eight steps at a time: u, r, w sit in registers while V[t..t+7] are summed over the inputs, so no
current is ever stored per step. This is the sum of eq. 8 in another order, hence exact up to rounding.
Backwards, with g[t] = dL/dV[t], each synapse runs one scan from the last step to the first,
    b = r b + a,  a = r a + g[t]   and then   dL/dw = sum_t x[t] a[t],  dL/dr = w sum_t x[t] b[t]
where only steps with input contribute, so that the scan of a synapse ends at its first. The gradient of the input,
sum_j w a, is eq. 8 itself, run backwards in time through the transposed synapses, so `integrate` serves both.
Recurrent currents are decayed eight steps ahead, and each spike adds its own current to what is left of the block:
again the same sum.
Where a neuron's synapses share a decay, all this takes one state per neuron.
Weights and decays are packed as (post / 16, pre, 16). All other tensors come as they are; a kernel copies a piece of
them at a time, with room for whole blocks of steps and neurons, which stays in the cache.
``first`` and ``last`` are the jobs (trials, unless said otherwise) of one thread; jobs share no sum.
v0 ... v7 are eight variables and no array, since only a variable of its own stays in a register.
No sum may change its order: records on file depend on it to the last bit.
"""

from math import factorial

import numpy as np
from numba import njit

from ...compiled import compiled
from ..surrogate import Kind
from .lanes import COMPRESSES, LANES, add, fma, load, load_some, mul, places, reaches, splat, store, store_some, sub

ZERO, ONE, HALF, LN2, INVERSE_LN2 = np.float32((0, 1, 0.5, np.log(2), 1 / np.log(2)))
TAYLOR = tuple(np.float32(1 / factorial(n)) for n in range(7))  # of e^x
LEAST = np.float32(-87)  # e to this power is nearly the smallest normal float32

STEPS = 64  # that the backward pass copies at once; in pieces of 8 steps, memory is read at half the speed
ABSENT, PER_NEURON, PER_SYNAPSE = range(3)  # recurrent synapses, by who has a decay
TRIANGULAR, MULTI_GAUSSIAN = int(Kind.TRIANGULAR), int(Kind.MULTI_GAUSSIAN)  # as Numba takes them


@compiled
def copy_trial(x, b, lag, backwards, copy):
    """copy[t] = x[b, t - lag], or x[b, time - 1 - t]; zero where that is outside of the trial or of its neurons."""
    time, pre = x.shape[1:]
    copy[:] = 0
    for t in range(lag, time):
        source = time - 1 - t if backwards else t - lag
        for i in range(pre):
            copy[t, i] = x[b, source, i]


@compiled
def first_events(trial, onset):
    """onset[i]: the first step at which neuron i of a trial is not silent; the number of steps where it always is."""
    steps, pre = trial.shape
    onset[:] = steps
    for t in range(steps - 1, -1, -1):
        for i in range(pre):
            if trial[t, i] != 0:
                onset[i] = t


@njit(inline="always")
def store_eight(target, o, row, v0, v1, v2, v3, v4, v5, v6, v7):
    """Sixteen neurons of eight steps into a flat array, ``row`` apart."""
    store(target, o, v0)
    store(target, o + row, v1)
    store(target, o + 2 * row, v2)
    store(target, o + 3 * row, v3)
    store(target, o + 4 * row, v4)
    store(target, o + 5 * row, v5)
    store(target, o + 6 * row, v6)
    store(target, o + 7 * row, v7)


@compiled
def integrate(first, last, x, w, r, backwards, out):
    """out[b, t, j] = sum_i w_ji u_ji[t], u[t] = r u[t-1] + x[t] (eq. 8), or with t running backwards.

    A job is a trial and 16 neurons.
    """
    time, pre = x.shape[1:]
    post = out.shape[2]
    tiles = w.size // (LANES * pre)
    flat = out.reshape(-1)
    trial = np.empty(((time + 7) // 8 * 8, pre), np.float32)
    onset = np.empty(pre, np.int32)
    u, edge = np.empty(pre * LANES, np.float32), np.empty(8 * LANES, np.float32)
    step = -1 if backwards else 1
    for job in range(first, last):
        b, p = job // tiles, job % tiles * LANES
        if job == first or p == 0:
            copy_trial(x, b, 0, backwards, trial)
            first_events(trial, onset)
        u[:] = 0
        for t in range(0, time, 8):
            v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = splat(ZERO)
            for i in range(pre):
                if onset[i] >= t + 8:
                    continue  # no current yet
                s = p * pre + i * LANES
                I, decay, weight = load(u, i * LANES), load(r, s), load(w, s)
                I = fma(decay, I, splat(trial[t, i]))
                v0 = fma(weight, I, v0)
                I = fma(decay, I, splat(trial[t + 1, i]))
                v1 = fma(weight, I, v1)
                I = fma(decay, I, splat(trial[t + 2, i]))
                v2 = fma(weight, I, v2)
                I = fma(decay, I, splat(trial[t + 3, i]))
                v3 = fma(weight, I, v3)
                I = fma(decay, I, splat(trial[t + 4, i]))
                v4 = fma(weight, I, v4)
                I = fma(decay, I, splat(trial[t + 5, i]))
                v5 = fma(weight, I, v5)
                I = fma(decay, I, splat(trial[t + 6, i]))
                v6 = fma(weight, I, v6)
                I = fma(decay, I, splat(trial[t + 7, i]))
                v7 = fma(weight, I, v7)
                store(u, i * LANES, I)
            start = time - 1 - t if backwards else t
            if t + 8 <= time and p + LANES <= post:
                store_eight(flat, (b * time + start) * post + p, step * post, v0, v1, v2, v3, v4, v5, v6, v7)
            else:
                store_eight(edge, 0, LANES, v0, v1, v2, v3, v4, v5, v6, v7)
                for k in range(min(8, time - t)):
                    for j in range(min(LANES, post - p)):
                        out[b, start + k * step, p + j] = edge[LANES * k + j]


@compiled
def activity(trial, active):
    """active[block, i]: whether neuron i of a trial is not silent in the eight steps of the block."""
    steps, pre = trial.shape
    active[:] = False
    for t in range(steps):
        for i in range(pre):
            active[t // 8, i] |= trial[t, i] != 0


@compiled
def gradients(first, last, x, lag, g, r, grad_w, grad_ur):
    """grad_w = sum x a and grad_ur = sum x b, where x[t - lag] enters at step t; a job is 16 neurons, all trials."""
    batch, time, pre = x.shape
    row, steps = grad_w.size // pre, (time + 7) // 8 * 8
    trial, errors = np.empty((steps, pre), np.float32), np.empty((steps, row), np.float32)
    flat = errors.reshape(-1)
    active, onset = np.empty((steps // 8, pre), np.bool_), np.empty(pre, np.int32)
    states_a, states_b = np.empty(pre * LANES, np.float32), np.empty(pre * LANES, np.float32)
    for b in range(batch):
        copy_trial(x, b, lag, False, trial)
        copy_trial(g, b, 0, False, errors)
        activity(trial, active)
        first_events(trial, onset)
        for p in range(LANES * first, LANES * last, LANES):
            states_a[:] = 0
            states_b[:] = 0
            for t in range(steps - 8, -1, -8):
                o = t * row + p
                g0, g1 = load(flat, o), load(flat, o + row)
                g2, g3 = load(flat, o + 2 * row), load(flat, o + 3 * row)
                g4, g5 = load(flat, o + 4 * row), load(flat, o + 5 * row)
                g6, g7 = load(flat, o + 6 * row), load(flat, o + 7 * row)
                for i in range(pre):
                    if onset[i] >= t + 8:
                        continue  # nothing enters at an earlier step, where a and b would matter
                    s = p * pre + i * LANES
                    A, B, decay = load(states_a, i * LANES), load(states_b, i * LANES), load(r, s)
                    if active[t // 8, i]:
                        W, U = load(grad_w, s), load(grad_ur, s)
                        B, A = fma(decay, B, A), fma(decay, A, g7)
                        W, U = fma(splat(trial[t + 7, i]), A, W), fma(splat(trial[t + 7, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g6)
                        W, U = fma(splat(trial[t + 6, i]), A, W), fma(splat(trial[t + 6, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g5)
                        W, U = fma(splat(trial[t + 5, i]), A, W), fma(splat(trial[t + 5, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g4)
                        W, U = fma(splat(trial[t + 4, i]), A, W), fma(splat(trial[t + 4, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g3)
                        W, U = fma(splat(trial[t + 3, i]), A, W), fma(splat(trial[t + 3, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g2)
                        W, U = fma(splat(trial[t + 2, i]), A, W), fma(splat(trial[t + 2, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g1)
                        W, U = fma(splat(trial[t + 1, i]), A, W), fma(splat(trial[t + 1, i]), B, U)
                        B, A = fma(decay, B, A), fma(decay, A, g0)
                        W, U = fma(splat(trial[t, i]), A, W), fma(splat(trial[t, i]), B, U)
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
                    store(states_a, i * LANES, A)
                    store(states_b, i * LANES, B)


@njit(inline="always")
def events(values, start, size, found, n):
    """The places of what is not zero in values[start : start + size], into ``found`` from n; returns n after them.

    Without a branch to guess wrong. ``found`` has room for sixteen more.
    """
    whole = size // LANES * LANES if COMPRESSES else 0
    for i in range(0, whole, LANES):
        n = places(values, start + i, i, found, n)
    for i in range(whole, size):
        found[n] = i
        n += values[start + i] != 0
    return n


@compiled
def rows_in(x, b, start, stop, rows, first, row):
    """Steps ``start`` to before ``stop`` of trial b into flat ``rows`` from ``first``, ``row`` apart, zeros between."""
    time, neurons = x.shape[1:]
    values = x.reshape(-1)
    for step in range(stop - start):
        source, target = (b * time + start + step) * neurons, first + step * row
        for p in range(0, row, LANES):
            store(rows, target + p, load_some(values, source + p, neurons - p))


@compiled
def rows_out(rows, first, row, x, b, start, stop):
    """The way back of `rows_in`."""
    time, neurons = x.shape[1:]
    values = x.reshape(-1)
    for step in range(stop - start):
        source, target = first + step * row, (b * time + start + step) * neurons
        for p in range(0, row, LANES):
            store_some(values, target + p, load(rows, source + p), neurons - p)


@compiled
def shared_current(first, last, x, w, r, out):
    """`integrate` where a neuron's synapses share a decay: one state per neuron sums what arrives. w is (pre, row)."""
    time, pre = x.shape[1:]
    row = w.shape[1]
    arriving, weights = x.reshape(-1), w.reshape(-1)
    u, block, found = np.empty(row, np.float32), np.empty(8 * row, np.float32), np.empty(pre + LANES, np.int32)
    for b in range(first, last):
        u[:] = 0
        for start in range(0, time, 8):
            stop = min(start + 8, time)
            for t in range(start, stop):
                o = (b * time + t) * pre
                n = events(arriving, o, pre, found, 0)
                for p in range(0, row, LANES):
                    sum_ = mul(load(r, p), load(u, p))
                    for k in range(n):
                        i = found[k]
                        sum_ = fma(splat(arriving[o + i]), load(weights, i * row + p), sum_)
                    store(u, p, sum_)
                    store(block, (t - start) * row + p, sum_)
            rows_out(block, 0, row, out, b, start, stop)


@compiled
def shared_gradients(first, last, x, lag, g, r, a, sum_a, sum_b):
    """`gradients` with one state per neuron: the sums of x a and, unless ``sum_b`` is empty, of x b, over events alone.

    a itself is kept if there is room, as (batch, time, row). A job is 16 neurons, all trials.
    """
    batch, time, pre = x.shape
    row = r.size
    errors = np.zeros(time * row, np.float32)
    states_a, states_b = np.empty(time * LANES, np.float32), np.empty(time * LANES, np.float32)
    found, ends = np.empty(time * pre + LANES, np.int32), np.zeros(time + 1, np.int64)
    arriving = x.reshape(-1)
    flat, totals_a, totals_b = a.reshape(-1), sum_a.reshape(-1), sum_b.reshape(-1)
    for b in range(batch):
        rows_in(g, b, 0, time, errors, 0, row)
        for t in range(lag, time):
            ends[t + 1] = events(arriving, (b * time + t - lag) * pre, pre, found, ends[t])
        for p in range(LANES * first, LANES * last, LANES):
            decay = load(r, p)
            A, B = load(errors, (time - 1) * row + p), splat(ZERO)
            store(states_a, LANES * (time - 1), A)
            store(states_b, LANES * (time - 1), B)
            for t in range(time - 2, -1, -1):
                B = add(mul(decay, B), A)
                A = add(mul(decay, A), load(errors, t * row + p))
                store(states_a, LANES * t, A)
                store(states_b, LANES * t, B)
            if a.size:
                for t in range(time):
                    store(flat, (b * time + t) * row + p, load(states_a, LANES * t))
            for t in range(lag, time):
                for k in range(ends[t], ends[t + 1]):
                    i = found[k]
                    event, s = splat(x[b, t - lag, i]), i * row + p
                    store(totals_a, s, fma(event, load(states_a, LANES * t), load(totals_a, s)))
                    if sum_b.size:
                        store(totals_b, s, fma(event, load(states_b, LANES * t), load(totals_b, s)))


@compiled
def decay_ahead(I, r, ahead, pre, row):
    """Decay the carried currents by eight steps; ahead[k] receives their sum after k + 1 steps."""
    for p in range(0, row, LANES):
        v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = splat(ZERO)
        for i in range(pre):
            s = p * pre + i * LANES
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
        store_eight(ahead, p, row, v0, v1, v2, v3, v4, v5, v6, v7)


@compiled
def spike_forward(first, last, current, recurrent, w, r, kappa, theta, rho_a, a, V, Z):
    """Eqs. 4, 5, 9.

    Where each recurrent synapse has a decay, r is packed like w, and w has w r, ..., w r^7 behind it: what arrives 1 to
    7 steps after a spike. Else r is one value per neuron.
    """
    time, neurons = current.shape[1:]
    row = kappa.size
    size = w.size // 8 if recurrent == PER_SYNAPSE else w.size
    pre = size // row
    I = np.zeros(size if recurrent == PER_SYNAPSE else row, np.float32)
    ahead, drive = np.zeros(8 * row, np.float32), np.zeros(8 * row, np.float32)
    potential, spikes = np.zeros(8 * row, np.float32), np.zeros(8 * row, np.float32)
    J, A, z = np.zeros(row, np.float32), np.zeros(row, np.float32), np.zeros(row, np.float32)
    found, origin = np.empty(8 * row + LANES, np.int32), np.empty(8 * row, np.int64)
    threshold, strength, fading = splat(theta), splat(a), splat(rho_a)
    for b in range(first, last):
        I[:] = 0
        J[:] = 0
        A[:] = 0
        z[:] = 0
        for start in range(0, time, 8):
            stop = min(start + 8, time)
            rows_in(current, b, start, stop, drive, 0, row)
            if recurrent == PER_SYNAPSE:
                decay_ahead(I, r, ahead, pre, row)
            n = 0
            for step in range(stop - start):
                if recurrent != ABSENT:
                    known = n if recurrent == PER_SYNAPSE else 0
                    n = events(z, 0, row, found, known)
                    for k in range(known, n):
                        origin[k] = found[k] * LANES
                        if recurrent == PER_SYNAPSE:
                            origin[k] -= step * size
                for p in range(0, row, LANES):
                    if recurrent == PER_SYNAPSE:
                        arrives = load(ahead, step * row + p)
                        for k in range(n):
                            arrives = add(arrives, load(w, step * size + p * pre + origin[k]))
                    elif recurrent == PER_NEURON:
                        arrives = mul(load(I, p), load(r, p))
                        for k in range(n):
                            arrives = add(arrives, load(w, p * pre + origin[k]))
                        store(I, p, arrives)
                    else:
                        arrives = splat(ZERO)
                    fired = load(z, p)
                    reset = add(mul(load(kappa, p), load(J, p)), mul(threshold, fired))
                    adapted = add(mul(fading, load(A, p)), mul(strength, fired))
                    v = sub(sub(add(load(drive, step * row + p), arrives), reset), adapted)
                    fired = reaches(v, threshold)
                    store(J, p, reset)
                    store(A, p, adapted)
                    store(z, p, fired)
                    store(potential, step * row + p, v)
                    store(spikes, step * row + p, fired)
            if recurrent == PER_SYNAPSE:
                for k in range(n):
                    for p in range(0, row, LANES):
                        s = p * pre + found[k] * LANES
                        store(I, s, add(load(I, s), load(w, 7 * size + p * pre + origin[k])))
            rows_out(potential, 0, row, V, b, start, stop)
            rows_out(spikes, 0, row, Z, b, start, stop)


@compiled
def back_one(now, r, w, state, back, row, post):
    """What step t + 1 sends back through the recurrent synapses to the neurons before them, one trial."""
    for p in range(0, row, LANES):
        even = odd = splat(ZERO)
        for j in range(0, post, 2):
            s = (p * post) + j * LANES
            S = fma(load(r, s), load(state, s), splat(now[j]))
            store(state, s, S)
            even = fma(load(w, s), S, even)
            S = fma(load(r, s + LANES), load(state, s + LANES), splat(now[j + 1]))
            store(state, s + LANES, S)
            odd = fma(load(w, s + LANES), S, odd)
        store(back, p, add(even, odd))


@compiled
def back_four(now, r, w, state, back, row, post):
    """The same for four trials, which share what is read of r and w; their states lie side by side."""
    for p in range(0, row, LANES):
        v0 = v1 = v2 = v3 = splat(ZERO)
        for j in range(post):
            s = p * post + j * LANES
            decay, weight = load(r, s), load(w, s)
            s *= 4
            S = fma(decay, load(state, s), splat(now[j]))
            store(state, s, S)
            v0 = fma(weight, S, v0)
            s += LANES
            S = fma(decay, load(state, s), splat(now[row + j]))
            store(state, s, S)
            v1 = fma(weight, S, v1)
            s += LANES
            S = fma(decay, load(state, s), splat(now[2 * row + j]))
            store(state, s, S)
            v2 = fma(weight, S, v2)
            s += LANES
            S = fma(decay, load(state, s), splat(now[3 * row + j]))
            store(state, s, S)
            v3 = fma(weight, S, v3)
        store(back, p, v0)
        store(back, row + p, v1)
        store(back, 2 * row + p, v2)
        store(back, 3 * row + p, v3)


@compiled
def back_shared(now, r, w, state, back, row, post):
    """The same where a neuron's synapses share a decay: one state per neuron, four trials side by side."""
    for m in range(4):
        for j in range(row):
            state[m * row + j] = r[j] * state[m * row + j] + now[m * row + j]
    for p in range(0, row, LANES):
        v0 = v1 = v2 = v3 = splat(ZERO)
        for j in range(post):
            weight = load(w, p * post + j * LANES)
            v0 = fma(weight, splat(state[j]), v0)
            v1 = fma(weight, splat(state[row + j]), v1)
            v2 = fma(weight, splat(state[2 * row + j]), v2)
            v3 = fma(weight, splat(state[3 * row + j]), v3)
        store(back, p, v0)
        store(back, row + p, v1)
        store(back, 2 * row + p, v2)
        store(back, 3 * row + p, v3)


@njit(inline="always")
def exp(x):
    """e^x for x <= 0, within 2e-7: 2^k e^y with k whole and |y| <= ln(2) / 2.

    Unlike the one of libm it is plain arithmetic, so that LLVM makes vector code of the loops it stands in.
    """
    k = np.int32(max(x, LEAST) * INVERSE_LN2 - HALF)
    y = x - np.float32(k) * LN2
    power = TAYLOR[6]
    for n in range(5, -1, -1):
        power = power * y + TAYLOR[n]
    two_to_k = np.int32((k + 127) << 23).view(np.float32)  # k is the exponent
    return ZERO if x < LEAST else power * two_to_k


@compiled
def surrogate_slopes(surrogate, constants, given, V, theta, b, start, stop, slopes):
    """slopes[0, j], slopes[1, j], ... = dz/dV of trial b from step ``start`` to before ``stop``.

    The formulas of `surrogate` with the ``constants`` it gives, or ``given`` values.
    """
    time, neurons = V.shape[1:]
    size, begin = (stop - start) * neurons, (b * time + start) * neurons
    potential, out = V.reshape(-1)[begin : begin + size], slopes.reshape(-1)
    if surrogate == TRIANGULAR:
        gamma, width = constants[0], constants[1]
        for k in range(size):
            out[k] = gamma * max(ONE - abs((potential[k] - theta) / width), ZERO)
    elif surrogate == MULTI_GAUSSIAN:
        high, narrow, low, wide, shift = constants[0], constants[1], constants[2], constants[3], constants[4]
        for k in range(size):
            u = potential[k] - theta
            out[k] = high * exp(-narrow * u * u)
        if low != ZERO:  # the wide Gaussians
            for k in range(size):
                u = potential[k] - theta
                left, right = u + shift, u - shift
                out[k] -= low * (exp(-wide * left * left) + exp(-wide * right * right))
    else:
        values = given.reshape(-1)[begin : begin + size]
        for k in range(size):
            out[k] = values[k]


@compiled
def spike_backward(
    first, last, grad_V, grad_Z, Z, V, surrogate, constants, given,
    recurrent, w, r, kappa, theta, rho_a, a, learn_kappa, g, grad_kappa,
):  # fmt: skip
    """g = dL/dV through reset, adaptation and recurrent synapses (w, r packed the transposed way).

    For ``surrogate``, ``constants`` and ``given`` see `surrogate_slopes`. grad_V and grad_Z may be
    empty, which stands for zero.
    A job is four trials, side by side.
    """
    batch, time, neurons = g.shape
    row = kappa.size
    post = w.size // row
    size = w.size if recurrent == PER_SYNAPSE else row
    state = np.empty(4 * size, np.float32)
    reset, beta, adapt = np.empty(4 * row, np.float32), np.empty(4 * row, np.float32), np.empty(4 * row, np.float32)
    back, now, learnt = np.zeros(4 * row, np.float32), np.zeros(4 * row, np.float32), np.zeros(4 * row, np.float32)
    block = STEPS * row
    flat_slopes, slopes = np.empty((1, STEPS, neurons), np.float32), np.zeros(4 * block, np.float32)
    from_V, from_Z = np.zeros(4 * block, np.float32), np.zeros(4 * block, np.float32)
    before, errors = np.zeros(4 * block, np.float32), np.zeros(4 * block, np.float32)
    threshold, strength, fading = splat(theta), splat(a), splat(rho_a)
    b = 4 * first
    while b < min(4 * last, batch):
        trials = 4 if batch - b >= 4 else 1
        state[:] = 0
        reset[:] = 0
        beta[:] = 0
        adapt[:] = 0
        back[:] = 0
        now[:] = 0
        learnt[:] = 0
        for start in range((time - 1) // STEPS * STEPS, -1, -STEPS):
            stop = min(start + STEPS, time)
            for m in range(trials):
                surrogate_slopes(surrogate, constants, given, V, theta, b + m, start, stop, flat_slopes)
                rows_in(flat_slopes, 0, 0, stop - start, slopes, m * block, row)
                if grad_Z.size:
                    rows_in(grad_Z, b + m, start, stop, from_Z, m * block, row)
                if grad_V.size:
                    rows_in(grad_V, b + m, start, stop, from_V, m * block, row)
                if learn_kappa:  # z[t - 1] at the place of step t
                    earlier = 1 if start == 0 else 0
                    rows_in(Z, b + m, start + earlier - 1, stop - 1, before, m * block + earlier * row, row)
            for step in range(stop - start - 1, -1, -1):
                for m in range(trials):
                    c = m * row
                    for p in range(0, row, LANES):
                        o, s = m * block + step * row + p, c + p
                        J = load(reset, s)
                        dz = add(add(load(from_Z, o), mul(threshold, J)), mul(strength, load(adapt, s)))
                        error = mul(add(dz, load(back, s)), load(slopes, o))
                        if grad_V.size:
                            error = add(error, load(from_V, o))
                        store(now, s, error)
                        store(errors, o, error)
                        decay = load(kappa, p)
                        if learn_kappa and start + step > 0:
                            B = add(mul(decay, load(beta, s)), J)
                            store(beta, s, B)
                            store(learnt, s, add(load(learnt, s), mul(mul(threshold, load(before, o)), B)))
                        store(reset, s, sub(mul(decay, J), error))
                        store(adapt, s, sub(mul(fading, load(adapt, s)), error))
                if recurrent == PER_SYNAPSE and trials == 4:
                    back_four(now, r, w, state, back, row, post)
                elif recurrent == PER_SYNAPSE:
                    back_one(now, r, w, state, back, row, post)
                elif recurrent == PER_NEURON:
                    back_shared(now, r, w, state, back, row, post)
            for m in range(trials):
                rows_out(errors, m * block, row, g, b + m, start, stop)
        for m in range(trials):
            for j in range(neurons):
                grad_kappa[b + m, j] = learnt[m * row + j]
        b += trials


@compiled
def twist(s, words):
    """The next 624 words of a Mersenne twister (MT19937) from its state, which moves on."""
    upper, lower, one, matrix = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(1), np.uint32(0x9908B0DF)
    for i in range(227):
        s[i] = s[i + 397] ^ ((s[i] & upper | s[i + 1] & lower) >> one) ^ (matrix * (s[i + 1] & one))
    for i in range(227, 623):
        s[i] = s[i - 227] ^ ((s[i] & upper | s[i + 1] & lower) >> one) ^ (matrix * (s[i + 1] & one))
    s[623] = s[396] ^ ((s[623] & upper | s[0] & lower) >> one) ^ (matrix * (s[0] & one))
    temper(s, words)


@compiled
def temper(s, words):
    """What the generator gives out for its state."""
    for i in range(624):
        y = s[i]
        y ^= y >> np.uint32(11)
        y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
        y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
        words[i] = y ^ (y >> np.uint32(18))


@compiled
def draw_kept(state, place, p, out):
    """out[k] = 1/p with probability p, else 0: 53 bits of two words below p. Returns the place after the last word."""
    words = np.empty(624, np.uint32)
    temper(state, words)
    limit, high = np.uint64(np.ceil(p * 2.0**53)), np.uint64(0x1FFFFF)
    keep = ONE / np.float32(p)
    k = 0
    while k < out.size:
        if place >= 623:  # too few words for a value
            last = np.uint64(words[623])
            left = place == 623
            twist(state, words)
            place = 0
            if left:
                drawn = (last & high) << np.uint64(32) | np.uint64(words[0])
                out[k] = keep if drawn < limit else ZERO
                k, place = k + 1, 1
        more = min(out.size - k, (624 - place) // 2)
        for j in range(more):
            i = place + 2 * j
            drawn = (np.uint64(words[i]) & high) << np.uint64(32) | np.uint64(words[i + 1])
            out[k + j] = keep if drawn < limit else ZERO
        k, place = k + more, place + 2 * more
    return place

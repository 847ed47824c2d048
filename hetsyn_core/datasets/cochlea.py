"""The Heidelberg encoder: from a sound wave to the spikes of an inner ear, as SHD was made.

Cramer, Stradmann, Schemmel and Zenke 2020 (the Heidelberg spiking data sets): a basilar membrane of shallow water
(Sieroka, Dosch and Rupp 2006), a hair cell at each of its places (Meddis 1986, 1988), and a bushy cell that hears
forty nerve fibres of that hair cell. `encode` does all of it::

    prepare -> basilar_membrane -> hair_cell -> bushy_cell
    wave       velocity            probability  spikes

Arrays are (time, places); place 0 is the base of the membrane (22.5 kHz), the last its apex (100 Hz). The membrane
hears 48 kHz, and everything after it runs at half of that.

The equations of the membrane go with exp(-i w t), the FFT with exp(i w t). The published program takes both as they
are, so that its membrane moves before the sound, by 0.1 ms at the base and by 19 ms at the apex, where a wave that
travels along it would come that much after. SHD was made so; we keep to it.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from scipy import fft, signal, special

from ..compiled import compiled
from .audio import mono

RATE = 48_000  # Hz, of the wave
STEP_RATE = RATE // 2  # Hz, of membrane, hair cells and spikes
RMS = 0.3
OFFSET = 0.05  # of the standard deviation: ten times the largest in 24 recordings of the Heidelberg Digits
PLACES = 700
SHORTEST, LONGEST = 0.05, 3.0  # s
LOWEST_RATE = 1000  # Hz
PADDING = STEP_RATE // 20  # steps of silence at least: how far the membrane moves ahead of the sound
PADDED_TO = STEP_RATE // 4  # steps; few lengths, hence few transfer functions, and a length an FFT likes

# Basilar membrane, cgs units (Sieroka, Dosch and Rupp 2006).
MEMBRANE_CM = 3.5
ALPHA = 3.0  # decay of the stiffness per cm
RHO = 1.0  # density of the fluid
C0, A_STIFF = 1e9, 3500.0  # stiffness C0 exp(-alpha c) - a
H = 0.1  # height of the canal
MASS = 0.05
R0 = 0.15 * math.sqrt(C0 * MASS)  # friction
NEGLIGIBLE = 1e-7  # of a place's peak, about what float32 resolves

FIBRES = 40
REFRACTORY_STEPS = STEP_RATE // 1000  # 1 ms, of a fibre and of the bushy cell


def prepare(audio: np.ndarray, rate: float, window: str | None = None) -> np.ndarray:
    """The wave as the membrane hears it: one channel around zero, 48 kHz, root mean square 0.3.

    Unsigned samples and a microphone's offset are centred: a constant would count as loudness, and the sound itself
    would become fainter. A mean of up to 5 % of the standard deviation (RMS without the mean) stays, see `audio.mono`:
    it changes no more than a few spikes, and the Heidelberg Digits, whose means are smaller, keep theirs.

    Args:
        audio: (samples,) or (samples, channels), any scale, signed or unsigned; channels are averaged.
        rate: Hz; any but 48 kHz is resampled.
        window: "full" fades in over the first half of the recording and out over the second (two halves of Hann
            windows), as the published program does; None leaves the wave as it is, as SHD itself looks.

    Returns:
        float64 (samples,).

    Raises:
        ValueError: NaN, silence (also around an offset), shorter than 50 ms or longer than 3 s, another shape, rate or
            window.
    """
    if window not in (None, "full"):
        raise ValueError(f'window is None or "full", not {window!r}')
    audio = mono(audio, rate, offset=OFFSET, lowest_rate=LOWEST_RATE, shortest_s=SHORTEST, longest_s=LONGEST)
    if rate != RATE:
        common = math.gcd(RATE, int(rate))
        audio = signal.resample_poly(audio, RATE // common, int(rate) // common)
    audio = audio * (RMS / np.sqrt(np.mean(audio**2)))
    if window == "full":
        half = len(audio) // 2
        ramp = np.hanning(2 * half)[:half]
        audio[:half] *= ramp
        audio[-half:] *= ramp[::-1]
    return audio


def membrane_response(w: np.ndarray, c: float) -> np.ndarray:
    """Velocity of the membrane at c cm from the base for a tone of angular frequency w, complex: v(w, c).

    With G(w, c) = 2 g(w, 0) / alpha + int_0^c g dc' and u = exp(-alpha c / 2), the friction and stiffness
    xi = C0 u^2 - i w R0 u - (a + m w^2) is a parabola in u, so that the integral has a closed form.
    """
    s = 1j * np.sqrt(A_STIFF + MASS * w * w)

    def parts(u):
        xi = C0 * u * u - 1j * w * R0 * u + s * s
        return xi, w * np.sqrt(RHO / (H * xi)), np.log((2 * s * np.sqrt(xi) - 1j * w * R0 * u + 2 * s * s) / u)

    xi, g, primitive = parts(math.exp(-ALPHA * c / 2))
    _, g_base, primitive_base = parts(1.0)
    G_base = 2 * g_base / ALPHA
    G = G_base + w * math.sqrt(RHO / H) * 2 / ALPHA * (primitive - primitive_base) / s
    p = np.sqrt(G / g) * special.hankel1(0, G)
    p_base = np.sqrt(G_base / g_base) * special.hankel1(0, G_base)
    k = 2 * w / ALPHA * math.sqrt(2 / (H * C0))
    Z = math.sqrt(2 * C0 / H) * (1j * special.j0(k) + special.y0(k)) / (special.j1(k) - 1j * special.y1(k))
    return 2 * w / xi * p / p_base * Z


def positions(places: int = PLACES) -> np.ndarray:
    """Places along the membrane in cm from the base, (places,)."""
    if not (1 <= places <= 2**16 and places == int(places)):
        raise ValueError(f"places is a whole number from 1 to 65536, not {places}")
    return np.linspace(0, MEMBRANE_CM, int(places))


def best_frequency(c: float) -> float:
    """The tone in Hz, to a third of a percent, that moves the membrane most at c cm from the base."""
    hz = np.geomspace(20, STEP_RATE, 2000)
    return hz[np.abs(membrane_response(2 * np.pi * hz, c)).argmax()]


@lru_cache(maxsize=8)
def transfer_functions(samples: int, places: int) -> list[np.ndarray]:
    """v(w, c) of each place for the spectrum of so many samples, complex64, up to where it is negligible.

    The 48 kHz spectrum has bins 0 to samples // 2; they count as 1 Hz to 24 kHz, as in the published program.
    """
    w = 2 * np.pi * np.linspace(1, STEP_RATE, samples // 2 + 1)
    coarse = w[:: max(1, len(w) // 500)]
    responses = []
    for c in positions(places):
        size = np.abs(membrane_response(coarse, c))
        last = coarse[np.nonzero(size > NEGLIGIBLE * size.max())[0][-1]]
        heard = np.searchsorted(w, last) + len(w) // len(coarse) + 1
        responses.append(membrane_response(w[:heard], c).astype(np.complex64))
    return responses


def basilar_membrane(audio: np.ndarray, places: int = PLACES, pad: bool = True) -> np.ndarray:
    """Velocity of the membrane for a wave of `prepare`.

    Args:
        audio: (samples,) at 48 kHz.
        pad: with silence, 50 ms at least, to a whole quarter of a second, for which transfer functions are tabulated
            on first use (seconds) and kept. False takes the wave's own length, as the published program does: then what
            its beginning moves ahead of itself comes in at its end.

    Returns:
        float32 (samples // 2 + 1, places), at 24 kHz.
    """
    steps = len(audio) // 2 + 1
    samples = 2 * (-(-(steps + PADDING) // PADDED_TO) * PADDED_TO - 1) if pad else len(audio)
    bins = samples // 2 + 1
    spectrum = fft.rfft(audio, samples).astype(np.complex64)
    responses = transfer_functions(samples, places)
    velocity = np.empty((len(responses), steps), np.float32)
    # The real part of an inverse FFT of those bins alone is that of their Hermitian part, at half the cost.
    moved = np.zeros(bins, np.complex64)
    for place, response in enumerate(responses):
        heard = len(response)
        np.multiply(response, spectrum[:heard], out=moved[:heard])
        moved[heard:] = 0
        half = moved[: bins // 2 + 1].copy()
        half[0] += half[0].conj()
        half[1:] += moved[: bins - bins // 2 - 1 : -1].conj()
        velocity[place] = fft.irfft(half, bins)[:steps] / 2
    return velocity.T


@compiled
def _hair_cells(velocity, probability):
    y, g, l, r, x, A, B, h, M = 5.05, 2000.0, 2500.0, 6580.0, 66.3, 5.0, 300.0, 50000.0, 1.0
    dt = 1 / STEP_RATE
    steps, places = velocity.shape
    rest = g * A / (A + B)
    c = np.full(places, y * M * rest / (l * rest + y * (l + r)))
    q, w = c * (l + r) / rest, c * r / x
    for t in range(steps):
        for i in range(places):
            opening = max(velocity[t, i] + A, 0.0)
            k = g * opening / (opening + B)
            replenish, eject = max(y * (M - q[i]), 0.0), k * q[i]
            dq, dc, dw = replenish - eject + x * w[i], eject - (l + r) * c[i], r * c[i] - x * w[i]
            q[i], c[i], w[i] = max(q[i] + dt * dq, 0.0), max(c[i] + dt * dc, 0.0), max(w[i] + dt * dw, 0.0)
            probability[t, i] = h * c[i] * dt


def hair_cell(velocity: np.ndarray) -> np.ndarray:
    """Probability that a nerve fibre fires in a step of 1/24 ms: three transmitter pools per place.

    The membrane opens the hair cell (permeability k); transmitter goes from the free pool q to the cleft c, and back
    through a reprocessing store w. A fibre fires at rate h c.

    Args:
        velocity: (steps, places) at 24 kHz.

    Returns:
        float32 (steps, places).
    """
    velocity = np.ascontiguousarray(velocity)
    probability = np.empty(velocity.shape, np.float32)
    _hair_cells(velocity, probability)
    return probability


@compiled
def _bushy_cells(probability, rng, steps, units):
    """Fills steps and units as far as they reach; returns how many spikes there were."""
    dt_ms = 1000 / STEP_RATE
    membrane_decay, synapse_decay, weight = math.exp(-dt_ms / 1.0), math.exp(-dt_ms / 0.5), 13000 / FIBRES / STEP_RATE
    last = np.empty(FIBRES, np.int64)
    count = 0
    for place in range(len(probability)):
        last[:] = -REFRACTORY_STEPS
        V = I = 0.0
        rests_until = 0
        # One Poisson process of hazard -40 log(1 - p) for all fibres: nothing happens for as long as the product of
        # (1 - p) stays above U^(1/40). A candidate then belongs to any fibre; a fibre that rests ignores it.
        survival, bound = 1.0, math.exp(-rng.standard_exponential() / FIBRES)
        for t in range(probability.shape[1]):
            I *= synapse_decay
            survival *= 1.0 - probability[place, t]
            while survival <= bound:
                fibre = int(rng.random() * FIBRES)
                if t - last[fibre] >= REFRACTORY_STEPS:
                    last[fibre] = t
                    I += 1.0
                survival, bound = survival / bound, math.exp(-rng.standard_exponential() / FIBRES)
            if t < rests_until:
                continue
            V = V * membrane_decay + weight * I
            if V >= 1.0:
                if count < len(steps):
                    steps[count] = t
                    units[count] = place
                count += 1
                V = 0.0
                rests_until = t + 1 + REFRACTORY_STEPS
    return count


def bushy_cell(probability: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Spikes of one bushy cell at each place, which hears forty fibres of that probability.

    A fibre fires at most once in a step and rests for 1 ms. The cell is a leaky integrator: membrane 1 ms, synapse
    0.5 ms, threshold 1, 1 ms of rest.

    Args:
        probability: (steps, places) at 24 kHz.

    Returns:
        times in ms, float32, ascending; units (places), uint16.

    Raises:
        ValueError: a probability outside of [0, 1).
    """
    rows = np.ascontiguousarray(probability.T)
    if not ((rows >= 0) & (rows < 1)).all():
        raise ValueError("a firing probability lies between 0 and 1 (1 excluded)")
    most = rows.shape[0] * (rows.shape[1] // (REFRACTORY_STEPS + 1) + 1)
    steps, units = np.empty(most, np.int32), np.empty(most, np.uint16)
    count = _bushy_cells(rows, rng, steps, units)
    order = np.argsort(steps[:count], kind="stable")
    return (steps[order] * (1000 / STEP_RATE)).astype(np.float32), units[order]


def encode(
    audio: np.ndarray, rate: float, *, places: int = PLACES, seed: int | Sequence[int] = 0, window: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes of an inner ear that hears this sound. The same seed gives the same spikes.

    How loud the sound is, in which numbers it is stored and a microphone's offset do not matter, see `prepare`.
    A tenth of a second of a tone of 440 Hz:

    >>> tone = np.sin(2 * np.pi * 440 * np.arange(4800) / 48_000)
    >>> times, units = encode(tone, 48_000, places=70)
    >>> times.dtype, units.dtype, len(times) == len(units) > 0, bool(units.max() < 70)
    (dtype('float32'), dtype('uint16'), True, True)

    Args:
        audio, rate, window: see `prepare`.
        places: along the membrane; SHD has 700.

    Returns:
        times in ms, float32, ascending; units (0 at the base, 22.5 kHz), uint16.

    Raises:
        ValueError: as `prepare`.
    """
    velocity = basilar_membrane(prepare(audio, rate, window), places)
    return bushy_cell(hair_cell(velocity), np.random.default_rng(seed))

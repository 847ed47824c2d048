"""The Heidelberg encoder against its equations, told in another way, and against the published program."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from scipy import fft, signal, stats

from hetsyn_core.datasets import cochlea
from hetsyn_core.datasets.cochlea import RATE, STEP_RATE, basilar_membrane, bushy_cell, encode, hair_cell, prepare
from hetsyn_core.paths import ROOT, datasets_folder

HD = datasets_folder() / "hd" if (datasets_folder() / "hd" / "audio").is_dir() else None


def chirp(seconds=0.2, rate=RATE):
    """From 100 Hz to 8 kHz, a little louder in the middle."""
    t = np.arange(round(seconds * rate)) / rate
    return signal.chirp(t, 100, seconds, 8000, "logarithmic") * (0.5 + np.sin(np.pi * t / seconds) / 2)


# Basilar membrane


@pytest.mark.parametrize("hz", [1, 97, 1000, 8000, 24000])
@pytest.mark.parametrize("c", [0, 0.8, 2.1, 3.5])
def test_membrane_response_is_the_equation_with_its_integral_taken_numerically(hz, c):
    mpmath.mp.dps = 50  # H0 beyond a place's own tone is the small difference of two large numbers
    alpha, rho, C0, a, h, m = 3, 1, mpmath.mpf(10) ** 9, 3500, mpmath.mpf("0.1"), mpmath.mpf("0.05")
    R0 = mpmath.mpf("0.15") * mpmath.sqrt(C0 * m)
    w = 2 * mpmath.pi * hz

    def xi(c):
        return C0 * mpmath.exp(-alpha * c) - a - m * w**2 - 1j * w * R0 * mpmath.exp(-alpha * c / 2)

    def g(c):
        return w * mpmath.sqrt(rho / (h * xi(c)))

    def p(c):
        G = 2 * g(0) / alpha + mpmath.quad(g, mpmath.linspace(0, c, 9))
        return mpmath.sqrt(G / g(c)) * mpmath.hankel1(0, G)

    k = 2 * w / alpha * mpmath.sqrt(2 / (h * C0))
    Z = mpmath.sqrt(2 * C0 / h) * (1j * mpmath.besselj(0, k) + mpmath.bessely(0, k))
    Z /= mpmath.besselj(1, k) - 1j * mpmath.bessely(1, k)
    expected = complex(2 * w / xi(c) * p(c) / p(0) * Z)
    response = cochlea.membrane_response(np.array([2 * np.pi * hz]), c)[0]
    assert response == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("samples", [4800, 4801])
def test_membrane_is_the_response_applied_to_the_lower_half_of_the_spectrum(samples):
    audio = chirp(0.2)[:samples]
    bins = samples // 2 + 1
    w = 2 * np.pi * np.linspace(1, 24000, bins)
    spectrum = fft.fft(audio)[:bins]
    expected = np.stack(
        [fft.ifft(cochlea.membrane_response(w, c) * spectrum).real for c in np.linspace(0, 3.5, 8)], axis=1
    )
    velocity = basilar_membrane(audio, 8, pad=False)
    assert velocity.shape == (bins, 8)
    assert np.abs(velocity - expected).max() < 1e-5 * np.abs(expected).max()


def click(at, samples):
    audio = np.zeros(samples)
    audio[at] = 1
    return audio


def test_a_click_moves_the_apex_before_it_comes_as_in_the_published_program():
    # The equations go with exp(-i w t), the FFT with exp(i w t); SHD was made from the two as they are.
    first = basilar_membrane(click(24_000, 48_000), 6)
    lead_ms = (12_000 - np.abs(first).argmax(0)) / STEP_RATE * 1000
    assert (np.diff(lead_ms) > 0).all() and 0 <= lead_ms[0] < 0.2 and 15 < lead_ms[-1] < 25


def test_with_silence_added_the_beginning_of_a_sound_does_not_move_its_end():
    for samples in (6000, 12_000 - 2 * cochlea.PADDING, 12_000):
        padded, own_length = (basilar_membrane(click(0, samples), 6, pad=pad)[-500:, -1] for pad in (True, False))
        assert np.abs(padded).max() < 0.2 * np.abs(own_length).max()


def test_the_base_hears_the_highest_tones_and_the_apex_the_lowest():
    best = [cochlea.best_frequency(c) for c in np.linspace(0, 3.5, 8)]
    assert best[0] == pytest.approx(22_500, rel=0.01) and best[-1] == pytest.approx(100, rel=0.01)
    assert (np.diff(best) < 0).all()
    tone = prepare(np.sin(2 * np.pi * best[4] * np.arange(9600) / RATE), RATE)
    assert basilar_membrane(tone, 8).std(0).argmax() == 4


# Hair cell


def test_hair_cell_is_the_three_pools_step_by_step():
    rng = np.random.default_rng(0)
    velocity = (rng.normal(size=(400, 3)) * [1, 50, 5000]).astype(np.float32)
    expected = np.empty_like(velocity)
    y, g, l, r, x, A, B, h, M, dt = 5.05, 2000, 2500, 6580, 66.3, 5, 300, 50000, 1, 1 / 24000
    for place in range(3):
        k0 = g * A / (A + B)
        c = y * k0 / (l * k0 + y * (l + r))
        q, w = c * (l + r) / k0, c * r / x
        for t, s in enumerate(velocity[:, place].astype(float)):
            k = g * (s + A) / (s + A + B) if s + A > 0 else 0
            replenish = y * (M - q) if q < M else 0
            q, c, w = (
                max(q + dt * (replenish - k * q + x * w), 0),
                max(c + dt * (k * q - (l + r) * c), 0),
                max(w + dt * (r * c - x * w), 0),
            )
            expected[t, place] = h * c * dt
    assert hair_cell(velocity) == pytest.approx(expected, rel=1e-6, abs=1e-12)


# Bushy cell


def forty_fibres(probability, runs, rng):
    """Spikes (runs, steps) of one bushy cell, its fibres drawn one by one in every step."""
    last = np.full((runs, 40), -24)
    V, I, rests = np.zeros(runs), np.zeros(runs), np.zeros(runs, int)
    spikes = np.zeros((runs, len(probability)), bool)
    for t, p in enumerate(probability):
        fires = (rng.random((runs, 40)) < p) & (t - last >= 24)
        last[fires] = t
        I = I * np.exp(-1 / 24 / 0.5) + fires.sum(1)
        V = np.where(rests > 0, 0, V * np.exp(-1 / 24) + 13000 / 40 / 24000 * I)
        rests -= 1
        spikes[:, t] = V >= 1
        V[spikes[:, t]], rests[spikes[:, t]] = 0, 24
    return spikes


def test_thinning_one_process_is_forty_fibres_drawn_one_by_one():
    steps, runs = 1200, 600
    t = np.arange(steps)
    # Up to 0.3 a step: many candidates share a step, a fibre, or fall into its rest.
    probability = (0.004 + 0.3 * np.exp(-(((t - 700) / 60) ** 2)) + 0.01 * (t > 300)).astype(np.float32)
    naive = forty_fibres(probability, runs, np.random.default_rng(1))
    # Places hear independent fibres, so that many places are many runs.
    times, units = bushy_cell(np.repeat(probability[:, None], runs, 1), np.random.default_rng(2))
    thinned = np.zeros((runs, steps), bool)
    thinned[units, np.rint(times * 24).astype(int)] = True
    a, b = naive.sum(1), thinned.sum(1)
    assert abs(a.mean() - b.mean()) < 4 * np.sqrt((a.var() + b.var()) / runs)
    assert 0.8 < a.var() / b.var() < 1.25
    for start in range(0, steps, 200):
        a, b = (x[:, start : start + 200].sum(1) for x in (naive, thinned))
        assert abs(a.mean() - b.mean()) <= 4 * np.sqrt((a.var() + b.var()) / runs)
    first = [x[x.any(1)].argmax(1) for x in (naive, thinned)]
    assert stats.ks_2samp(*first).pvalue > 1e-3
    gaps = [np.concatenate([np.diff(np.flatnonzero(row)) for row in x]) for x in (naive, thinned)]
    assert min(map(np.min, gaps)) > 24  # 1 ms of rest
    assert stats.ks_2samp(*gaps).pvalue > 1e-3


def test_without_fibres_there_are_no_spikes_and_a_certain_fibre_is_refused():
    assert [x.size for x in bushy_cell(np.zeros((100, 3), np.float32), np.random.default_rng(0))] == [0, 0]
    for wrong in (1.0, -0.1, np.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            bushy_cell(np.full((10, 2), wrong, np.float32), np.random.default_rng(0))


# The chain


def test_the_same_seed_gives_the_same_spikes_in_any_thread():
    one = encode(chirp(), RATE, places=30, seed=3)
    with ThreadPoolExecutor(4) as pool:
        for other in pool.map(lambda _: encode(chirp(), RATE, places=30, seed=3), range(4)):
            assert all(map(np.array_equal, one, other))
    times, units = one
    assert (times.dtype, units.dtype) == (np.float32, np.uint16) and len(times) == len(units) > 50
    assert (np.diff(times) >= 0).all() and 0 <= times[0] <= times[-1] <= 201 and units.max() < 30
    assert not np.array_equal(times, encode(chirp(), RATE, places=30, seed=4)[0])


def test_a_sound_is_brought_to_one_channel_one_rate_and_one_loudness():
    mono = prepare(chirp(), RATE)
    assert np.sqrt(np.mean(mono**2)) == pytest.approx(0.3)
    stereo = np.stack([chirp() * 3, chirp() * 5], axis=1)
    assert prepare(stereo, RATE) == pytest.approx(mono)
    assert prepare((chirp() * 30_000).astype(np.int16), RATE) == pytest.approx(mono, abs=1e-4)
    at_44100 = prepare(chirp(rate=44_100), 44_100)
    assert np.abs(at_44100 - mono)[500:-500].max() < 0.01  # the filter knows nothing beyond the ends
    original = chirp()
    prepare(original, RATE, "full")
    assert np.array_equal(original, chirp()), "the caller's array is not written to"


@pytest.mark.parametrize("bits", [8, 16])
def test_unsigned_samples_are_heard_as_signed_ones(bits):
    signed = np.rint(chirp() * (2 ** (bits - 1) - 1)).astype(f"int{bits}")
    unsigned = (signed.astype(int) + 2 ** (bits - 1)).astype(f"uint{bits}")
    assert np.array_equal(prepare(unsigned, RATE), prepare(signed, RATE))


def test_a_microphones_offset_is_not_heard():
    plain, *offset = (encode(chirp() + peak, RATE, places=30) for peak in (0, 0.05, 0.2, 0.4, 2))
    for times, units in offset:
        assert len(times) == pytest.approx(len(plain[0]), rel=0.02)
        assert np.abs(np.bincount(units, minlength=30) - np.bincount(plain[1], minlength=30)).max() <= 3


def test_a_recording_that_is_centred_is_left_as_it_is():
    audio, rate = soundfile.read(ROOT / "data/audio/lang-english_speaker-04_trial-0_digit-7.flac")
    assert audio.mean() != 0
    assert np.array_equal(prepare(audio, rate), audio * (cochlea.RMS / np.sqrt(np.mean(audio**2))))


def test_the_window_fades_in_and_out_over_the_whole_recording():
    flat, faded = prepare(chirp(), RATE), prepare(chirp(), RATE, "full")
    middle = len(flat) // 2
    assert faded[0] == faded[-1] == 0 and faded[middle] == pytest.approx(flat[middle], rel=1e-3)
    assert faded[middle // 2] == pytest.approx(flat[middle // 2] / 2, rel=1e-2)


@pytest.mark.parametrize(
    "audio, rate, message",
    [
        (np.zeros(RATE), RATE, "silent"),
        (np.stack([chirp(), -chirp()], axis=1), RATE, "silent"),
        (np.append(chirp(), np.nan), RATE, "NaN"),
        (np.append(chirp(), np.inf), RATE, "infinity"),
        (chirp(0.01), RATE, "must last 50 ms or more, not 10 ms"),
        (chirp(3.5), RATE, "3 s or less, not 3.5 s: cut it into words"),
        (chirp().reshape(1, -1), RATE, r"shape \(samples,\)"),
        (chirp(), 0, "rate"),
        (chirp(), 22050.5, "rate"),
        (chirp(), np.nan, "rate"),
        (chirp(), np.inf, "rate"),
        (np.full(RATE, 128, np.uint8), RATE, "silent"),
        (np.stack([chirp() + 0.1, 0.2 - chirp()], axis=1), RATE, "silent"),
    ],
)
def test_a_sound_that_cannot_be_heard_gets_one_line(audio, rate, message):
    with pytest.raises(ValueError, match=message) as caught:
        encode(audio, rate, places=4)
    assert "\n" not in str(caught.value)


def test_settings_that_cannot_be_get_one_line():
    with pytest.raises(ValueError, match="window"):
        encode(chirp(), RATE, window="half")
    for places in (0, 70_000, 3.5):
        with pytest.raises(ValueError, match="places"):
            encode(chirp(), RATE, places=places)


# Against others


@pytest.mark.skipif(HD is None, reason="no Heidelberg Digits audio at hand")
def test_no_recording_of_the_heidelberg_digits_is_centred():
    for path in (HD / "audio").glob("*.flac"):
        audio, _ = soundfile.read(path)
        assert abs(audio.mean()) < cochlea.OFFSET / 5 * audio.std(), path


@pytest.mark.skipif(HD is None, reason="no Heidelberg Digits audio at hand")
def test_recordings_give_as_many_spikes_as_the_regenerated_data_hold():
    tables = [pq.read_table(HD / f"{split}.parquet", columns=["key", "units"]) for split in ("train", "test")]
    known = {key.as_py(): row for table in tables for key, row in zip(table["key"], table["units"], strict=True)}
    for path in [p for p in sorted((HD / "audio").glob("*.flac")) if soundfile.info(p).duration < 0.6]:
        _, units = encode(*soundfile.read(path), places=234)  # every third of 700, ends included
        theirs = known[path.stem].values.to_numpy()
        theirs = theirs[theirs % 3 == 0] // 3
        assert len(units) == pytest.approx(len(theirs), rel=0.05)
        counts = [np.histogram(u, 12, (0, 234))[0] for u in (units, theirs)]
        assert np.abs(counts[0] - counts[1]).sum() < 0.1 * len(theirs)


@pytest.mark.skipif(importlib.util.find_spec("lauscher") is None, reason="needs the extra `peers` (lauscher)")
def test_the_published_program_hears_the_same():
    from lauscher.audiowaves import MonoAudioWave
    from lauscher.helpers import CommandLineArguments
    from lauscher.transformations import BasilarMembrane, BushyCell, HairCell, HanningWindow, RmsNormalizer

    audio, rate = soundfile.read(ROOT / "data/audio/lang-english_speaker-04_trial-0_digit-7.flac")
    audio = audio[: round(0.3 * rate)]
    CommandLineArguments().num_concurrent_jobs = 1
    wave = MonoAudioWave(audio.copy(), rate).transform(RmsNormalizer(0.3)).transform(HanningWindow())
    moved = wave.transform(BasilarMembrane(channels=16))
    velocity = basilar_membrane(prepare(audio, rate, "full"), 16, pad=False)
    assert np.abs(velocity - moved.channels.T).max() < 1e-3 * np.abs(moved.channels).max()
    likely = moved.transform(HairCell())
    assert np.abs(hair_cell(moved.channels.T) - likely.channels.T).max() < 1e-6
    ours = [len(encode(audio, rate, places=16, seed=seed, window="full")[0]) for seed in range(50)]
    np.random.seed(0)  # the published draws come from here
    theirs = [len(likely.transform(BushyCell()).spike_times) for _ in range(10)]
    error = np.hypot(np.std(ours, ddof=1) / np.sqrt(len(ours)), np.std(theirs, ddof=1) / np.sqrt(len(theirs)))
    assert abs(np.mean(theirs) - np.mean(ours)) < 3.5 * error

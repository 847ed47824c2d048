"""Speech as threshold crossings of its mel spectrogram (Guetig and Sompolinsky 2009, Guetig 2016).

The paper names the encoding and its sizes for TiDigits and Ti46-Alpha; what it leaves open is chosen here: steps of
5 ms (200 steps are 1 s), a Hann window, the power spectrum, and the logarithm, smoothing and threshold levels after
Guetig and Sompolinsky 2009. Where audio ends below 8 kHz, the filters share what there is: a filter over nothing would
have its noise blown up to full range.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import get_window, resample_poly

from .audio import encode_file, mono
from .events import Raster

RATE = 20_000  # Hz, of TiDigits; other audio is resampled to it
NFFT = 512
STEP_MS = 5
HOP = RATE * STEP_MS // 1000
FILTERS = 16
BAND_HZ = (360.0, 8000.0)
LOWEST_RATE = 1441  # Hz: half of it must leave room for filters above 360 Hz
OFFSET = 0.5  # of the standard deviation; the largest in FSDD is 0.48
FLOOR = 1e-5  # of the largest power: what lies below is as silence
SMOOTHING_MS = 10
LEVELS = np.array([0.01, *np.arange(1, 15) / 15])  # of a filter's largest value, which is the peak's own
STEPS, CHANNELS = 200, 500


def filters(rate: int) -> np.ndarray:
    """Triangular mel filters from 360 Hz to 8000 Hz, or to half of ``rate`` where the audio ends there: (257, 16)."""
    mel = lambda hertz: 2595 * np.log10(1 + hertz / 700)
    low, high = BAND_HZ[0], min(BAND_HZ[1], rate / 2)
    corners = 700 * (10 ** (np.linspace(mel(low), mel(high), FILTERS + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(NFFT, 1 / RATE)[:, None]
    rising = (frequency - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - frequency) / np.diff(corners)[1:]
    return np.minimum(rising, falling).clip(0)


def levels(audio: np.ndarray, rate: int) -> np.ndarray:
    """The log mel spectrogram that thresholds are set in, smoothed, from 0 to 1 in every filter: (steps, 16).

    Unsigned samples are centred, and so is a microphone's offset beyond half of the standard deviation (RMS without the
    mean), see `audio.mono`. Filters begin at 360 Hz, so that they hear an offset only where the recording begins and
    ends. All of FSDD has smaller offsets and is encoded as it is: results on record depend on it.

    Args:
        audio: (samples,) or (samples, channels), any scale, signed or unsigned; channels are averaged.
        rate: Hz.

    Raises:
        ValueError: NaN, silence (also around an offset), less than one window of 26 ms, or another shape or rate.
    """
    audio = mono(audio, rate, offset=OFFSET, lowest_rate=LOWEST_RATE, shortest_s=NFFT / RATE)
    common = math.gcd(RATE, int(rate))
    audio = resample_poly(audio, RATE // common, int(rate) // common)
    # Step i is the window around i HOP.
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, NFFT // 2), NFFT)[::HOP]
    power = np.abs(np.fft.rfft(frames * get_window("hann", NFFT))) ** 2 @ filters(int(rate))
    level = gaussian_filter1d(np.log1p(power / (power.max() * FLOOR)), SMOOTHING_MS / STEP_MS, axis=0, mode="constant")
    return level / level.max(0).clip(np.finfo(float).tiny)


def encode(audio: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Spikes at the crossings of 15 thresholds in each of 16 filters, within the first 200 steps of 5 ms.

    Channel 31 f + k is an onset of filter f for k = 0 to 14 (threshold k is reached from below), an offset for k = 15
    to 29 (threshold k - 15 is left again), and the largest value for k = 30; channels 496 to 499 stay empty, as the
    paper has 500. Before and after the audio there is silence.

    Returns:
        step and channel of the spikes, uint16, in this order, none twice.

    Raises:
        ValueError: the audio cannot be used, see `levels`.
    """
    level = np.pad(levels(audio, rate), ((1, 1), (0, 0)))
    above = level[:, :, None] >= LEVELS
    onset, offset = above[1:] & ~above[:-1], above[:-1] & ~above[1:]
    peak = np.zeros((*level[1:].shape, 1), bool)
    peak[level[1:].argmax(0), np.arange(FILTERS), 0] = level.max(0) > 0
    spikes = np.concatenate((onset, offset, peak), axis=2)[:STEPS]
    step, channel = np.nonzero(spikes.reshape(len(spikes), -1))
    return step.astype(np.uint16), channel.astype(np.uint16)


def raster(
    recordings: Mapping[str, bytes | Path], labels: list[int], speakers: list[int], classes: int, source: str
) -> Raster:
    """Recordings as one `Raster` of 200 steps and 500 channels.

    Args:
        recordings: names, for messages, and contents or paths of audio files.

    Raises:
        ValueError: a recording cannot be read or encoded; the message names it.
    """
    step, channel = zip(*(encode_file(encode, file, name) for name, file in recordings.items()), strict=True)
    return Raster(
        offsets=np.cumsum([0, *map(len, step)]),
        step=np.concatenate(step),
        channel=np.concatenate(channel),
        labels=np.asarray(labels, np.int64),
        speakers=np.asarray(speakers, np.int64),
        steps=STEPS,
        channels=CHANNELS,
        classes=classes,
        source=source,
    )

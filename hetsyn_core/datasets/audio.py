"""Recordings: read from files, and checked before they are encoded."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile

from ..paths import expanded

MOST_CHANNELS = 8  # an array with more is the wrong way round
SILENT = 1e-9  # of the largest sample, below what float32 resolves
UNKNOWN_FORMAT = 1  # SF_ERR_UNRECOGNISED_FORMAT of libsndfile

Encoded = TypeVar("Encoded")


def read(source: str | Path | bytes, name: str | None = None) -> tuple[np.ndarray, int]:
    """The samples of a recording and its sampling rate.

    Args:
        source: path, where ``~`` is the home folder, or content of a file: WAV, FLAC, OGG, MP3, NIST SPHERE, ...
        name: what messages call the file; by default its path.

    Returns:
        samples from -1 to 1, float64 (samples,) or (samples, channels); rate in Hz.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read; the message names it and, for another format, says how to convert it.
    """
    name = _named(source, name)
    if not isinstance(source, bytes):
        source = expanded(source).read_bytes()
    if source.startswith(b"NIST_1A") and b"shorten" in source[:1024]:
        advice = "convert the recordings with the LDC's sph2pipe, `sph2pipe -f wav IN OUT` for each"
        reason = f"cannot be read because it is compressed with shorten: {advice}, into the same folders"
        raise ValueError(f"{name} {reason}")
    try:
        return soundfile.read(io.BytesIO(source))
    except soundfile.LibsndfileError as error:
        reason = error.error_string
        if error.code == UNKNOWN_FORMAT:
            reason = "its format is not known, unlike WAV, FLAC, OGG and MP3. If it is a sound (such as m4a), convert "
            reason += f'it with `ffmpeg -i "{name}" "{Path(name).with_suffix(".wav")}"`'
        raise ValueError(f"{name} cannot be read: {reason}") from None


def encode_file(
    encode: Callable[[np.ndarray, int], Encoded], source: str | Path | bytes, name: str | None = None
) -> Encoded:
    """What an encoder makes of a recording in a file.

    Raises:
        FileNotFoundError, ValueError: as `read`, or it cannot be encoded; the message names the file.
    """
    sound, rate = read(source, name)
    try:
        return encode(sound, rate)
    except ValueError as error:
        raise ValueError(f"{_named(source, name)} cannot be encoded: {error}") from None


def _named(source: str | Path | bytes, name: str | None) -> str:
    """What messages call a file."""
    return name or ("the recording" if isinstance(source, bytes) else str(source))


def mono(
    audio: np.ndarray, rate: float, *, offset: float, lowest_rate: int, shortest_s: float, longest_s: float = np.inf
) -> np.ndarray:
    """A recording as one channel that swings around zero.

    Unsigned samples are centred: the middle of their range (128 for 8 bits) is silence. Channels are averaged. A mean
    beyond ``offset`` is a fault of the microphone and is subtracted. A smaller one stays, because then the samples are
    used as they are, bit for bit, and encodings on record do not change.

    Args:
        audio: (samples,) or (samples, channels), any scale, signed or unsigned.
        rate: Hz.
        offset: the largest mean that stays, as a share of the samples' standard deviation.
        lowest_rate: Hz.

    Returns:
        float64 (samples,), in the scale of ``audio``.

    Raises:
        ValueError: NaN, silence (also around an offset), too short, too long, or another shape or rate.
    """
    audio = np.asarray(audio)
    middle = 2 ** (8 * audio.itemsize - 1) if audio.dtype.kind == "u" else 0
    audio = audio.astype(np.float64) - middle
    if audio.ndim == 2 and 0 < audio.shape[1] <= MOST_CHANNELS:
        audio = audio.mean(1)
    if audio.ndim != 1:
        raise ValueError(f"audio has shape (samples,) or (samples, channels), not {audio.shape}")
    if not (lowest_rate <= rate < np.inf and rate == int(rate)):
        raise ValueError(f"a sampling rate is a whole number of Hz from {lowest_rate} up, not {rate}")
    seconds = len(audio) / rate
    if seconds < shortest_s:
        raise ValueError(f"audio must last {1000 * shortest_s:.0f} ms or more, not {1000 * seconds:.3g} ms")
    if seconds > longest_s:
        raise ValueError(f"audio must last {longest_s:g} s or less, not {seconds:.3g} s: cut it into words")
    if not np.isfinite(audio).all():
        raise ValueError("audio holds NaN or infinity")
    if np.ptp(audio) <= SILENT * np.abs(audio).max():
        raise ValueError("audio is silent: all samples are equal (two channels in counterphase cancel)")
    mean = audio.mean()
    return audio - mean if abs(mean) > offset * audio.std() else audio

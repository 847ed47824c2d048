"""Threshold crossings, and the corpora that go through them."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from hetsyn_core.datasets import fsdd as fsdd_module
from hetsyn_core.datasets import thresholds
from hetsyn_core.datasets.audio import mono, read
from hetsyn_core.datasets.fsdd import fsdd
from hetsyn_core.datasets.ldc import ti46_alpha, tidigits
from hetsyn_core.datasets.thresholds import encode, filters, levels
from hetsyn_core.paths import datasets_folder


def sound(rate=8000, seconds=0.4, seed=0):
    """Noise with a tone that comes and goes."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    return 0.01 * rng.standard_normal(len(t)) + np.sin(2 * np.pi * 1000 * t) * np.exp(-(((t - 0.2) / 0.05) ** 2))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))
    return tmp_path


# The encoding


def test_filters_are_triangles_on_the_mel_scale():
    bank = filters(thresholds.RATE)
    frequency = np.fft.rfftfreq(512, 1 / 20_000)
    inside = bank.sum(1)[(frequency > frequency[bank[:, 0].argmax()]) & (frequency < frequency[bank[:, -1].argmax()])]
    assert bank.shape == (257, 16) and inside == pytest.approx(1)  # each falls as the next one rises
    peaks = frequency[bank.argmax(0)]
    mel = 1127.0 * np.log(1 + np.array([360, *peaks, 8000]) / 700)
    assert np.diff(mel) == pytest.approx(np.diff(mel).mean(), abs=40)  # to a bin of the transform
    assert not bank[frequency < 360].any() and not bank[frequency > 8000].any()
    assert not filters(8000)[frequency > 4000].any() and filters(8000).max(0).min() > 0.5


@pytest.mark.parametrize("seconds", [0.4, 1.5])
def test_spikes_are_where_the_level_crosses(seconds):
    audio = sound(seconds=seconds)
    level = levels(audio, 8000)
    expected = set()
    for f in range(16):
        trace = [0, *level[:, f], 0]
        for k, threshold in enumerate([0.01] + [j / 15 for j in range(1, 15)]):
            for step in range(len(trace) - 1):
                if trace[step] < threshold <= trace[step + 1]:
                    expected.add((step, 31 * f + k))
                if trace[step] >= threshold > trace[step + 1]:
                    expected.add((step, 31 * f + 15 + k))
        expected.add((list(level[:, f]).index(1), 31 * f + 30))
    step, channel = encode(audio, 8000)
    assert list(zip(step, channel, strict=True)) == sorted(spike for spike in expected if spike[0] < 200)
    assert channel.max() < 496


def test_the_level_is_a_smoothed_log_spectrogram():
    audio, rate = sound(20_000), 20_000
    level = levels(audio, rate)
    # One window after another, as it is told.
    padded, window = np.pad(audio, 256), 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    power = []
    for start in range(0, len(padded) - 511, 100):
        spectrum = np.fft.fft(padded[start : start + 512] * window)[:257]
        power.append([(filter_ * (spectrum * spectrum.conj()).real).sum() for filter_ in filters(rate).T])
    power = np.array(power)
    log = np.log(power / power.max() + 1e-5) - np.log(1e-5)
    kernel = np.exp(-(np.arange(-8, 9) ** 2) / (2 * 2**2))
    smooth = np.stack([np.convolve(column, kernel / kernel.sum(), "same") for column in log.T], 1)
    assert level == pytest.approx(smooth / smooth.max(0), abs=1e-6)


def test_a_tone_is_in_its_filter_and_time():
    step, channel = encode(sound(), 8000)
    f = filters(8000)[np.fft.rfftfreq(512, 1 / 20_000).searchsorted(1000)].argmax()
    (peak,) = step[channel == 31 * f + 30]
    assert peak == pytest.approx(0.2 * 200, abs=2)
    onset, offset = (step[(channel >= 31 * f + first) & (channel < 31 * f + first + 15)] for first in (5, 20))
    assert len(onset) and onset[onset < 100].min() < peak <= offset.max()


def test_loudness_and_rate_do_not_matter():
    one, louder = encode(sound(), 8000), encode(sound() * 1024, 8000)
    assert all(np.array_equal(a, b) for a, b in zip(one, louder, strict=True))
    audio = sound(16_000)
    assert levels(resample_poly(audio, 3, 1), 48_000) == pytest.approx(levels(audio, 16_000), abs=0.02)


@pytest.mark.parametrize(
    "audio, rate, message",
    [
        (np.zeros(8000), 8000, "silent"),
        (np.full(8000, 0.1), 8000, "silent"),
        (np.array([1.0, np.nan] * 4000), 8000, "NaN"),
        (sound()[:100], 8000, "26 ms or more"),
        (sound()[None, :, None], 8000, "shape"),
        (np.zeros((0, 2)), 8000, "26 ms or more"),
        (np.full(8000, 128, np.uint8), 8000, "silent"),
        (np.stack([sound() + 0.1, 0.2 - sound()], 1), 8000, "silent"),
        (sound()[None], 8000, "shape"),
        (sound(), np.nan, "sampling rate"),
        (sound(), np.inf, "sampling rate"),
        (sound(), 700, "sampling rate"),
        (sound(), 8000.5, "sampling rate"),
    ],
)
def test_audio_that_cannot_be_used_is_refused(audio, rate, message):
    with pytest.raises(ValueError, match=message):
        encode(audio, rate)


def test_channels_are_averaged():
    both = np.stack([sound(), sound(seed=1)], 1)
    assert np.array_equal(levels(both, 8000), levels(both.mean(1), 8000))


def spikes(audio, rate=8000):
    return set(zip(*map(np.ndarray.tolist, encode(audio, rate)), strict=True))


@pytest.mark.parametrize("bits", [8, 16])
def test_unsigned_samples_are_encoded_as_signed_ones(bits):
    signed = np.rint(sound() / 1.1 * (2 ** (bits - 1) - 1)).astype(f"int{bits}")
    unsigned = (signed.astype(int) + 2 ** (bits - 1)).astype(f"uint{bits}")
    assert spikes(unsigned) == spikes(signed)


def test_an_offset_is_taken_away_where_it_is_a_fault_and_else_left():
    audio = sound() - sound().mean()
    assert np.array_equal(levels(audio + 0.45 * audio.std(), 8000), direct(audio + 0.45 * audio.std()))
    for offset in (0.55, 1, 5):
        assert len(spikes(audio + offset * audio.std()) ^ spikes(audio)) <= 2  # to rounding
    assert spikes(-audio) == spikes(audio)


def direct(audio):
    """The levels of a recording that is not centred, whatever its mean: silence around it makes the mean small."""
    limit, thresholds.OFFSET = thresholds.OFFSET, np.inf
    try:
        return levels(audio, 8000)
    finally:
        thresholds.OFFSET = limit


# Free Spoken Digit Dataset


@pytest.fixture
def spoken(folder):
    """Two digits by two speakers, indices 4 to 6: one test and two training recordings each."""
    for digit in (3, 7):
        for speaker in ("theo", "george"):
            for index in (4, 5, 6):
                target = folder / "fsdd" / "recordings" / f"{digit}_{speaker}_{index}.wav"
                target.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(target, sound(seed=100 * digit + index + len(speaker)), 8000)
    return folder / "fsdd"


def test_the_official_test_set_are_the_first_five_indices(spoken):
    train, test = fsdd("train"), fsdd("test")
    assert (len(train), len(test), train.classes, train.steps, train.channels) == (8, 4, 10, 200, 500)
    assert test.labels.tolist() == [3, 3, 7, 7] and test.speakers.tolist() == [0, 1, 0, 1]
    audio, rate = soundfile.read(spoken / "recordings" / "3_theo_4.wav")
    own = slice(*test.offsets[1:3])
    assert all(
        np.array_equal(a, b) for a, b in zip(encode(audio, rate), (test.step[own], test.channel[own]), strict=True)
    )
    assert test.source == f"12 recordings unlike {fsdd_module.SOURCE}"


def test_an_archive_is_as_good_as_a_folder(spoken, monkeypatch):
    folder = fsdd("train")
    digest = fsdd_module._digest(fsdd_module.recordings())
    with zipfile.ZipFile(spoken / "any.zip", "w") as archive:
        for path in (spoken / "recordings").iterdir():
            archive.write(path, f"free-spoken-digit-dataset-26eb9aaf/recordings/{path.name}")
            path.unlink()
    monkeypatch.setattr(fsdd_module, "SHA256", digest)
    packed = fsdd("train")
    assert all(np.array_equal(getattr(packed, name), getattr(folder, name)) for name in ("offsets", "step", "channel"))
    assert packed.source == "Free Spoken Digit Dataset (26eb9aaf), stand-in for TiDigits"


def test_fsdd_is_downloaded_where_it_is_missing(folder, monkeypatch):
    def fetch(name, url, checksum):
        path = folder / name
        path.parent.mkdir()
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/README.md", "")
        return path

    monkeypatch.setattr(fsdd_module, "fetch", fetch)
    with pytest.raises(ValueError, match="no recording of the test set"):
        fsdd("test")


def test_a_broken_recording_is_named(spoken):
    (spoken / "recordings" / "3_theo_4.wav").write_bytes(b"no wave")
    with pytest.raises(ValueError, match="3_theo_4.wav cannot be read"):
        fsdd("test")
    (spoken / "recordings" / "3_theo_4.wav").write_bytes(b"")
    with pytest.raises(ValueError, match="3_theo_4.wav cannot be read"):
        fsdd("test")
    soundfile.write(spoken / "recordings" / "3_theo_4.wav", np.zeros(8000), 8000)
    with pytest.raises(ValueError, match="^3_theo_4.wav cannot be encoded: audio is silent"):
        fsdd("test")


@pytest.mark.skipif(not (datasets_folder() / "fsdd").exists(), reason="needs the recordings in $HETSYN_DATA/fsdd")
def test_the_whole_data_set_is_known():
    test = fsdd("test")
    assert np.bincount(test.labels).tolist() == [30] * 10 and np.bincount(test.speakers).tolist() == [50] * 6
    assert "26eb9aaf" in test.source


@pytest.mark.skipif(not (datasets_folder() / "fsdd").exists(), reason="needs the recordings in $HETSYN_DATA/fsdd")
def test_all_of_fsdd_is_encoded_as_it_is():
    offsets = []
    for name, content in fsdd_module.recordings().items():
        audio, rate = read(content, name)
        kept = mono(audio, rate, offset=thresholds.OFFSET, lowest_rate=thresholds.LOWEST_RATE, shortest_s=0.0256)
        assert np.array_equal(kept, audio), name
        offsets.append(abs(audio.mean()) / audio.std())
    assert 0.47 < max(offsets) < 0.48  # so that the limit is as low as it may be, or nearly


# The corpora of the LDC


def sphere(path, audio, rate, coding="pcm"):
    """A NIST SPHERE file, header and all by hand."""
    header = (
        f"NIST_1A\n   1024\nsample_count -i {len(audio)}\nsample_rate -i {rate}\nchannel_count -i 1\n"
        f"sample_n_bytes -i 2\nsample_byte_format -s2 01\nsample_sig_bits -i 16\n"
        f"sample_coding -s{len(coding)} {coding}\nend_head\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode().ljust(1024) + (audio * 20_000).astype("<i2").tobytes())


def test_tidigits_reads_single_digits_of_adults(folder):
    root = folder / "tidigits" / "tidigits"
    for place in ("train/man/ae/1a", "train/woman/bc/ZB", "train/woman/bc/oa", "test/man/fg/9a"):
        sphere(root / f"{place}.wav", sound(20_000), 20_000)
    for place in ("train/man/ae/12a", "train/boy/ab/1a", "train/man/ae/1c"):
        sphere(root / f"{place}.wav", sound(20_000), 20_000)
    train, test = tidigits("train"), tidigits("test")
    assert (train.labels.tolist(), train.speakers.tolist()) == ([1, 0, 10], [0, 1, 1])
    assert (test.labels.tolist(), test.speakers.tolist()) == ([9], [2])
    assert (train.steps, train.channels, train.classes, train.source) == (200, 500, 11, "TIDIGITS (3 recordings)")
    # What the file holds is what was written, to 16 bits.
    step, channel = encode((sound(20_000) * 20_000).astype("<i2") / 2**15, 20_000)
    assert np.array_equal(train.step[: train.offsets[1]], step) and np.array_equal(
        train.channel[: train.offsets[1]], channel
    )


def test_the_alphabet_of_ti46_is_split_by_session(folder):
    root = folder / "corpus" / "TI46" / "TI_ALPHA"
    for place in ("TRAIN/F1/0AF1SET0", "TRAIN/M8/0ZM8SET9", "TEST/F1/0KF1S8T1"):
        sphere(root / f"{place}.WAV", sound(12_500), 12_500)
    sphere(folder / "corpus" / "TI46" / "TI20" / "TRAIN" / "F1" / "00F1SET0.WAV", sound(12_500), 12_500)
    train, test = (ti46_alpha(split, folder / "corpus") for split in ("train", "test"))
    assert (train.labels.tolist(), train.speakers.tolist(), train.classes) == ([0, 25], [0, 1], 26)
    assert (test.labels.tolist(), test.source) == ([10], "TI46 (1 recordings)")


def test_a_part_of_a_corpus_is_found_from_within_it(folder, monkeypatch):
    sphere(folder / "tidigits/train/man/ae/1a.wav", sound(20_000), 20_000)
    monkeypatch.chdir(folder / "tidigits" / "train")
    assert len(tidigits("train", Path("."))) == 1


def test_shorten_says_how_to_convert(folder):
    sphere(folder / "tidigits/train/man/ae/1a.wav", sound(20_000), 20_000, "pcm,embedded-shorten-v2.00")
    with pytest.raises(
        ValueError, match="1a.wav cannot be read because it is compressed with shorten.*sph2pipe -f wav"
    ):
        tidigits("train")


def test_an_empty_folder_says_what_belongs_there(folder):
    for corpus in (tidigits, ti46_alpha):
        with pytest.raises(FileNotFoundError, match="put the corpus there"):
            corpus("train")
        with pytest.raises(ValueError, match="split"):
            corpus("validation")
    sphere(folder / "tidigits/train/man/ae/1a.wav", sound(20_000), 20_000)
    with pytest.raises(FileNotFoundError, match="no test recording"):
        tidigits("test")
    soundfile.write(folder / "tidigits/train/man/ae/1a.wav", np.zeros(8000), 8000)
    with pytest.raises(ValueError, match="1a.wav cannot be encoded: audio is silent"):
        tidigits("train")
    (folder / "tidigits/train/man/ae/1a.wav").write_bytes(b"no wave")
    with pytest.raises(ValueError, match="1a.wav cannot be read"):
        tidigits("train")

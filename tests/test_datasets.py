"""Spikes as they are held, binned, generated, and read from SHD's layout."""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pytest

from hetsyn_core.datasets import download
from hetsyn_core.datasets import shd as shd_module
from hetsyn_core.datasets.events import Events, Raster, bin_events
from hetsyn_core.datasets.manifolds import manifolds
from hetsyn_core.datasets.shd import SSC, read, shd, ssc


def events(n=5, channels=700, seconds=1.2, seed=0):
    """Recordings of 0 to 3000 spikes; times in half precision, as in SHD, many of them right on the edge of a step."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 3000, n) * (np.arange(n) > 0)
    times = np.where(rng.random(lengths.sum()) < 0.5, rng.random(lengths.sum()) * seconds, rng.integers(0, 300) * 0.004)
    return Events(
        offsets=np.cumsum([0, *lengths]),
        times=times.astype(np.float16).astype(np.float32) * 1000,
        units=rng.integers(0, channels, lengths.sum()).astype(np.uint16),
        labels=rng.integers(0, 20, n),
        speakers=rng.integers(0, 12, n),
        channels=channels,
        classes=20,
        source="drawn",
    )


def step_by_step(times_s, units, steps, dt):
    """The authors' reading as it is told: in each step, take all spikes up to its time, and remove them."""
    raster = np.zeros((steps, 700), np.float32)
    for i in range(steps):
        now = times_s <= np.float16(i * dt)
        for unit in units[now]:
            if unit > 0:
                raster[i, 700 - unit] = 1
        times_s, units = times_s[~now], units[~now]
    return raster


def test_the_authors_reading():
    data = events()
    rasters = bin_events(data).dense(range(len(data)))
    for row, raster in enumerate(rasters):
        own = slice(data.offsets[row], data.offsets[row + 1])
        times_s = (data.times[own].astype(np.float64) / 1000).astype(np.float16)
        assert np.array_equal(raster, step_by_step(times_s, data.units[own].astype(int), 250, 0.004))


def test_the_plain_reading():
    data = events()
    raster = bin_events(data, bin_ms=10, steps=70, reading="plain")
    expected = np.zeros((len(data), 70, 700), np.float32)
    for row in range(len(data)):
        for event in range(data.offsets[row], data.offsets[row + 1]):
            step = int(data.times[event] // 10)
            if step < 70:
                expected[row, step, data.units[event]] = 1
    assert np.array_equal(raster.dense(range(len(data))), expected)


@pytest.mark.parametrize("reading", ["authors", "plain"])
def test_a_cell_is_held_once_and_the_recordings_keep_their_order(reading):
    data = events()
    raster = bin_events(data, reading=reading)
    assert raster.dense(range(len(data))).sum() == len(raster.step)
    assert np.array_equal(raster.dense([3, 1])[0], raster.dense([3])[0])
    assert (raster.labels, raster.speakers, raster.source) == (data.labels, data.speakers, data.source)


def test_warping_time_stretches_the_raster():
    data = events()
    wide = bin_events(data, steps=500, reading="plain", stretch=2)
    assert np.array_equal(wide.dense([2]), bin_events(data, bin_ms=2, steps=500, reading="plain").dense([2]))


def test_deletion_is_drawn_from_its_generator():
    data = manifolds("train", n=20)
    whole = bin_events(data, reading="plain", steps=1000)
    first, again, other = (
        bin_events(data, reading="plain", steps=1000, delete=0.32, rng=np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first.step, again.step) and not np.array_equal(first.step, other.step)
    assert not (first.dense(range(20)) > whole.dense(range(20))).any()
    assert len(first.step) / len(whole.step) == pytest.approx(0.68, abs=0.02)
    assert len(bin_events(data, delete=1, rng=np.random.default_rng(0)).step) == 0


@pytest.mark.parametrize(
    "settings", [dict(delete=0.1), dict(delete=1.5), dict(stretch=0), dict(bin_ms=-4), dict(steps=0), dict(reading="?")]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError):
        bin_events(events(1), **settings)


@pytest.mark.parametrize(
    "change",
    [
        dict(units=np.array([0, 700], np.uint16)),
        dict(labels=np.array([20])),
        dict(labels=np.array([-1])),
        dict(offsets=np.array([0, 3])),
        dict(offsets=np.array([1, 2])),
        dict(offsets=np.array([0, 2, 1]), labels=np.array([0, 0]), speakers=np.array([0, 0])),
        dict(speakers=np.array([0, 1])),
        dict(times=np.array([0, np.nan], np.float32)),
        dict(times=np.array([np.inf, 0], np.float32)),
        dict(times=np.array([-1, 0], np.float32)),
        dict(times=np.array([0], np.float32)),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(change):
    good = dict(
        offsets=np.array([0, 2]),
        times=np.zeros(2, np.float32),
        units=np.array([0, 699], np.uint16),
        labels=np.array([19]),
        speakers=np.array([0]),
        channels=700,
        classes=20,
        source="drawn",
    )
    Events(**good)
    with pytest.raises(ValueError):
        Events(**good | change)


def test_a_raster_stays_within_its_steps_and_channels():
    empty = np.zeros(0, np.int64)
    for step, channel in ((2, 0), (0, 3)):
        with pytest.raises(ValueError, match="must lie from 0 to"):
            Raster(
                np.array([0, 1]), np.array([step]), np.array([channel]), np.array([0]), np.array([0]), 2, 3, 1, "drawn"
            )
    assert len(Raster(np.array([0]), empty, empty, empty, empty, 2, 3, 1, "drawn")) == 0


# Generated


def test_manifolds_are_the_same_for_the_same_seed():
    first, again = manifolds("train", n=8), manifolds("train", n=8)
    assert np.array_equal(first.times, again.times)
    assert not np.array_equal(first.times, manifolds("train", n=8, seed=1).times)
    assert not np.array_equal(first.times, manifolds("test", n=8).times)


def test_both_splits_lie_on_the_same_manifolds():
    train, test = manifolds("train", n=400), manifolds("test", n=100)
    points, others = train.times.reshape(400, 700), test.times.reshape(100, 700)
    assert points.min() >= 0 and 900 < points.max() <= 1000
    nearest = np.square(others[:, None] - points).sum(-1).argmin(1)
    assert (train.labels[nearest] == test.labels).mean() > 0.95
    # A class is told by its timing: every recording has the same number of spikes on every channel.
    assert np.array_equal(np.sort(train.units.reshape(400, 700)), np.tile(np.arange(700), (400, 1)))
    assert not set(train.speakers) & set(test.speakers)


def test_manifolds_of_nothing_are_refused():
    for settings in (dict(split="validation"), dict(split="train", n=0)):
        with pytest.raises(ValueError):
            manifolds(**settings)


# SHD's layout


def write_shd(path, data, source=None, **changes):
    """``data`` as a file in the layout of the official ones; ``changes`` replace a dataset, or leave it out (None)."""
    ragged = {
        "spikes/times": ((data.times / 1000).astype(np.float16), np.float16),
        "spikes/units": (data.units, np.uint16),
    }
    flat = {"labels": data.labels.astype(np.uint16), "extra/speaker": data.speakers.astype(np.uint16)}
    with h5py.File(path, "w") as file:
        if source:
            file.attrs["source"] = source
        for name, (values, kind) in ragged.items():
            values, kind = changes.get(name, (values, kind)) or (None, None)
            if kind:
                rows = file.create_dataset(name, (len(data),), h5py.vlen_dtype(kind))
                for i in range(len(data)):
                    rows[i] = values[data.offsets[i] : data.offsets[i + 1]]
        for name, values in flat.items():
            values = changes.get(name, values)
            if values is not None:
                file[name] = values
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))
    return tmp_path


def test_what_was_written_is_read(folder):
    # More than the thousand rows that are read at a time.
    for split, n, seed in (("train", 2100, 1), ("test", 3, 2)):
        data = events(n, seconds=0.01 if split == "train" else 1.2, seed=seed)
        write_shd(folder / f"shd_{split}.h5", data)
        found = shd(split)
        for name in ("offsets", "times", "units", "labels", "speakers", "channels", "classes"):
            assert np.array_equal(getattr(found, name), getattr(data, name)), name
        assert [getattr(found, name).dtype for name in ("offsets", "times", "units", "labels", "speakers")] == [
            np.int64,
            np.float32,
            np.uint16,
            np.int64,
            np.int64,
        ]


def test_a_file_says_where_it_comes_from(folder, monkeypatch):
    path = write_shd(folder / "shd_test.h5", events())
    assert shd("test").source == "unknown file in SHD's layout"
    monkeypatch.setattr(shd_module, "OFFICIAL", {"shd_test.h5": hashlib.md5(path.read_bytes()).hexdigest()})
    assert shd("test").source == "SHD"
    (folder / "shd_train.h5").write_bytes(path.read_bytes())
    assert shd("train").source == "unknown file in SHD's layout"  # who trains on the test set is told
    # An attribute is believed before the checksum.
    write_shd(path, events(), "SHD regenerated from the Heidelberg Digits audio (CC BY 4.0); not the official file")
    assert shd("test").source == "SHD regenerated from HD"
    write_shd(path, events(), "my own recordings")
    assert shd("test").source == "my own recordings"


def test_a_split_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="train.*test"):
        shd("validation")


def test_ssc_is_read_as_shd_is_with_35_classes_and_three_splits(folder):
    for number, split in enumerate(("train", "valid", "test")):
        data = replace(events(4, seed=number), labels=np.array([0, 34, 20, 7]), classes=35)
        write_shd(folder / f"ssc_{split}.h5", data)
        found = ssc(split)
        for name in ("offsets", "times", "units", "labels", "speakers", "channels", "classes"):
            assert np.array_equal(getattr(found, name), getattr(data, name)), name
        assert found.source == "unknown file in SSC's layout"
    with pytest.raises(ValueError, match="train.*valid.*test.*not 'validation'"):
        ssc("validation")
    with pytest.raises(ValueError, match="cannot be read as SHD.*labels must lie from 0 to 19"):
        read(folder / "ssc_test.h5")


def test_speakers_of_ssc_may_have_names_or_none(folder):
    data = replace(events(4), labels=np.array([0, 34, 20, 7]), classes=35)
    path = write_shd(folder / "ssc_test.h5", data, **{"extra/speaker": np.array(["f0", "0a", "f0", "b1"], "S")})
    assert ssc("test").speakers.tolist() == [2, 0, 2, 1]
    with h5py.File(path, "a") as file:
        del file["extra/speaker"]
        file["extra/speaker"] = ["f0", "0a", "f0", "b1"]  # text of any length, as h5py writes it
    assert ssc("test").speakers.tolist() == [2, 0, 2, 1]
    write_shd(path, data, **{"extra/speaker": None})
    assert ssc("test").speakers.tolist() == [-1] * 4


def test_ssc_is_unpacked_and_asked_for_by_its_official_name(folder, monkeypatch):
    asked = []

    def fetch(name, url, checksum):
        asked.append((name, url, checksum))
        write_shd(folder / "made.h5", events(2))
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.write(folder / "made.h5", name.removesuffix(".zip"))
        return folder / name

    monkeypatch.setattr(shd_module, "fetch", fetch)
    for split in SSC.splits:
        assert len(ssc(split)) == 2
    assert [(name, url) for name, url, _ in asked] == [
        (f"ssc_{split}.h5.zip", f"https://zenkelab.org/datasets/ssc_{split}.h5.zip") for split in SSC.splits
    ]
    assert all(checksum.startswith("md5:") for _, _, checksum in asked)


HOLD = """
import h5py, sys
with h5py.File(sys.argv[1], "a"):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_file_that_another_program_has_open_is_in_use(folder):
    path = write_shd(folder / "shd_test.h5", events(2))
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(OSError, match="shd_test.h5 is in use by another program: close") as error:
            shd("test")
        other.stdin.close()
    assert "fetch" not in str(error.value) and "\n" not in str(error.value)
    assert len(shd("test")) == 2


def test_a_checksum_is_the_same_of_a_file_and_of_its_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    for source in (tmp_path / "a", b"abc"):
        assert download.digest(source) == "900150983cd24fb0d6963f7d28e17f72"
        assert download.digest(source, "sha256") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"spikes/units": None, "labels": None}, "no spikes/units and no labels"),
        ({"spikes/times": None}, "no spikes/times"),
        ({"extra/speaker": None}, "no extra/speaker"),
        ({"spikes/units": (np.full(9000, 700), np.uint16)}, "units must lie from 0 to 699"),
        ({"spikes/units": (np.full(9000, 65537), np.uint32)}, "spikes/units must hold"),
        ({"spikes/times": (np.full(9000, np.nan), np.float16)}, "finite"),
        ({"spikes/times": (np.full(9000, "4"), "S1")}, "spikes/times must hold"),
        ({"spikes/times": (np.zeros(9), np.float16)}, "different lengths"),
        ({"labels": np.full(3, 20)}, "labels must lie from 0 to 19"),
        ({"labels": np.zeros(4, int)}, "do not belong together"),
        ({"labels": 3}, "cannot be read"),
    ],
)
def test_a_file_in_another_layout_is_refused_in_one_line(tmp_path, changes, message):
    path = write_shd(tmp_path / "shd_test.h5", events(3), **changes)
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_damaged_file_is_refused(tmp_path):
    whole = write_shd(tmp_path / "whole.h5", events(3)).read_bytes()
    path = tmp_path / "shd_test.h5"
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="cannot be read as SHD"):
            read(path)
    path.write_bytes(b"not HDF5" * 1000)
    with pytest.raises(ValueError, match="cannot be read as SHD"):
        read(path)

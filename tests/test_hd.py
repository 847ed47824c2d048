"""A folder of recordings becomes two files in SHD's layout, in one go or in many."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from hetsyn_core import workers
from hetsyn_core.datasets import cochlea, hd, shd
from hetsyn_core.paths import ROOT

SPEAKERS = (0, 4, 7, 10)


def recording_name(label, speaker, trial=0):
    language, digit = ("german" if label >= 10 else "english"), label % 10
    return f"lang-{language}_speaker-{speaker:02}_trial-{trial}_digit-{digit}.flac"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight very short recordings, and a file that is none."""
    folder = tmp_path_factory.mktemp("audio")
    rng = np.random.default_rng(0)
    for label in (3, 13):
        for speaker in SPEAKERS:
            soundfile.write(folder / recording_name(label, speaker), 0.1 * rng.standard_normal(3000), 48_000)
    (folder / "README.md").write_text("not a recording")
    return folder


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """The folder encoded in one go."""
    out = tmp_path_factory.mktemp("made")
    assert hd.main([str(folder), str(out), "--processes", "2"]) == 0
    return out


def content(out):
    """All spikes, labels, speakers of the two files."""
    rows = []
    for split in ("train", "test"):
        events = shd.read(out / f"shd_{split}.h5")
        rows += [events.offsets, events.times, events.units, events.labels, events.speakers]
    return [row.tolist() for row in rows]


def test_the_files_are_read_as_shd_and_say_what_they_are(made, folder):
    train, test = (shd.read(made / f"shd_{split}.h5") for split in ("train", "test"))
    assert test.speakers.tolist() == [4, 4] and test.labels.tolist() == [3, 13]
    found = sorted(zip(train.labels, train.speakers, strict=True))
    assert found == [(y, s) for y in (3, 13) for s in SPEAKERS if s != 4]
    assert train.source == "8 of 10420 Heidelberg Digits (CC BY 4.0) as spikes"
    with h5py.File(made / "shd_test.h5") as file:
        assert file["spikes/times"][0].dtype == np.float16 and file["spikes/units"][0].dtype == np.uint16
        assert file["extra/keys"][13] == b"drei" and "speakers 4 and 5, and 0 of the others" in file.attrs["test_set"]
        times, units = cochlea.encode(*soundfile.read(folder / recording_name(3, 4)), seed=(0, 3, 4, 0))
        assert np.array_equal(file["spikes/units"][0], units)
        assert file["spikes/times"][0].astype(float) * 1000 == pytest.approx(times, abs=0.25)
    assert sorted(path.name for path in made.iterdir()) == ["shd_test.h5", "shd_train.h5"]


def test_all_of_them_without_a_window_are_shd_regenerated():
    assert hd.source(10_420, None).startswith("SHD regenerated from the Heidelberg Digits")
    assert hd.source(10_420, "full") == "10420 of 10420 Heidelberg Digits (CC BY 4.0) as spikes, windowed"


def test_ended_by_force_it_goes_on_and_gives_the_same(folder, made, tmp_path):
    command = [sys.executable, "-m", "hetsyn_core.datasets.hd", str(folder), str(tmp_path), "--processes", "1"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".parts/*.spikes")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob("*.h5"))
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob(".parts/*.spikes")}
    first, *_ = kept
    first.write_bytes(first.read_bytes()[:-1])  # as if cut off
    assert hd.make(folder, tmp_path, processes=1) == (6, 2)
    assert content(tmp_path) == content(made)


@pytest.fixture
def part(folder, tmp_path):
    """A finished recording: the arguments that make it, and its file."""
    arguments = hd.recordings(folder)[0], tmp_path, 0, None
    made_from, error = hd._encode_part(*arguments)
    assert not error
    (path,) = tmp_path.glob("*.spikes")
    return arguments, path, made_from


def test_a_finished_recording_is_not_encoded_again(part, monkeypatch):
    arguments, _, made_from = part
    monkeypatch.setattr(cochlea, "encode", lambda *_, **__: pytest.fail("encoded again"))
    assert hd._encode_part(*arguments) == (made_from, "")


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_a_damaged_part_is_made_again(part, damage):
    arguments, path, made_from = part
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert hd._read_part(path, made_from) is None
    assert hd._encode_part(*arguments) == (made_from, "") and path.read_bytes() == whole


def test_another_sound_seed_or_window_makes_a_part_again(part, tmp_path):
    (recording, parts, seed, window), path, made_from = part
    other = tmp_path / recording.path.name
    soundfile.write(other, np.random.default_rng(1).standard_normal(3000) / 10, 48_000)
    for arguments in (
        (recording._replace(path=other), parts, seed, window),
        (recording, parts, 1, window),
        (recording, parts, seed, "full"),
    ):
        before = path.read_bytes()
        changed, error = hd._encode_part(*arguments)
        assert not error and changed != made_from and path.read_bytes() != before


# The split


def named(*, trials=1, folder=Path("nowhere")):
    return [
        hd.Recording(folder / recording_name(label, speaker, trial), label, speaker, trial)
        for label in range(20)
        for speaker in range(12)
        for trial in range(trials)
    ]


def test_speakers_4_and_5_test_and_a_share_of_each_class_of_the_others():
    found = named(trials=43)  # 8,600 of other speakers, 424 of 8,580 have counterparts in SHD's test set
    names, chosen_by = hd.test_names(found)
    test = [r for r in found if r.path.name in names]
    assert sum(r.speaker in (4, 5) for r in test) == 2 * 20 * 43
    drawn = [r.label for r in test if r.speaker not in (4, 5)]
    assert len(drawn) == 425 and set(np.bincount(drawn, minlength=20)) == {21, 22}
    assert chosen_by == "speakers 4 and 5, and 425 of the others, drawn evenly over the classes with seed 0"
    assert hd.test_names(found)[0] == names != hd.test_names(found, seed=1)[0]


def test_the_list_that_comes_with_the_audio_decides(tmp_path):
    (tmp_path / "audio").mkdir()
    found = named(folder=tmp_path / "audio")
    (tmp_path / hd.TEST_LIST).write_text(f"{recording_name(3, 7)}\naudio/{recording_name(13, 0)}\n\nother.flac\n")
    assert hd.test_names(found) == ({recording_name(3, 7), recording_name(13, 0)}, f"the names in {hd.TEST_LIST}")
    (tmp_path / hd.TEST_LIST).write_text("other.flac\n")
    with pytest.raises(ValueError, match="names none of the recordings"):
        hd.test_names(found)


# What cannot be done


def test_a_folder_without_recordings_gets_one_line(tmp_path, capsys):
    assert hd.main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert "no recording named like" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_finished_files_are_not_overwritten(folder, made, tmp_path, capsys):
    before = {path: path.stat().st_mtime_ns for path in made.iterdir()}
    assert hd.main([str(folder), str(made)]) == 1
    assert "holds such files already" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in made.iterdir()}
    alone = tmp_path / "shd_train.h5"  # such as an official one
    alone.write_bytes(b"as it is")
    assert hd.main([str(folder), str(tmp_path)]) == 1 and alone.read_bytes() == b"as it is"


@pytest.mark.parametrize("sound", [np.zeros(3000), np.ones(10), None])
def test_a_recording_that_cannot_be_encoded_is_named(tmp_path, sound):
    path = tmp_path / recording_name(0, 0)
    if sound is None:
        path.write_bytes(b"fLaC but not really")
    else:
        soundfile.write(path, sound, 48_000)
    _, error = hd._encode_part(hd.recordings(tmp_path)[0], tmp_path, 0, None)
    assert error.startswith(path.name + " cannot be ") and not list(tmp_path.glob("*.spikes"))


def test_recordings_that_cannot_be_encoded_end_it_and_nothing_is_written(folder, tmp_path):
    audio, out = tmp_path / "audio", tmp_path / "out"
    audio.mkdir()
    soundfile.write(audio / recording_name(0, 0), np.zeros(3000), 48_000)
    with pytest.raises(ValueError, match=r"1 of 1 recordings cannot be encoded; the first is lang-.*silent"):
        hd.make(audio, out, processes=1)
    assert not list(out.glob("*.h5"))


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_a_worker_ended_from_outside_gets_one_line(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_start", end_worker)
    with pytest.raises(RuntimeError, match="the same command goes on"):
        hd.make(folder, tmp_path, processes=1)


def end_worker():
    os.kill(os.getpid(), signal.SIGKILL)

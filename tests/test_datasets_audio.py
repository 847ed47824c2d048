"""Recordings as they are read: other formats, broken files, and paths as a user writes them."""

import io

import matplotlib
import nbformat
import numpy as np
import pytest
import soundfile

from hetsyn_core.datasets import cochlea
from hetsyn_core.datasets.audio import encode_file, read
from hetsyn_core.paths import ROOT, expanded

SOUND = np.sin(np.arange(4800) / 5) / 2
M4A = bytes([0, 0, 0, 24]) + b"ftypM4A \0\0\0\0M4A mp42isom" + bytes(1000)
WEBM = b"\x1aE\xdf\xa3" + bytes(1000)


@pytest.mark.parametrize("content", [M4A, WEBM, b"no sound at all", b""])
def test_a_format_that_is_not_read_gets_one_line_that_says_how_to_convert(tmp_path, content):
    path = tmp_path / "my word.m4a"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match='my word.m4a cannot be read.*ffmpeg -i ".*my word.m4a" ".*my word.wav"'
    ) as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_damaged_recording_is_not_to_be_converted(tmp_path):
    path = tmp_path / "word.flac"
    soundfile.write(path, SOUND, 48_000)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match="word.flac cannot be read: ") as error:
        read(path)
    assert "ffmpeg" not in str(error.value)


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    soundfile.write(tmp_path / "word.wav", SOUND, 48_000)
    audio, rate = read("~/word.wav")
    assert rate == 48_000 and audio == pytest.approx(SOUND, abs=1e-4)
    with pytest.raises(FileNotFoundError, match="other.wav"):
        read("~/other.wav")


def test_a_file_and_its_content_are_the_same_samples(tmp_path):
    path = tmp_path / "word.wav"
    soundfile.write(path, SOUND, 48_000, "PCM_U8")
    (audio, rate), expected = read(path.read_bytes()), soundfile.read(path)
    assert np.array_equal(audio, expected[0]) and rate == expected[1] and np.array_equal(audio, read(path)[0])
    assert abs(audio.mean()) < 0.01  # eight bits are unsigned in a file


def test_what_cannot_be_encoded_is_named(tmp_path):
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.full(4800, 0.25), 48_000)
    with pytest.raises(ValueError, match="silence.wav cannot be encoded: audio is silent") as error:
        encode_file(cochlea.encode, path)
    assert "\n" not in str(error.value)


# In the notebooks


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with a recording, and another folder to work in."""
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    soundfile.write(tmp_path / "my_voice.wav", np.stack([SOUND, SOUND], 1), 48_000)
    return tmp_path


def cells(name):
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    return {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}


def test_the_notebook_on_hearing_finds_a_recording_at_home(home):
    matplotlib.use("agg")
    code, names = cells("08_hearing.ipynb"), {}
    exec(code["h01"], names)
    names["recording"] = "~/my_voice.wav"
    for cell in ("h02", "h04"):
        exec(code[cell], names)
    matplotlib.pyplot.close("all")
    assert names["path"] == home / "my_voice.wav" and names["audio"].shape == (4800, 2)


def test_the_exercise_on_ones_own_voice_finds_a_recording_at_home(home):
    code = cells("exercises/09_own_voice.ipynb")["recording"].replace("my_voice.wav", "~/my_voice.wav")
    names = dict(expanded=expanded, read=read, seconds=1, loudest=None, attempt=lambda _, *arguments: arguments)
    exec(code, names)
    audio, rate, _ = names["cut"]
    assert audio == pytest.approx(SOUND, abs=1e-4) and rate == 48_000


def test_a_message_about_content_without_a_name_does_not_show_the_content():
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(8000), 8000, format="WAV")
    with pytest.raises(ValueError, match="^the recording cannot be encoded: audio is silent"):
        encode_file(cochlea.encode, buffer.getvalue())

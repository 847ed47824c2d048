"""Folders as a user names them, and files that appear whole."""

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from hetsyn_core import paths
from hetsyn_core.paths import datasets_folder, expanded, figures_folder, records_folder, whole, writable, write_whole

FOLDERS = {"HETSYN_DATA": datasets_folder, "HETSYN_RECORDS": records_folder, "HETSYN_FIGURES": figures_folder}


@pytest.mark.parametrize("variable", FOLDERS)
def test_a_tilde_is_the_home_folder(variable, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv(variable, "~/mine")
    assert FOLDERS[variable]() == tmp_path / "mine"
    monkeypatch.setenv(variable, str(tmp_path / "a~b"))
    assert FOLDERS[variable]() == tmp_path / "a~b"
    monkeypatch.setenv(variable, "")
    assert FOLDERS[variable]().is_relative_to(paths.ROOT)


@pytest.mark.skipif(os.name == "nt", reason="Windows takes any name for a user's")
def test_the_home_of_somebody_unknown_gets_one_line():
    with pytest.raises(ValueError, match="^~nobody-of-this-name/a begins with ~.*write the whole path$"):
        expanded("~nobody-of-this-name/a")


def test_a_folder_is_made_and_left_empty(tmp_path):
    assert writable(tmp_path / "a" / "b") == tmp_path / "a" / "b" and not list((tmp_path / "a" / "b").iterdir())


def test_a_folder_that_cannot_be_written_to_gets_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "records"):
        with pytest.raises(OSError, match=f"^nothing can be written to {folder} \\(.*\\): .*another folder$") as error:
            writable(folder)
        assert "\n" not in str(error.value)
    disk = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk(10**9, 10**9, 0))
    with pytest.raises(OSError, match="^nothing can be written to .*: the disk is full"):
        writable(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_of_somebody_else_gets_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="^nothing can be written to .*Permission denied"):
        writable(tmp_path)


def test_a_file_is_there_whole_or_as_it_was(tmp_path):
    target = tmp_path / "a" / "file"
    write_whole(target, b"first")
    with pytest.raises(RuntimeError), whole(target) as temporary:
        temporary.write_bytes(b"half")
        assert target.read_bytes() == b"first"
        raise RuntimeError
    assert target.read_bytes() == b"first" and list(Path(target.parent).iterdir()) == [target]
    with whole(target) as temporary:
        temporary.write_bytes(b"second")
    assert target.read_bytes() == b"second" and list(Path(target.parent).iterdir()) == [target]


@pytest.mark.parametrize("variable", FOLDERS)
def test_a_folder_that_cannot_be_written_to_is_named_with_what_names_it(variable, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    with pytest.raises(OSError, match=f"file/a .*: change this, or name another folder by {variable}=...$"):
        writable(tmp_path / "file" / "a")
    monkeypatch.delenv(variable)
    with pytest.raises(OSError, match="change this, or name another folder$"):
        writable(tmp_path / "file" / "a")


def test_two_threads_may_write_the_same_file(tmp_path):
    with whole(tmp_path / "a") as first, whole(tmp_path / "a") as second:
        first.write_bytes(b"1"), second.write_bytes(b"2")
    assert (tmp_path / "a").read_bytes() == b"1" and [path.name for path in tmp_path.iterdir()] == ["a"]

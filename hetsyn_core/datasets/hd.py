"""SHD made from its own audio: a folder of the Heidelberg Digits through the encoder, into files in SHD's layout::

    python -m hetsyn_core.datasets.hd AUDIO_FOLDER OUT

writes OUT/shd_train.h5 and OUT/shd_test.h5. The Heidelberg Digits (Cramer et al. 2020, CC BY 4.0) are 10,420
recordings `lang-{english,german}_speaker-NN_trial-N_digit-D.flac`. The spikes are other random draws than those
published, so the files say what they are: see `source`.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from .. import workers
from ..paths import whole, writable, write_whole
from ..progress import bar, exit_status
from . import audio, cochlea
from .download import digest
from .shd import LABELS, MADE_BY_HD, SPEAKERS, TIMES, UNITS

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
          "null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun")  # fmt: skip
ALL = 10_420
NAME = re.compile(r"lang-(english|german)_speaker-(\d\d)_trial-(\d+)_digit-(\d)\.flac")
TEST_SPEAKERS = (4, 5)
TEST_SHARE = 424 / 8580  # of the recordings of the other speakers
TEST_LIST = "test_filenames.txt"  # comes with the Heidelberg Digits
DIGEST = 64  # hexadecimal digits of a SHA-256, the first bytes of a finished recording


class Recording(NamedTuple):
    path: Path
    label: int  # 0-9 English, 10-19 German
    speaker: int
    trial: int


def recordings(folder: Path) -> list[Recording]:
    """The recordings of a folder, by name; other files are passed over.

    Raises:
        ValueError: there is none.
    """
    found = []
    for path in sorted(folder.glob("*.flac")):
        if match := NAME.fullmatch(path.name):
            language, speaker, trial, digit = match.groups()
            found.append(Recording(path, int(digit) + 10 * (language == "german"), int(speaker), int(trial)))
    if not found:
        raise ValueError(f"{folder} holds no recording named like lang-english_speaker-00_trial-0_digit-0.flac")
    return found


def test_names(found: Sequence[Recording], seed: int = 0) -> tuple[set[str], str]:
    """Which recordings test, and in words how they were chosen.

    The list beside or above the audio, if there is one, else all of speakers 4 and 5 and the share of the others that
    makes 424 of all 8,580: equally many of each class (the first classes one more), drawn by ``seed``. Which 424 the
    authors drew is in their list alone.

    Raises:
        ValueError: the list names none of the recordings.
    """
    folder = found[0].path.parent
    for listed in (folder / TEST_LIST, folder.parent / TEST_LIST):
        if listed.is_file():
            stems = {Path(line.strip()).stem for line in listed.read_text().splitlines()}
            names = {r.path.name for r in found if r.path.stem in stems}
            if not names:
                raise ValueError(f"{listed} names none of the recordings: correct or remove it")
            return names, f"the names in {TEST_LIST}"
    names = {r.path.name for r in found if r.speaker in TEST_SPEAKERS}
    others = [r for r in found if r.speaker not in TEST_SPEAKERS]
    each, more = divmod(round(TEST_SHARE * len(others)), len(DIGITS))
    rng = np.random.default_rng(seed)
    for label in range(len(DIGITS)):
        candidates = [r.path.name for r in others if r.label == label]
        names.update(rng.permutation(candidates)[: each + (label < more)])
    drawn = len(names) - (len(found) - len(others))
    return names, f"speakers 4 and 5, and {drawn} of the others, drawn evenly over the classes with seed {seed}"


def source(count: int, window: str | None) -> str:
    """What the files hold, shown wherever a result is shown."""
    if count == ALL and window is None:
        return f"{MADE_BY_HD} audio (CC BY 4.0); not the official file"
    return f"{count} of {ALL} Heidelberg Digits (CC BY 4.0) as spikes{', windowed' if window else ''}"


def _made_from(recording: bytes, seed: int, window: str | None) -> bytes:
    """A checksum of all that the spikes of a recording depend on: its content, the encoder's code and the settings."""
    code = (digest(Path(module.__file__), "sha256") for module in (audio, cochlea))
    return digest(" ".join([digest(recording, "sha256"), *code, f"{seed} {window}"]).encode(), "sha256").encode()


def _packed(spikes: bytes, made_from: bytes) -> bytes:
    """The content of a finished recording's file: a checksum over this and what it was made from, then spikes."""
    return digest(made_from + spikes, "sha256").encode() + spikes


def _read_part(part: Path, made_from: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """Times in s (float16) and units of a part that is whole and was made from just this; else None."""
    if not part.is_file():
        return None
    content = part.read_bytes()
    if content != _packed(content[DIGEST:], made_from):
        return None
    times, units = np.frombuffer(content, "<u2", offset=DIGEST).reshape(2, -1)
    return times.view("<f2"), units


def _encode_part(recording: Recording, parts: Path, seed: int, window: str | None) -> tuple[bytes, str]:
    """Keep the spikes of a recording, unless they are there; returns what they are made from, and what went wrong."""
    part = parts / f"{recording.path.stem}.spikes"
    try:
        content = recording.path.read_bytes()
        made_from = _made_from(content, seed, window)
        if _read_part(part, made_from) is not None:
            return made_from, ""
        draws = seed, recording.label, recording.speaker, recording.trial
        encode = partial(cochlea.encode, seed=draws, window=window)
        times_ms, units = audio.encode_file(encode, content, recording.path.name)
    except (OSError, ValueError) as error:
        return b"", str(error)
    times = (times_ms.astype(np.float64) / 1000).astype("<f2")
    spikes = times.tobytes() + units.astype("<u2").tobytes()
    write_whole(part, _packed(spikes, made_from))
    return made_from, ""


def _write_split(
    target: Path, chosen: Sequence[Recording], parts: Path, made_from: dict[Path, bytes], **attributes
) -> None:
    with whole(target) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(attributes)
        times = file.create_dataset(TIMES, (len(chosen),), h5py.vlen_dtype(np.float16))
        units = file.create_dataset(UNITS, (len(chosen),), h5py.vlen_dtype(np.uint16))
        for row, recording in enumerate(chosen):
            part = parts / f"{recording.path.stem}.spikes"
            if (spikes := _read_part(part, made_from[recording.path])) is None:
                raise OSError(f"{part} was changed while this ran: start it again")
            times[row], units[row] = spikes
        file[LABELS] = np.array([r.label for r in chosen], np.uint16)
        file[SPEAKERS] = np.array([r.speaker for r in chosen], np.uint16)
        file["extra/keys"] = np.array(DIGITS, "S")


def make(
    folder: Path, out: Path, seed: int = 0, window: str | None = None, processes: int | None = None
) -> tuple[int, int]:
    """Encode a folder, a process per core; stopped at any moment it goes on from there when called again.

    Finished recordings lie in OUT/.parts, each with a checksum over its spikes, audio, settings and the encoder's
    code, until both files are written. Row order, draws and files do not depend on the number of processes.

    Returns:
        how many recordings train, and how many test.

    Raises:
        ValueError: no recording in the folder, or some that cannot be encoded.
        FileExistsError: the files are there already.
        OSError: the folder cannot be written to.
        RuntimeError: a process ended from outside.
    """
    found = recordings(folder)
    parts = out / ".parts"
    targets = {split: out / f"shd_{split}.h5" for split in ("train", "test")}
    if not parts.is_dir() and any(target.exists() for target in targets.values()):
        raise FileExistsError(f"{out} holds such files already: remove them, or name another folder")
    writable(parts)
    try:
        with workers.pool(processes or workers.cores()) as pool:
            work = pool.map(partial(_encode_part, parts=parts, seed=seed, window=window), found)
            results = list(bar(work, desc="encoding", total=len(found), unit="recordings", smoothing=0.1))
    except BrokenProcessPool:
        raise RuntimeError("a process was ended from outside; the same command goes on from here") from None
    if failed := [error for _, error in results if error]:
        raise ValueError(f"{len(failed)} of {len(found)} recordings cannot be encoded; the first is {failed[0]}")
    made_from = {recording.path: digest for recording, (digest, _) in zip(found, results, strict=True)}
    tests, chosen_by = test_names(found, seed)
    split = {
        "train": [r for r in found if r.path.name not in tests],
        "test": [r for r in found if r.path.name in tests],
    }
    about = dict(source=source(len(found), window), seed=seed, window=str(window), test_set=chosen_by)
    for name, target in targets.items():
        _write_split(target, split[name], parts, made_from, **about)
    shutil.rmtree(parts)
    return len(split["train"]), len(split["test"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("hetsyn_core.datasets.hd", description=__doc__.split("\n")[0])
    parser.add_argument("audio", type=Path, help="folder of the Heidelberg Digits' recordings (FLAC)")
    parser.add_argument("out", type=Path, help="folder for shd_train.h5 and shd_test.h5")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default 0)")
    parser.add_argument("--window", choices=["full"], help="fade over the whole recording, as the published program")
    parser.add_argument("--processes", type=int, help="side by side (default: one per core)")
    options = parser.parse_args(arguments)

    def work() -> None:
        train, test = make(options.audio, options.out, options.seed, options.window, options.processes)
        print(f"{train} recordings to train and {test} to test in {options.out}")

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())

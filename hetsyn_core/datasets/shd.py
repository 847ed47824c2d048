"""Spiking Heidelberg Digits (SHD), official or regenerated, and Spiking Speech Commands (SSC), in the same layout.

Cramer, Stradmann, Schemmel and Zenke 2020, CC BY 4.0.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from ..paths import datasets_folder, write_whole
from .download import content, digest, fetch
from .events import Events
from .split import Split, check_split

CHANNELS = 700
UNITS, TIMES, LABELS, SPEAKERS = "spikes/units", "spikes/times", "labels", "extra/speaker"
NO_SPEAKER = -1
PACKED = ".zip", ".gz"
MADE_BY_HD = "SHD regenerated from the Heidelberg Digits"  # how the source of files that `hd` made begins
REGENERATED = "SHD regenerated from HD"  # the same, shorter


@dataclass(frozen=True)
class Corpus:
    """A data set in SHD's layout."""

    name: str  # its files are called so too, in lower case
    classes: int
    splits: tuple[str, ...]
    must_hold: tuple[str, ...] = (UNITS, TIMES, LABELS)

    def file(self, split: str) -> Path:
        return datasets_folder() / f"{self.name.lower()}_{split}.h5"


SHD = Corpus("SHD", 20, ("train", "test"), (UNITS, TIMES, LABELS, SPEAKERS))
SSC = Corpus("SSC", 35, ("train", "valid", "test"))

# md5 of the official files: as they are downloaded, and unpacked where it is known. SSC's are those that the libraries
# tonic and SpikingJelly check; they name the same ones for SHD as we do.
DOWNLOADS = {
    "shd_train.h5": {
        "https://zenkelab.org/datasets/shd_train.h5.zip": "md5:f3252aeb598ac776c1b526422d90eecb",
        "https://compneuro.net/datasets/shd_train.h5.gz": "md5:d47c9825dee33347913e8ce0f2be08b0",
    },
    "shd_test.h5": {
        "https://zenkelab.org/datasets/shd_test.h5.zip": "md5:1503a5064faa34311c398fb0a1ed0a6f",
        "https://compneuro.net/datasets/shd_test.h5.gz": "md5:3062a80ec0c5719404d5b02e166543b1",
    },
    "ssc_train.h5": {"https://zenkelab.org/datasets/ssc_train.h5.zip": "md5:d102be95e7144fcc0553d1f45ba94170"},
    "ssc_valid.h5": {"https://zenkelab.org/datasets/ssc_valid.h5.zip": "md5:b4eee3516a4a90dd0c71a6ac23a8ae43"},
    "ssc_test.h5": {"https://zenkelab.org/datasets/ssc_test.h5.zip": "md5:a35ff1e9cffdd02a20eb850c17c37748"},
}
OFFICIAL = {"shd_train.h5": "8e9877c85f29a28dd353ea6a54402667", "shd_test.h5": "207ad1295a0ab611e22d1734989c254e"}


def shd(split: Split) -> Events:
    """8,156 training or 2,264 test recordings: spoken digits as spikes of 700 channels.

    Labels 0 to 9 are English, 10 to 19 German. The file is ``shd_{split}.h5`` in ``$HETSYN_DATA``, unpacked from
    ``.h5.zip`` or ``.h5.gz`` beside it, or downloaded (125 and 38 MB). Its checksum (official) or its attribute
    ``source`` (regenerated) says where it comes from.

    Raises:
        ConnectionError: there is no such file, and it cannot be downloaded.
        OSError: another program uses the file, or the folder cannot be written to.
        ValueError: an unknown split, or the file is damaged or not in SHD's layout.
    """
    return _corpus(SHD, split)


def ssc(split: Literal["train", "valid", "test"]) -> Events:
    """75,466 training, 9,981 validation or 20,382 test recordings: 35 spoken commands as spikes of 700 channels.

    The file is ``ssc_{split}.h5`` in ``$HETSYN_DATA``, found, unpacked or downloaded (1.2, 0.2 and 0.3 GB) as by `shd`.
    In memory the training set takes about 4 GB. Speakers that have names in the file are numbered in the order of these
    names, separately in each split; where the file names none, all are -1.

    Raises:
        ConnectionError, OSError, ValueError: as `shd`.
    """
    return _corpus(SSC, split)


def official() -> bool:
    """Whether the data folder holds SHD's own files, packed or not, as their checksums tell."""
    for path in map(SHD.file, SHD.splits):
        known = {OFFICIAL[path.name], *(checksum.removeprefix("md5:") for checksum in DOWNLOADS[path.name].values())}
        used = next(_present(path, "", *PACKED), None)  # as `shd` looks for them
        if used is None or digest(used) not in known:
            return False
    return True


def read(path: Path, corpus: Corpus = SHD) -> Events:
    """The recordings in one HDF5 file of SHD's layout.

    Raises:
        OSError: another program uses the file.
        ValueError: the file is damaged, or not in this layout; the message names it.
    """
    try:
        with h5py.File(path) as file:
            missing = [name for name in corpus.must_hold if name not in file]
            if missing:
                raise ValueError(f"it has no {' and no '.join(missing)}")
            units, offsets = _ragged(file[UNITS], np.uint16, "safe")
            times, same = _ragged(file[TIMES], np.float32, "same_kind")
            if not np.array_equal(offsets, same):
                raise ValueError(f"{UNITS} and {TIMES} have rows of different lengths")
            times *= 1000  # s in the file
            labels = file[LABELS][:].astype(np.int64)
            return Events(
                offsets=offsets,
                times=times,
                units=units,
                labels=labels,
                speakers=_speakers(file[SPEAKERS][:]) if SPEAKERS in file else np.full(len(labels), NO_SPEAKER),
                channels=CHANNELS,
                classes=corpus.classes,
                source=_source(path, corpus, file.attrs.get("source")),
            )
    except (OSError, ValueError, TypeError) as error:
        if _in_use(error):
            raise BlockingIOError(f"{path} is in use by another program: close that program and try again") from None
        raise ValueError(f"{path} cannot be read as {corpus.name}, fetch or make it again: {error}") from None


def _corpus(corpus: Corpus, split: str) -> Events:
    check_split(split, corpus.splits)
    path = corpus.file(split)
    if not path.exists():
        write_whole(path, content(_archive(path), path.name))
    return read(path, corpus)


def _archive(path: Path) -> Path:
    """The packed file beside ``path``, or a download of it from the first place that has it."""
    if packed := next(_present(path, *PACKED), None):
        return packed
    failures = []
    for url, checksum in DOWNLOADS[path.name].items():
        try:
            return fetch(url.rsplit("/", 1)[1], url, checksum)
        except (ConnectionError, ValueError) as error:
            failures.append(str(error))
    raise ConnectionError(f"{path} is missing, and no download works: {'; '.join(failures)}")


def _present(path: Path, *endings: str) -> Iterator[Path]:
    """Of a file with endings put to its name, those that are there."""
    return (found for ending in endings if (found := path.with_name(path.name + ending)).exists())


def _in_use(error: Exception) -> bool:
    """Whether HDF5 could not open a file because another program holds it: locked, or open to be written to."""
    locked = getattr(error, "errno", None) in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)
    return locked or any(reason in str(error) for reason in ("unable to lock file", "already open for"))


def _ragged(dataset: h5py.Dataset, dtype: type, casting: str) -> tuple[np.ndarray, np.ndarray]:
    """All rows of a ragged dataset in one array, and where each begins."""
    kind = h5py.check_vlen_dtype(dataset.dtype)
    if kind is None or dataset.ndim != 1 or not np.can_cast(kind, dtype, casting):
        raise ValueError(f"{dataset.name} must hold a row of {np.dtype(dtype)} for every recording")
    # A thousand rows at a time into a buffer that grows: the events lie in memory once.
    values, lengths = bytearray(), [0]
    for start in range(0, len(dataset), 1000):
        rows = dataset[start : start + 1000]
        values += np.concatenate(rows).astype(dtype).tobytes()
        lengths.extend(map(len, rows))
    return np.frombuffer(values, dtype), np.cumsum(lengths)


def _speakers(speakers: np.ndarray) -> np.ndarray:
    """Numbers as they are; names by their place in alphabetical order."""
    if np.issubdtype(speakers.dtype, np.integer):
        return speakers.astype(np.int64)
    return np.unique(speakers, return_inverse=True)[1].astype(np.int64)


def _source(path: Path, corpus: Corpus, attribute: str | None) -> str:
    if attribute is not None:
        regenerated = str(attribute).startswith(MADE_BY_HD)
        return REGENERATED if regenerated else str(attribute)
    known = OFFICIAL.get(path.name)  # the other split under this name is not taken for it
    return corpus.name if known and digest(path) == known else f"unknown file in {corpus.name}'s layout"

"""Spiking Heidelberg Digits (Cramer, Stradmann, Schemmel, Zenke 2020), official or regenerated."""

import hashlib
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from ..paths import datasets_folder, write_whole
from .download import content, fetch
from .events import Events

CHANNELS, CLASSES = 700, 20
UNITS, TIMES, LABELS, SPEAKERS = "spikes/units", "spikes/times", "labels", "extra/speaker"
# md5 of the official files: as they are downloaded, and unpacked
DOWNLOADS = {
    "train": {
        "https://zenkelab.org/datasets/shd_train.h5.zip": "md5:f3252aeb598ac776c1b526422d90eecb",
        "https://compneuro.net/datasets/shd_train.h5.gz": "md5:d47c9825dee33347913e8ce0f2be08b0",
    },
    "test": {
        "https://zenkelab.org/datasets/shd_test.h5.zip": "md5:1503a5064faa34311c398fb0a1ed0a6f",
        "https://compneuro.net/datasets/shd_test.h5.gz": "md5:3062a80ec0c5719404d5b02e166543b1",
    },
}
OFFICIAL = {"train": "8e9877c85f29a28dd353ea6a54402667", "test": "207ad1295a0ab611e22d1734989c254e"}


def shd(split: Literal["train", "test"]) -> Events:
    """8,156 training or 2,264 test recordings: spoken digits as spikes of 700 channels.

    Labels 0 to 9 are English, 10 to 19 German. The file is ``shd_{split}.h5`` in ``$HETSYN_DATA``, unpacked from
    ``.h5.zip`` or ``.h5.gz`` beside it, or downloaded (125 and 38 MB). Where it comes from is told by its checksum
    (official) or by its attribute ``source`` (regenerated).

    Raises:
        ConnectionError: there is no such file, and it cannot be downloaded.
        ValueError: an unknown split, or the file is damaged or not in SHD's layout.
    """
    if split not in DOWNLOADS:
        raise ValueError(f'split must be "train" or "test", not {split!r}')
    path = datasets_folder() / f"shd_{split}.h5"
    if not path.exists():
        write_whole(path, content(_archive(path, DOWNLOADS[split]), path.name))
    return read(path)


def _archive(path: Path, downloads: dict[str, str]) -> Path:
    """The packed file beside ``path``, or a download of it from the first place that has it."""
    for suffix in (".zip", ".gz"):
        if path.with_name(path.name + suffix).exists():
            return path.with_name(path.name + suffix)
    failures = []
    for url, checksum in downloads.items():
        try:
            return fetch(url.rsplit("/", 1)[1], url, checksum)
        except (ConnectionError, ValueError) as error:
            failures.append(str(error))
    raise ConnectionError(f"{path} is missing, and no download works: {'; '.join(failures)}")


def official() -> bool:
    """Whether the data folder holds SHD's own files, packed or not, told by their checksums."""
    for split, downloads in DOWNLOADS.items():
        known = {OFFICIAL[split], *(checksum.removeprefix("md5:") for checksum in downloads.values())}
        paths = [datasets_folder() / f"shd_{split}.h5{packed}" for packed in ("", ".zip", ".gz")]
        used = next((path for path in paths if path.exists()), None)  # as `shd` looks for them
        if used is None or _md5(used) not in known:
            return False
    return True


def read(path: Path) -> Events:
    """The recordings in one HDF5 file of SHD's layout.

    Raises:
        ValueError: the file is damaged, or not in SHD's layout; the message names it.
    """
    try:
        with h5py.File(path) as file:
            missing = [name for name in (UNITS, TIMES, LABELS, SPEAKERS) if name not in file]
            if missing:
                raise ValueError(f"it has no {' and no '.join(missing)}")
            units, offsets = _ragged(file[UNITS], np.uint16, "safe")
            times, same = _ragged(file[TIMES], np.float32, "same_kind")
            if not np.array_equal(offsets, same):
                raise ValueError(f"{UNITS} and {TIMES} have rows of different lengths")
            times *= 1000  # s in the file
            return Events(
                offsets=offsets,
                times=times,
                units=units,
                labels=file[LABELS][:].astype(np.int64),
                speakers=file[SPEAKERS][:].astype(np.int64),
                channels=CHANNELS,
                classes=CLASSES,
                source=_source(path, file.attrs.get("source")),
            )
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as SHD, fetch or make it again: {error}") from None


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


def _source(path: Path, attribute: str | None) -> str:
    if attribute is not None:
        regenerated = str(attribute).startswith("SHD regenerated from the Heidelberg Digits")
        return "SHD regenerated from HD" if regenerated else str(attribute)
    official = OFFICIAL.get(path.stem.removeprefix("shd_"))  # one split is not taken for the other
    return "SHD" if _md5(path) == official else "unknown file in SHD's layout"


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()

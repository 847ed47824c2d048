"""Spiking Heidelberg Digits (Cramer, Stradmann, Schemmel, Zenke 2020), official or regenerated."""

import hashlib
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from ..paths import datasets_folder
from .events import Events

CHANNELS, CLASSES = 700, 20
UNITS, TIMES, LABELS, SPEAKERS = "spikes/units", "spikes/times", "labels", "extra/speaker"
# md5 of the official files, unpacked
OFFICIAL = {"8e9877c85f29a28dd353ea6a54402667", "207ad1295a0ab611e22d1734989c254e"}


def shd(split: Literal["train", "test"]) -> Events:
    """8,156 training or 2,264 test recordings: spoken digits as spikes of 700 channels.

    Labels 0 to 9 are English, 10 to 19 German. The file ``shd_{split}.h5`` is looked for in ``$HETSYN_DATA``. Where it
    comes from is told by its checksum (official) or by its attribute ``source`` (regenerated).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an unknown split, or the file is damaged or not in SHD's layout.
    """
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", not {split!r}')
    path = datasets_folder() / f"shd_{split}.h5"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: put it there, or set HETSYN_DATA to the folder that holds it")
    return read(path)


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
    with open(path, "rb") as file:
        official = hashlib.file_digest(file, "md5").hexdigest() in OFFICIAL
    return "SHD" if official else "unknown file in SHD's layout"

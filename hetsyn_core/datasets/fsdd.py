"""Free Spoken Digit Dataset (Jakobovski et al., CC BY-SA 4.0): the open stand-in for TiDigits."""

import re

from ..paths import datasets_folder
from .download import digest, fetch, unzip
from .events import Raster
from .split import Split, check_split
from .thresholds import raster

COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
URL = f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{COMMIT}.zip"
SOURCE = f"Free Spoken Digit Dataset ({COMMIT[:8]}), stand-in for TiDigits"
# Of names and content of the 3,000 recordings, however they are packed.
SHA256 = "0fbe6612aaa20a80ef4371894a46e060038337a518fe3d4728cb7eee7caa013c"
NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<index>\d+)\.wav")
TEST = range(5)  # the official test set: these indices of every digit and speaker


def fsdd(split: Split) -> Raster:
    """2,700 training or 300 test recordings of English digits by six speakers, as threshold crossings.

    The recordings are wav files or one zip archive in ``$HETSYN_DATA/fsdd``, or are downloaded. They have 8 kHz, so the
    16 filters lie between 360 and 4000 Hz (TiDigits: 8000 Hz).

    Raises:
        ConnectionError: there are no recordings, and they cannot be downloaded.
        ValueError: an unknown split, or the recordings cannot be read.
    """
    check_split(split)
    found = recordings()
    matches = {name: NAME.fullmatch(name) for name in sorted(found)}
    speakers = sorted({match["speaker"] for match in matches.values()})
    chosen = {name: match for name, match in matches.items() if (int(match["index"]) in TEST) == (split == "test")}
    if not chosen:
        raise ValueError(f"{datasets_folder() / 'fsdd'} has no recording of the {split} set")
    return raster(
        {name: found[name] for name in chosen},
        labels=[int(match["digit"]) for match in chosen.values()],
        speakers=[speakers.index(match["speaker"]) for match in chosen.values()],
        classes=10,
        source=SOURCE if _digest(found) == SHA256 else f"{len(found):,} recordings unlike {SOURCE}",
    )


def recordings() -> dict[str, bytes]:
    """The wav files by their names; errors as `fsdd`."""
    folder = datasets_folder() / "fsdd"
    found = {path.name: path.read_bytes() for path in folder.rglob("*.wav") if NAME.fullmatch(path.name)}
    if not found:
        archives = sorted(folder.glob("*.zip")) or [fetch(f"fsdd/{COMMIT[:8]}.zip", URL, None)]
        found = unzip(archives[0], NAME)
    return found


def _digest(found: dict[str, bytes]) -> str:
    parts = (name.encode() + bytes.fromhex(digest(found[name], "sha256")) for name in sorted(found))
    return digest(b"".join(parts), "sha256")

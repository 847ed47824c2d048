"""TIDIGITS (LDC93S10) and the alphabet of TI46 (LDC93S9), from a folder of the user's own: the LDC licenses both."""

import re
import string
from pathlib import Path

from ..paths import datasets_folder, expanded
from .events import Raster
from .split import Split, check_split
from .thresholds import raster

# .../train/man/ae/1a.wav: one digit, said for the first time; z is zero, o is oh.
TIDIGITS = re.compile(r"(?P<split>train|test)/(?:man|woman)/(?P<speaker>[a-z]{2})/(?P<word>[z1-9o])[ab]\.wav$")
# .../0kf1set3.wav: the word k, speaker f1, session e (enrollment, the training set) or 1 to 8 (test), token 3.
TI46 = re.compile(r"/0(?P<word>[a-z])(?P<speaker>[fm][1-8])s(?P<split>[e1-8])t\d\.wav$")


def tidigits(split: Split, folder: Path | None = None) -> Raster:
    """Isolated digits of the adults in TIDIGITS (2,464 and 2,486 recordings) as threshold crossings, 11 classes.

    Labels: 0 to 9, and 10 for oh.

    Args:
        folder: of the corpus, its discs or one part of it; by default ``$HETSYN_DATA/tidigits``.

    Raises:
        FileNotFoundError: the folder has no recording of this split.
        ValueError: an unknown split, or a recording cannot be read.
    """
    return _corpus("TIDIGITS", TIDIGITS, "z123456789o", split, {split}, folder)


def ti46_alpha(split: Split, folder: Path | None = None) -> Raster:
    """The 26 letters of TI46 by 16 speakers as threshold crossings: 10 tokens each to train, 16 to test.

    Args:
        folder: of the corpus, or one part of it; by default ``$HETSYN_DATA/ti46``.

    Raises:
        FileNotFoundError: the folder has no recording of this split.
        ValueError: an unknown split, or a recording cannot be read.
    """
    sessions = "e" if split == "train" else "12345678"
    return _corpus("TI46", TI46, string.ascii_lowercase, split, set(sessions), folder)


def _corpus(corpus: str, name: re.Pattern, words: str, split: str, sessions: set[str], folder: Path | None) -> Raster:
    check_split(split)
    folder = datasets_folder() / corpus.lower() if folder is None else expanded(folder).absolute()
    matches = {path: name.search(path.as_posix().lower()) for path in sorted(folder.rglob("*"))}
    speakers = sorted({match["speaker"] for match in matches.values() if match})
    chosen = {path: match for path, match in matches.items() if match and match["split"] in sessions}
    if not chosen:
        advice = "put the corpus there as the LDC delivers it"
        raise FileNotFoundError(f"{folder} has no {split} recording of {corpus}: {advice}")
    return raster(
        {str(path): path for path in chosen},
        labels=[words.index(match["word"]) for match in chosen.values()],
        speakers=[speakers.index(match["speaker"]) for match in chosen.values()],
        classes=len(words),
        source=f"{corpus} ({len(chosen):,} recordings)",
    )

"""Where things lie, and files that appear whole or not at all."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEAST_FREE = 2**20  # bytes; with less, a disk counts as full


def records_folder() -> Path:
    """Where runs are kept: $HETSYN_RECORDS, or data/ of the repository."""
    return _named("HETSYN_RECORDS", ROOT / "data")


def figures_folder() -> Path:
    """Where figures go: $HETSYN_FIGURES, or figures/ of the repository."""
    return _named("HETSYN_FIGURES", ROOT / "figures")


def datasets_folder() -> Path:
    """Where data sets are looked for and downloaded to: $HETSYN_DATA, or data/sets of the repository."""
    return _named("HETSYN_DATA", ROOT / "data" / "sets")


# What names a folder of ours; the first one that a file lies in counts.
NAMED = {"HETSYN_DATA": datasets_folder, "HETSYN_RECORDS": records_folder, "HETSYN_FIGURES": figures_folder}


def expanded(path: str | Path) -> Path:
    """The path that a user wrote, where a leading ``~`` is the home folder.

    Raises:
        ValueError: it begins with ``~`` or ``~NAME``, and that home folder is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path} begins with ~, but the home folder is not known: write the whole path") from None


def writable(folder: Path) -> Path:
    """The folder, made if it is missing, once it is certain that a file can be written there.

    Raises:
        OSError: no file can be written there; the message names the folder, the reason and what to do.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        full = shutil.disk_usage(folder).free < LEAST_FREE
    except OSError as error:
        names = [f" by {name}=..." for name, own in NAMED.items() if folder.is_relative_to(own())]
        advice = f"change this, or name another folder{names[0] if names else ''}"
        raise OSError(f"nothing can be written to {folder} ({error.strerror}): {advice}") from None
    if full:
        raise OSError(f"nothing can be written to {folder}: the disk is full, so make room on it first")
    return folder


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target``, renamed to it when the block ends without an error.

    Readers of ``target`` see the former file or the complete new one, also after a crash.

    Raises:
        OSError: the folder cannot be written to, see `writable`.
    """
    temporary = writable(target.parent) / f".{target.name}.{secrets.token_hex(4)}"
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(target: Path, content: bytes) -> None:
    """Write a file with this content, whole or not at all, see `whole`."""
    with whole(target) as temporary:
        temporary.write_bytes(content)


def _named(variable: str, default: Path) -> Path:
    """The folder that an environment variable names; without one, or with an empty one, the default."""
    folder = os.environ.get(variable)
    return expanded(folder) if folder else default

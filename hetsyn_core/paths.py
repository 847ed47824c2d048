"""Where things lie, and files that appear whole or not at all."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def records_folder() -> Path:
    """Where runs are kept: $HETSYN_RECORDS, or data/ of the repository."""
    return Path(os.environ.get("HETSYN_RECORDS") or ROOT / "data")


def figures_folder() -> Path:
    """Where figures go: $HETSYN_FIGURES, or figures/ of the repository."""
    return Path(os.environ.get("HETSYN_FIGURES") or ROOT / "figures")


def datasets_folder() -> Path:
    """Where data sets are looked for and downloaded to: $HETSYN_DATA, or data/sets of the repository."""
    return Path(os.environ.get("HETSYN_DATA") or ROOT / "data" / "sets")


def write_whole(target: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it once it is on disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)

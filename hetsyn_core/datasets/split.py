"""The parts of a data set: one to train, one to test, and sometimes one to validate."""

from typing import Literal

Split = Literal["train", "test"]


def check_split(split: str, known: tuple[str, ...] = ("train", "test")) -> None:
    """Refuse a part that the data set does not have.

    Raises:
        ValueError: ``split`` is not one of ``known``.
    """
    if split not in known:
        *others, last = (f'"{name}"' for name in known)
        raise ValueError(f"split must be {', '.join(others)} or {last}, not {split!r}")

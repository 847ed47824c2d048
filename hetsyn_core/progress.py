"""What long work says: how far it is, and why it stopped. Bars move on a terminal and in a notebook; a log file gets a
line now and then.
"""

import io
import sys
from collections.abc import Callable, Iterable
from typing import TextIO

from tqdm import tqdm

LINE = "{desc}: {n_fmt} of {total_fmt} {unit}, {elapsed} so far, {remaining} left"
EVERY_S = 30.0


def bar(iterable: Iterable | None = None, **options) -> tqdm:
    """A `tqdm` with these options; where nobody sees it move, it writes a line at the start, at the end, and at most
    every `EVERY_S` seconds between.

        >>> with bar(total=2, desc="runs", disable=True) as runs:
        ...     runs.update()
    """
    return tqdm(iterable, **(options | lines()))


def say(text: str) -> None:
    """Write a line to stderr; bars that are shown stay whole."""
    tqdm.write(text, file=sys.stderr)


def exit_status(work: Callable[[], None]) -> int:
    """Do the work of a command that can be started again; what stops it is one line on stderr.

    Returns:
        0; 130 where it was interrupted; 1 after an error of the user's files, settings or machine.
    """
    try:
        work()
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def lines() -> dict:
    """The options of `tqdm` that turn a bar into lines; {} on a terminal and in a notebook."""
    if sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel"):
        return {}
    wait = {"mininterval": EVERY_S, "maxinterval": EVERY_S, "miniters": 1}
    return {"file": _Lines(sys.stderr), "bar_format": LINE, "position": 0, **wait}


class _Lines(io.TextIOBase):
    """A bar moves by carriage returns and ends by a line feed; of each such text only the words are written."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        if words := text.strip():
            self.stream.write(f"{words}\n")
            self.stream.flush()
        return len(text)

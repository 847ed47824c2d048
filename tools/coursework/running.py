"""Running a notebook behind the fence, in a folder of its own."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode

from . import execute, fence


@dataclass(frozen=True)
class Ran:
    """A notebook with its outputs."""

    notebook: NotebookNode
    note: str  # what went wrong beside errors in cells
    doubt: bool  # whether the machine may be the reason, see `execute.execute`


def run(
    notebook: NotebookNode,
    limits: fence.Limits,
    work: Path,
    hidden: tuple[Path, ...],
    beside: dict[PurePosixPath, bytes] | None = None,
    own: bool = False,
) -> Ran:
    """Run a notebook in a new folder in ``work``, with copies of the kernels that Numba compiled before.

    Args:
        beside: files that lie beside it, by their path from its folder.
        own: a notebook of ours: what it compiled is kept for the others. (A file of a submission is never read.)

    Raises:
        TimeoutError, ChildProcessError, ValueError: there is no result.
    """
    scratch = Path(tempfile.mkdtemp(dir=work)).resolve()
    kernels, kept = scratch / fence.KERNELS, work / fence.KERNELS
    try:
        if kept.exists():
            shutil.copytree(kept, kernels)
        for name, content in (beside or {}).items():
            place = (scratch / name).resolve()
            if place.is_relative_to(scratch):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        command = [sys.executable, "-P", execute.__file__]  # as a file: it needs nothing of the package
        job = json.dumps({"notebook": notebook, **asdict(limits)}).encode()
        done = json.loads(fence.run(command, job, limits, scratch, (*hidden, work)))
        if own and kernels.exists():
            shutil.copytree(kernels, kept, dirs_exist_ok=True)
        return Ran(nbformat.from_dict(done["notebook"]), done["note"], done["doubt"])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def side_by_side(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Threads to run so many notebooks in at a time; what an error leaves of them, such as an interrupt, is stopped."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            fence.stop()
            raise

"""Run a program that is not trusted: in a process of its own, with limits, and with as high a fence as there is."""

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from hetsyn_core.paths import ROOT

MARK = "HETSYN_GRADED"  # in the environment of all that a submission starts
KERNELS = ".numba"  # where in its folder a program finds what Numba compiled
RUNNING: set[subprocess.Popen] = set()  # all programs behind the fence
GRACE_S = 20  # for a program to keep its time itself, before it is killed


@dataclass(frozen=True)
class Limits:
    """What one notebook may use. A cell beyond its time is interrupted, and the next one runs.

    Seconds are the processor's, of all processes of the submission together: a busy machine takes nothing away.
    By the clock on the wall everything may take ``patience`` times as long.
    """

    cell_s: int = 60
    notebook_s: int = 180
    patience: int = 10
    memory_gb: float = 6.0  # of address space, of which torch alone maps a good part
    file_mb: int = 200  # the largest file it may write
    output_mb: float = 1.0  # what is kept of the output of a cell


@cache
def fence() -> str:
    """The highest fence this system has: "bwrap", "unshare" or "none"."""
    for name, command in ("bwrap", _bwrap(Path(tempfile.gettempdir()), ())), ("unshare", UNSHARE):
        if shutil.which(name) and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return name
    return "none"


MEANS = {
    "bwrap": "no network, no other processes, files read-only but for a folder of its own (bwrap)",
    "unshare": "no network, no other processes (unshare); files are open to it: install bubblewrap, or use a container",
    "none": "limits of time and memory only, network and files open to it: use a container, or Linux with bubblewrap",
}

UNSHARE = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def _bwrap(scratch: Path, hidden: tuple[Path, ...]) -> list[str]:
    command = "bwrap --unshare-all --die-with-parent --new-session --ro-bind / / --dev /dev --proc /proc".split()
    home = Path.home()
    if home != Path("/"):  # keys, mail: what a notebook prints goes back to its author
        command += ["--tmpfs", home]
    for folder in dict.fromkeys((ROOT, Path(sys.prefix), Path(sys.base_prefix))):
        command += ["--ro-bind", folder, folder]
    for folder in hidden:
        command += ["--tmpfs", folder]
    return [*map(str, command), "--bind", str(scratch), str(scratch)]


def run(command: list[str], job: bytes, limits: Limits, scratch: Path, hidden: tuple[Path, ...] = ()) -> bytes:
    """Standard output of a command that is given ``job`` on standard input; nothing it started outlives it.

    Args:
        command: a program and its arguments; it sets its limits itself, see `execute`.
        job: for its standard input.
        limits: ``GRACE_S`` after ``patience * notebook_s`` on the clock it is killed.
        scratch: the folder it works in, its home and the only one it may write to.
        hidden: folders which it finds empty where the fence allows it.

    Raises:
        TimeoutError: it was killed.
        ChildProcessError: it failed; the message is the last error that its standard error names.
    """
    before = {"bwrap": _bwrap(scratch, hidden), "unshare": UNSHARE, "none": []}[fence()]
    mark = secrets.token_hex(8)
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    environment |= {"HOME": str(scratch), "TMPDIR": str(scratch), MARK: mark, "PYTHONPATH": str(ROOT)}
    environment |= {"NUMBA_CACHE_DIR": str(scratch / KERNELS), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process = subprocess.Popen([*before, *command], **pipes, cwd=scratch, env=environment, start_new_session=True)
    RUNNING.add(process)
    try:
        out, err = process.communicate(job, timeout=limits.patience * limits.notebook_s + GRACE_S)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"stopped after {limits.patience * limits.notebook_s} s on the clock") from None
    finally:
        RUNNING.discard(process)
        _end(process, mark)
    if process.returncode:
        raise ChildProcessError(_reason(err.decode(errors="replace")) or f"ended with code {process.returncode}")
    return out


def _reason(text: str) -> str:
    # The last line that names an error; what a long message says after it tells nobody anything.
    lines = text.strip().splitlines()
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)]
    return (named or lines or [""])[-1]


def stop() -> None:
    """Kill what runs behind the fence now; each `run` that waits for it fails."""
    for process in list(RUNNING):
        process.kill()


def _end(process: subprocess.Popen, mark: str) -> None:
    # The kernel of a notebook has a session of its own, and what it started may have another: the mark is inherited.
    left = []
    for other in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if other.environ().get(MARK) == mark:
                other.kill()
                left.append(other)
    if process.poll() is None:
        process.kill()
    process.wait()
    psutil.wait_procs(left, timeout=10)
    for pipe in process.stdout, process.stderr:
        pipe.close()

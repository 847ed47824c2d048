"""Worker processes: how many there may be, and that they end with what started them."""

import ctypes
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def cores() -> int:
    """How many cores this process may use: of the machine, by its affinity, its container or batch job, and Slurm."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, int(min(affinity, quota(), int(slurm) if slurm.isdecimal() else math.inf)))


def quota() -> float:
    """Cores that the control groups of this process allow it, as containers and batch systems set them; inf: all."""
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return math.inf
    found = math.inf
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = CGROUPS / "cpu" if controllers else CGROUPS  # version 1, version 2
        own = top / group.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(top):
                found = min(found, _quota_of(folder))
    return found


def _quota_of(folder: Path) -> float:
    try:
        if (folder / "cpu.max").exists():  # version 2
            most, period = (folder / "cpu.max").read_text().split()
        else:
            most, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(most) / int(period) if int(most) > 0 else math.inf
    except (OSError, ValueError):  # there is no such file, or it says "max"
        return math.inf


@contextmanager
def pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """``count`` processes that end with the block, at once where an error ends it, or with this program.

    Each is a fresh interpreter: forking one with threads (a notebook's) can hang.
    """
    spawn = multiprocessing.get_context("spawn")
    held_there, held_here = spawn.Pipe(duplex=False)
    processes = ProcessPoolExecutor(count, spawn, _start, (held_there,))
    try:
        yield processes
        processes.shutdown()
    finally:
        held_here.close()
        held_there.close()
        processes.shutdown(wait=False, cancel_futures=True)


def _start(held: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the workers too; they end without a word
    keep_memory()

    def end_with_the_pool():  # a program ended by force cannot tell its workers, but its end of the pipe is closed
        try:
            held.recv()
        except EOFError:
            os._exit(1)

    threading.Thread(target=end_with_the_pool, daemon=True).start()


def keep_memory() -> None:
    """Let glibc keep what a training step frees: fetching fresh pages for the next costs more than the kernels do."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_MMAP_THRESHOLD, 2**26) or mallopt(M_MMAP_THRESHOLD, 2**25)  # the highest that older ones take
        mallopt(M_TRIM_THRESHOLD, 2**30)

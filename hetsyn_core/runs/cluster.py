"""A Dask cluster that trains: its scheduler is asked for, and who waits for workers is told so."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..progress import EVERY_S, say

if TYPE_CHECKING:
    from distributed import Client

ANSWER_S = 20  # without an answer for so long, there is no scheduler


@contextmanager
def executor(address: str) -> Iterator[Executor]:
    """The workers of the scheduler at ``address``; what is not done when the block ends is taken back.

    Raises:
        RuntimeError: Dask is not installed, or there is no scheduler.
    """
    try:
        from distributed import Client
    except ImportError:
        raise RuntimeError("HETSYN_SCHEDULER needs Dask: .venv/bin/pip install -e '.[cluster]'") from None
    try:
        client = Client(address, timeout=ANSWER_S)
    except (OSError, ValueError):
        advice = "start one (dask scheduler), or unset HETSYN_SCHEDULER to train on this machine"
        raise RuntimeError(f"no Dask scheduler answers at HETSYN_SCHEDULER={address}: {advice}") from None
    done = threading.Event()
    watch = threading.Thread(target=_say_that_it_waits, args=(client, address, done), daemon=True)
    with client:
        watch.start()
        try:
            yield client.get_executor()
        finally:
            done.set()
            watch.join()


def _say_that_it_waits(client: "Client", address: str, done: threading.Event) -> None:
    since = None
    while client.status == "running":
        if client.nthreads():
            since = None
        else:
            since = since or time.monotonic()
            say(f"the scheduler at {address} has no workers; waited {time.monotonic() - since:.0f} s for one")
        if done.wait(EVERY_S):
            return

"""Worker processes that end with the program that started them."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor


def pool(count: int) -> ProcessPoolExecutor:
    """``count`` processes, each a fresh interpreter: forking one with threads (a notebook's) can hang."""
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _start)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the workers too; they end without a word

    def end_with_the_parent():  # ended by force, it cannot tell its workers, and they would wait for work for ever
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=end_with_the_parent, daemon=True).start()

"""Loops compiled by Numba and kept on disk, also where Numba finds no folder to keep them in."""

import atexit
import shutil
import sys
import tempfile
from collections.abc import Callable

import numba


def compiled(function: Callable) -> Callable:
    """`numba.njit` of a function that runs without Python's lock and is compiled once on a machine.

    Where neither the installation nor the home can be written, it is compiled once in a process, and a line says so.
    """
    options = {"cache": True, "nogil": True}
    try:
        return numba.njit(**options)(function)
    except RuntimeError as error:
        if "cannot cache function" not in str(error):
            raise
    numba.config.CACHE_DIR = tempfile.mkdtemp(prefix="hetsyn-kernels-")
    atexit.register(shutil.rmtree, numba.config.CACHE_DIR, ignore_errors=True)
    print("no place for compiled kernels: NUMBA_CACHE_DIR=folder would keep them for the next time", file=sys.stderr)
    return numba.njit(**options)(function)

"""Train many networks side by side, one thread each, and keep what is finished."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, as_completed
from dataclasses import asdict

import torch
from tqdm import tqdm

from . import records
from .train import Config, TrainingFailed, train


def run(
    configs: Sequence[Config], *, fresh: bool = False, executor: Executor | None = None, what: str = "training"
) -> list[dict]:
    """Records of the configs, in their order; what is on record is loaded, the rest trained and saved as it comes.

    A run that cannot go on gives {"config", "failed": reason} in place of its record. Stopping this loses the runs
    in flight alone; calling it again goes on from there.

    Args:
        fresh: train again what is on record.
        executor: any `concurrent.futures` executor. By default the Dask cluster at $HETSYN_SCHEDULER, if that is
            set, else a process for each core.
        what: stands before the progress bar.

    Raises:
        RuntimeError: worker processes end before they finish a single run.
    """
    found = [None] * len(configs) if fresh else records.load(configs)
    missing = {}  # the same config may be asked for twice
    for k, record in enumerate(found):
        if record is None:
            missing.setdefault(configs[k], []).append(k)
    with tqdm(total=len(missing), desc=what, unit="run", smoothing=0.05, disable=not missing) as bar:
        while missing:
            before = len(missing)
            pool = executor or _executor(before)
            try:
                pending = {pool.submit(_train, config): config for config in missing}
                for future in as_completed(pending):
                    record, config = future.result(), pending[future]
                    records.save(record)
                    for k in missing.pop(config):
                        found[k] = record
                    bar.update()
            except BrokenExecutor:  # a worker was ended from outside; what it had not finished is done again
                if len(missing) == before:
                    raise RuntimeError("worker processes end before they finish a run; is memory short?") from None
            finally:
                if executor is None:
                    pool.shutdown(wait=not missing, cancel_futures=True)
    return found


def _executor(runs: int) -> Executor:
    if address := os.environ.get("HETSYN_SCHEDULER"):
        try:
            from distributed import Client
        except ImportError:
            raise RuntimeError("HETSYN_SCHEDULER needs Dask: .venv/bin/pip install -e '.[cluster]'") from None
        return Client(address).get_executor()
    # Let glibc keep what a step frees: fetching fresh pages for the next costs more than the kernels do.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**25))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**30))
    # A fresh interpreter for each worker: forking a process with threads (a notebook's) can hang.
    context = multiprocessing.get_context("spawn")
    # Ctrl-C reaches the workers too; they end without a word.
    stop_silently = signal.signal, (signal.SIGINT, signal.SIG_DFL)
    return ProcessPoolExecutor(min(os.cpu_count() or 1, runs), context, *stop_silently)


def _train(config: Config) -> dict:
    torch.set_num_threads(1)
    try:
        return train(config)
    except TrainingFailed as error:
        return {"config": asdict(config), "failed": str(error)}

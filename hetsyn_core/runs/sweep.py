"""Train many networks side by side, one thread each, and keep what is finished."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
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
        RuntimeError: worker processes end, or a cluster is lost, before a single run is finished.
    """
    found = [None] * len(configs) if fresh else records.load(configs)
    missing = {}  # the same config may be asked for twice
    for k, record in enumerate(found):
        if record is None:
            missing.setdefault(configs[k], []).append(k)
    with tqdm(total=len(missing), desc=what, unit="run", smoothing=0.05, disable=not missing) as bar:
        while missing:
            before = len(missing)
            try:
                with nullcontext(executor) if executor else _executor(before) as pool:
                    pending = {pool.submit(_train, config): config for config in missing}
                    for future in as_completed(pending):
                        # A future kept would keep its result on a cluster, to be computed again if lost there.
                        record, config = future.result(), pending.pop(future)
                        records.save(record)
                        for k in missing.pop(config):
                            found[k] = record
                        bar.update()
            # A worker was ended from outside, or the cluster's scheduler; what is not finished is done again.
            except (BrokenExecutor, CancelledError):
                if len(missing) == before:
                    raise RuntimeError("worker processes end before they finish a run; is memory short?") from None
    return found


@contextmanager
def _executor(runs: int) -> Iterator[Executor]:
    if address := os.environ.get("HETSYN_SCHEDULER"):
        try:
            from distributed import Client
        except ImportError:
            raise RuntimeError("HETSYN_SCHEDULER needs Dask: .venv/bin/pip install -e '.[cluster]'") from None
        with Client(address) as client:  # closing it takes back what is not done
            yield client.get_executor()
        return
    # Let glibc keep what a step frees: fetching fresh pages for the next costs more than the kernels do.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**25))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**30))
    # A fresh interpreter for each worker: forking a process with threads (a notebook's) can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(os.cpu_count() or 1, runs), context, _start_worker)
    try:
        yield pool
        pool.shutdown()
    finally:  # stopped half-way: wait for nothing
        pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the workers too; they end without a word

    def end_with_the_sweep():  # ended by force, it cannot tell its workers, and they would wait for work for ever
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=end_with_the_sweep, daemon=True).start()


def _train(config: Config) -> dict:
    torch.set_num_threads(1)
    try:
        return train(config)
    except TrainingFailed as error:
        return {"config": asdict(config), "failed": str(error)}

"""Train many networks side by side, one thread each, and keep what is finished."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    ThreadPoolExecutor,
    as_completed,
)
from contextlib import contextmanager, nullcontext

import torch
from tqdm import tqdm

from .. import workers
from ..tasks.task import Task
from . import store
from .record import Record
from .store import Job, as_job
from .train import TrainingFailed, train

GPU_WORKERS = 4  # networks side by side on a card; more are no faster, unless MPS shares it (docs/running.md)


def run(
    asked: Sequence[Task | Job], *, fresh: bool = False, executor: Executor | None = None, what: str = "training"
) -> list[Record]:
    """Records of the runs, in their order; what is on record is loaded, the rest trained and saved as it comes.

    A run that cannot go on gives a record with its failure. Stopping this loses the last iterations of the runs in
    flight alone; calling it again goes on from there.

    Args:
        fresh: train again what is on record.
        executor: any `concurrent.futures` executor. By default the Dask cluster at $HETSYN_SCHEDULER, if that is
            set, else a process for each core; on a GPU, if there is one ($HETSYN_DEVICE says "cpu" or "cuda"),
            `GPU_WORKERS` of them; $HETSYN_WORKERS where that is set; tasks of a notebook, which other processes do not
            know, one by one here.
        what: stands before the progress bar.

    Raises:
        RuntimeError: worker processes end, or a cluster is lost, before a single run is finished; $HETSYN_WORKERS is
            no number.
        Unnamed: a task's code cannot be read, so its runs could not be told from others'.
    """
    jobs = [as_job(one) for one in asked]
    found = [None] * len(jobs) if fresh else store.load(jobs)
    missing: dict[Task, list[int]] = {}  # the same run may be asked for twice
    for k, record in enumerate(found):
        if record is None:
            missing.setdefault(jobs[k].run, []).append(k)
    if fresh:
        for one in missing:
            store.path(one, "checkpoint").unlink(missing_ok=True)
    with tqdm(total=len(missing), desc=what, unit="run", smoothing=0.05, disable=not missing) as bar:
        while missing:
            before = len(missing)
            try:
                with nullcontext(executor) if executor else _executor(missing) as pool:
                    pending = {pool.submit(_train, joined(jobs[k] for k in rows)): one for one, rows in missing.items()}
                    for future in as_completed(pending):
                        # A future kept would keep its result on a cluster, to be computed again if lost there.
                        record, one = future.result(), pending.pop(future)
                        store.save(record)
                        for k in missing.pop(one):
                            found[k] = record
                        bar.update()
            # A worker was ended from outside, or the cluster's scheduler; what is not finished is done again.
            except (BrokenExecutor, CancelledError):
                if len(missing) == before:
                    raise RuntimeError("worker processes end before they finish a run; is memory short?") from None
    return found


def joined(jobs: Iterable[Job]) -> Job:
    """One job for several of the same run: its record holds what any of them asks."""
    jobs = list(jobs)
    analyses = dict.fromkeys(name for job in jobs for name in job.analyses)
    return Job(jobs[0].run, any(job.detail for job in jobs), tuple(analyses))


@contextmanager
def _executor(runs: Collection[Task]) -> Iterator[Executor]:
    if any(type(one).__module__ == "__main__" for one in runs):
        with ThreadPoolExecutor(1) as here:
            yield here
        return
    if address := os.environ.get("HETSYN_SCHEDULER"):
        try:
            from distributed import Client
        except ImportError:
            raise RuntimeError("HETSYN_SCHEDULER needs Dask: .venv/bin/pip install -e '.[cluster]'") from None
        with Client(address) as client:  # closing it takes back what is not done
            yield client.get_executor()
        return
    # Let glibc keep what a step frees: fetching fresh pages for the next costs more than the kernels do.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**26))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**30))
    pool = workers.pool(min(_workers(), len(runs)))
    try:
        yield pool
        pool.shutdown()
    finally:  # stopped half-way: wait for nothing
        pool.shutdown(wait=False, cancel_futures=True)


def _workers() -> int:
    wanted, cores = os.environ.get("HETSYN_WORKERS"), os.cpu_count() or 1
    if not wanted:
        return min(cores, GPU_WORKERS) if _device() == "cuda" else cores
    if not wanted.isdecimal() or int(wanted) == 0:
        raise RuntimeError(f"HETSYN_WORKERS must be a positive whole number, not {wanted!r}")
    return int(wanted)


def _device() -> str:
    return os.environ.get("HETSYN_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")


def _train(job: Job) -> Record:
    torch.set_num_threads(1)
    checkpoint = store.path(job.run, "checkpoint")
    try:
        return train(job.run, checkpoint=checkpoint, device=_device(), detail=job.detail, analyses=job.analyses)
    except TrainingFailed as error:
        return Record(job.run, failure=str(error))

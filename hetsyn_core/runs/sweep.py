"""Train many networks side by side, one thread each, and keep what is finished."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, as_completed
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from .. import progress, workers
from ..paths import writable
from ..tasks.task import Task
from . import cluster, device, store
from .analyses import ANALYSES
from .record import Record, trained
from .store import Job, as_job
from .train import TrainingFailed, train

GPU_WORKERS = 4  # networks side by side on a card; more are no faster, unless MPS shares it (docs/running.md)


def run(
    asked: Sequence[Task | Job],
    *,
    fresh: bool = False,
    executor: Executor | None = None,
    what: str = "training",
    writes: Sequence[Path] = (),
) -> list[Record]:
    """Records of the runs, in their order; what is on record is loaded, the rest trained and saved as it comes.

    Where a record keeps the trained network and only lacks an analysis, the network is analysed and not trained again.
    Unless ``fresh``, a record that is made anew holds what the former one held as well.
    A run that cannot go on gives a record with its failure. Stopping this loses the last iterations of the runs in
    flight alone; calling it again goes on from there. Before the first run trains, the data of all are read and the
    folders are tried.

    Args:
        fresh: train again what is on record.
        executor: any `concurrent.futures` executor. By default the Dask cluster at $HETSYN_SCHEDULER, if that is
            set, else a process for each core that may be used, see `workers.cores`; on a GPU, if there is one
            ($HETSYN_DEVICE decides, see `device.checked`), `GPU_WORKERS` of them; $HETSYN_WORKERS where that is set;
            tasks of a notebook, which other processes do not know, one by one here.
        what: stands before the progress bar.
        writes: folders that will be written to afterwards.

    Raises:
        OSError: the records, or one of ``writes``, cannot be written.
        RuntimeError: worker processes end, or a cluster is lost, before a single run is finished; there is no cluster;
            $HETSYN_WORKERS is no number.
        ValueError: $HETSYN_DEVICE names no device that is here.
        ConnectionError, OSError, ValueError: data are missing or damaged, as their reader says.
        Unnamed: a task's code cannot be read, so its runs could not be told from others'.
    """
    jobs = [as_job(one) for one in asked]
    found = [None] * len(jobs) if fresh else store.load(jobs)
    missing: dict[Task, list[int]] = {}  # the same run may be asked for twice
    for k, record in enumerate(found):
        if record is None:
            missing.setdefault(jobs[k].run, []).append(k)
    if not missing:
        return found
    for folder in (store.runs_folder(), *writes):
        writable(folder)
    if fresh:
        for one in missing:
            store.path(one, "checkpoint").unlink(missing_ok=True)
    kept, former = ({}, {}) if fresh else _on_record(list(missing))
    threads = torch.get_num_threads()  # what trains in this process sets it
    try:
        with progress.bar(total=len(missing), desc=what, unit="runs", smoothing=0.05) as shown:
            while missing:
                before = len(missing)
                try:
                    wanted = {
                        one: joined([*(jobs[k] for k in rows), *former.get(one, [])]) for one, rows in missing.items()
                    }
                    with closing(_records(wanted, kept, executor)) as records:
                        for record in records:
                            store.save(record)
                            for k in missing.pop(record.run):
                                found[k] = record
                            shown.update()
                # A worker was ended from outside, or the cluster's scheduler; what is not finished is done again.
                except (BrokenExecutor, CancelledError):
                    if len(missing) == before:
                        reason = "worker processes end before they finish a run; is memory short?"
                        raise RuntimeError(reason) from None
    finally:
        torch.set_num_threads(threads)
    return found


def check(asked: Sequence[Task | Job]) -> None:
    """Find now what would stop the runs that are not on record: it raises what `run` would raise."""
    missing = [as_job(one).run for one, record in zip(asked, store.load(asked), strict=True) if record is None]
    if missing:
        writable(store.runs_folder())
    if reads := one_of_each_data_set(missing):
        with _executor(len(reads)) as pool:
            _read_all(pool, reads)


def _on_record(runs: Sequence[Task]) -> tuple[dict[Task, Record], dict[Task, list[Job]]]:
    """Of runs whose records lack something: the records that keep a trained network, and what the records hold.

    An analysis that is no longer known is left out.
    """
    found = store.load([*(Job(run, detail=True) for run in runs), *runs])  # the tables are read once
    kept = {record.run: record for record in found[: len(runs)] if record is not None and record.detail is not None}
    jobs = [store.held(record) for record in found[len(runs) :] if record is not None]
    return kept, {job.run: [replace(job, analyses=tuple(n for n in job.analyses if n in ANALYSES))] for job in jobs}


def _records(jobs: dict[Task, Job], kept: dict[Task, Record], executor: Executor | None) -> Iterator[Record]:
    """The records of the jobs, as they come."""
    calls = [(_analyse, kept[run], job.analyses) if run in kept else (_train, job) for run, job in jobs.items()]
    if executor is None and any(type(one).__module__ == "__main__" for one in jobs):
        yield from (call(*arguments) for call, *arguments in calls)  # in this thread, so that an interrupt reaches it
        return
    with nullcontext(executor) if executor else _executor(len(jobs)) as pool:
        _read_all(pool, one_of_each_data_set(jobs))
        pending = {pool.submit(*call) for call in calls}
        for future in as_completed(pending):
            record = future.result()
            pending.remove(future)  # kept, it would keep its result on a cluster, to be computed again if lost there
            yield record


def one_of_each_data_set(runs: Iterable[Task]) -> Collection[Task]:
    """A run of each data set that is read, none of trials that are drawn."""
    return {(type(one), getattr(one, "data", None)): one for one in runs if not one.endless}.values()


def joined(jobs: Iterable[Job]) -> Job:
    """One job for several of the same run: its record holds what any of them asks."""
    jobs = list(jobs)
    analyses = dict.fromkeys(name for job in jobs for name in job.analyses)
    return Job(jobs[0].run, any(job.detail for job in jobs), tuple(analyses))


def _executor(runs: int) -> AbstractContextManager[Executor]:
    if address := os.environ.get("HETSYN_SCHEDULER"):
        return cluster.executor(address)
    return workers.pool(min(_workers(), runs))


def _workers() -> int:
    here, wanted = device.chosen(), os.environ.get("HETSYN_WORKERS")
    if not wanted:
        return min(workers.cores(), GPU_WORKERS) if device.on_card(here) else workers.cores()
    if not wanted.isdecimal() or int(wanted) == 0:
        raise RuntimeError(f"HETSYN_WORKERS must be a positive whole number, not {wanted!r}")
    return int(wanted)


def _read_all(pool: Executor, runs: Iterable[Task]) -> None:
    for reading in [pool.submit(_read, one) for one in runs]:
        reading.result()


def _read(run: Task) -> None:
    run.sizes()
    run.epoch()


def _analyse(kept: Record, names: Sequence[str]) -> Record:
    torch.set_num_threads(1)
    network = trained(kept).to(device.chosen())
    found = {name: ANALYSES[name](network, kept.run) for name in names if name not in kept.analyses}
    return replace(kept, analyses=kept.analyses | found)


def _train(job: Job) -> Record:
    torch.set_num_threads(1)
    checkpoint = store.path(job.run, "checkpoint")
    try:
        return train(job.run, checkpoint=checkpoint, device=device.chosen(), detail=job.detail, analyses=job.analyses)
    except TrainingFailed as error:
        return Record(job.run, failure=str(error))

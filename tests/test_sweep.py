import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from distributed import LocalCluster
from test_store import same

from hetsyn_core import workers
from hetsyn_core.runs import store, sweep
from hetsyn_core.runs.store import Job
from hetsyn_core.runs.train import train
from hetsyn_core.tasks import MatchToSample

# A sweep as a program of its own, to be ended by force. Two workers on any machine; slow disk, so that many an end
# falls between the writing of a record and its renaming.
PROGRAM = """
import os, sys, time
os.cpu_count = lambda: 2
fsync = os.fsync
os.fsync = lambda file: (time.sleep(0.2), fsync(file))
from hetsyn_core.runs import sweep
from hetsyn_core.tasks import MatchToSample
sweep.run([MatchToSample(hidden=4, iterations=150, batch=2, test_trials=2, seed=seed) for seed in range(20)])
"""


def small(**changes):
    return MatchToSample(**dict(hidden=4, iterations=3, batch=2, test_trials=2) | changes)


@pytest.fixture(autouse=True)
def own_records(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_RECORDS", str(tmp_path))
    monkeypatch.delenv("HETSYN_SCHEDULER", raising=False)


def kept(folder):
    """Content of each finished record, by its file's name."""
    return {path.name: path.read_bytes() for path in folder.glob("runs/*.run")}


def wait(ready, seconds=300):
    """Until ready() is true; the limit only keeps a broken test from hanging."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "what the test waits for does not come"
        time.sleep(0.01)


def same_results(found, expected):
    return all(
        a.run == b.run and a.test == b.test and same(a.train_curve, b.train_curve)
        for a, b in zip(found, expected, strict=True)
    )


def test_side_by_side_gives_the_same_records_in_order():
    configs = [small(seed=seed) for seed in (0, 1)]
    found = sweep.run(configs)
    assert [r.run.seed for r in found] == [0, 1]
    alone = train(configs[1])
    assert same(found[1].train_curve, alone.train_curve)
    assert found[1].test == alone.test


def test_only_what_is_missing_is_trained(monkeypatch):
    trained = []
    monkeypatch.setattr(
        sweep, "train", lambda one, **rest: trained.append(one.seed) or train(one, detail=rest["detail"])
    )
    with ThreadPoolExecutor(1) as pool:
        sweep.run([small(seed=0)], executor=pool)
        sweep.run([small(seed=0), small(seed=1)], executor=pool)
        assert trained == [0, 1]
        sweep.run([small(seed=0)], executor=pool, fresh=True)
        assert trained == [0, 1, 0]
        (record,) = sweep.run([Job(small(seed=1), detail=True)], executor=pool)
        assert trained == [0, 1, 0, 1] and record.detail is not None


def test_a_failed_run_is_recorded_with_its_reason():
    (record,) = sweep.run([small(lr=1e30)])
    assert "iteration" in record.failure
    assert store.load([small(lr=1e30)])[0].failure == record.failure


def start_program():
    return subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=subprocess.DEVNULL, start_new_session=True)


def test_ending_the_sweep_at_five_random_moments_loses_nothing(tmp_path):
    configs = [small(iterations=150, seed=seed) for seed in range(20)]
    rng = np.random.default_rng(5)
    finished = {}
    for count in sorted(1 + rng.choice(12, 5, replace=False)):
        process = start_program()
        try:
            wait(lambda count=count: len(kept(tmp_path)) >= count)
            time.sleep(rng.uniform(0, 0.4))
        finally:
            os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the sweep ended by itself before its time"
        now = kept(tmp_path)
        assert finished.items() <= now.items()  # and none was trained again: its "seconds" would differ
        finished = now

    # A finished record that is cut off, and what an end in the middle of a write leaves of one that is missing.
    cut = tmp_path / "runs" / min(finished)
    cut.write_bytes(finished.pop(cut.name)[:-100])
    absent = next(name for c in configs if (name := f"{store.key(c)}.run") not in {cut.name, *finished})
    (tmp_path / "runs" / f".{absent}.1").write_bytes(b"half")

    with pytest.warns(UserWarning, match=cut.name):
        found = sweep.run(configs)
    assert finished.items() <= kept(tmp_path).items() and len(kept(tmp_path)) == 20
    with ThreadPoolExecutor(2) as pool:
        assert same_results(found, sweep.run(configs, fresh=True, executor=pool))


def test_workers_end_with_a_sweep_that_is_ended_by_force(tmp_path):
    process = start_program()
    try:
        wait(lambda: kept(tmp_path))
        workers = psutil.Process(process.pid).children()
    finally:
        process.kill()
        process.wait()
    try:
        wait(lambda: not any(map(runs, workers)), seconds=60)
    finally:
        for worker in filter(runs, workers):
            worker.kill()


def runs(process):
    try:  # an ended process whose new parent does not ask for its status stays as a zombie
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_runs_of_an_ended_worker_are_done_by_a_new_pool(tmp_path, monkeypatch):
    configs = [small(iterations=150, seed=seed) for seed in range(6)]
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    pools = []
    make_pool = lambda *args: pools.append(ProcessPoolExecutor(*args)) or pools[-1]
    monkeypatch.setattr(workers, "ProcessPoolExecutor", make_pool)
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(sweep.run, configs)
        wait(lambda: kept(tmp_path))
        finished = kept(tmp_path)
        multiprocessing.active_children()[0].kill()
    assert len(pools) == 2
    assert finished.items() <= kept(tmp_path).items()
    with ThreadPoolExecutor(2) as pool:
        assert same_results(found.result(), sweep.run(configs, fresh=True, executor=pool))


def end_own_process(config):
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_always_end_are_an_error(monkeypatch):
    monkeypatch.setattr(sweep, "_train", end_own_process)
    with pytest.raises(RuntimeError, match="^worker processes end before they finish a run.*$"):
        sweep.run([small(seed=seed) for seed in range(3)])


def test_a_cluster_does_what_an_ended_worker_has_not_finished(tmp_path, monkeypatch):
    configs = [small(iterations=150, seed=seed) for seed in range(12)]
    command = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-nanny", "--nthreads=1", "--host=127.0.0.1"]
    with (
        ThreadPoolExecutor(1) as thread,
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0") as cluster,
    ):
        address = cluster.scheduler_address
        monkeypatch.setenv("HETSYN_SCHEDULER", address)
        workers = [subprocess.Popen([*command, address], stderr=subprocess.DEVNULL) for _ in range(2)]
        try:
            found = thread.submit(sweep.run, configs)
            wait(lambda: len(kept(tmp_path)) >= 3)
            wait(lambda: 0 < len(cluster.scheduler.tasks) <= 9, seconds=60)  # what is on record has left the cluster
            finished = kept(tmp_path)
            workers[0].kill()
            found = found.result(300)
            assert workers[1].poll() is None and len(cluster.scheduler.workers) == 1
            wait(lambda: set(cluster.scheduler.clients) <= {"fire-and-forget"})  # the sweep has taken its leave
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
    assert finished.items() <= kept(tmp_path).items() and len(kept(tmp_path)) == 12
    monkeypatch.delenv("HETSYN_SCHEDULER")
    assert same_results(found, sweep.run(configs, fresh=True))


class Forgetful(ThreadPoolExecutor):
    """Cancels the third run it is given, as a cluster cancels what it has when its scheduler is started again."""

    given = 0

    def submit(self, *args):
        future = super().submit(*args)
        self.given += 1
        if self.given == 3:
            future.cancel()
        return future


def test_cancelled_runs_are_asked_for_again():
    with Forgetful(1) as pool:
        found = sweep.run([small(seed=seed) for seed in range(4)], executor=pool)
    assert [record.run.seed for record in found] == [0, 1, 2, 3]


def test_a_cluster_without_dask_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("HETSYN_SCHEDULER", "tcp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RuntimeError, match="^HETSYN_SCHEDULER needs Dask: .*$"):
        sweep.run([small()])


def test_how_many_train_side_by_side_and_a_wrong_number_is_one_line(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for device, wanted, expected in ("cpu", "", 8), ("cuda", "", sweep.GPU_WORKERS), ("cuda", "16", 16):
        monkeypatch.setenv("HETSYN_DEVICE", device), monkeypatch.setenv("HETSYN_WORKERS", wanted)
        assert sweep._workers() == expected
    for wrong in "0", "-1", "many", "1.5":
        monkeypatch.setenv("HETSYN_WORKERS", wrong)
        with pytest.raises(RuntimeError, match="^HETSYN_WORKERS must be a positive whole number, not .*$"):
            sweep._workers()

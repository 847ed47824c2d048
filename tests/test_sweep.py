import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import torch
from distributed import LocalCluster
from test_store import same

from hetsyn_core import workers
from hetsyn_core.paths import ROOT
from hetsyn_core.results import tables
from hetsyn_core.runs import cluster, experiments, store, sweep
from hetsyn_core.runs.store import Job
from hetsyn_core.runs.train import train
from hetsyn_core.tasks import MatchToSample, Speech

# A sweep as a program of its own, to be ended by force. Two workers on any machine; slow disk, so that many an end
# falls between the writing of a record and its renaming.
PROGRAM = """
import os, sys, time
os.environ["HETSYN_WORKERS"] = "2"
fsync = os.fsync
os.fsync = lambda file: (time.sleep(0.2), fsync(file))
from hetsyn_core.runs import sweep
from hetsyn_core.tasks import MatchToSample, Speech
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
        wait(lambda: not any(runs(worker.pid) for worker in workers), seconds=60)
    finally:
        for worker in workers:
            if runs(worker.pid):
                worker.kill()


def runs(pid):
    try:  # an ended process whose new parent does not ask for its status stays as a zombie
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_runs_of_an_ended_worker_are_done_by_a_new_pool(tmp_path, monkeypatch):
    configs = [small(iterations=400, seed=seed) for seed in range(6)]  # long enough to end a worker in time
    monkeypatch.setenv("HETSYN_WORKERS", "2")
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
    monkeypatch.setattr(workers, "cores", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, wanted, expected in [
        ("cpu", "", 8),
        ("cuda", "", sweep.GPU_WORKERS),
        ("cuda:1", "", sweep.GPU_WORKERS),
        ("cuda", "16", 16),
    ]:
        monkeypatch.setenv("HETSYN_DEVICE", name), monkeypatch.setenv("HETSYN_WORKERS", wanted)
        assert sweep._workers() == expected
    for wrong in "0", "-1", "many", "1.5":
        monkeypatch.setenv("HETSYN_WORKERS", wrong)
        with pytest.raises(RuntimeError, match="^HETSYN_WORKERS must be a positive whole number, not .*$"):
            sweep._workers()


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "cpu:0", "mps"])
def test_an_unknown_device_gets_one_line_with_the_choices(name, monkeypatch):
    monkeypatch.setenv("HETSYN_DEVICE", name)
    with pytest.raises(
        ValueError, match=f"^HETSYN_DEVICE must be cpu, cuda, or one card such as cuda:0, not '{name}'$"
    ):
        sweep.run([small()])
    with pytest.raises(ValueError, match="^device must be cpu, cuda, or one card"):
        train(small(), device=name)


def test_a_card_that_is_not_there_gets_one_line_with_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("HETSYN_DEVICE", "cuda:2")
    with pytest.raises(ValueError, match="^HETSYN_DEVICE is cuda:2, .* it finds cpu, cuda:0, cuda:1$"):
        sweep.run([small()])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match="^device is cuda, .* it finds cpu$"):
        train(small(), device="cuda")


def never(*args):
    raise AssertionError("it trains")


@pytest.mark.parametrize("records", [True, False], ids=["records", "figures"])
def test_a_folder_that_cannot_be_written_to_is_found_before_the_first_run(records, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "_executor", never)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HETSYN_RECORDS" if records else "HETSYN_FIGURES", str(tmp_path / "file" / "folder"))
    with pytest.raises(OSError, match="^nothing can be written to .*/file/folder"):
        tables.experiment("fig3c", "smoke", {"hidden": 4})


def test_a_full_disk_is_found_before_the_first_run(monkeypatch):
    monkeypatch.setattr(sweep, "_executor", never)
    disk = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk(10**9, 10**9, 0))
    with pytest.raises(OSError, match="^nothing can be written to .*: the disk is full"):
        sweep.run([small()])


def test_what_is_on_record_needs_no_folder_to_write_to(tmp_path, monkeypatch):
    store.save(train(small()))
    monkeypatch.setattr(sweep, "writable", never)
    assert sweep.run([small()], writes=[tmp_path])[0].run == small()


def test_data_that_are_missing_are_found_before_the_first_run(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))
    (tmp_path / "shd_test.h5").write_bytes(b"no SHD")
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="shd_test.h5 cannot be read as SHD"):
        sweep.run([small(), small(seed=1), Speech()], executor=pool)
    assert not kept(tmp_path)


def test_a_night_of_experiments_begins_with_the_data_of_the_last(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))
    (tmp_path / "shd_test.h5").write_bytes(b"no SHD")
    monkeypatch.setattr(experiments, "jobs", lambda name: [small()] if name == "fig3" else [Speech()])
    assert experiments.main(["fig3", "fig4"]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'shd_test.h5'} cannot be read as SHD")
    assert not kept(tmp_path)


def test_a_sweep_leaves_the_environment_and_the_threads_as_they_were(monkeypatch):
    before, threads = dict(os.environ), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with ThreadPoolExecutor(1) as pool:
            sweep.run([small()], executor=pool)
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as other:
            assert other.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(threads)
    assert os.environ == before


# A notebook's own task, whose second run is interrupted by the user.
NOTEBOOK = """
import os, signal
import numpy as np, torch
from hetsyn_core import MatchToSample, sweep

class Own(MatchToSample):
    def batches(self, split, rng):
        print(self.seed, split, flush=True)
        if self.seed == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return super().batches(split, rng)

torch.set_num_threads(2)
try:
    sweep.run([Own(hidden=4, iterations=2, batch=2, test_trials=2, seed=seed) for seed in range(3)])
except KeyboardInterrupt:
    print("stopped", torch.get_num_threads())
"""


def test_a_notebooks_own_runs_stop_at_once_and_keep_what_is_finished(tmp_path):
    program = tmp_path / "notebook.py"  # whose code can be read, as that of a notebook's cells
    program.write_text(NOTEBOOK)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["0 train", "0 test", "1 train", "stopped 2"], done.stderr
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "foo://127.0.0.1:1"])
def test_a_scheduler_that_is_not_there_is_one_line(address, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER_S", 1)
    monkeypatch.setenv("HETSYN_SCHEDULER", address)
    with pytest.raises(RuntimeError, match=f"^no Dask scheduler answers at HETSYN_SCHEDULER={address}: .*$"):
        sweep.run([small()])


def test_a_scheduler_without_workers_says_how_long_it_has_waited(monkeypatch, capsys):
    monkeypatch.setattr(cluster, "EVERY_S", 1.0)
    said = []
    with (
        ThreadPoolExecutor(1) as thread,
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0") as dask,
    ):
        monkeypatch.setenv("HETSYN_SCHEDULER", address := dask.scheduler_address)
        found = thread.submit(sweep.run, [small()])
        wait(lambda: said.append(capsys.readouterr().err) or "waited 1 s" in "".join(said))
        dask.scale(1)
        assert found.result(300)[0].run == small()
    assert f"the scheduler at {address} has no workers; waited 0 s for one\n" in "".join(said)


def test_a_record_that_is_made_anew_holds_what_the_former_one_held(monkeypatch):
    monkeypatch.setenv("HETSYN_WORKERS", "1")
    run = small(recurrent=True, iterations=1, delay_ms=50)
    for name in "clamped", "shuffled":
        sweep.run([Job(run, analyses=(name,))])
    monkeypatch.setattr(sweep, "_records", None)  # nothing is left to be trained
    assert sweep.run([Job(run, analyses=("shuffled", "clamped"))])[0].analyses.keys() == {"clamped", "shuffled"}

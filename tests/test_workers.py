"""Workers: as many as there are cores to use, with memory that is kept, and none left behind."""

import multiprocessing
import os
import resource
import sys
import time

import pytest
from test_sweep import runs, wait

from hetsyn_core import workers


@pytest.fixture(autouse=True)
def four_cores(tmp_path, monkeypatch):
    """Four cores, and no control group or batch job that allows less."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.setattr(workers, "CGROUPS", tmp_path / "mounted")
    monkeypatch.setattr(workers, "OWN_CGROUPS", tmp_path / "own")


def group(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def test_all_cores_of_the_affinity_and_no_more():
    assert workers.cores() == 4


@pytest.mark.parametrize("wanted, expected", [("1", 1), ("3", 3), ("16", 4), ("", 4), ("0", 1)])
def test_slurm_says_how_many(wanted, expected, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", wanted)
    assert workers.cores() == expected


@pytest.mark.parametrize(
    "own, mounted, expected",
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),  # a container
        ("0::/job/step\n", {"job/cpu.max": "250000 100000\n", "job/step/cpu.max": "max 100000\n"}, 2),
        ("0::/job\n", {"job/cpu.max": "50000 100000\n"}, 1),
        ("0::/job\n", {"cpu.max": "max 100000\n", "other/cpu.max": "100000 100000\n"}, 4),
        (
            "8:pids:/\n4:cpu,cpuacct:/docker/a\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            3,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
    ],
)
def test_a_quota_of_the_control_group_counts(own, mounted, expected, tmp_path):
    group(tmp_path, {"own": own} | {f"mounted/{name}": content for name, content in mounted.items()})
    assert workers.cores() == expected


def test_workers_end_with_a_block_that_an_error_ends():
    with pytest.raises(KeyboardInterrupt), workers.pool(1) as pool:
        worker = pool.submit(os.getpid).result()
        pool.submit(time.sleep, 1000)
        raise KeyboardInterrupt
    wait(lambda: not multiprocessing.active_children())
    assert not runs(worker)


def faults():
    """Pages that are fetched while 64 MB are taken and given back, again and again."""
    before = 0
    for k in range(12):
        if k == 2:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [bytearray(b"1") * 2**23 for _ in range(8)]
        del blocks
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_a_worker_keeps_its_memory_and_the_callers_environment_is_as_it_was():
    before = dict(os.environ)
    with workers.pool(1) as pool:
        assert pool.submit(faults).result() < 2**26, "ten times 64 MB were fetched anew"
    assert os.environ == before

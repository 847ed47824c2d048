from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hetsyn_core import records, sweep
from hetsyn_core.train import match_config, train


def small(**changes):
    return match_config(**dict(hidden=4, iterations=3, batch=2, eval_trials=2) | changes)


@pytest.fixture(autouse=True)
def own_records(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_RECORDS", str(tmp_path))


def test_side_by_side_gives_the_same_records_in_order():
    configs = [small(seed=seed) for seed in (0, 1)]
    found = sweep.run(configs)
    assert [r["config"]["seed"] for r in found] == [0, 1]
    alone = train(configs[1])
    assert np.array_equal(found[1]["curves"]["loss"], alone["curves"]["loss"])
    assert found[1]["metrics"] == alone["metrics"]


def test_only_what_is_missing_is_trained(monkeypatch):
    trained = []
    monkeypatch.setattr(sweep, "train", lambda c: trained.append(c.seed) or train(c))
    with ThreadPoolExecutor(1) as pool:
        sweep.run([small(seed=0)], executor=pool)
        sweep.run([small(seed=0), small(seed=1)], executor=pool)
        assert trained == [0, 1]
        sweep.run([small(seed=0)], executor=pool, fresh=True)
        assert trained == [0, 1, 0]


def test_a_failed_run_is_recorded_with_its_reason():
    (record,) = sweep.run([small(lr=1e30)])
    assert "iteration" in record["failed"]
    assert records.load([small(lr=1e30)])[0]["failed"] == record["failed"]

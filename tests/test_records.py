from dataclasses import asdict

import numpy as np
import pytest

from hetsyn_core.runs import records
from hetsyn_core.runs.train import match_config, train


def small(**changes):
    return match_config(**dict(hidden=4, iterations=2, batch=2, eval_trials=2) | changes)


@pytest.fixture(autouse=True)
def own_records(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_RECORDS", str(tmp_path))


@pytest.fixture(scope="module")
def record():
    return train(small(detail=True))


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return np.array_equal(a, b) and getattr(a, "dtype", None) == getattr(b, "dtype", None)


def test_a_record_comes_back_as_it_was(record):
    records.save(record)
    (found,) = records.load([small(detail=True)])
    assert same(found, record)


def test_another_configuration_is_another_record():
    assert len({records.key(c) for c in (small(), small(seed=1), small(detail=True))}) == 3


def test_a_record_with_details_serves_for_one_without(record):
    records.save(record)
    assert same(records.load([small()])[0], record)
    assert records.load([small(seed=1)]) == [None]


def test_a_setting_at_its_default_does_not_name_a_record():
    config = asdict(small())
    assert records.key({k: v for k, v in config.items() if k != "noise_on"}) == records.key(config)
    assert records.key(small(noise_hz=2)) == records.key(small(noise_hz=2.0))


def test_every_changed_byte_and_every_cut_is_noticed(record):
    data = records.pack(record)
    rng = np.random.default_rng(0)
    for place in [0, 64, 65, len(data) - 1, *rng.integers(0, len(data), 200)]:
        with pytest.raises(records.DamagedRecord):
            records.unpack(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(records.DamagedRecord):
            records.unpack(data[:place])


def test_a_damaged_file_is_named_and_set_aside(record):
    path = records.save(record)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=path.name):
        assert records.load([small(detail=True)]) == [None]
    assert not path.exists() and path.with_suffix(".damaged").exists()


def test_consolidated_records_are_found_and_their_damage_noticed(record):
    path = records.consolidate("some", [record])
    assert same(records.load([small(detail=True)])[0], record)
    data = bytearray(path.read_bytes())
    start = data.index(records.pack(record)[70:110])  # inside the only incompressible column
    data[start] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged"):
        assert records.load([small(detail=True)]) == [None]


def test_an_unreadable_table_is_set_aside(record):
    path = records.consolidate("some", [record])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="some.parquet"):
        assert records.load([small(detail=True)]) == [None]

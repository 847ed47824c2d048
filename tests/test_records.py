import numpy as np
import pandas as pd
import pytest

from hetsyn_core.runs import records
from hetsyn_core.runs.train import train
from hetsyn_core.tasks import MatchToSample
from hetsyn_core.tasks.run import Run


def small(**changes):
    return MatchToSample(**dict(hidden=4, iterations=2, batch=2, test_trials=2) | changes)


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
    records.save(record, small(detail=True))
    (found,) = records.load([small(detail=True)])
    assert same(found, record)


def test_another_configuration_is_another_record():
    assert len({records.key(c) for c in (small(), small(seed=1), small(detail=True))}) == 3


def test_a_record_with_details_serves_for_one_without(record):
    records.save(record, small(detail=True))
    assert same(records.load([small()])[0], record)
    assert records.load([small(seed=1)]) == [None]


def test_whole_and_decimal_numbers_name_the_same_record():
    assert records.key(small(added_noise_hz=2)) == records.key(small(added_noise_hz=2.0))
    assert records.settings(small(hidden=[4])) == records.settings(small(hidden=(4,)))


def test_a_setting_added_since_leaves_records_valid_and_a_changed_default_does_not(record, monkeypatch):
    records.save(record, small(detail=True))
    without = {k: v for k, v in record["config"].items() if k != "noise_on"}
    assert records.same_settings(without, small(detail=True))
    assert not records.same_settings(without, small(detail=True, noise_on="cues"))
    assert not records.same_settings(record["config"] | {"of_old": 1}, small(detail=True))
    field = MatchToSample.__dataclass_fields__["decay_lr_scale"]
    monkeypatch.setattr(field, "default", 2.0)  # its record's name leaves it out, then as now
    asked = small(detail=True, decay_lr_scale=2.0)
    assert records.path(asked).exists() and records.load([asked]) == [None]


def test_a_task_of_ones_own_is_named_by_its_code_or_refused():
    class Own(Run):  # of the same name, its code to be read here
        def sizes(self):
            return 1, 2

        batches = loss = measure = sizes

    assert records.task_name(Own()).startswith("test_a_task_of_ones_own_is_named_by_its_code_or_refused.<locals>.Own ")
    assert records.task_name(small()) == "MatchToSample"
    unread = type("Own", (Own,), {"__module__": "nowhere"})
    with pytest.raises(records.Unnamed, match="use train"):
        records.load([unread()])


def test_every_changed_byte_and_every_cut_is_noticed(record):
    data = records.pack(record)
    rng = np.random.default_rng(0)
    for place in [0, 64, 65, len(data) - 1, *rng.integers(0, len(data), 200)]:
        with pytest.raises(records.DamagedRecord):
            records.unpack(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(records.DamagedRecord):
            records.unpack(data[:place])


def test_a_damaged_file_is_named_and_set_aside(record):
    path = records.save(record, small(detail=True))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=path.name):
        assert records.load([small(detail=True)]) == [None]
    assert not path.exists() and path.with_suffix(".damaged").exists()


def test_consolidated_records_are_found_and_their_damage_noticed(record):
    path = records.consolidate("some", [small(detail=True)], [record])
    assert same(records.load([small(detail=True)])[0], record)
    data = bytearray(path.read_bytes())
    packed = records.pack(record)
    start = data.index(packed[len(packed) // 2 :][:40])  # inside the only incompressible column
    data[start] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged"):
        assert records.load([small(detail=True)]) == [None]


def test_an_unreadable_table_is_set_aside(record):
    path = records.consolidate("some", [small(detail=True)], [record])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="some.parquet"):
        assert records.load([small(detail=True)]) == [None]


def test_records_made_elsewhere_are_taken_in_and_damaged_ones_refused_by_name(record, tmp_path, capsys):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    good = elsewhere / f"{records.key(small(detail=True))}.run"
    good.write_bytes(records.pack(record))
    (elsewhere / "cut.run").write_bytes(records.pack(record)[:-1])
    (elsewhere / "other.run").write_bytes(records.pack(record))
    (elsewhere / "foreign.run").write_bytes(records.pack({"config": {"task": "Unknown"}}))
    assert records.main(["import", str(elsewhere)]) == 1
    out, err = capsys.readouterr()
    assert out == "1 taken, 3 refused\n"
    assert "refused cut.run: cut.run is damaged" in err and "refused other.run: its settings belong to" in err
    assert "refused foreign.run: no run of this version" in err
    assert same(records.load([small(detail=True)])[0], record)
    with pytest.raises(SystemExit):
        records.main(["import", str(tmp_path / "nowhere")])
    assert "no .run files" in capsys.readouterr().err


def test_what_is_not_damaged_stays_where_it_is(record, monkeypatch):
    path = records.consolidate("some", [small(detail=True)], [record])
    own = path.with_name("own.parquet")
    pd.DataFrame({"mine": [1]}).to_parquet(own)
    assert records.load([small(detail=True)]) != [None] and own.exists()

    def too_many(path):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(type(path), "read_bytes", too_many)
    with pytest.raises(OSError, match="Too many"):
        records.load([small(detail=True)])
    assert path.exists()


def test_a_task_of_ones_own_is_not_the_packages_whatever_its_module_is_called(monkeypatch):
    class Own(MatchToSample):
        pass

    monkeypatch.setattr(Own, "__module__", "abc_own")
    with pytest.raises(records.Unnamed, match="the code of .*Own cannot be read"):
        records.task_name(Own())

"""Records come back as they were, are found by their settings, and no damaged or foreign file is taken for one."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from hetsyn_core.runs import store
from hetsyn_core.runs.record import DamagedRecord, Record, pack, seal, unpack
from hetsyn_core.runs.store import Job
from hetsyn_core.runs.sweep import joined
from hetsyn_core.runs.train import train
from hetsyn_core.tasks import MatchToSample
from hetsyn_core.tasks.task import Task


def small(**changes):
    return MatchToSample(**dict(hidden=4, iterations=2, batch=2, test_trials=2) | changes)


@pytest.fixture(autouse=True)
def own_records(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_RECORDS", str(tmp_path))


@pytest.fixture(scope="module")
def record():
    return train(small(), detail=True)


def same(a, b):
    """Whether two records, or parts of them, are equal to the bit."""
    if type(a) is not type(b):
        return False
    if hasattr(a, "__dataclass_fields__") and not isinstance(a, Task):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b


def packed(record):
    return pack(record, store.settings(record.run))


def test_a_record_comes_back_as_it_was(record):
    store.save(record)
    (found,) = store.load([Job(small(), detail=True)])
    assert same(found, record)


def test_another_configuration_is_another_record():
    assert len({store.key(run) for run in (small(), small(seed=1), small(lr=0.1))}) == 3


def test_a_record_serves_where_less_is_asked_and_not_where_more_is(record):
    store.save(record)
    assert same(store.load([small()])[0], record)
    assert store.load([small(seed=1)]) == [None]
    assert store.load([Job(small(), analyses=("table4",))]) == [None]
    store.save(train(small()))
    assert store.load([small()])[0].detail is None and store.load([Job(small(), detail=True)]) == [None]


def test_one_run_asked_for_twice_is_computed_with_all_that_is_asked():
    both = joined([Job(small(), analyses=("a",)), Job(small(), detail=True, analyses=("b", "a"))])
    assert both == Job(small(), detail=True, analyses=("a", "b"))
    failed = Record(small(), failure="iteration 1: the loss is nan")
    assert both.done_by(failed), "a run that cannot go on is not tried again"


def test_whole_and_decimal_numbers_name_the_same_record():
    assert store.key(small(added_noise_hz=2)) == store.key(small(added_noise_hz=2.0))
    assert store.settings(small(hidden=(4,))) == store.settings(small(hidden=4))


def test_a_setting_added_since_leaves_records_valid_and_a_changed_default_does_not(record, monkeypatch):
    store.save(record)
    stored = store.settings(small())
    without = {k: v for k, v in stored.items() if k != "noise_on"}
    assert store.same_settings(without, small())
    assert not store.same_settings(without, small(noise_on="cues"))
    assert not store.same_settings(stored | {"of_old": 1}, small())
    field = MatchToSample.__dataclass_fields__["decay_lr_scale"]
    monkeypatch.setattr(field, "default", 2.0)  # its record's name leaves it out, then as now
    asked = small(decay_lr_scale=2.0)
    assert store.path(asked).exists() and store.load([asked]) == [None]


def test_a_task_of_ones_own_is_named_by_its_code_or_refused():
    class Own(Task):  # of the same name, its code to be read here
        def sizes(self):
            return 1, 2

        batches = loss = measure = sizes

    assert store.task_name(Own()).startswith("test_a_task_of_ones_own_is_named_by_its_code_or_refused.<locals>.Own ")
    assert store.task_name(small()) == "MatchToSample"
    unread = type("Own", (Own,), {"__module__": "nowhere"})
    with pytest.raises(store.Unnamed, match="use train"):
        store.load([unread()])


def test_every_changed_byte_and_every_cut_is_noticed(record):
    data = packed(record)
    rng = np.random.default_rng(0)
    for place in [0, 64, 65, len(data) - 1, *rng.integers(0, len(data), 200)]:
        with pytest.raises(DamagedRecord):
            unpack(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], store.restore)
        with pytest.raises(DamagedRecord):
            unpack(data[:place], store.restore)


def test_a_sealed_file_that_is_no_record_is_not_taken_for_one():
    older = seal({"config": {"task": "MatchToSample"}, "metrics": {}}, {})
    with pytest.raises(DamagedRecord, match="no record of this version"):
        unpack(older, store.restore)


def test_a_damaged_file_is_named_and_set_aside(record):
    path = store.save(record)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=path.name):
        assert store.load([small()]) == [None]
    assert not path.exists() and path.with_suffix(".damaged").exists()


def test_consolidated_records_are_found_and_their_damage_noticed(record):
    path = store.consolidate("some", [record])
    assert same(store.load([small()])[0], record)
    data = bytearray(path.read_bytes())
    content = packed(record)
    start = data.index(content[len(content) // 2 :][:40])  # inside the only incompressible column
    data[start] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged"):
        assert store.load([small()]) == [None]


def test_an_unreadable_table_is_set_aside(record):
    path = store.consolidate("some", [record])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="some.parquet"):
        assert store.load([small()]) == [None]


def test_records_made_elsewhere_are_taken_in_and_damaged_ones_refused_by_name(record, tmp_path, capsys):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    good = elsewhere / f"{store.key(small())}.run"
    good.write_bytes(packed(record))
    (elsewhere / "cut.run").write_bytes(packed(record)[:-1])
    (elsewhere / "other.run").write_bytes(packed(record))
    (elsewhere / "foreign.run").write_bytes(pack(record, {"task": "Unknown"}))
    assert store.main(["import", str(elsewhere)]) == 1
    out, err = capsys.readouterr()
    assert out == "1 taken, 0 here already, 3 refused\n"
    assert "refused cut.run: cut.run is damaged" in err and "refused other.run: its settings belong to" in err
    assert "refused foreign.run: no run of this version" in err
    assert same(store.load([small()])[0], record)
    with pytest.raises(SystemExit):
        store.main(["import", str(tmp_path / "nowhere")])
    assert "no .run files" in capsys.readouterr().err


def test_what_is_not_damaged_stays_where_it_is(record, monkeypatch):
    path = store.consolidate("some", [record])
    own = path.with_name("own.parquet")
    pd.DataFrame({"mine": [1]}).to_parquet(own)
    assert store.load([small()]) != [None] and own.exists()

    def too_many(path):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(type(path), "read_bytes", too_many)
    with pytest.raises(OSError, match="Too many"):
        store.load([small()])
    assert path.exists()


def test_a_task_of_ones_own_is_not_the_packages_whatever_its_module_is_called(monkeypatch):
    class Own(MatchToSample):
        pass

    monkeypatch.setattr(Own, "__module__", "abc_own")
    with pytest.raises(store.Unnamed, match="the code of .*Own cannot be read"):
        store.task_name(Own())


def test_a_raised_version_is_another_record(monkeypatch):
    before = store.key(small())
    monkeypatch.setattr(MatchToSample, "version", 2)
    assert store.key(small()) != before


def test_a_larger_record_in_a_table_serves_where_the_file_is_too_small(record):
    store.consolidate("some", [record])
    store.save(train(small()))
    assert store.load([Job(small(), detail=True)])[0].detail is not None


def test_a_poorer_record_from_elsewhere_takes_the_place_of_none(record, tmp_path):
    poorer = replace(record, detail=None)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file = elsewhere / f"{store.key(small())}.run"

    def bring(brought):
        file.write_bytes(packed(brought))
        taken, known, refused = store.take_in(elsewhere)
        assert len(taken) + len(known) + len(refused) == 1
        return "taken" if taken else "known" if known else refused[file.name]

    assert bring(poorer) == "taken"
    assert bring(record) == "taken" and bring(record) == "known"
    assert bring(poorer) == "known" and same(store.load([Job(small(), detail=True)])[0], record)
    other = replace(poorer, analyses={"clamped": {"a": 1.0}})
    assert bring(other) == "the record that is here holds something that it lacks"
    failed = Record(small(), failure="the loss is nan")
    assert bring(failed) == "known"
    store.save(failed)
    assert bring(record) == "taken"


def test_a_folder_that_cannot_be_written_to_is_one_line(record, tmp_path, monkeypatch, capsys):
    (tmp_path / "new.run").write_bytes(packed(record))
    (tmp_path / "new.run").rename(tmp_path / f"{store.key(small())}.run")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HETSYN_RECORDS", str(tmp_path / "file"))
    with pytest.raises(SystemExit):
        store.main(["import", str(tmp_path)])
    assert "nothing can be written to" in capsys.readouterr().err

"""The Synaptic Physiology reader on a small SQLite file with the tables and columns of the real one."""

import hashlib
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from hetsyn_core.datasets import allen

# Names and types of release 2.1 (schema 22); of each table the columns that matter here and some that must not.
SCHEMA = """
CREATE TABLE slice (id INTEGER PRIMARY KEY, ext_id TEXT, species TEXT, age INTEGER);
CREATE TABLE experiment (id INTEGER PRIMARY KEY, ext_id TEXT, slice_id INTEGER, target_region TEXT);
CREATE TABLE cell (id INTEGER PRIMARY KEY, experiment_id INTEGER, target_layer TEXT);
CREATE TABLE cortical_cell_location (id INTEGER PRIMARY KEY, cell_id INTEGER, cortical_layer TEXT);
CREATE TABLE pair (id INTEGER PRIMARY KEY, experiment_id INTEGER, pre_cell_id INTEGER, post_cell_id INTEGER,
                   has_synapse BOOLEAN);
CREATE TABLE synapse (id INTEGER PRIMARY KEY, pair_id INTEGER, synapse_type TEXT, latency FLOAT, psp_amplitude FLOAT,
                      psp_rise_time FLOAT, psp_decay_tau FLOAT, psc_amplitude FLOAT, psc_rise_time FLOAT,
                      psc_decay_tau FLOAT);
CREATE TABLE resting_state_fit (id INTEGER PRIMARY KEY, synapse_id INTEGER, poly_synapse_id INTEGER, ic_amp FLOAT,
                                ic_decay_tau FLOAT, ic_exp_tau FLOAT, vc_decay_tau FLOAT, vc_exp_tau FLOAT);
CREATE TABLE avg_response_fit (id INTEGER PRIMARY KEY, synapse_id INTEGER, poly_synapse_id INTEGER, clamp_mode TEXT,
                               holding FLOAT, fit_decay_tau FLOAT, fit_exp_tau FLOAT, manual_qc_pass BOOLEAN,
                               n_averaged_responses INTEGER);
"""


@pytest.fixture
def database(tmp_path):
    """Five pairs: pair i joins cells 2i and 2i + 1; pairs 1 and 2 are human, 3 to 5 of mice; pair 5 has no synapse."""
    path = tmp_path / allen.NAME
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    rows = {
        "slice": [(1, "h", "human", 9000), (2, "m", "mouse", 60)],
        "experiment": [(10, "e", 1, "TCx"), (20, "f", 2, "VisP")],
        "cell": [(c, 10 if c < 6 else 20, "2/3") for c in range(2, 12)],
        # One cell of pair 2 was never placed; the location of one of pair 4 has no layer.
        "cortical_cell_location": [(c, c, None if c == 8 else "L2/3") for c in range(2, 12) if c != 5],
        "pair": [(i, 10 if i < 3 else 20, 2 * i, 2 * i + 1, i < 5) for i in range(1, 6)],
        "synapse": [
            (100, 1, "ex", 0.001, 1e-4, 2e-3, 0.020, -1e-11, 1e-3, 0.003),
            (200, 2, "in", 0.001, -1e-4, 2e-3, 0.5, None, None, None),
            (300, 3, "ex", 0.001, 1e-4, 2e-3, 0.005, -1e-11, 1e-3, 0.04),
            (400, 4, "ex", None, None, None, None, None, None, None),
        ],
        "resting_state_fit": [
            (1, 100, None, 1e-4, 0.030, 0.7, None, 0.7),
            (2, 200, None, 1e-4, 2.5, 0.7, 0.006, 0.7),
            (3, 300, None, 1e-4, 0.05, 0.7, None, 0.7),
            (4, None, 1, 1e-4, 0.99, 0.7, 0.99, 0.7),
        ],
        "avg_response_fit": [
            (1, 100, None, "ic", -0.07, 0.021, 0.7, True, 5),
            (2, 100, None, "ic", -0.055, 0.019, 0.7, False, 50),
            (3, 100, None, "vc", -0.07, 0.003, 0.7, False, 500),
            (4, 400, None, "ic", -0.07, 0.100, 0.7, False, 5),
            (5, None, 1, "ic", -0.07, 0.99, 0.7, True, 5),
        ],
    }
    for table, values in rows.items():
        connection.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(values[0]))})", values)
    connection.commit()
    connection.close()
    return path


def test_a_row_a_synapse_in_ms_with_its_species(database):
    taus = allen.decay_tau(database)
    expected = pd.DataFrame(
        {
            "species": ["human", "human", "mouse"],
            "synapse_type": ["ex", "in", "ex"],
            "region": ["TCx", "TCx", "VisP"],
            "cortical": [True, False, True],
            "tau_ms": [20.0, 500.0, 5.0],
            "column": "synapse.psp_decay_tau",
            "qc_pass": [True, False, False],
            "at_bound": [False, True, True],
        },
        index=pd.Index([100, 200, 300], name="synapse_id"),
    )
    pd.testing.assert_frame_equal(taus, expected)


@pytest.mark.parametrize(
    "measure, fit, tau_ms, at_bound",
    [
        ("psc", "synapse", {100: 3, 300: 40}, [300]),  # currents: 0.4 to 40 ms
        ("psp", "resting", {100: 30, 200: 2500, 300: 50}, [300]),  # a tenth to ten times the synapse's own value
        ("psc", "resting", {200: 6}, []),
        ("psp", "average", {100: 19, 400: 100}, []),  # the fit to more responses; quality control is a flag
        ("psc", "average", {100: 3}, []),
    ],
)
def test_every_column(database, measure, fit, tau_ms, at_bound):
    taus = allen.decay_tau(database, measure, fit)
    assert taus["tau_ms"].to_dict() == pytest.approx(tau_ms)
    assert list(taus.index[taus["at_bound"]]) == at_bound


def test_filters_count_pairs(database, monkeypatch):
    monkeypatch.setattr(allen, "PAPER_PAIRS", {"human": 1, "mouse": 0})
    table = allen.filters(database)
    settings = ["measure", "fit", "type", "qc", "cortical", "free"]
    assert len(table) == len(table[settings].drop_duplicates()) == 2 * 3 * 3 * 2**3
    by_setting = table.set_index(settings)
    assert by_setting.loc[("psp", "synapse", "all", False, False, False), ["human", "mouse"]].tolist() == [2, 1]
    assert by_setting.loc[("psp", "synapse", "all", False, True, False), ["human", "mouse"]].tolist() == [1, 1]
    assert by_setting.loc[("psp", "synapse", "all", False, False, True), ["human", "mouse"]].tolist() == [1, 0]
    assert by_setting.loc[("psp", "synapse", "in", False, False, False), ["human", "mouse"]].tolist() == [1, 0]
    assert by_setting.loc[("psp", "resting", "all", False, False, False), "above_500_ms"] == 1
    assert by_setting.loc[("psp", "synapse", "all", True, False, False), "found"]
    first_not_found = int(np.argmin(table["found"]))
    assert 0 < first_not_found and not table["found"][first_not_found:].any()


def test_the_file_is_only_read(database):
    database.chmod(0o444)
    before = database.read_bytes()
    allen.filters(database)
    assert database.read_bytes() == before and list(database.parent.iterdir()) == [database]


def test_errors_name_the_cure(database, tmp_path):
    with pytest.raises(FileNotFoundError, match="download"):
        allen.decay_tau(tmp_path / "absent.sqlite")
    with pytest.raises(ValueError, match="measure must be one of psp, psc"):
        allen.decay_tau(database, "psq")
    with pytest.raises(ValueError, match="fit must be one of synapse, resting, average"):
        allen.decay_tau(database, "psp", "best")
    sqlite3.connect(tmp_path / "other.sqlite").executescript("CREATE TABLE synapse (id INTEGER); VACUUM;")
    with pytest.raises(ValueError, match="other.sqlite is not the Synaptic Physiology release 2.1"):
        allen.decay_tau(tmp_path / "other.sqlite")
    (tmp_path / "text.sqlite").write_text("no database at all " * 99)
    with pytest.raises(ValueError, match="text.sqlite is not the Synaptic"):
        allen.decay_tau(tmp_path / "text.sqlite")


def test_a_file_that_another_program_has_locked_is_in_use(database, monkeypatch):
    monkeypatch.setattr(allen, "WAIT_S", 0.1)
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OSError, match=f"{allen.NAME} is in use by another program: close"):
            allen.decay_tau(database)
    assert len(allen.decay_tau(database)) == 3


def test_found_in_the_data_folder_and_only_whole(database, tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path / "elsewhere"))
    assert allen.find() is None
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="damaged or another release"):
        allen.find()
    monkeypatch.setattr(allen, "SHA256", hashlib.sha256(database.read_bytes()).hexdigest())
    assert allen.find() == allen.download() == database


def test_download_asks_for_the_release_and_its_checksum(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))
    monkeypatch.setattr(allen, "fetch", lambda *asked: asked)
    name, url, checksum = allen.download()
    assert url.startswith("https://") and url.endswith(f"/{name}")
    assert checksum == "sha256:7372499fdd874f057565080d5769baaf2659ef39d9f3bc3c7147dd1e1c280a53"

"""The table and the JSON come out; what they say about time is not tested."""

import json
import sys

import numpy as np
import pytest

from hetsyn_core.tasks.networks import Shape
from tools import benchmark


def test_a_tiny_shape_is_measured_and_written(tmp_path, monkeypatch, capsys):
    tiny = Shape("tiny", 2, 40, (3, 4, 2), True, 0.3)
    monkeypatch.setattr(benchmark, "SHAPES", (tiny,))
    monkeypatch.setattr(benchmark, "PEERS", ["snntorch"])
    monkeypatch.setattr(benchmark, "OURS", benchmark.OURS[::2])
    monkeypatch.setenv("HETSYN_PEERS", sys.executable)  # has no peers
    benchmark.main(["--quick", "--device", "cpu", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    fused, reference, peer = found["rows"]
    for row in fused, reference:
        low, high = row["quartiles_s"]
        assert 0 < low <= row["median_s"] <= high and row["floor_s"] > 0
    assert "No package metadata" in peer["error"] or "No module named" in peer["error"]
    assert found["devices"]["cpu"]["multiply_adds_per_s"] > 0
    printed = capsys.readouterr().out
    assert all(row["who"] in printed for row in found["rows"]) and peer["error"] in printed


def test_work_is_counted_per_synapse():
    # 6 + 12 feedforward synapses, 9 recurrent ones; those of the readout and the recurrent ones send gradients back
    shape = Shape("", 5, 7, (2, 3, 4), True, 0.5)
    adds, moved = benchmark.work(shape)
    assert adds == round(5 * 7 * ((4 * benchmark.lively(shape) + 2 * 0.5) * 6 + 6 * (9 + 12)))
    assert moved == 4 * (5 * 7 * (2 * 2 + 10 * 7) + 16 * 27)


def test_an_input_costs_nothing_before_its_first_spike():
    steps, density = 40, 0.1
    spikes = np.random.default_rng(0).random((20_000, steps)) < density
    found = np.logical_or.accumulate(spikes, axis=1).mean()
    assert abs(benchmark.lively(Shape("", 1, steps, (1, 1), True, density)) - found) < 0.01
    assert benchmark.lively(Shape("", 1, steps, (1, 1), True, 1)) == 1


def test_a_measurement_that_is_killed_is_a_row_that_says_so():
    assert "ended by the system" in benchmark.alone(_die)["error"]


def _die():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_the_reference_is_left_out_where_memory_would_not_do(monkeypatch):
    monkeypatch.setattr(benchmark, "alone", lambda *args: {"error": "not measured here"})
    large = Shape("large", 10**6, 10**4, (700, 128, 20), True, 0.1)
    rows = dict(benchmark._measurements(large, "cpu", 1, 0.1, None))
    assert "would keep" in rows["HetSynLIF, reference"]["error"]


def test_growth_has_a_point_for_each_value_of_an_axis_and_names_the_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "GROWING", Shape("growth", 2, 10, (3, 3, 2), True, 0.3))
    monkeypatch.setattr(benchmark, "AXES", {"steps": (5, 10), "batch": (1, 2), "neurons": (2, 4)})
    options = ["--growth", "--device", "cpu", "--seconds", "0.001", "--json", str(tmp_path / "found.json")]
    benchmark.main(options)
    found = json.loads((tmp_path / "found.json").read_text())
    assert set(found["devices"]["cpu"]["features"]) <= set(benchmark.FEATURES)
    rows = found["growth"]
    assert len(rows) == 6 * len(benchmark.OURS) and not any("seconds" in row for row in rows)
    neurons = [row for row in rows if row["axis"] == "neurons" and row["who"] == "HetSynLIF, fused"]
    assert [row["synapses"] for row in neurons] == [2 * 4 + 2 * 2, 2 * 16 + 4 * 2]
    assert all(row["repetitions"] >= 3 and row["median_s"] > 0 and row["floor_s"] > 0 for row in rows)


@pytest.mark.parametrize("options", [[], ["--growth"]])
def test_what_was_measured_before_an_early_end_is_on_file(options, tmp_path, monkeypatch):
    calls = []

    def second_one_ends(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return {"seconds": [0.1, 0.2, 0.3], "peak_bytes": 1e6}

    monkeypatch.setattr(benchmark, "_ours", second_one_ends)
    with pytest.raises(KeyboardInterrupt):
        benchmark.main([*options, "--quick", "--device", "cpu", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["median_s"] for row in found.get("rows") or found["growth"]] == [0.2]

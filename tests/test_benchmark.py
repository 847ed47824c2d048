"""The table and the JSON come out; what they say about time is not tested."""

import json
import sys

from hetsyn_core import benchmark
from hetsyn_core.benchmark import Shape


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
    adds, moved = benchmark.work(Shape("", 5, 7, (2, 3, 4), True, 0.5))
    assert adds == 5 * 7 * (6 * (6 + 9 + 12) + 2 * (9 + 12))
    assert moved == 4 * (5 * 7 * (2 * 2 + 10 * 7) + 16 * 27)


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

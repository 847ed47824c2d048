"""Parameters and operations of a network, held to a neuron that is computed a state at a time; prices from a file."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from hetsyn_core.model.layer import VARIANTS, Network, Variant
from hetsyn_core.model.time_constants import Sharing
from hetsyn_core.results import cost
from hetsyn_core.results.cost import BOUND, CLOCKED, DENSITY, EVENTS, RATE, TRAINED
from hetsyn_core.results.tables import example_input
from hetsyn_core.runs.record import Detail, Example, Record
from hetsyn_core.runs.train import train
from hetsyn_core.tasks import MatchToSample, PatternGeneration, SequentialDigits, Speech
from hetsyn_core.tasks.networks import SHAPES


def test_every_network_of_the_paper_has_the_parameters_of_table_3():
    table = cost.table3()
    assert len(table) == 8 * len(VARIANTS) and table.eq(table["Table 3"], axis=0).all(axis=None)
    assert table.loc[("SHD (Fig. 4)", "HetSynLIF"), "counted"] == 239_104  # of the authors' network


def before(z):
    """z[t-1] at every step t."""
    return z.roll(1, 0) * (torch.arange(len(z)) > 0)[:, None]


def by_hand(layer, x, z, lazily):
    """Potentials {(step, neuron)} of a layer, state by state, and how often what was done; lazily: on a spike alone."""
    done, potential = Counter(), {}
    weight, own = layer.weight, {}
    if layer.recurrent_weight is not None:
        weight, x = torch.cat([weight, layer.recurrent_weight], 1), torch.cat([x, before(z)], 1)
    if z is not None:
        own["reset"] = layer.reset_decay, layer.threshold
    if layer.adaptation:
        own["adaptation"] = layer.adaptation
    decays, current = layer.decay().expand(weight.shape), cost.currents(layer)
    for j in range(layer.n_post):
        factor = {int(c): decays[j, i].item() for i, c in enumerate(current[j])} | {s: f for s, (f, _) in own.items()}
        state, last = dict.fromkeys(factor, 0.0), -1
        for t in range(len(x)):
            fired = z is not None and before(z)[t, j] > 0
            if lazily and not x[t].any() and not fired:
                continue
            for name in state:
                state[name] *= factor[name] ** (t - last)
                done["decays"] += 1
            last = t
            for i in x[t].nonzero()[:, 0].tolist():
                state[int(current[j, i])] += weight[j, i].item()
                done["arrivals"] += 1
            for name, (_, amount) in own.items() if fired else ():
                state[name] += amount
                done["arrivals"] += 1
            potential[t, j] = sum(-value if name in own else value for name, value in state.items())
            done["sums"] += len(state) - 1
    return potential, done


def least(layer, x, z):
    """Updates of a state at which at least one spike arrives."""
    own_spikes = 0 if z is None else int(before(z).sum()) * (2 if layer.adaptation else 1)
    x = x if layer.recurrent_weight is None else torch.cat([x, before(z)], 1)
    current = cost.currents(layer)
    reached = {(t, j, int(current[j, i])) for t, i in x.nonzero().tolist() for j in range(layer.n_post)}
    return len(reached) + own_spikes


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("variant", [*VARIANTS, Variant(Sharing("random", 3), trainable=True)], ids=str)
def test_operations_are_those_of_a_neuron_computed_state_by_state(variant, recurrent):
    draw = torch.Generator().manual_seed(3)
    network = Network((5, 4, 2), variant=variant, recurrent=recurrent, generator=draw, tau_reset_ms=5.0)
    with torch.no_grad():
        for layer in network.layers:
            layer.weight.mul_(2)
    x = (torch.rand(1, 40, 5, generator=draw) < 0.2).float()
    spikes = cost.passed_on(network, x)
    assert spikes[1].any()
    traces = network(x)
    for k, layer in enumerate(network.layers):
        given, own = spikes[k], spikes[k + 1] if layer.spiking else None
        counted = cost.layer_operations(layer, given, own)
        twice = cost.layer_operations(layer, given.expand(2, -1, -1), None if own is None else own.expand(2, -1, -1))
        assert twice.equals(counted)  # means over trials
        given, own = given[0], None if own is None else own[0]
        for machine in CLOCKED, EVENTS:
            potential, done = by_hand(layer, given, own, lazily=machine == EVENTS)
            assert counted.loc[machine].to_dict() == done
            exact = traces.potential[k] if layer.spiking else traces.readout
            for (t, j), value in potential.items():
                assert value == pytest.approx(exact[0, t, j].item(), abs=1e-4)
        assert counted.loc[BOUND, "decays"] == least(layer, given, own) and counted.loc[BOUND, "sums"] == 0
        assert counted.loc[BOUND, "arrivals"] == counted.loc[CLOCKED, "arrivals"]


def test_spikes_are_of_the_trained_network_or_say_what_they_are():
    shape = next(s for s in SHAPES if s.name.startswith("match F"))
    run = MatchToSample(iterations=1, test_trials=1)
    record = train(run, detail=True)
    x = cost.trials_of(run, shape, None)
    assert x.shape == (cost.TRIALS, 210, 30)
    example = torch.from_numpy(record.detail.example.input).float()[None]
    network, spikes, source = cost.simulated(run, shape, record, example)
    assert source == TRAINED and (spikes[1][0].numpy() == record.detail.example.spikes).all()
    record = replace(record, detail=None, test={"rate_hz": 20.0})
    _, spikes, source = cost.simulated(run, shape, record, x)
    assert source == RATE and spikes[0] is x and float(spikes[1].mean()) == pytest.approx(0.1, rel=0.1)
    _, spikes, source = cost.simulated(run, shape, None, x)
    assert source == DENSITY and float(spikes[1].mean()) == pytest.approx(shape.density, rel=0.1)


def test_speech_is_heard_from_a_record_or_drawn():
    shape = next(s for s in SHAPES if s.name.startswith("SHD"))
    recording = np.eye(250, 700, dtype=bool)
    nothing = np.zeros(0)
    detail = Detail((), (), {}, Example(recording, *[nothing] * 5))
    found = example_input([None, Record(Speech()), Record(Speech(), detail=detail)])
    x = cost.trials_of(Speech(), shape, found)
    assert (x[0].numpy() == recording).all()
    x = cost.trials_of(Speech(), shape, example_input([None]))
    assert x.shape == (1, 250, 700) and float(x.mean()) == pytest.approx(shape.density, rel=0.1)


def test_without_records_all_inferences_are_counted_from_densities():
    table = cost.inferences()
    assert len(table) == 5 * len(VARIANTS) * 3 and set(table["spikes"]) == {DENSITY}
    all_of = table["all"].unstack("machine")
    assert (all_of[BOUND] < all_of[EVENTS]).all() and (all_of[EVENTS] <= all_of[CLOCKED]).all()


def test_every_network_with_spiking_input_has_its_run_and_only_s_mnist_has_none():
    runs = cost.runs_of_the_paper()
    assert [shape.name for shape in SHAPES if shape.name not in runs] == ["S-MNIST (Table 2)"]
    assert [shape.name for shape in SHAPES if shape.analog] == ["S-MNIST (Table 2)"]
    for shape in SHAPES:
        if run := runs.get(shape.name):
            assert (run.hidden, run.recurrent) == (shape.sizes[1:-1], shape.recurrent)


def test_a_network_is_joined_with_its_run_by_name_whatever_the_order(monkeypatch):
    table = cost.inferences()
    monkeypatch.setattr(cost, "SHAPES", SHAPES[::-1])
    assert cost.inferences().loc[table.index].equals(table)


def test_prices_are_quotients_and_no_gpu_is_not_measured(tmp_path):
    row = {"device": "cpu", "shape": {"name": "a"}, "floor_s": 0.001, "peak_bytes": 2e6}
    rows = [row | {"who": "HetSynLIF, fused", "median_s": 0.003}, row | {"who": "LIF, other", "median_s": 0.012}]
    rows += [row | {"who": "HetSynLIF, reference", "error": "no room", "peak_bytes": None}]
    devices = {"cpu": {"name": "this"}, "cuda": {"name": "card"}}
    write = lambda name, report: (tmp_path / name).write_text(json.dumps(report))
    write("cpu.json", {"devices": devices, "rows": rows})
    write("growth_cpu.json", {"devices": devices, "growth": []})
    price = cost.prices(cost.timings(tmp_path)).loc[("this", "a")]
    assert price["LIF, other"] == pytest.approx(0.25) and price.isna()["HetSynLIF, reference"]
    assert price["GPU"] == "not measured" and "HetSynLIF, fused" not in price
    write("gpu.json", {"devices": devices, "rows": [rows[0] | {"device": "cuda", "median_s": 0.0004}]})
    price = cost.prices(cost.timings(tmp_path)).loc[("this", "a")]
    assert price["GPU"] == "0.40"


def test_a_network_and_its_task_agree_on_tiny_numbers():
    flushed = {shape.name for shape in SHAPES if shape.tiny_is_zero}
    assert flushed == {"S-MNIST (Table 2)"} and SequentialDigits.tiny_is_zero
    assert not any(task.tiny_is_zero for task in (PatternGeneration, MatchToSample, Speech))


def test_ranges_are_over_all_networks_and_a_device_without_times_is_not_measured():
    row = lambda network, who, ms: {
        "machine": "this", "device": "cpu", "network": network, "who": who,
        "ms": ms, "MB": 2.0, "floor": 1, "missing": "",
    }  # fmt: skip
    rows = [row(n, "HetSynLIF, fused", 2.0) for n in "ab"]
    rows += [row("a", "HomNeuLIF, fused", 1.0), row("b", "HomNeuLIF, fused", 2.0)]
    rows += [row("a", "LIF, one", 4.0), row("a", "LIF, two", 8.0)]
    found = cost.ranges(pd.DataFrame(rows))
    assert list(found["time, CPU"]) == ["1.00 to 2.00", "not measured", "0.25 to 0.50"]
    assert set(found["time, GPU"]) == {"not measured"} and found.loc["other libraries", "memory, CPU"] == "1.00 to 1.00"

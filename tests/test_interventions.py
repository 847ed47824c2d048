"""Interventions change exactly what they say: time constants of a trained network, or a part of its state."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from test_classify import louder
from test_store import same

from hetsyn_core import MatchToSample, Speech, tables, train, trained
from hetsyn_core.results import mechanism, sharing
from hetsyn_core.runs import exchange, interventions, store, sweep
from hetsyn_core.runs.evaluate import performance
from hetsyn_core.runs.experiments import WIDE
from hetsyn_core.runs.interventions import changed, clamp, label, longest, pathways, put_back, shuffle
from hetsyn_core.runs.make import make_network
from hetsyn_core.runs.store import Job
from hetsyn_core.tasks.speech import GENERATED

RUN = MatchToSample(recurrent=True, hidden=4, delay_ms=200, iterations=20, test_trials=16, seed=3)


@pytest.fixture(scope="module")
def pair():
    """A network whose time constants differ widely, and the same before training."""
    network, start = make_network(RUN), make_network(RUN)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in network.layers:
            layer.decay_parameter.copy_(torch.rand(layer.decay_parameter.shape, generator=generator))
    return network, start


def taus(network):
    known = pathways(network)
    return {name: network.layers[k].decay()[:, columns].detach() for name, (k, columns) in known.items()}


def differing(first, second):
    """Names of what differs between two networks: pathways, and weights."""
    mine, theirs = taus(first), taus(second)
    weights = zip(first.weights(), second.weights(), strict=True)
    return [name for name in mine if not torch.equal(mine[name], theirs[name])] + [
        "weights" for a, b in weights if not torch.equal(a, b)
    ]


@pytest.mark.parametrize("where", ["input", "recurrent", "readout"])
@pytest.mark.parametrize("keep", ["nothing", "pre", "post"])
def test_a_shuffle_deals_out_the_same_time_constants_of_one_pathway(pair, where, keep):
    network, start = pair
    other = changed(network, start, [where], shuffle(keep, np.random.default_rng(0)))
    assert differing(network, other) == [where]
    before, after = taus(network)[where], taus(other)[where]
    axis = {"nothing": None, "post": 1, "pre": 0}[keep]
    np.testing.assert_array_equal(np.sort(before, axis), np.sort(after, axis))


def test_a_clamp_has_the_ends_it_names_and_none_at_infinity_and_zero(pair):
    network, start = pair
    everywhere = list(pathways(network))
    same_network = changed(network, start, everywhere, clamp())
    assert differing(network, same_network) == [] and performance(network, RUN) == performance(same_network, RUN)
    for ends, within in ((dict(at_most=9.0), lambda t: t <= 9.001), (dict(at_least=9.0), lambda t: t >= 8.999)):
        other = changed(network, start, ["input"], clamp(**ends))
        assert differing(network, other) == ["input"]
        now, then = (net.layers[0].tau_s_ms()[:, :30] for net in (other, network))
        assert within(now).all() and torch.equal(now[within(then)], then[within(then)])


@pytest.mark.parametrize("parameterization", ["decay", "tau", "log_tau"])
def test_a_clamp_is_in_ms_whatever_the_optimiser_sees(parameterization):
    network = make_network(RUN.replace(parameterization=parameterization))
    tau = changed(network, network, ["readout"], clamp(at_most=41.0)).layers[1].tau_s_ms()
    before = network.layers[1].tau_s_ms()
    assert tau.max().item() == pytest.approx(41, rel=1e-4) and torch.equal(tau[before < 41], before[before < 41])


def test_the_longest_are_put_back_and_no_others(pair):
    network, start = pair
    everywhere = list(pathways(network))
    order = longest(network, everywhere)
    chosen = torch.zeros(len(order), dtype=torch.bool)
    chosen[order[:7]] = True
    other = put_back(network, start, everywhere, chosen)
    flat = lambda net: torch.cat([own.flatten() for own in taus(net).values()])
    assert torch.equal(flat(other)[chosen], flat(start)[chosen])
    assert torch.equal(flat(other)[~chosen], flat(network)[~chosen])
    assert flat(network)[chosen].min() >= flat(network)[~chosen].max()
    assert differing(put_back(network, start, everywhere, ~torch.zeros_like(chosen)), start) == []


def test_pathways_have_the_names_of_the_notebooks_and_need_a_time_constant_each():
    deep = make_network(RUN.replace(hidden=(3, 2)))
    assert list(pathways(deep)) == ["input", "recurrent", "1 to 2", "recurrent 2", "readout"]
    assert list(pathways(make_network(RUN.replace(recurrent=False)))) == ["input", "readout"]
    for changes in ({"variant": "HetNeuLIF"}, {"groups": 3}, {"frozen": 0.5}):
        with pytest.raises(ValueError, match="^interventions are on HetSynLIF"):
            pathways(make_network(RUN.replace(**changes)))


def test_an_intervention_leaves_the_network_alone(pair):
    network, start = pair
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = interventions.restarted(network, RUN)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert found[label("longest back", "all", 0)] == performance(network, RUN)["accuracy"]
    assert found[label("longest back", "all", 100)] == performance(start, RUN)["accuracy"]


def test_everything_exchanged_is_the_other_trial_and_slow_and_rest_make_everything(pair):
    network, _ = pair
    x = exchange.trials(RUN, "test")[0]
    state = network(x[:, :30], network.rest(len(x))).state
    own, other = state[torch.arange(8)], state[torch.arange(8, 16)]
    parts = exchange.parts(network, slow_ms=9.0)
    content = lambda one: [
        value for layer in one.layers for part in (layer, layer.neurons) if part is not None
        for field in fields(part) if isinstance(value := getattr(part, field.name), torch.Tensor)
    ]  # fmt: skip
    equal = lambda a, b: all(map(torch.equal, content(a), content(b)))
    assert equal(parts["nothing"](own, other), own) and equal(parts["everything"](own, other), other)
    both = parts["all but slow synapses"](parts["slow synapses"](own, other), other)
    assert equal(both, other) and not equal(parts["slow synapses"](own, other), other)
    pieces = own
    for name in ("cue channels", "noise channels", "recurrent", "spikes and reset", "readout"):
        before, pieces = pieces, parts[name](pieces, other)
        assert not equal(before, pieces), name
    assert equal(pieces, other)
    pieces = own
    for name in ("cue channels", "noise channels", "recurrent"):
        pieces = parts[name](pieces, other)
    every = torch.ones_like(network.layers[0].decay(), dtype=torch.bool)
    assert equal(exchange.currents(every)(own, other), pieces)


def test_a_trial_with_everything_exchanged_goes_on_as_if_it_had_begun_as_the_other():
    run = RUN.replace(hidden=8, test_trials=64)
    network, step = make_network(run), 30
    pairs = exchange.Pairs(network, run)
    x, answer, first = exchange.trials(run, "test")
    assert (first[pairs.other] != first).all() and len(first) == 64
    found = exchange.exchanged(network, run)
    for name, begun_as in (("everything", pairs.other), ("nothing", torch.arange(64))):
        spliced = torch.cat([x[begun_as, :step], x[:, step:]], 1)
        wrong = (network(spliced).readout[:, -1].argmax(-1) != answer).double().mean().item()
        assert pairs.follow(exchange.parts(network, 200)[name], step * run.dt_ms) == wrong
        assert found[label("exchanged", name, 150)] == wrong


def test_states_are_exchanged_with_one_hidden_layer_only():
    run = RUN.replace(hidden=(3, 2))
    with pytest.raises(ValueError, match="one hidden layer"):
        exchange.exchanged(make_network(run), run)
    for changes in {"variant": "HetNeuLIF"}, {"variant": "HomNeuLIF"}, {"groups": 3, "grouped_by": "post"}:
        other = RUN.replace(**changes)
        with pytest.raises(ValueError, match="HetSynLIF without groups"):
            exchange.exchanged(make_network(other), other)


def test_fixed_weights_stay_while_time_constants_move():
    run = RUN.replace(fixed_weights=True, iterations=3)
    record = train(run, detail=True)
    start = make_network(run)
    after = record.detail.network
    for name, value in start.state_dict().items():
        if name.endswith("weight"):
            assert np.array_equal(after[name], value), name
        elif name.endswith("decay_parameter"):
            assert not np.array_equal(after[name], value), name


def test_fixed_weights_need_time_constants_that_learn_and_move_no_old_key():
    with pytest.raises(ValueError, match="^fixed_weights must be False for HomNeuLIF"):
        MatchToSample(variant="HomNeuLIF", fixed_weights=True)
    assert store.key(RUN) == store.key(RUN.replace(fixed_weights=False)) != store.key(RUN.replace(fixed_weights=True))
    before = {name: value for name, value in store.settings(RUN).items() if name != "fixed_weights"}
    assert store.same_settings(before, RUN) and not store.same_settings(before, RUN.replace(fixed_weights=True))


def test_a_record_with_its_network_is_analysed_without_training(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_RECORDS", str(tmp_path))
    monkeypatch.setenv("HETSYN_WORKERS", "1")
    run = RUN.replace(hidden=2, iterations=2, delay_ms=50)
    record = train(run, detail=True)
    marked = replace(record, test=record.test | {"accuracy": 0.123})  # training again would lose the mark
    store.save(marked)
    (found,) = sweep.run([Job(run, analyses=("clamped",))])
    assert found.test["accuracy"] == 0.123 and found.analyses["clamped"] and same(found.detail, record.detail)
    assert found.analyses["clamped"] == interventions.clamped(trained(record), run)
    assert store.load([Job(run, detail=True, analyses=("clamped",))])[0] is not None
    (again,) = sweep.run([Job(run, analyses=("clamped",))], fresh=True)
    assert again.test == record.test


def test_speech_is_analysed_too():
    run = Speech(data=GENERATED, hidden=(12, 8), test_trials=64)
    network = louder(make_network(run))
    found = interventions.shuffled(network, run)
    assert {name.split(" | ")[1] for name in found} == {*pathways(network), "all"}
    assert all(0 <= value <= 1 for value in found.values()) and len(set(found.values())) > 1


def test_outcomes_become_rows():
    run = RUN.replace(hidden=2, delay_ms=50, iterations=2)
    records = [train(run.replace(seed=seed), analyses=("clamped", "shuffled")) for seed in (0, 1)]
    table = mechanism.outcomes(tables.frame(records))
    assert len(table) == sum(len(r.found()) for r in records)
    one = table[
        (table["seed"] == 1) & (table["what"] == "at most") & (table["where"] == "input") & (table["level"] == 40)
    ]
    assert one["percent"].tolist() == [100 * records[1].found()[label("at most", "input", 40)]]
    assert set(table.loc[table["what"] == "shuffled", "level"]) == {"nothing", "pre", "post"}
    summary = mechanism.summary(mechanism.curve(table, "at most"), ["level"])
    assert (summary["n"] == 2).all()
    assert ((summary["low"] <= summary["mean"]) & (summary["mean"] <= summary["high"])).all()


def test_interventions_are_named_for_what_they_did(pair, monkeypatch):
    network, start = pair
    flat = lambda net: torch.cat([layer.tau_s_ms().flatten() for layer in net.layers])
    back = lambda net, task: float((flat(net) == flat(start)).double().mean())
    monkeypatch.setattr(interventions, "_accuracy", back)
    found = interventions.restarted(network, RUN)
    assert found[label("longest back", "all", 20)] == pytest.approx(0.2, abs=0.01)
    assert found[label("others back", "all", 20)] == pytest.approx(0.8, abs=0.01)
    assert found[label("random back", "all", 20)] == pytest.approx(0.2, abs=0.01)
    monkeypatch.setattr(interventions, "_accuracy", lambda net, task: float(flat(net).max()))
    found = interventions.clamped(network, RUN)
    assert found[label("at most", "all", 40)] == pytest.approx(40, rel=1e-3)
    assert found[label("at least", "all", 40)] == float(flat(network).max()) > 41


def test_neurons_are_exchanged_from_the_most_different_on(pair):
    network, _ = pair
    size = exchange.difference(network, RUN).sum(1).abs()
    assert (size[exchange.by_difference(network, RUN)].diff() <= 0).all() and size.max() > size.min()


def test_small_tables():
    heard = pd.DataFrame({"time constants": "1", "seed": 0, "epoch": range(1, 7), "percent": [0, 0, 0, 1, 2, 3]})
    assert sharing.last_epochs(heard)["percent"].tolist() == [2]
    kinds = {}, {"frozen": 1.0}, {"frozen": 1.0, "tau_s": WIDE}, {"fixed_weights": True}
    assert tuple(mechanism.learns(MatchToSample(**kind)) for kind in kinds) == mechanism.LEARNS
    assert mechanism.wilson(90, 100) == pytest.approx((82.56, 94.48), abs=0.01)

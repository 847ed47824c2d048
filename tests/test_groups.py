"""How many time constants: what is counted is what a network has, and a run stands on its own line."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_up import made_up

from hetsyn_core.drawing import rivals
from hetsyn_core.drawing import sharing as draw
from hetsyn_core.model.layer import VARIANTS
from hetsyn_core.results import ledger
from hetsyn_core.results import sharing as groups
from hetsyn_core.results.claims import CLAIMS
from hetsyn_core.results.sharing import POST, PRE, RANDOM
from hetsyn_core.results.tables import frame
from hetsyn_core.results.verdicts import NOT, REPRODUCED, TOO_FEW
from hetsyn_core.runs.experiments import WIDE, WIDE_BINS, jobs
from hetsyn_core.runs.make import make_network
from hetsyn_core.tasks import MatchToSample, Speech


def all_of(runs, accuracy=lambda run: 0.9):
    """Records of runs that were never trained."""
    return [made_up(run, accuracy(run)) for run in runs]


def grid(runs=10, **levels):
    """Feedforward match-to-sample with all combinations of levels, ten seeds of each."""
    levels["seed"] = range(runs)
    return [MatchToSample(**dict(zip(levels, values, strict=True))) for values in product(*levels.values())]


@pytest.mark.parametrize(
    "settings, p, level, sharing",
    [
        ({}, 600, "one per synapse", "HetSynLIF"),
        ({"groups": 16}, 16, "16", RANDOM),
        ({"groups": 16, "grouped_by": "pre"}, 16, "16", PRE),
        ({"groups": 16, "grouped_by": "post"}, 16, "16", POST),
        ({"groups": 256, "grouped_by": "pre"}, 30, "one per neuron", PRE),  # no more than there are input channels
        ({"variant": "HetNeuLIF"}, 20, "one per neuron", "HetNeuLIF"),
        ({"groups": 1, "grouped_by": "post"}, 1, "1", RANDOM),
        ({"groups": 1000}, 600, "one per synapse", RANDOM),
    ],
)
def test_time_constants_are_counted_in_a_network_with_who_shares_them(settings, p, level, sharing):
    found = all_of([MatchToSample(hidden=20, tau_s=WIDE, **settings)])
    table = groups.counted(frame(found))
    assert (list(table["P"]), list(table["level"]), list(table["sharing"])) == ([p], [level], [sharing])
    assert set(table["start"]) == {"wide"} and set(table["percent"]) == {90}
    assert set(table["to_95"]) == {1001}  # never reached


def shared(*kinds, accuracy=lambda run: 0.9):
    """Ten runs of each kind, counted."""
    runs = [MatchToSample(hidden=20, seed=seed, **kind) for kind in kinds for seed in range(10)]
    return groups.counted(frame(all_of(runs, accuracy)))


def test_numbers_of_time_constants_stand_in_order_each_on_its_tick():
    kinds = {"groups": 64}, {}, {"groups": 16}, {"variant": "HetNeuLIF"}, {"groups": 16, "grouped_by": "pre"}
    table = shared(*kinds)
    assert list(table["level"].cat.categories) == ["16", "one per neuron", "64", "one per synapse"]
    _, ax = plt.subplots()
    draw.against_p(ax, table, "percent")
    marks = {line.get_marker(): line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1}
    assert marks["D"] == 3 and marks["^"] == 1  # alone on their ticks
    assert marks["v"] == -0.16  # two kinds stand beside the tick
    plt.close()


def test_a_mean_is_one_of_numbers_on_a_logarithmic_axis_too():
    table = shared({"groups": 1}).assign(mse=[1, 100] * 5)
    _, ax = plt.subplots()
    ax.set_yscale("log")
    draw.error(ax, table)
    assert [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "o"] == [50.5]
    plt.close()


def test_no_line_joins_two_points():
    for kinds, n in (({"groups": 1}, {}), 0), (({"groups": 1}, {"groups": 4}, {}), 1):
        _, ax = plt.subplots()
        draw.learned(ax, shared(*kinds, accuracy=lambda run: 0.8 + 0.02 * run.seed))
        assert sum(line.get_color() == draw.SHARED and len(line.get_xdata()) > 2 for line in ax.lines) == n
        percent = {line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 1}
        assert percent == {50}  # 90 % and more have learned
    plt.close("all")


def test_operations_of_a_step_are_those_counted_by_hand():
    """F-HetSynLIF with 3 neurons that never fire: its states decay and are summed, input spikes arrive."""
    run = MatchToSample(hidden=3)
    x, _ = next(iter(run.replace(test_trials=16).batches("test", np.random.default_rng(0))))
    decays = 30 * 3 + 3 + 3 * 2  # currents, resets, currents of the readout
    sums = decays - (3 + 2)  # k states of a neuron take k - 1
    arrivals = 3 * float(x.sum(-1).mean())
    assert groups._operations(run, 0.0) == pytest.approx(decays + sums + arrivals)
    assert groups._operations(run, 50.0) > decays + sums + arrivals


def test_costs_stand_beside_each_run():
    found = all_of(grid(runs=2, variant=VARIANTS, hidden=[5, 20]))
    table = groups.with_costs(frame(found)).set_index(["variant", "hidden"])
    assert set(table.loc[("HetSynLIF", 20), "parameters"]) == {2 * (600 + 40)}
    assert table.loc[("HetSynLIF", 20), "operations"].max() > 10 * table.loc[("HetNeuLIF", 20), "operations"].max()
    others = {}, {"groups": 16}, {"groups": 4, "grouped_by": "pre"}, {"readout": "spiking", "hidden": 6}
    runs = [MatchToSample(**{"hidden": 5} | changes) for changes in others]
    counted = [sum(p.numel() for p in make_network(run).parameters()) for run in runs]
    assert groups.with_costs(frame(all_of(runs)))["parameters"].tolist() == counted


def as_busy(found):
    """Rows of the claim about networks that take as many operations."""
    return [
        row
        for one in ledger.judge(CLAIMS, {"fig3": frame(found)})
        if "operations" in one.claim.text
        for row in one.rows
    ]


@pytest.mark.parametrize("winner, verdict", [("HetSynLIF", REPRODUCED), ("HetNeuLIF", NOT)])
def test_with_as_many_operations_either_may_win(winner, verdict):
    runs = grid(variant=VARIANTS, hidden=[5, 20, 50, 100])
    (row,) = as_busy(all_of(runs, lambda run: 0.5 + 0.5 * (run.variant == winner)))
    assert row.found.verdict == verdict
    assert row.text.startswith("F, 5 neurons against HetNeuLIF with 100")


def test_without_a_rival_nothing_is_claimed_of_operations():
    busy = lambda runs: as_busy(all_of(runs))
    own = grid(hidden=[5, 20])
    assert busy(own) == busy([run.replace(variant="HetNeuLIF") for run in own]) == busy([]) == []
    (row,) = busy(own + [run.replace(variant="HetNeuLIF") for run in own])
    assert row.found.verdict == TOO_FEW  # one rival of two
    layered = [run.replace(hidden=(n, n)) for run in own for n in run.hidden]
    assert groups.with_costs(frame(all_of(layered)))["operations"].nunique() == 2


def test_speech_is_named_by_its_time_constants_up_to_the_last_epoch_that_all_have():
    kinds = [Speech(variant="HetNeuLIF"), Speech(variant="HomNeuALIF"), Speech(), Speech(groups=16, epochs=2)]
    kinds += [Speech(tau_s=WIDE_BINS)]
    curve = np.array([0.5, 0.75, 0.875])
    found = [made_up(run, test_curve=curve[: 2 if run.groups else 3]) for run in kinds]
    table = groups.speech(found)
    assert list(table["time constants"]) == 2 * ["one per neuron"] + 2 * ["one per synapse"] + 2 * ["16"] + 2 * [
        groups.WIDE
    ]
    assert list(table["percent"]) == 4 * [50, 75] and list(table["epoch"]) == 4 * [1, 2]


def test_controls_are_told_apart():
    found = all_of(job.run for job in jobs("controls_match", "smoke", {"recurrent": False}))
    assert list(groups.controls(frame(found))["kind"]) == [
        "HetSynLIF, paper's start",
        "HetSynLIF, paper's start, fixed",
        "HetSynLIF, wide start",
        "HetSynLIF, wide start, fixed",
        "HetSynLIF, log-uniform start",
        "HetSynLIF, log-uniform start, fixed",
        "HetNeuLIF, as large",
        "HomNeuALIF, as large",
    ]


def test_of_controls_every_run_is_a_dot_and_fixed_ones_are_hollow():
    found = all_of(job.run for job in jobs("controls_match", "smoke", {"recurrent": False, "seed": [0, 1]}))
    _, ax = plt.subplots()
    rivals.controls(ax, groups.controls(frame(found)), "accuracy")
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in dots] == [2] * 8
    assert [line.get_markerfacecolor() == "none" for line in dots] == [False, True] * 3 + [False] * 2
    assert [text.get_text() for text in ax.get_yticklabels()][-1] == "HomNeuALIF, as large"
    plt.close()

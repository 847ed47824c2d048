"""How many time constants: what is counted is what a network has, and a run stands on its own line."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_up import made_up

from hetsyn_core.model.layer import VARIANTS
from hetsyn_core.results import ledger
from hetsyn_core.results import sharing as groups
from hetsyn_core.results.claims import CLAIMS
from hetsyn_core.results.sharing import POST, PRE, RANDOM
from hetsyn_core.results.tables import frame
from hetsyn_core.results.verdicts import NOT, REPRODUCED, TOO_FEW
from hetsyn_core.runs.experiments import WIDE, WIDE_BINS, jobs
from hetsyn_core.tasks import MatchToSample, Speech


def all_of(runs, accuracy=lambda run: 0.9):
    """Records of runs that were never trained."""
    return [made_up(run, accuracy(run)) for run in runs]


def grid(runs=10, **levels):
    """Feedforward match-to-sample with all combinations of levels, ten seeds of each."""
    levels["seed"] = range(runs)
    return [MatchToSample(**dict(zip(levels, values, strict=True))) for values in product(*levels.values())]


@pytest.mark.parametrize(
    "settings, p, lines",
    [
        ({}, 600, [RANDOM]),
        ({"groups": 16}, 16, [RANDOM]),
        ({"groups": 16, "grouped_by": "pre"}, 16, [PRE]),
        ({"groups": 256, "grouped_by": "pre"}, 30, [PRE]),  # no more than there are input channels
        ({"variant": "HetNeuLIF"}, 20, [POST]),
        ({"groups": 1}, 1, [RANDOM, PRE, POST]),
    ],
)
def test_time_constants_are_counted_in_a_network_and_a_run_stands_on_its_lines(settings, p, lines):
    found = all_of([MatchToSample(hidden=20, tau_s=WIDE, **settings)])
    table = groups.counted(frame(found))
    assert list(table["P"]) == [p] * len(lines) and list(table["line"]) == lines
    assert set(table["start"]) == {"wide"} and set(table["percent"]) == {90}
    assert set(table["to_95"]) == {1001}  # never reached


def test_a_line_for_each_way_to_share_on_a_logarithmic_axis():
    found = all_of(job.run for job in jobs("groups_match", "smoke"))
    _, ax = plt.subplots()
    groups.against_p(ax, groups.counted(frame(found)), "percent")
    assert ax.get_xscale() == "log" and ax.get_legend() is None
    plt.close()


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

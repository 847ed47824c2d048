"""What is computed for each figure, written out once more from the paper."""

from itertools import product

import pytest

from hetsyn_core import MatchToSample, PatternGeneration
from hetsyn_core.runs import records
from hetsyn_core.runs.experiments import EXPERIMENTS, main

VARIANTS = "HomNeuLIF", "HomNeuALIF", "HetNeuLIF", "HetSynLIF"
BOTH = False, True


def combine(task, **values):
    """A run of the paper's values for each combination of what is varied."""
    return [task(**dict(zip(values, combination))) for combination in product(*values.values())]


def readings(recurrent, *pairs):
    return [
        MatchToSample(
            recurrent=recurrent,
            parameterization=parameter,
            decay_lr_scale=rate,
            tau_s_draw=("normal", mu, 0.1 * mu),
            reset_above_ms=700,
        )
        for parameter, rate in pairs
        for mu in (100.0, 200.0, 400.0)
    ]


SETTINGS = {
    "fig2": combine(PatternGeneration, variant=VARIANTS, recurrent=BOTH, noise_hz=(1, 2, 3, 4)),
    "figA1": combine(PatternGeneration, variant=VARIANTS, lr=(1e-4, 5e-4, 1e-3, 5e-3)),
    "figA2": combine(PatternGeneration, n_targets=[3], iterations=(10, 100, 1000)),
    "fig3": combine(MatchToSample, variant=VARIANTS, recurrent=BOTH, hidden=(5, 20, 50, 100)),
    "fig3c": combine(MatchToSample, recurrent=[True], frozen=(0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)),
    "figA3_delay": combine(MatchToSample, recurrent=[True], delay_ms=(500, 1000, 1500, 2000, 2500)),
    "figA3_noise": combine(MatchToSample, recurrent=[True], added_noise_hz=(0, 5, 10, 15, 20))
    + [MatchToSample(recurrent=True, added_noise_hz=20, noise_on="cues")],
    "table4": readings(False, ("decay", 1), ("decay", 0.1), ("decay", 0.01))
    + readings(False, ("tau", 1), ("tau", 3), ("tau", 10), ("log_tau", 1), ("log_tau", 10), ("log_tau", 20))
    + readings(True, ("decay", 1), ("tau", 1), ("log_tau", 10)),
    "tied_reset": combine(PatternGeneration, variant=["HetNeuLIF"], recurrent=BOTH, tau_reset_ms=[None]),
    "tied_reset_match": combine(MatchToSample, variant=["HetNeuLIF"], recurrent=BOTH, tau_reset_ms=[None]),
}
# Quick leaves out what is slow: the middle of the delays and of the noise, half the fractions, recurrent Table 4.
QUICK = SETTINGS | {
    "fig3c": combine(MatchToSample, recurrent=[True], frozen=(0, 0.4, 0.8, 0.95)),
    "figA3_delay": combine(MatchToSample, recurrent=[True], delay_ms=(500, 2500)),
    "figA3_noise": combine(MatchToSample, recurrent=[True], added_noise_hz=(0, 20))
    + [MatchToSample(recurrent=True, added_noise_hz=20, noise_on="cues")],
    "table4": [run for run in SETTINGS["table4"] if not run.recurrent],
}
RUNS = dict.fromkeys(SETTINGS, 10) | {"fig3": 50}
# Runs that panels show in detail: eight traces (Fig. 2 A), three snapshots, a trial (Fig. 3 A), a network a reading.
DETAILED = dict.fromkeys(SETTINGS, 0) | {"fig2": 8, "figA2": 3, "fig3": 2, "table4": len(SETTINGS["table4"])}


@pytest.mark.parametrize("name", SETTINGS)
def test_paper_profile_has_the_papers_settings_each_with_the_same_seeds(name):
    runs = EXPERIMENTS[name]("paper", {})
    plain = {run.replace(detail=False) for run in runs}
    assert len(plain) == len(runs) == len({records.key(run) for run in plain})
    seeds = len(runs) // len(SETTINGS[name])
    assert seeds == RUNS[name]
    assert plain == {run.replace(seed=seed) for run in SETTINGS[name] for seed in range(seeds)}
    assert sum(run.detail for run in runs) == DETAILED[name]


@pytest.mark.parametrize("name", SETTINGS)
def test_quick_is_one_run_of_each_and_smoke_a_few_steps(name):
    quick, smoke = (EXPERIMENTS[name](profile, {}) for profile in ("quick", "smoke"))
    assert {run.replace(detail=False) for run in quick} == set(QUICK[name])
    assert len(smoke) == len(quick) == len(QUICK[name])
    assert all(run.seed == 0 and run.iterations <= 5 and run.test_trials <= 8 for run in smoke)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_cannot_be_run_is_one_clear_line(name):
    with pytest.raises(ValueError, match="^profile must be smoke, quick, paper, not 'fast'$"):
        EXPERIMENTS[name]("fast", {})
    with pytest.raises(ValueError, match="has no setting hiden; it has .*hidden"):
        EXPERIMENTS[name]("smoke", {"hiden": 5})


def test_changes_stand_above_what_an_experiment_varies():
    levels = {run.noise_hz for run in EXPERIMENTS["fig2"]("quick", {"noise_hz": [2.0, 8.0]})}
    assert levels == {2.0, 8.0}
    runs = EXPERIMENTS["fig3"]("quick", {"hidden": 7, "seed": [3, 4]})
    assert {(run.hidden, run.seed) for run in runs} == {((7,), 3), ((7,), 4)} and len(runs) == 16
    (shown,) = (run for run in runs if run.detail and not run.recurrent)
    assert shown.variant == "HetSynLIF" and shown.seed == 3


def test_an_unknown_experiment_is_one_clear_line(capsys):
    with pytest.raises(SystemExit):
        main(["fig2", "fig9"])
    (*_, line) = capsys.readouterr().err.splitlines()
    assert "no experiment fig9" in line and all(name in line for name in EXPERIMENTS)

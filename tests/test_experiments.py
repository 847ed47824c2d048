"""What is computed for each figure, written out once more from the paper."""

from dataclasses import replace
from itertools import product

import pytest

from hetsyn_core.runs import records
from hetsyn_core.runs.experiments import EXPERIMENTS, main
from hetsyn_core.runs.train import match_config, pattern_config

VARIANTS = "HomNeuLIF", "HomNeuALIF", "HetNeuLIF", "HetSynLIF"
BOTH = False, True


def grid(make, **values):
    """A config of the paper's values for each combination of what is varied."""
    return [make(**dict(zip(values, combination))) for combination in product(*values.values())]


def readings(recurrent, *pairs):
    return [
        match_config(
            recurrent=recurrent, parameterization=parameter, decay_lr_scale=rate, tau_s_mean_ms=mu, tau_s_sd_ms=0.1 * mu
        )
        for parameter, rate in pairs
        for mu in (100, 200, 400)
    ]


SETTINGS = {
    "fig2": grid(pattern_config, variant=VARIANTS, recurrent=BOTH, noise_hz=(1, 2, 3, 4)),
    "a1": grid(pattern_config, variant=VARIANTS, lr=(1e-4, 5e-4, 1e-3, 5e-3)),
    "a2": grid(pattern_config, n_targets=[3], iterations=(10, 100, 1000)),
    "fig3": grid(match_config, variant=VARIANTS, recurrent=BOTH, hidden=(5, 20, 50, 100)),
    "fig3c": grid(match_config, recurrent=[True], frozen=(0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)),
    "a3_delay": grid(match_config, recurrent=[True], delay_ms=(500, 1000, 1500, 2000, 2500)),
    "a3_noise": grid(match_config, recurrent=[True], noise_hz=(0, 5, 10, 15, 20))
    + [match_config(recurrent=True, noise_hz=20, noise_on="cues")],
    "table4": readings(False, ("decay", 1), ("decay", 0.1), ("decay", 0.01))
    + readings(False, ("tau", 1), ("tau", 3), ("tau", 10), ("log_tau", 1), ("log_tau", 10), ("log_tau", 20))
    + readings(True, ("decay", 1), ("tau", 1), ("log_tau", 10)),
    "tied_reset": grid(pattern_config, variant=["HetNeuLIF"], recurrent=BOTH, tau_reset_ms=[None])
    + grid(match_config, variant=["HetNeuLIF"], recurrent=BOTH, tau_reset_ms=[None]),
}
# Quick leaves out what is slow: the middle of the delays and of the noise, half the fractions, recurrent Table 4.
QUICK = SETTINGS | {
    "fig3c": grid(match_config, recurrent=[True], frozen=(0, 0.4, 0.8, 0.95)),
    "a3_delay": grid(match_config, recurrent=[True], delay_ms=(500, 2500)),
    "a3_noise": grid(match_config, recurrent=[True], noise_hz=(0, 20))
    + [match_config(recurrent=True, noise_hz=20, noise_on="cues")],
    "table4": [config for config in SETTINGS["table4"] if not config.recurrent],
}
RUNS = dict.fromkeys(SETTINGS, 10) | {"fig3": 50}
# Runs that panels show in detail: eight traces (Fig. 2 A), three snapshots, a trial (Fig. 3 A); all of Table 4.
DETAILED = dict.fromkeys(SETTINGS, 0) | {"fig2": 8, "a2": 3, "fig3": 2}


def test_every_experiment_is_checked_here():
    assert EXPERIMENTS.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_paper_profile_has_the_papers_settings_each_with_the_same_seeds(name):
    configs = EXPERIMENTS[name]("paper")
    plain = {replace(config, detail=False) for config in configs}
    assert len(plain) == len(configs) == len({records.key(config) for config in plain})
    runs = len(configs) // len(SETTINGS[name])
    assert runs == RUNS[name]
    assert plain == {replace(config, seed=seed) for config in SETTINGS[name] for seed in range(runs)}
    detailed = sum(config.detail for config in configs)
    assert detailed == (len(configs) if name == "table4" else DETAILED[name])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_quick_is_one_run_of_each_and_smoke_a_few_steps(name):
    quick, smoke = (EXPERIMENTS[name](profile) for profile in ("quick", "smoke"))
    assert {replace(config, detail=False) for config in quick} == set(QUICK[name])
    assert len(smoke) == len(quick) == len(QUICK[name])
    assert all(config.seed == 0 and config.iterations <= 5 and config.eval_trials <= 8 for config in smoke)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_unknown_profile_is_one_clear_line(name):
    with pytest.raises(ValueError, match="^profile must be smoke, quick, paper, not 'fast'$"):
        EXPERIMENTS[name]("fast")


def test_an_unknown_experiment_is_one_clear_line(capsys):
    with pytest.raises(SystemExit):
        main(["fig2", "fig9"])
    (*_, line) = capsys.readouterr().err.splitlines()
    assert "no experiment fig9" in line and all(name in line for name in EXPERIMENTS)

"""What is computed for each figure, written out once more from the paper."""

from itertools import product

import numpy as np
import pytest

from hetsyn_core import MatchToSample, PatternGeneration, SequentialDigits, Speech, experiment
from hetsyn_core.datasets import allen
from hetsyn_core.runs import experiments, store
from hetsyn_core.runs.experiments import EXPERIMENTS, jobs, main, nearest
from hetsyn_core.tasks.digits import SMALL
from hetsyn_core.tasks.speech import Fsdd

VARIANTS = "HomNeuLIF", "HomNeuALIF", "HetNeuLIF", "HetSynLIF"
BOTH = False, True


def combine(task, **values):
    """A run of the paper's values for each combination of what is varied."""
    return [task(**dict(zip(values, combination, strict=True))) for combination in product(*values.values())]


def readings(recurrent, *pairs):
    return [
        MatchToSample(
            recurrent=recurrent,
            parameterization=parameter,
            decay_lr_scale=rate,
            tau_s=("normal", mu, 0.1 * mu),
        )
        for parameter, rate in pairs
        for mu in (100.0, 200.0, 400.0)
    ]


WIDE, LOG_UNIFORM = ("lognormal", 19.0, 1.7), ("loguniform", 1.0, 1000.0)
FEWER = [dict(groups=1, grouped_by="post"), dict(groups=16), dict(groups=256), dict(variant="HetNeuLIF"), {}]
FEWER += [dict(groups=16, tau_s=WIDE), dict(tau_s=WIDE)]
MORE = [dict(groups=4), dict(groups=64), dict(groups=16, grouped_by="post"), dict(groups=16, grouped_by="pre")]
MORE += [dict(groups=256, grouped_by="pre"), dict(groups=256, grouped_by="pre", tau_s=WIDE)]
MORE += [dict(groups=p, tau_s=WIDE) for p in (4, 64)] + [dict(variant="HetNeuLIF", tau_s=WIDE)]
CONTROLS = [dict(frozen=f, tau_s=WIDE) for f in (0, 1)] + [dict(frozen=1), {}]
LEARNS = [{}, dict(frozen=1), dict(frozen=1, tau_s=WIDE), dict(fixed_weights=True)]  # all, weights, time constants


CURED = dict(surrogate="gaussian", normalised=True, clip=1.0)
VISION = [{}, dict(normalised=True), dict(clip=1.0), dict(count_scale=0.5), dict(lr=5e-3), dict(truncate=24)]
VISION += [dict(surrogate="gaussian"), dict(readout="leaky"), dict(readout="leaky", normalised=True, clip=1.0)]
VISION += [dict(CURED, count_scale=0.5, variant=variant) for variant in VARIANTS]


def each(task, kinds, *networks):
    return [task(**network, **kind) for network in networks for kind in kinds]


def networks(*hidden):
    return [dict(recurrent=recurrent, hidden=n) for recurrent in BOTH for n in hidden]


def as_large(task, recurrent, **hidden):
    return [task(variant=variant, recurrent=recurrent, hidden=n) for variant, n in hidden.items()]


SETTINGS = {
    "fig2": combine(PatternGeneration, variant=VARIANTS, recurrent=BOTH, noise_hz=(1, 2, 3, 4)),
    "figA1": combine(PatternGeneration, variant=VARIANTS, lr=(1e-4, 5e-4, 1e-3, 5e-3, 1e-2)),
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
    "fig4": combine(Speech, variant=VARIANTS),
    "fig4_held_out": combine(Speech, variant=VARIANTS[2:], held_out=[(3, 7)]),
    "fig4_speakers": combine(Speech, variant=VARIANTS),
    "table2_fsdd": combine(Fsdd, variant=VARIANTS),
    "fsdd_speakers": combine(Fsdd, variant=VARIANTS, held_out=[(k,) for k in range(6)]),
    "table2_smnist": combine(SequentialDigits, variant=VARIANTS[2:]),
    "vision_small": each(
        SequentialDigits, VISION, dict(data=SMALL, batch=32, epochs=15, cosine_epochs=15, validation=200)
    ),
    "vision": [
        SequentialDigits(**CURED, variant=variant, count_scale=0.04, epochs=12, cosine_epochs=12, validation=5000)
        for variant in VARIANTS
    ],
    "groups_match": each(MatchToSample, FEWER + MORE, *networks(20)) + each(MatchToSample, FEWER, *networks(100)),
    "groups_pattern": each(PatternGeneration, FEWER, *networks(100)),
    "groups_speech": each(Speech, [*FEWER[:2], dict(tau_s=("lognormal", 19 / 4, 1.7))], dict(epochs=10)),
    "controls_match": each(MatchToSample, CONTROLS + [dict(frozen=f, tau_s=LOG_UNIFORM) for f in (0, 1)], *networks(20))
    + as_large(MatchToSample, False, HetNeuLIF=39, HomNeuALIF=40)
    + as_large(MatchToSample, True, HetNeuLIF=32, HomNeuALIF=32),
    "mechanism_match": each(MatchToSample, [{}], *networks(20)),
    "mechanism_large": each(MatchToSample, [{}], *networks(100)),
    "mechanism_speech": [Speech()],
    "mechanism_training": each(MatchToSample, LEARNS, *networks(20)),
    "controls_pattern": each(PatternGeneration, CONTROLS, *networks(100))
    + as_large(PatternGeneration, False, HetNeuLIF=198, HomNeuALIF=200)
    + as_large(PatternGeneration, True, HetNeuLIF=156, HomNeuALIF=156),
}
# Quick leaves out what is slow: the middle of the delays and of the noise, half the fractions, recurrent Table 4.
QUICK = SETTINGS | {
    "fig3c": combine(MatchToSample, recurrent=[True], frozen=(0, 0.4, 0.8, 0.95)),
    "figA3_delay": combine(MatchToSample, recurrent=[True], delay_ms=(500, 2500)),
    "figA3_noise": combine(MatchToSample, recurrent=[True], added_noise_hz=(0, 20))
    + [MatchToSample(recurrent=True, added_noise_hz=20, noise_on="cues")],
    "table4": [run for run in SETTINGS["table4"] if not run.recurrent],
    "groups_match": each(MatchToSample, FEWER, *networks(20, 100)),
    "fsdd_speakers": combine(Fsdd, variant=VARIANTS, held_out=[(0,)]),
}
SEEDS = dict.fromkeys(SETTINGS, 10) | {"fig3": 50, "groups_speech": 3}
SEEDS |= {"mechanism_large": 1, "mechanism_speech": 1, "fig4_speakers": 1, "fsdd_speakers": 1}
# Long trainings have as many seeds as are on record; the paper has 10.
SEEDS |= dict.fromkeys(("fig4", "fig4_held_out", "table2_fsdd", "vision", "vision_small"), 5) | {"table2_smnist": 2}
# Runs that panels show in detail: eight traces (Fig. 2 A), three snapshots, a trial (Fig. 3 A), a network per reading.
DETAILED = dict.fromkeys(SETTINGS, 0) | {"fig2": 8, "figA2": 3, "fig3": 2, "table4": len(SETTINGS["table4"])}
DETAILED |= {"fig4": 4, "table2_fsdd": 1, "mechanism_match": 2, "mechanism_large": 2, "mechanism_speech": 1}
PATTERN = {"distances"}
ANALYSED = {name: PATTERN if type(runs[0]) is PatternGeneration else set() for name, runs in SETTINGS.items()}
ANALYSED |= {"table4": {"table4"}, "fig4": {"readout_taus", "robustness"}, "fig4_speakers": {"speakers"}}
MECHANISM = {"shuffled", "restarted", "clamped"}
ANALYSED |= {"mechanism_speech": MECHANISM} | dict.fromkeys(
    ("mechanism_match", "mechanism_large"), MECHANISM | {"exchanged"}
)
ANALYSED |= dict.fromkeys(("vision", "vision_small"), {"readout_drive"})


@pytest.fixture(autouse=True)
def no_data_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))


@pytest.mark.parametrize("name", SETTINGS)
def test_paper_profile_has_the_papers_settings_each_with_the_same_seeds(name):
    asked = jobs(name)
    runs = {job.run for job in asked}
    assert len(runs) == len(asked) == len({store.key(run) for run in runs})
    assert runs == {run.replace(seed=seed) for run in SETTINGS[name] for seed in range(SEEDS[name])}
    assert sum(job.detail for job in asked) == DETAILED[name]
    assert all(set(job.analyses) == ANALYSED[name] for job in asked)


@pytest.mark.parametrize("name", SETTINGS)
def test_quick_is_one_run_of_each_and_smoke_a_few_steps(name):
    quick, smoke = ([job.run for job in jobs(name, profile)] for profile in ("quick", "smoke"))
    assert set(quick) == set(QUICK[name])
    assert len(smoke) == len(quick) == len(QUICK[name])
    assert all(run.seed == 0 and run.iterations <= 5 and run.test_trials <= 8 and run.epochs <= 3 for run in smoke)


def test_every_experiment_is_written_out_here():
    assert set(SETTINGS) == set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_cannot_be_run_is_one_clear_line(name):
    with pytest.raises(ValueError, match="^profile must be smoke, quick, paper, not 'fast'$"):
        jobs(name, "fast")
    with pytest.raises(ValueError, match="has no setting hiden; it has .*hidden"):
        jobs(name, "smoke", {"hiden": 5})


def test_the_wide_start_is_that_of_the_published_decays():
    ln_tau = np.log(allen.PUBLISHED["tau_ms"])
    assert experiments.WIDE == ("lognormal", round(np.exp(ln_tau.mean())), round(ln_tau.std(), 1))


def test_changes_stand_above_what_an_experiment_varies():
    levels = {job.run.noise_hz for job in jobs("fig2", "quick", {"noise_hz": [2.0, 8.0]})}
    assert levels == {2.0, 8.0}
    asked = jobs("fig3", "quick", {"hidden": 7, "seed": [3, 4]})
    assert {(job.run.hidden, job.run.seed) for job in asked} == {((7,), 3), ((7,), 4)} and len(asked) == 16
    (shown,) = (job.run for job in asked if job.detail and not job.run.recurrent)
    assert shown.variant == "HetSynLIF" and shown.seed == 3
    assert len(jobs("fig4", "quick", {"variant": "HetSynLIF", "epochs": 5})) == 1
    assert {job.run.iterations for job in jobs("figA2", "smoke", {"iterations": 2})} == {2}


def test_a_panel_shows_the_nearest_level_there_is():
    assert nearest([1.0, 2.0, 4.0], 2.0) == 2.0 and nearest([1.0, 3.0], 2.0) == 1.0 and nearest([5.0], 2.0) == 5.0
    assert nearest([(5,), (50,)], (100,)) == (50,)
    assert {job.run.noise_hz for job in jobs("fig2", "quick", {"noise_hz": [3.0, 4.0]}) if job.detail} == {3.0}


def test_an_unknown_experiment_is_one_clear_line(capsys):
    with pytest.raises(SystemExit):
        main(["fig2", "fig9"])
    (*_, line) = capsys.readouterr().err.splitlines()
    assert "no experiment fig9" in line and all(name in line for name in EXPERIMENTS)
    with pytest.raises(ValueError, match="^no experiment 'fig9'; there are fig2, "):
        experiment("fig9")

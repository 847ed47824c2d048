"""The runs behind each figure, under the figure's name, in three sizes (profiles).

python -m hetsyn_core.runs.experiments             # compute what is missing of the paper's scale and keep it
python -m hetsyn_core.runs.experiments fig2 figA1  # only these
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import pairwise, product

from ..datasets import shd
from ..model.layer import VARIANTS, parameter_count
from ..tasks import Fsdd, MatchToSample, PatternGeneration, SequentialDigits, Speech
from ..tasks.digits import SMALL
from ..tasks.run import Run
from ..tasks.speech import GENERATED, REGENERATED, SHD
from . import records, sweep

PROFILES = ("smoke", "quick", "paper")  # everything runs; one full run of each setting; the paper's scale
BOTH = [False, True]  # feedforward, recurrent
VARIED = list(VARIANTS)
FIG3_RUNS = 50  # as in the paper; 10 of everything else
# Speech is an hour a run on a CPU: as many as are on record (the paper has 10).
FIG4_RUNS = dict.fromkeys(VARIANTS, 5)
HELD_OUT, HELD_OUT_RUNS = (3, 7), dict.fromkeys(("HetNeuLIF", "HetSynLIF"), 4)  # two of ten training speakers
FSDD_RUNS = dict.fromkeys(VARIANTS, 3)
SMNIST_RUNS = dict.fromkeys(("HetNeuLIF", "HetSynLIF"), 2)  # half a day a run on a CPU
GROUPS_SPEECH_RUNS = 3
MEASURED = ("lognormal", 19.0, 1.7)  # median in ms and sd of ln(tau) of the decays in `allen.PUBLISHED`
MEASURED_BINS = (MEASURED[0], MEASURED[1] / 4, MEASURED[2])  # the same where a step is 4 ms of sound and counts as 1 ms
RIVALS = ("HetNeuLIF", "HomNeuALIF")  # trainable time constants of neurons, and adaptation
# P time constants a layer, each for a random group of synapses, or for some neurons' (256: for one neuron's).
ONE_FOR_ALL = {"groups": 1, "grouped_by": "post"}
FEWER_GROUPS = [ONE_FOR_ALL, {"groups": 16}, {"groups": 256}]
FEWER_GROUPS += [{"variant": "HetNeuLIF"}, {}, {"groups": 16, "tau_s_draw": MEASURED}, {"tau_s_draw": MEASURED}]
GROUPS = [*FEWER_GROUPS, {"groups": 4}, {"groups": 64}, {"groups": 16, "grouped_by": "post"}]
GROUPS += [{"groups": p, "grouped_by": "pre"} for p in (16, 256)]
GROUPS += [{"groups": 4, "tau_s_draw": MEASURED}, {"groups": 64, "tau_s_draw": MEASURED}]
GROUPS += [{"groups": 256, "grouped_by": "pre", "tau_s_draw": MEASURED}]
GROUPS += [{"variant": "HetNeuLIF", "tau_s_draw": MEASURED}]
# What "decay factors are trained directly" may mean in Table 4: the parameter, its learning rate / that of the weights.
READINGS = [("decay", 1), ("decay", 0.1), ("decay", 0.01), ("tau", 1), ("tau", 3), ("tau", 10)]
READINGS += [("log_tau", 1), ("log_tau", 10), ("log_tau", 20)]
RECURRENT_READINGS = [("decay", 1), ("tau", 1), ("log_tau", 10)]
SMOKE = {
    PatternGeneration: {"iterations": 5, "test_trials": 1},
    MatchToSample: {"iterations": 5, "test_trials": 8},
    **dict.fromkeys(
        (Speech, Fsdd), {"data": GENERATED, "hidden": (24, 12), "iterations": 3, "epochs": 3, "test_trials": 8}
    ),
    SequentialDigits: {"data": SMALL, "batch": 32, "iterations": 3, "epochs": 3, "test_trials": 8},
}


def grid(task: type[Run], profile: str, changes: dict, *, runs: int = 10, **settings) -> list[Run]:
    """One run for each combination of settings, in their order, and for each seed, which varies fastest.

    A list is a setting that varies, anything else its one value. ``changes`` stand above ``settings``, a list or a
    value. Smoke is a few iterations and one seed, quick one seed, if the paper's scale has any.

    Raises:
        ValueError: an unknown profile or setting, or a value out of range.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile must be {', '.join(PROFILES)}, not {profile!r}")
    known = {field.name for field in fields(task)}
    if unknown := set(changes) - known:
        raise ValueError(
            f"{task.__name__} has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"
        )
    settings |= SMOKE[task] if profile == "smoke" else {}
    seeds = {"paper": runs, "quick": min(runs, 1), "smoke": 1}[profile]
    settings |= {"seed": list(range(seeds))} | changes
    settings["seed"] = settings.pop("seed")  # last
    levels = [value if isinstance(value, list) else [value] for value in settings.values()]
    return [task(**dict(zip(settings, combination))) for combination in product(*levels)]


def detailed(runs: list[Run], *shown: dict) -> list[Run]:
    """The runs, those of the first seed with any of the settings ``shown`` keeping their details for a panel."""
    seed = min((run.seed for run in runs), default=0)

    def keeps(run: Run) -> bool:
        return run.seed == seed and any(all(getattr(run, k) == v for k, v in own.items()) for own in shown)

    return [run.replace(detail=True) if keeps(run) else run for run in runs]


def thinned(profile: str, values: list, every: int) -> list:
    """All values of a setting at the paper's scale, otherwise one in ``every``, from the first."""
    return values if profile == "paper" else values[::every]


def fig2(profile: str, changes: dict) -> list[Run]:
    """Eight models at four noise levels; panel A shows a run of each at 2 Hz."""
    noise_hz = [1.0, 2.0, 3.0, 4.0]
    runs = grid(PatternGeneration, profile, changes, recurrent=BOTH, variant=VARIED, noise_hz=noise_hz)
    return detailed(runs, {"noise_hz": quiet_hz(run.noise_hz for run in runs)})


def quiet_hz(levels: Iterable[float]) -> float:
    """The noise level of Fig. 2 A-D, 2 Hz; where that is changed, the lowest there is."""
    levels = set(levels)
    return 2.0 if 2.0 in levels else min(levels)


def figA1(profile: str, changes: dict) -> list[Run]:
    """The feedforward variants at four learning rates, 2 Hz noise."""
    return grid(PatternGeneration, profile, changes, variant=VARIED, lr=[1e-4, 5e-4, 1e-3, 5e-3])


def figA2(profile: str, changes: dict) -> list[Run]:
    """F-HetSynLIF with three targets after 10, 100 and 1000 iterations; a run of each is shown."""
    snapshots = {"iterations": [1, 3, 5] if profile == "smoke" else [10, 100, 1000]}
    return detailed(grid(PatternGeneration, profile, snapshots | changes, n_targets=3), {})


def fig3(profile: str, changes: dict) -> list[Run]:
    """A, B, D-G: eight models with 5 to 100 hidden neurons; panel A shows a run of HetSynLIF with 100."""
    hidden = [5, 20, 50, 100]
    runs = grid(MatchToSample, profile, changes, runs=FIG3_RUNS, recurrent=BOTH, variant=VARIED, hidden=hidden)
    return detailed(runs, {"variant": "HetSynLIF", "hidden": max(run.hidden for run in runs)})


def fig3c(profile: str, changes: dict) -> list[Run]:
    """C: R-HetSynLIF with a fraction of its time constants frozen."""
    frozen = thinned(profile, [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95], 2)
    return grid(MatchToSample, profile, changes, recurrent=True, frozen=frozen)


def figA3_delay(profile: str, changes: dict) -> list[Run]:
    """R-HetSynLIF with longer delays."""
    delay_ms = thinned(profile, [500.0, 1000.0, 1500.0, 2000.0, 2500.0], 4)
    return grid(MatchToSample, profile, changes, recurrent=True, delay_ms=delay_ms)


def figA3_noise(profile: str, changes: dict) -> list[Run]:
    """R-HetSynLIF with noise on all channels, and on those of the cues alone (open in the paper) at 20 Hz."""
    added_noise_hz = thinned(profile, [0.0, 5.0, 10.0, 15.0, 20.0], 4)
    on_all = grid(MatchToSample, profile, changes, recurrent=True, added_noise_hz=added_noise_hz)
    most = max(run.added_noise_hz for run in on_all)
    changes = {"noise_on": "cues"} | changes | {"added_noise_hz": most}
    return on_all + [run for run in grid(MatchToSample, profile, changes, recurrent=True) if run not in on_all]


def table4(profile: str, changes: dict) -> list[Run]:
    """HetSynLIF from three initial time constants, under several readings of how decays are trained.

    The recurrent ones, three times as slow, only at the paper's scale. One network of each is kept.
    """
    starts = [("normal", float(mu), 0.1 * mu) for mu in (100, 200, 400)]
    runs = []
    for recurrent in BOTH if profile == "paper" else [False]:
        for parameterization, rate in RECURRENT_READINGS if recurrent else READINGS:
            runs += grid(
                MatchToSample, profile, changes, recurrent=recurrent, parameterization=parameterization,
                decay_lr_scale=float(rate), tau_s_draw=starts, reset_above_ms=700.0,
            )  # fmt: skip
    return detailed(list(dict.fromkeys(runs)), {})  # a change may make two readings one


def tied_reset(profile: str, changes: dict) -> list[Run]:
    """Open in the paper: HetNeuLIF whose reset decays like the neuron's synapses, in pattern generation (Fig. 2)."""
    return grid(PatternGeneration, profile, changes, variant="HetNeuLIF", recurrent=BOTH, tau_reset_ms=None)


def tied_reset_match(profile: str, changes: dict) -> list[Run]:
    """The same in match-to-sample (Fig. 3)."""
    return grid(MatchToSample, profile, changes, variant="HetNeuLIF", recurrent=BOTH, tau_reset_ms=None)


def groups_match(profile: str, changes: dict) -> list[Run]:
    """How many time constants? HetSynLIF with P a layer, shared in several ways; HetNeuLIF and HetSynLIF beside it.

    The large networks, three times as slow, with fewer P.
    """
    kinds = GROUPS if profile == "paper" else FEWER_GROUPS
    runs = grid_of(MatchToSample, profile, kinds, changes, recurrent=BOTH, hidden=20)
    runs += grid_of(MatchToSample, profile, FEWER_GROUPS, changes, recurrent=BOTH, hidden=100)
    return list(dict.fromkeys(runs))


def groups_pattern(profile: str, changes: dict) -> list[Run]:
    """The same in pattern generation."""
    return grid_of(PatternGeneration, profile, FEWER_GROUPS, changes, recurrent=BOTH)


def grid_of(task: type[Run], profile: str, kinds: list[dict], changes: dict, **settings) -> list[Run]:
    """`grid` for each of several kinds of run, given by some settings of theirs, above which ``changes`` stand."""
    return list(dict.fromkeys(run for kind in kinds for run in grid(task, profile, kind | changes, **settings)))


def groups_speech(profile: str, changes: dict) -> list[Run]:
    """The same for R-HetSynLIF on SHD, the first 10 of the 100 epochs that the runs of Fig. 4 beside them have."""
    kinds = [ONE_FOR_ALL, {"groups": 16}, {"tau_s_draw": MEASURED_BINS}]
    settings = {"runs": GROUPS_SPEECH_RUNS, "data": shd_data(), "epochs": 10}
    return grid_of(Speech, profile, kinds, changes, **settings)


def controls_match(profile: str, changes: dict) -> list[Run]:
    """What else may help HetSynLIF: its parameters, that its time constants learn, where they start."""
    return controls(MatchToSample, profile, changes, recurrent=BOTH, hidden=20)


def controls_pattern(profile: str, changes: dict) -> list[Run]:
    """The same in pattern generation."""
    return controls(PatternGeneration, profile, changes, recurrent=BOTH)


def controls(task: type[Run], profile: str, changes: dict, **settings) -> list[Run]:
    """HetSynLIF; with time constants that never learn; from biology's; other variants with as many parameters."""
    kinds = [{}, {"frozen": 1.0}, {"tau_s_draw": MEASURED}, {"tau_s_draw": MEASURED, "frozen": 1.0}]
    runs = grid_of(task, profile, kinds, changes, **settings)
    own = grid(task, profile, changes, **settings)
    return list(dict.fromkeys(runs + [as_large(run, variant) for variant in RIVALS for run in own]))


def as_large(run: Run, variant: str) -> Run:
    """The run with another variant, and the one hidden layer that brings it nearest to as many parameters."""
    wanted = parameters(run)
    sizes = (run.replace(variant=variant, hidden=n) for n in range(1, 4 * run.hidden[0]))
    return min(sizes, key=lambda other: abs(parameters(other) - wanted))


def parameters(run: Run) -> int:
    """Trainable parameters of a run's network (Table 3).

    Raises:
        ValueError: its synapses share their decays in groups, of which the table knows nothing.
    """
    if run.groups:
        raise ValueError(f"Table 3 does not count groups of synapses, as in {run}")
    layers = list(pairwise(run.sizes()))
    last = len(layers) - 1
    return sum(parameter_count(run.variant, *own, run.recurrent and k < last) for k, own in enumerate(layers))


def by_variant(task: type[Run], profile: str, changes: dict, runs: dict[str, int], **settings) -> list[Run]:
    """`grid` with its own number of runs for each variant."""
    grids = [grid(task, profile, {"variant": v} | changes, runs=n, **settings) for v, n in runs.items()]
    return list(dict.fromkeys(sum(grids, [])))  # a change of the variant makes all grids one


def fig4(profile: str, changes: dict) -> list[Run]:
    """Four recurrent variants on SHD; panels B, D, E and A5 show the first run of each."""
    return detailed(by_variant(Speech, profile, changes, FIG4_RUNS, data=shd_data(), robustness=True), {})


def fig4_held_out(profile: str, changes: dict) -> list[Run]:
    """The same without two training speakers, for the accuracy at the epoch that those would choose."""
    return by_variant(Speech, profile, changes, HELD_OUT_RUNS, data=shd_data(), held_out=HELD_OUT)


def shd_data() -> str:
    """SHD where its own files lie in the data folder, else what is on record."""
    return SHD if shd.official() else REGENERATED


def table2_fsdd(profile: str, changes: dict) -> list[Run]:
    """Four recurrent variants on the open stand-in for TiDigits; a run of HetSynLIF shows its input."""
    return detailed(by_variant(Fsdd, profile, changes, FSDD_RUNS), {"variant": "HetSynLIF"})


def table2_smnist(profile: str, changes: dict) -> list[Run]:
    """Two recurrent variants on S-MNIST."""
    return by_variant(SequentialDigits, profile, changes, SMNIST_RUNS)


EXPERIMENTS: dict[str, Callable[[str, dict], list[Run]]] = {
    make.__name__: make
    for make in (
        fig2, figA1, figA2, fig3, fig3c, figA3_delay, figA3_noise, table4, tied_reset, tied_reset_match,
        fig4, fig4_held_out, table2_fsdd, table2_smnist,
        groups_match, groups_pattern, groups_speech, controls_match, controls_pattern,
    )
}  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Compute what is missing of the paper's scale and write it to data/records."""
    parser = argparse.ArgumentParser(prog="hetsyn_core.runs.experiments", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    names = parser.parse_args(arguments).names or list(EXPERIMENTS)
    if unknown := set(names) - set(EXPERIMENTS):
        parser.error(f"no experiment {', '.join(sorted(unknown))}; there are {', '.join(EXPERIMENTS)}")
    for name in names:
        runs = EXPERIMENTS[name]("paper", {})
        if not runs:
            print(f"{name}: no run is asked for yet, see the numbers of runs in {__name__}", file=sys.stderr)
            continue
        print(records.consolidate(name, runs, sweep.run(runs, what=name)), file=sys.stderr)


if __name__ == "__main__":
    main()

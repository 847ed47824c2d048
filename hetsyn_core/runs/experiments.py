"""The runs behind each figure: one table, under the figure's name, in three sizes (profiles).

python -m hetsyn_core.runs.experiments             # compute what is missing of the paper's scale and keep it
python -m hetsyn_core.runs.experiments fig2 figA1  # only these
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise, product

from ..datasets import shd
from ..model.layer import VARIANTS, parameter_count
from ..progress import exit_status
from ..tasks import Fsdd, MatchToSample, PatternGeneration, SequentialDigits, Speech
from ..tasks.digits import SMALL
from ..tasks.speech import GENERATED, REGENERATED, SHD
from ..tasks.task import Task
from . import store, sweep
from .store import Job

PROFILES = ("smoke", "quick", "paper")  # everything runs; one full run of each setting; the paper's scale


@dataclass(frozen=True)
class Experiment:
    """Runs of one task: every kind of run, with every combination of what varies, with every seed."""

    task: type[Task]
    settings: dict = field(default_factory=dict)  # of every run; a function is asked when the runs are made
    varies: dict[str, list] = field(default_factory=dict)
    kinds: Sequence[dict] = ({},)  # further settings that go together
    rivals: Sequence[str] = ()  # each run also with these variants, with as many parameters
    seeds: int = 10
    analyses: tuple[str, ...] = ()  # see `ANALYSES`
    shown: dict | None = None  # a panel shows the first seed of these runs, which keeps its details; {}: of all
    below_paper: dict = field(default_factory=dict)  # what is different in the profiles quick and smoke
    smoke: dict[str, list] = field(default_factory=dict)  # levels in the profile smoke alone


# fmt: off
BOTH = [False, True]  # feedforward, recurrent
ALL_VARIANTS = list(VARIANTS)
HELD_OUT = (3, 7)  # two of ten training speakers

# P time constants per layer, each for a random group of synapses, or for those from or onto some neurons.
WIDE = ("lognormal", 19.0, 1.7)  # median in ms and sd of ln(tau) of the decays in `allen.PUBLISHED`
WIDE_BINS = ("lognormal", 19.0 / 4, 1.7)  # the same where a step is 4 ms of sound and counts as 1 ms
LOG_UNIFORM = ("loguniform", 1.0, 1000.0)  # as wide, about, and from no measurement; below a step: a step
ONE_FOR_ALL = {"groups": 1, "grouped_by": "post"}
FEWER_GROUPS = [
    ONE_FOR_ALL, {"groups": 16}, {"groups": 256}, {"variant": "HetNeuLIF"}, {},
    {"groups": 16, "tau_s": WIDE}, {"tau_s": WIDE},
]
GROUPS = [
    *FEWER_GROUPS, {"groups": 4}, {"groups": 64}, {"groups": 16, "grouped_by": "post"},
    {"groups": 16, "grouped_by": "pre"}, {"groups": 256, "grouped_by": "pre"},
    {"groups": 4, "tau_s": WIDE}, {"groups": 64, "tau_s": WIDE},
    {"groups": 256, "grouped_by": "pre", "tau_s": WIDE}, {"variant": "HetNeuLIF", "tau_s": WIDE},
]
CONTROLS = [{}, {"frozen": 1.0}, {"tau_s": WIDE}, {"tau_s": WIDE, "frozen": 1.0}]
# All learns; the weights alone, from the paper's time constants and from wide ones; the time constants alone.
WHO_LEARNS = [{}, {"frozen": 1.0}, {"frozen": 1.0, "tau_s": WIDE}, {"fixed_weights": True}]
RIVALS = ("HetNeuLIF", "HomNeuALIF")  # trainable time constants of neurons, and adaptation

# What "decay factors are trained directly" may mean in Table 4: the parameter, its learning rate / that of the weights.
READINGS = [
    {"recurrent": False, "parameterization": name, "decay_lr_scale": rate}
    for name, rate in (("decay", 1.0), ("decay", 0.1), ("decay", 0.01), ("tau", 1.0), ("tau", 3.0), ("tau", 10.0),
                       ("log_tau", 1.0), ("log_tau", 10.0), ("log_tau", 20.0))
]
RECURRENT_READINGS = [
    {"recurrent": True, "parameterization": name, "decay_lr_scale": rate}
    for name, rate in (("decay", 1.0), ("tau", 1.0), ("log_tau", 10.0))
]

# Vision: what may keep the text's reading of S-MNIST from learning, one change at a time, and more than one at once.
NO_LOBES, LEAKY, TAMED = {"surrogate": "gaussian"}, {"readout": "leaky"}, {"normalised": True, "clip": 1.0}
CHOSEN = NO_LOBES | TAMED | {"count_scale": 0.5}
ON_MNIST = CHOSEN | {"count_scale": 0.04, "epochs": 12, "cosine_epochs": 12, "validation": 5000}
VISION_CHANGES = [
    {}, {"normalised": True}, {"clip": 1.0}, {"count_scale": 0.5}, {"lr": 5e-3}, {"truncate": 24},
    NO_LOBES, LEAKY, CHOSEN, LEAKY | TAMED,
]


def shd_data() -> str:
    """SHD where its own files lie in the data folder, else what is on record."""
    return SHD if shd.official() else REGENERATED


PATTERN, MATCH = PatternGeneration, MatchToSample
TRACES = ("distances",)
MECHANISM = ("shuffled", "restarted", "clamped", "exchanged")

EXPERIMENTS = {
    # Pattern generation. Panel A shows a run of each model at 2 Hz; A2 shows three stages of learning. The paper's A1
    # ends at 5e-3; ours goes on to 1e-2.
    "fig2": Experiment(PATTERN, varies={"recurrent": BOTH, "variant": ALL_VARIANTS, "noise_hz": [1.0, 2.0, 3.0, 4.0]},
                       analyses=TRACES, shown={"noise_hz": 2.0}),
    "figA1": Experiment(PATTERN, varies={"variant": ALL_VARIANTS, "lr": [1e-4, 5e-4, 1e-3, 5e-3, 1e-2]},
                        analyses=TRACES),
    "figA2": Experiment(PATTERN, {"n_targets": 3}, varies={"iterations": [10, 100, 1000]}, analyses=TRACES, shown={},
                        smoke={"iterations": [1, 3, 5]}),
    # Delayed match-to-sample. Panel A shows a trial of HetSynLIF with 100 neurons.
    "fig3": Experiment(MATCH, varies={"recurrent": BOTH, "variant": ALL_VARIANTS, "hidden": [5, 20, 50, 100]},
                       seeds=50, shown={"variant": "HetSynLIF", "hidden": (100,)}),
    "fig3c": Experiment(MATCH, {"recurrent": True}, varies={"frozen": [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95]},
                        below_paper={"varies": {"frozen": [0.0, 0.4, 0.8, 0.95]}}),
    "figA3_delay": Experiment(MATCH, {"recurrent": True}, varies={"delay_ms": [500.0, 1000.0, 1500.0, 2000.0, 2500.0]},
                              below_paper={"varies": {"delay_ms": [500.0, 2500.0]}}),
    # Noise on all channels, and on those of the cues alone (open in the paper) at 20 Hz.
    "figA3_noise": Experiment(
        MATCH, {"recurrent": True},
        kinds=[{"added_noise_hz": hz} for hz in (0.0, 5.0, 10.0, 15.0, 20.0)]
        + [{"added_noise_hz": 20.0, "noise_on": "cues"}],
        below_paper={"kinds": [{"added_noise_hz": 0.0}, {"added_noise_hz": 20.0},
                               {"added_noise_hz": 20.0, "noise_on": "cues"}]}),
    # One network of each reading and start is kept; recurrent ones, three times as slow, only at the paper's scale.
    "table4": Experiment(MATCH, kinds=READINGS + RECURRENT_READINGS,
                         varies={"tau_s": [("normal", mu, 0.1 * mu) for mu in (100.0, 200.0, 400.0)]},
                         analyses=("table4",), shown={}, below_paper={"kinds": READINGS}),
    # Open in the paper: HetNeuLIF whose reset decays like the neuron's synapses.
    "tied_reset": Experiment(PATTERN, {"variant": "HetNeuLIF", "tau_reset_ms": None}, varies={"recurrent": BOTH},
                             analyses=TRACES),
    "tied_reset_match": Experiment(MATCH, {"variant": "HetNeuLIF", "tau_reset_ms": None}, varies={"recurrent": BOTH}),
    # Speech and vision: hours on a CPU, so as many seeds as are on record (the paper has 10).
    "fig4": Experiment(Speech, {"data": shd_data}, varies={"variant": ALL_VARIANTS}, seeds=5,
                       analyses=("readout_taus", "robustness"), shown={}),
    "fig4_held_out": Experiment(Speech, {"data": shd_data, "held_out": HELD_OUT},
                                varies={"variant": ["HetNeuLIF", "HetSynLIF"]}, seeds=5),
    # Accuracy on speakers who are in the training set, and on those who are not: of the networks that Fig. 4 keeps.
    "fig4_speakers": Experiment(Speech, {"data": shd_data}, varies={"variant": ALL_VARIANTS}, seeds=1,
                                analyses=("speakers",)),
    "table2_fsdd": Experiment(Fsdd, varies={"variant": ALL_VARIANTS}, seeds=5, shown={"variant": "HetSynLIF"}),
    # One of the six speakers after another is held out. Nothing is chosen by them: they are a test on new voices.
    "fsdd_speakers": Experiment(Fsdd, varies={"held_out": [(k,) for k in range(6)], "variant": ALL_VARIANTS}, seeds=1,
                                below_paper={"varies": {"held_out": [(0,)], "variant": ALL_VARIANTS}}),
    "table2_smnist": Experiment(SequentialDigits, varies={"variant": ["HetNeuLIF", "HetSynLIF"]}, seeds=2),
    # The same on the small digits, in minutes. The last training images are kept for validation, to choose by.
    "vision_small": Experiment(
        SequentialDigits, {"data": SMALL, "batch": 32, "epochs": 15, "cosine_epochs": 15, "validation": 200},
        kinds=VISION_CHANGES + [CHOSEN | {"variant": variant} for variant in ALL_VARIANTS], seeds=5,
        analyses=("readout_drive",)),
    # The reading chosen there on MNIST. The counts of 784 steps are scaled by 0.04, those of 64 steps by 0.5.
    "vision": Experiment(SequentialDigits, ON_MNIST, varies={"variant": ALL_VARIANTS}, seeds=5,
                         analyses=("readout_drive",)),
    # Beyond the paper: how many time constants, and what else may help HetSynLIF. The large networks with fewer P.
    "groups_match": Experiment(
        MATCH, kinds=[kind | {"hidden": 20} for kind in GROUPS] + [kind | {"hidden": 100} for kind in FEWER_GROUPS],
        varies={"recurrent": BOTH},
        below_paper={"kinds": [kind | {"hidden": n} for n in (20, 100) for kind in FEWER_GROUPS]}),
    "groups_pattern": Experiment(PATTERN, kinds=FEWER_GROUPS, varies={"recurrent": BOTH}, analyses=TRACES),
    # The first 10 of the 100 epochs that the runs of Fig. 4 beside them have.
    "groups_speech": Experiment(Speech, {"data": shd_data, "epochs": 10}, seeds=3,
                                kinds=[ONE_FOR_ALL, {"groups": 16}, {"tau_s": WIDE_BINS}]),
    "controls_match": Experiment(
        MATCH, {"hidden": 20}, kinds=[*CONTROLS, {"tau_s": LOG_UNIFORM}, {"tau_s": LOG_UNIFORM, "frozen": 1.0}],
        varies={"recurrent": BOTH}, rivals=RIVALS),
    # What time constants do in a trained network, and what they do alone.
    # Of the larger ones and of speech those networks that Figs. 3 and 4 keep.
    "mechanism_match": Experiment(MATCH, {"hidden": 20}, varies={"recurrent": BOTH}, analyses=MECHANISM, shown={}),
    "mechanism_large": Experiment(MATCH, varies={"recurrent": BOTH}, analyses=MECHANISM, seeds=1, shown={}),
    "mechanism_speech": Experiment(Speech, {"data": shd_data}, analyses=MECHANISM[:3], seeds=1, shown={}),
    "mechanism_training": Experiment(MATCH, {"hidden": 20}, kinds=WHO_LEARNS, varies={"recurrent": BOTH}),
    "controls_pattern": Experiment(PATTERN, kinds=CONTROLS, varies={"recurrent": BOTH}, rivals=RIVALS, analyses=TRACES),
}
# fmt: on
SMOKE = {  # a few iterations, and data that need no file
    PatternGeneration: {"iterations": 5, "test_trials": 1},
    MatchToSample: {"iterations": 5, "test_trials": 8},
    Speech: {"data": GENERATED, "hidden": (24, 12), "iterations": 3, "epochs": 3, "test_trials": 8},
    Fsdd: {"data": GENERATED, "hidden": (24, 12), "iterations": 3, "epochs": 3, "test_trials": 8},
    SequentialDigits: {"data": SMALL, "batch": 32, "iterations": 3, "epochs": 3, "test_trials": 8, "validation": 100},
}


def jobs(name: str, profile: str = "paper", changes: dict | None = None) -> list[Job]:
    """The runs of an experiment, with what their records must hold.

    Args:
        name: in `EXPERIMENTS`.
        profile: "paper", all runs; "quick", one seed; "smoke", one seed and a few iterations.
        changes: settings that stand above those of the table; a list is a setting that varies.

    Raises:
        ValueError: an unknown name, profile or setting, or a value out of range.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    if profile not in PROFILES:
        raise ValueError(f"profile must be {', '.join(PROFILES)}, not {profile!r}")
    plan, changes = EXPERIMENTS[name], changes or {}
    known = {f.name for f in fields(plan.task)}
    if unknown := set(changes) - known:
        names = ", ".join(sorted(unknown)), ", ".join(sorted(known))
        raise ValueError(f"{plan.task.__name__} has no setting {names[0]}; it has {names[1]}")
    above = {setting: value if isinstance(value, list) else [value] for setting, value in changes.items()}
    if profile != "paper":
        plan = replace(plan, **plan.below_paper, seeds=min(plan.seeds, 1))
    if profile == "smoke":
        above = {setting: [value] for setting, value in SMOKE[plan.task].items()} | plan.smoke | above
    runs = runs_of(plan, above)
    rivals = [as_large(run, rival) for rival in plan.rivals for run in runs_of(replace(plan, kinds=({},)), above)]
    details = shown(runs, plan.shown)
    return [Job(run, run in details, plan.analyses) for run in dict.fromkeys(runs + rivals)]


def runs_of(plan: Experiment, above: dict[str, list]) -> list[Task]:
    """Every kind of run with every combination of what varies, the seed fastest; the levels ``above`` come first."""
    settings = {name: [value() if callable(value) else value] for name, value in plan.settings.items()}
    levels = settings | plan.varies | {"seed": list(range(plan.seeds))} | above
    runs = []
    for kind in plan.kinds:
        own = {name: [value] for name, value in kind.items()} | levels
        own["seed"] = own.pop("seed")  # last
        runs += [plan.task(**dict(zip(own, combination, strict=True))) for combination in product(*own.values())]
    return list(dict.fromkeys(runs))  # a change may make two kinds one


def shown(runs: Sequence[Task], wanted: dict | None) -> set[Task]:
    """The runs of the first seed with the wanted settings, or, of a number that no run has, the nearest."""
    if wanted is None:
        return set()
    wanted = {name: nearest((getattr(run, name) for run in runs), value) for name, value in wanted.items()}
    first = min((run.seed for run in runs), default=0)
    return {run for run in runs if run.seed == first and all(getattr(run, n) == v for n, v in wanted.items())}


def nearest(levels: Iterable, wanted):
    """The wanted level of a setting if a run has it, else of numbers (or tuples) the nearest, the smaller of two."""
    levels = set(levels)
    if wanted in levels or isinstance(wanted, str) or not levels:
        return wanted

    def distance(level) -> float:
        if isinstance(wanted, tuple):
            return sum(abs(a - b) for a, b in zip(level, wanted, strict=False)) + abs(len(level) - len(wanted))
        return abs(level - wanted)

    return min(levels, key=lambda level: (distance(level), level))


def as_large(run: Task, variant: str) -> Task:
    """The run with another variant, and the one hidden layer that brings it nearest to as many parameters."""
    wanted = parameters(run)
    sizes = (
        run.replace(variant=variant, hidden=n, groups=None, grouped_by="random") for n in range(1, 4 * run.hidden[0])
    )
    return min(sizes, key=lambda other: abs(parameters(other) - wanted))


def parameters(run: Task) -> int:
    """Trainable parameters of a run's network (Table 3; with groups, one time constant for each group of a layer)."""
    *hidden, readout = pairwise(run.sizes())
    layers = [(*own, run.recurrent) for own in hidden] + [(*readout, False)]
    return sum(parameter_count(run.variant, *own, run.sharing()) for own in layers)


def main(arguments: list[str] | None = None) -> int:
    """Compute what is missing of the paper's scale and write it to data/records."""
    parser = argparse.ArgumentParser(prog="hetsyn_core.runs.experiments", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    names = parser.parse_args(arguments).names or list(EXPERIMENTS)
    if unknown := set(names) - set(EXPERIMENTS):
        parser.error(f"no experiment {', '.join(sorted(unknown))}; there are {', '.join(EXPERIMENTS)}")
    return exit_status(lambda: compute({name: jobs(name) for name in names}))


def compute(asked: dict[str, list[Job]]) -> None:
    """Compute what is missing of some experiments, one after the other, and keep it."""
    sweep.check([job for own in asked.values() for job in own])
    for name, own in asked.items():
        print(store.consolidate(name, sweep.run(own, what=name)), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

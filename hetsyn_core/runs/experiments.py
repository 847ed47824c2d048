"""The runs behind each figure: plain lists of configs, in three sizes (profiles).

python -m hetsyn_core.runs.experiments            # compute what is missing of the paper's scale and keep it
python -m hetsyn_core.runs.experiments fig2 a1    # only these
"""

import argparse
import sys
from collections.abc import Callable

from ..model.layer import VARIANTS
from . import records, sweep
from .train import Config, match_config, pattern_config

NOISE_HZ = (1, 2, 3, 4)  # Fig. 2 E, F
LEARNING_RATES = (1e-4, 5e-4, 1e-3, 5e-3)  # A1
SNAPSHOTS = (10, 100, 1000)  # A2, iterations
HIDDEN = (5, 20, 50, 100)  # Fig. 3 D-G
HIDDEN_RUNS = 50  # Fig. 3 D-G; 10 of everything else
FROZEN = (0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)  # Fig. 3 C
DELAY_MS = (500, 1000, 1500, 2000, 2500)  # A3
ADDED_NOISE_HZ = (0, 5, 10, 15, 20)  # A3
TABLE4_TAU_MS = (100, 200, 400)
# What "decay factors are trained directly" may mean: (recurrent, parameter, its learning rate / that of the weights).
READINGS = (
    (False, "decay", 1), (False, "decay", 0.1), (False, "decay", 0.01),
    (False, "tau", 1), (False, "tau", 3), (False, "tau", 10),
    (False, "log_tau", 1), (False, "log_tau", 10), (False, "log_tau", 20),
    (True, "decay", 1), (True, "tau", 1), (True, "log_tau", 10),
)  # fmt: skip

MODELS = [(variant, recurrent) for recurrent in (False, True) for variant in VARIANTS]


def scale(profile: str, paper_runs: int = 10) -> tuple[range, int]:
    """Seeds and iterations: "smoke" only shows that everything runs, "quick" is one full run of each setting.

    Quick leaves out the slowest settings, see `thinned` and `initial_taus`.

    Raises:
        ValueError: an unknown profile.
    """
    scales = {"smoke": (range(1), 5), "quick": (range(1), 1000), "paper": (range(paper_runs), 1000)}
    if profile not in scales:
        raise ValueError(f"profile must be {', '.join(scales)}, not {profile!r}")
    return scales[profile]


def thinned(profile: str, values: tuple, every: int) -> tuple:
    """All values of a setting at the paper's scale, otherwise one in ``every``, from the first."""
    return values if profile == "paper" else values[::every]


def _pattern(profile: str, seeds: range, iterations: int, **changes) -> list[Config]:
    trials = {"eval_trials": 1} if profile == "smoke" else {}
    return [pattern_config(**trials, **{"iterations": iterations, "seed": s} | changes) for s in seeds]


def _match(profile: str, seeds: range, iterations: int, **changes) -> list[Config]:
    trials = {"eval_trials": 8} if profile == "smoke" else {}
    return [match_config(**trials, iterations=iterations, seed=s, **changes) for s in seeds]


def pattern_noise(profile: str) -> list[Config]:
    """Fig. 2: eight models at four noise levels. The first run at 2 Hz keeps its details for panel A."""
    return [
        config
        for variant, recurrent in MODELS
        for noise in NOISE_HZ
        for seeds, detail in _first_apart(scale(profile)[0], noise == 2)
        for config in _pattern(
            profile, seeds, scale(profile)[1], variant=variant, recurrent=recurrent, noise_hz=noise, detail=detail
        )
    ]


def _first_apart(seeds: range, detail: bool) -> list[tuple[range, bool]]:
    return [(seeds[:1], True), (seeds[1:], False)] if detail else [(seeds, False)]


def learning_rates(profile: str) -> list[Config]:
    """A1: the feedforward variants at four learning rates, 2 Hz noise."""
    return [
        config
        for variant in VARIANTS
        for lr in LEARNING_RATES
        for config in _pattern(profile, *scale(profile), variant=variant, lr=lr)
    ]


def three_targets(profile: str) -> list[Config]:
    """A2: F-HetSynLIF with three targets after 10, 100 and 1000 iterations; the first run keeps its details."""
    snapshots = (1, 3, 5) if profile == "smoke" else SNAPSHOTS
    return [
        config
        for iterations in snapshots
        for seeds, detail in _first_apart(scale(profile)[0], True)
        for config in _pattern(profile, seeds, iterations, n_targets=3, detail=detail)
    ]


def hidden_sizes(profile: str) -> list[Config]:
    """Fig. 3 A, B, D-G: eight models with 5 to 100 hidden neurons."""
    return [
        config
        for variant, recurrent in MODELS
        for hidden in HIDDEN
        for seeds, detail in _first_apart(scale(profile, HIDDEN_RUNS)[0], variant == "HetSynLIF" and hidden == 100)
        for config in _match(
            profile, seeds, scale(profile)[1], variant=variant, recurrent=recurrent, hidden=hidden, detail=detail
        )
    ]


def frozen_decays(profile: str) -> list[Config]:
    """Fig. 3 C: R-HetSynLIF with a fraction of its time constants frozen."""
    return [c for f in thinned(profile, FROZEN, 2) for c in _match(profile, *scale(profile), recurrent=True, frozen=f)]


def delays(profile: str) -> list[Config]:
    """A3: R-HetSynLIF with longer delays."""
    return [
        c for d in thinned(profile, DELAY_MS, 4) for c in _match(profile, *scale(profile), recurrent=True, delay_ms=d)
    ]


def added_noise(profile: str) -> list[Config]:
    """A3: R-HetSynLIF with noise on all channels, and on those of the cues alone (open in the paper) at 20 Hz."""
    where = [(hz, "all") for hz in thinned(profile, ADDED_NOISE_HZ, 4)] + [(ADDED_NOISE_HZ[-1], "cues")]
    return [c for hz, on in where for c in _match(profile, *scale(profile), recurrent=True, noise_hz=hz, noise_on=on)]


def initial_taus(profile: str) -> list[Config]:
    """Table 4: HetSynLIF from three initial time constants, under several readings of how decays are trained.

    The recurrent ones, three times as slow, only at the paper's scale.
    """
    return [
        config
        for recurrent, parameterization, rate in READINGS
        if profile == "paper" or not recurrent
        for mu in TABLE4_TAU_MS
        for config in _match(
            profile,
            *scale(profile),
            recurrent=recurrent,
            parameterization=parameterization,
            decay_lr_scale=rate,
            tau_s_mean_ms=mu,
            tau_s_sd_ms=0.1 * mu,
            detail=True,
        )
    ]


def tied_reset(profile: str) -> list[Config]:
    """Open in the paper: HetNeuLIF whose reset decays like the neuron's synapses, in both tasks."""
    options = dict(variant="HetNeuLIF", tau_reset_ms=None)
    return [
        config
        for make in (_pattern, _match)
        for recurrent in (False, True)
        for config in make(profile, *scale(profile), recurrent=recurrent, **options)
    ]


EXPERIMENTS: dict[str, Callable[[str], list[Config]]] = {
    "fig2": pattern_noise,
    "a1": learning_rates,
    "a2": three_targets,
    "fig3": hidden_sizes,
    "fig3c": frozen_decays,
    "a3_delay": delays,
    "a3_noise": added_noise,
    "table4": initial_taus,
    "tied_reset": tied_reset,
}


def main(arguments: list[str] | None = None) -> None:
    """Compute what is missing of the paper's scale and write it to data/records."""
    parser = argparse.ArgumentParser(prog="hetsyn_core.runs.experiments", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    names = parser.parse_args(arguments).names or list(EXPERIMENTS)
    if unknown := set(names) - set(EXPERIMENTS):
        parser.error(f"no experiment {', '.join(sorted(unknown))}; there are {', '.join(EXPERIMENTS)}")
    for name in names:
        found = sweep.run(EXPERIMENTS[name]("paper"), what=name)
        print(records.consolidate(name, found), file=sys.stderr)


if __name__ == "__main__":
    main()

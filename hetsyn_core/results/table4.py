"""Table 4: the paper's numbers, and the runs by what "decay factors are trained directly" may mean (a reading)."""

import numpy as np
import pandas as pd

from ..model.time_constants import centre
from ..tasks import MatchToSample

MU = (100, 200, 400)  # mean initial time constant, ms
PAPER = {  # the paper's numbers for these
    "cue_tau": (154.38, 252.43, 430.70),
    "noise_tau": (85.59, 181.93, 382.29),
    "long_share": (5.25, 6.05, 5.80),
    "accuracy": (99.97, 100.00, 99.87),
    "reset_accuracy": (75.68, 76.47, 77.15),
}
WORDS = {
    "cue_tau": "mean tau, cue channels (ms)",
    "noise_tau": "mean tau, noise channels (ms)",
    "long_share": "synapses with tau > 700 ms (%)",
    "accuracy": "accuracy (%)",
    "reset_accuracy": "accuracy after resetting those to mu (%)",
}


def reading(run: MatchToSample) -> str:
    """The reading that a run stands for: architecture, trained parameter, its relative learning rate."""
    name = f"{'R' if run.recurrent else 'F'}, {run.parameterization}"
    return name if run.decay_lr_scale == 1 else f"{name} x{run.decay_lr_scale:g}"


TEXT = reading(MatchToSample())  # the reading of the paper's text


def readings(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that did not fail, with "reading", "mu" (centre of the start, in ms), and shares in percent."""
    runs = runs[runs["failed"].isna()]
    percent = {name: 100 * runs[name] for name in ("long_share", "accuracy", "reset_accuracy")}
    return runs.assign(reading=runs["run"].map(reading), mu=runs["tau_s"].map(centre), **percent)


def distance(runs: pd.DataFrame) -> float:
    """How far `readings` of one kind are from Table 4: mean over its 15 numbers of `|log(ours / paper)|`."""
    means = runs.groupby("mu")[list(PAPER)].mean().loc[list(MU)]
    return float(np.abs(np.log(means.clip(lower=1e-3) / pd.DataFrame(PAPER, index=means.index))).mean(axis=None))


def text_reading(runs: pd.DataFrame) -> pd.DataFrame:
    """`readings` under the paper's text; none where one of the paper's three mu is missing."""
    return _comparable(runs).query("reading == @TEXT")


def closest_reading(runs: pd.DataFrame) -> pd.DataFrame:
    """`readings` of the one kind, the text's apart, whose numbers come closest to the paper's."""
    runs = _comparable(runs)
    others = runs[runs["reading"] != TEXT].groupby("reading", sort=False)
    return min((own for _, own in others), key=distance, default=runs.iloc[:0])


def _comparable(runs: pd.DataFrame) -> pd.DataFrame:
    if runs.empty:
        return runs.assign(reading=[], mu=[])
    own = readings(runs)
    return own if set(MU) <= set(own["mu"]) else own.iloc[:0]

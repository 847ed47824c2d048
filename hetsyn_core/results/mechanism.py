"""What interventions on trained networks gave, as tables: one row per run and intervention."""

import numpy as np
import pandas as pd
from scipy import stats

from ..runs.experiments import WIDE
from ..runs.interventions import ALL
from ..tasks.task import Task

BOTH, WEIGHTS, WIDE_WEIGHTS, TAUS = LEARNS = (
    "weights and time constants",
    "weights alone",
    "weights alone, wide time constants",
    "time constants alone",
)


def outcomes(runs: pd.DataFrame) -> pd.DataFrame:
    """The outcomes of all interventions in a frame of runs (`tables.frame`), see `runs.interventions.label`.

    Returns:
        "what" was done, "where", "level", a number where it is one, and the outcome in "percent"; with "model",
        "hidden" and "seed" of the run.
    """
    names = [name for name in runs if name.count(" | ") == 2]
    table = runs.melt(["model", "hidden", "seed"], names, "name", "percent").dropna(subset="percent")
    table[["what", "where", "level"]] = table.pop("name").str.split(" | ", regex=False, expand=True)
    return table.assign(level=[_number(level) for level in table["level"]], percent=100 * table["percent"])


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def curve(table: pd.DataFrame, *what: str) -> pd.DataFrame:
    """The outcomes of some interventions on all pathways together, with levels that are numbers."""
    own = table[table["what"].isin(what) & (table["where"] == ALL)]
    return own.assign(level=own["level"].astype(float))


def summary(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Means over runs with bootstrap 95 % intervals, in percent: columns "mean", "low", "high", "n"."""

    def row(own: pd.Series) -> pd.Series:
        low, high = np.nan, np.nan
        if len(own) > 1:
            options = dict(n_resamples=2000, method="percentile", rng=np.random.default_rng(0))
            low, high = stats.bootstrap((own.to_numpy(),), np.mean, **options).confidence_interval
        return pd.Series({"mean": own.mean(), "low": low, "high": high, "n": len(own)})

    return table.groupby(by, sort=False)["percent"].apply(row).unstack()


def wilson(percent: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of n answers, all of one network, in percent."""
    found = stats.binomtest(round(percent / 100 * n), n).proportion_ci(method="wilson")
    return 100 * found.low, 100 * found.high


def learns(run: Task) -> str:
    """What learns in a run, one of `LEARNS`."""
    if run.fixed_weights:
        return TAUS
    if run.frozen < 1:
        return BOTH
    return WIDE_WEIGHTS if run.tau_s == WIDE else WEIGHTS

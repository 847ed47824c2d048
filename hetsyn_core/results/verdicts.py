"""How a claim comes out: verdicts computed from numbers, by rules that stand beside them in the ledger.

Runs with the same seed share the task and are compared in pairs. Intervals are bootstrap 95 % intervals, p values
Wilcoxon's for pairs. Failed runs are left out.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ..model.layer import VARIANTS

REPRODUCED, PARTLY, NOT, TOO_FEW = "reproduced", "partly", "not reproduced", "too few runs"
NOT_ASKED = "not asked"  # by the paper: nothing to reproduce, so such a claim holds or does not
HOLDS, FAILS = "holds", "does not hold"
NO_TEST = "no test"  # of the claim: it was fitted to the paper's number, or comes from other data
BEST = (
    "reproduced: better than each other variant, interval without 0 and p < 0.05; "
    "partly: none has a better median, nor is the median difference to one against it"
)
RANKED = (
    "reproduced: medians in this order, and no interval of a difference between neighbours holds 0; "
    "partly: HetSynLIF has the best median"
)
OTHERS = [v for v in VARIANTS if v != "HetSynLIF"]


def row(figure: str, claim: str, paper: str, measured: str, interval: str, n: int, verdict: str, rule: str) -> dict:
    """One line of the ledger; fewer than five runs decide nothing."""
    if paper == NOT_ASKED:
        verdict = {REPRODUCED: HOLDS, NOT: FAILS}.get(verdict, verdict)
        rule = rule.replace(REPRODUCED, HOLDS, 1)
    return {
        "figure": figure,
        "claim": claim,
        "paper": paper,
        "measured": measured,
        "interval": interval,
        "n": n,
        "verdict": verdict if n >= 5 or verdict == NO_TEST else TOO_FEW,
        "rule": rule,
    }


def best(
    runs: pd.DataFrame,
    figure: str,
    claim: str,
    metric: str,
    lower: bool,
    scale: float = 1,
    unit: str = "",
    others: Sequence[str] = OTHERS,
    paper: str = "HetSynLIF best",
) -> dict:
    """Is HetSynLIF better in ``metric`` than each of the others, over the seeds that both have?

    "variant" says which run is whose; ``others`` are all other variants, or whatever else it may name.
    """
    pivot = runs.pivot(index="seed", columns="variant", values=metric) * (scale if lower else -scale)
    if not {"HetSynLIF", *others} <= set(pivot.dropna(axis=1, how="all")):
        return row(figure, claim, paper, "not all variants were run", "", 0, TOO_FEW, BEST)
    own = pivot["HetSynLIF"].median()
    medians, gaps, pairs, clear, against = {}, {}, [], True, False
    for other in others:
        both = pivot[["HetSynLIF", other]].dropna()
        if both.empty:
            return row(figure, claim, paper, f"no seed that {other} shares", "", 0, TOO_FEW, BEST)
        gap = (both["HetSynLIF"] - both[other]).to_numpy()  # below 0 where HetSynLIF is better
        medians[other], gaps[other] = both[other].median(), interval(gap)
        p = stats.wilcoxon(gap).pvalue if len(gap) > 1 and gap.any() else 1.0
        clear &= gaps[other][1] < 0 and p < 0.05
        against |= bool(np.median(gap) > 0 or medians[other] < both["HetSynLIF"].median())
        pairs.append(len(both))
    verdict = NOT if against else REPRODUCED if clear else PARTLY
    rival = min(medians, key=medians.get)
    sign = 1 if lower else -1
    values = f"{sign * own:.3g}{unit}; next {rival} {sign * medians[rival]:.3g}{unit}"
    low, high = sorted(sign * g for g in gaps[rival])
    difference = f"difference {show(low, high, unit)}"
    return row(figure, claim, paper, values, difference, min(pairs), verdict, BEST)


def ranked(runs: pd.DataFrame, figure: str, claim: str, metric: str, scale: float = 1, unit: str = "") -> dict:
    """Do the variants come in the paper's order in ``metric``, larger is better, over the seeds that all have?"""
    order = list(reversed(VARIANTS))
    paper = " > ".join(order)
    pivot = scale * runs.pivot(index="seed", columns="variant", values=metric)
    if not set(order) <= set(pivot):
        return row(figure, claim, paper, "not all variants were run", "", 0, TOO_FEW, RANKED)
    pivot = pivot.dropna()
    medians = pivot.median().sort_values(ascending=False)
    gaps = [interval((pivot[first] - pivot[second]).to_numpy()) for first, second in zip(order, order[1:])]
    clear = list(medians.index) == order and all(low > 0 for low, _ in gaps)
    verdict = REPRODUCED if clear else PARTLY if medians.index[0] == "HetSynLIF" else NOT
    values = " > ".join(f"{variant} {median:.3g}{unit}" for variant, median in medians.items())
    between = "differences " + "; ".join(show(*gap) for gap in gaps)
    return row(figure, claim, paper, values, between, len(pivot), verdict, RANKED)


def graded(
    figure: str,
    claim: str,
    paper: str,
    values: np.ndarray,
    full: tuple,
    part: tuple,
    unit: str = "",
    statistic=np.median,
) -> dict:
    """A claim about one number: reproduced if in the range ``full``, partly if in ``part``; None is no bound."""
    rule = f"reproduced: {_range(full, unit)}; partly: {_range(part, unit)}"
    if not len(values):
        return row(figure, claim, paper, "no such run", "", 0, TOO_FEW, rule)
    x = float(statistic(values))
    verdict = REPRODUCED if _within(x, full) else PARTLY if _within(x, part) else NOT
    between = show(*interval(values, statistic), unit)
    return row(figure, claim, paper, f"{x:.3g}{unit}", between, len(values), verdict, rule)


def interval(values: np.ndarray, statistic=np.median) -> tuple[float, float]:
    """Bootstrap 95 % interval of a statistic, (low, high); the same values give the same interval."""
    if len(values) < 2:
        return float("nan"), float("nan")
    found = stats.bootstrap(
        (values,), statistic, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def show(low: float, high: float, unit: str = "") -> str:
    """An interval as text."""
    return f"{low + 0:.3g} to {high + 0:.3g}{unit}" if np.isfinite(low) else "one run, no interval"  # + 0: never "-0"


def _within(x: float, bounds: tuple) -> bool:
    low, high = bounds
    return (low is None or x >= low) and (high is None or x <= high)


def _range(bounds: tuple, unit: str) -> str:
    low, high = bounds
    if high is None:
        return f"at least {low:g}{unit}"
    return f"at most {high:g}{unit}" if low is None else f"{low:g} to {high:g}{unit}"

"""How a claim comes out: rules that take a table of runs and give a verdict, with the numbers that it rests on.

A rule is a value, such as ``Within("accuracy", at_least(99.5), at_least(95), percent=True)``, and has one method,
``judge(runs)``; the runs are a `tables.frame` with one row per run, and "who" says whose it is. Runs with the same seed
share the task and are compared in pairs. Intervals are bootstrap 95 % intervals, p values are Wilcoxon's for pairs.
Failed runs are left out. Fewer than five runs decide nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Protocol

import numpy as np
import pandas as pd
from scipy import stats

from ..model.layer import VARIANTS

REPRODUCED, PARTLY, NOT, TOO_FEW = "reproduced", "partly", "not reproduced", "too few runs"
HOLDS, FAILS = "holds", "does not hold"  # a claim that the paper does not make
NO_TEST = "no test"  # the claim was fitted to the paper's number, or the data are others
FEWEST = 5  # runs that decide
OURS = "HetSynLIF"
OTHERS = tuple(variant for variant in VARIANTS if variant != OURS)


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim."""

    measured: str
    interval: str
    n: int  # runs, or pairs of runs
    verdict: str
    rule: str  # in words

    def beyond_the_paper(self) -> "Verdict":
        """The same for a claim that the paper does not make: there is nothing to reproduce, so it holds or does not."""
        verdict = {REPRODUCED: HOLDS, NOT: FAILS}.get(self.verdict, self.verdict)
        return replace(self, verdict=verdict, rule=self.rule.replace(REPRODUCED, HOLDS, 1))


def decide(measured: str, interval: str, n: int, verdict: str, rule: str) -> Verdict:
    """A verdict; too few runs where there are fewer than `FEWEST`."""
    return Verdict(measured, interval, n, verdict if n >= FEWEST or verdict == NO_TEST else TOO_FEW, rule)


class Rule(Protocol):
    """What decides a claim."""

    def judge(self, runs: pd.DataFrame) -> Verdict: ...


@dataclass(frozen=True)
class Best:
    """HetSynLIF is better in a metric than each of the others, over the seeds that both have."""

    metric: str
    lower: bool  # is better
    others: tuple[str, ...] = OTHERS  # who they are, in "who"
    percent: bool = False  # the metric is a share and is shown in percent
    words: ClassVar[str] = (
        "reproduced: better than each other variant, interval without 0 and p < 0.05; "
        "partly: none has a better median, nor is the median difference to one against it"
    )

    def than(self, *others: str) -> "Best":
        """The same rule against others."""
        return replace(self, others=others)

    def judge(self, runs: pd.DataFrame) -> Verdict:
        """The medians of HetSynLIF and of the best other, and the interval of their difference."""
        sign = 1 if self.lower else -1  # so that less is better
        scores = sign * _by_seed(runs, self.metric, (OURS, *self.others), self.percent)
        if not {OURS, *self.others} <= set(scores.dropna(axis=1, how="all")):
            return decide("not all variants were run", "", 0, TOO_FEW, self.words)
        medians, gaps, pairs, clear, against = {}, {}, [], True, False
        for other in self.others:
            both = scores[[OURS, other]].dropna()
            if both.empty:
                return decide(f"no seed that {other} shares", "", 0, TOO_FEW, self.words)
            gap = (both[OURS] - both[other]).to_numpy()
            medians[other], gaps[other] = both[other].median(), interval(gap)
            p = stats.wilcoxon(gap).pvalue if len(gap) > 1 and gap.any() else 1.0
            clear &= gaps[other][1] < 0 and p < 0.05
            against |= bool(np.median(gap) > 0 or medians[other] < both[OURS].median())
            pairs.append(len(both))
        rival, unit = min(medians, key=medians.get), _unit(self.percent)
        mine = f"{sign * scores[OURS].median():.3g}{unit}"
        low, high = sorted(sign * end for end in gaps[rival])
        return decide(
            measured=f"{mine}; next {rival} {sign * medians[rival]:.3g}{unit}",
            interval=f"difference {show(low, high, unit)}",
            n=min(pairs),
            verdict=NOT if against else REPRODUCED if clear else PARTLY,
            rule=self.words,
        )


@dataclass(frozen=True)
class Ranked:
    """The variants come in the paper's order in a metric, larger is better, over the seeds that all have."""

    metric: str
    percent: bool = False
    order: ClassVar[tuple[str, ...]] = tuple(reversed(VARIANTS))
    words: ClassVar[str] = (
        "reproduced: medians in this order, and no interval of a difference between neighbours holds 0; "
        "partly: HetSynLIF has the best median"
    )

    def judge(self, runs: pd.DataFrame) -> Verdict:
        """The medians in their order, and the intervals of the differences between the paper's neighbours."""
        scores = _by_seed(runs, self.metric, self.order, self.percent)
        if not set(self.order) <= set(scores):
            return decide("not all variants were run", "", 0, TOO_FEW, self.words)
        scores = scores.dropna()
        medians = scores.median().sort_values(ascending=False)
        gaps = [interval((scores[first] - scores[second]).to_numpy()) for first, second in pairwise(self.order)]
        clear = tuple(medians.index) == self.order and all(low > 0 for low, _ in gaps)
        unit = _unit(self.percent)
        return decide(
            measured=" > ".join(f"{variant} {median:.3g}{unit}" for variant, median in medians.items()),
            interval="differences " + "; ".join(show(*gap) for gap in gaps),
            n=len(scores),
            verdict=REPRODUCED if clear else PARTLY if medians.index[0] == OURS else NOT,
            rule=self.words,
        )


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included."""

    low: float = -math.inf
    high: float = math.inf

    def __contains__(self, x: float) -> bool:
        return self.low <= x <= self.high

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"at least {self.low:g}"
        return f"at most {self.high:g}" if self.low == -math.inf else f"{self.low:g} to {self.high:g}"


def at_least(low: float) -> Range:
    """Numbers from ``low`` upwards."""
    return Range(low=low)


def at_most(high: float) -> Range:
    """Numbers up to ``high``."""
    return Range(high=high)


def between(low: float, high: float) -> Range:
    """Numbers from ``low`` to ``high``."""
    return Range(low, high)


@dataclass(frozen=True)
class Ratio:
    """A metric of the runs with one value of a setting, over that of the runs with another, seed by seed."""

    metric: str
    setting: str
    over: object  # the value of the setting above the line
    under: object  # and below

    def of(self, runs: pd.DataFrame) -> pd.Series:
        """One ratio per seed that both values have."""
        own = runs[runs[self.setting].isin([self.over, self.under])]
        pivot = own.pivot(index="seed", columns=self.setting, values=self.metric).dropna()
        if not {self.over, self.under} <= set(pivot):
            return pd.Series(dtype=float)
        return pivot[self.over] / pivot[self.under]


@dataclass(frozen=True)
class Within:
    """A statistic of a metric lies in a range: reproduced if in ``full``, partly if in ``part``."""

    metric: str | Ratio
    full: Range  # in percent where ``percent`` says so
    part: Range
    percent: bool = False  # the metric is a share and is shown in percent
    statistic: Callable = np.median
    who: str = OURS
    data: tuple[str, ...] | None = None  # on other data than these it is no test; None: on any data it is one

    @property
    def words(self) -> str:
        """The rule."""
        unit = _unit(self.percent)
        return f"reproduced: {self.full}{unit}; partly: {self.part}{unit}"

    def judge(self, runs: pd.DataFrame) -> Verdict:
        """The statistic over all runs, and its interval."""
        values = (100 if self.percent else 1) * self.values(runs)
        if not len(values):
            found = decide("no such run", "", 0, TOO_FEW, self.words)
        else:
            x, unit = float(self.statistic(values)), _unit(self.percent)
            found = decide(
                measured=f"{x:.3g}{unit}",
                interval=show(*interval(values, self.statistic), unit),
                n=len(values),
                verdict=REPRODUCED if x in self.full else PARTLY if x in self.part else NOT,
                rule=self.words,
            )
        if self.data and len(runs) and not set(runs["data"]) <= set(self.data):
            return replace(found, verdict=NO_TEST, rule="no test: other data")
        return found

    def values(self, runs: pd.DataFrame) -> np.ndarray:
        """The metric, once per run or pair of runs; empty where it was not measured."""
        needs = {self.metric.metric, self.metric.setting} if isinstance(self.metric, Ratio) else {self.metric}
        if not needs | {"who"} <= set(runs):
            return np.array([])
        own = runs[runs["who"] == self.who]
        return (self.metric.of(own) if isinstance(self.metric, Ratio) else own[self.metric]).dropna().to_numpy()


@dataclass(frozen=True)
class WithinTenth:
    """The means of a metric at several values of a setting each lie within 10 % of the paper's."""

    metric: str
    setting: str
    paper: dict[float, float]  # the paper's number for each value of the setting
    fitted: bool = False  # the runs were chosen by these numbers, which is no test
    words: ClassVar[str] = "reproduced: within 10 % of the paper for every mu; partly: for one or two"
    words_fitted: ClassVar[str] = (
        "no test: of the readings other than the text's, the one that comes closest to these numbers"
    )

    def judge(self, runs: pd.DataFrame) -> Verdict:
        """The means, and the interval of each."""
        values = [runs.loc[runs[self.setting] == level, self.metric].to_numpy() for level in self.paper]
        means = [float(np.mean(own)) for own in values]
        hits = sum(abs(mean - p) <= 0.1 * p for mean, p in zip(means, self.paper.values(), strict=True))
        verdict = REPRODUCED if hits == len(self.paper) else PARTLY if hits else NOT
        return decide(
            measured=" / ".join(f"{mean:.3g}" for mean in means),
            interval="; ".join(show(*interval(own, np.mean)) for own in values),
            n=min(map(len, values)),
            verdict=NO_TEST if self.fitted else verdict,
            rule=self.words_fitted if self.fitted else self.words,
        )


@dataclass(frozen=True)
class Counted:
    """Two ways to count give the same, one row per case; no run is needed."""

    metric: str
    paper: str  # the column that it should equal
    words: ClassVar[str] = "reproduced: counted in every network; partly: in more than half"

    def judge(self, cases: pd.DataFrame) -> Verdict:
        """How many cases agree."""
        same, n = int((cases[self.metric] == cases[self.paper]).sum()), len(cases)
        verdict = REPRODUCED if same == n else PARTLY if 2 * same > n else NOT
        return decide(f"{same} of {n}", "", n, verdict, self.words)


def interval(values: np.ndarray, statistic: Callable = np.median) -> tuple[float, float]:
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


def _by_seed(runs: pd.DataFrame, metric: str, who: tuple[str, ...], percent: bool) -> pd.DataFrame:
    """A metric, one row per seed, one column for each of ``who`` that was run; in percent where that is wanted."""
    if not {metric, "who"} <= set(runs):
        return pd.DataFrame()
    own = runs[runs["who"].isin(who)]
    return own.pivot(index="seed", columns="who", values=metric) * (100 if percent else 1)


def _unit(percent: bool) -> str:
    return " %" if percent else ""

"""How a claim comes out: rules that take a table of runs and give a verdict, with the numbers that it rests on.

A rule is a value, such as ``Mean("accuracy", at_least(90, "ours"), percent=True)``, and has one method,
``judge(runs)``; the runs are a `tables.frame` with one row per run, and "who" says whose it is. The 95 % interval
decides, not the number in it: `place` and `compare` say how. Runs with the same seed share the task and are compared in
pairs. Failed runs are left out. Fewer than five runs decide nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Protocol, Self

import numpy as np
import pandas as pd
from scipy import stats

from ..model.layer import VARIANTS

REPRODUCED, PARTLY, EQUAL, INCONCLUSIVE, NOT = "reproduced", "partly", "equal", "inconclusive", "not reproduced"
HOLDS, FAILS = "holds", "does not hold"  # of a claim that the paper does not make
NO_TEST = "no test"  # no verdict: the runs were chosen by the paper's number, or the data are others
TOO_FEW = "too few runs"  # no verdict
NO_VERDICT = (NO_TEST, TOO_FEW)
ORDER = (REPRODUCED, PARTLY, EQUAL, INCONCLUSIVE, NO_TEST, TOO_FEW, NOT)  # from good to bad
FEWEST = 5  # runs that decide
OURS = "HetSynLIF"
OTHERS = tuple(variant for variant in VARIANTS if variant != OURS)


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim."""

    measured: str
    interval: str
    n: int  # runs, or pairs of runs
    verdict: str  # one of `ORDER`, or HOLDS or FAILS
    rule: str  # in words

    def beyond_the_paper(self) -> "Verdict":
        """The same for a claim that the paper does not make: there is nothing to reproduce, so it holds or does not."""
        verdict = {REPRODUCED: HOLDS, NOT: FAILS}.get(self.verdict, self.verdict)
        return replace(self, verdict=verdict, rule=self.rule.replace(REPRODUCED, HOLDS, 1))


def worst(verdicts: Iterable[str]) -> str:
    """The verdict on several that must all be true."""
    return max(verdicts, key=ORDER.index)


def decide(measured: str, interval: str, n: int, verdict: str, rule: str) -> Verdict:
    """A verdict; too few runs where there are fewer than `FEWEST`."""
    return Verdict(measured, interval, n, verdict if n >= FEWEST or verdict == NO_TEST else TOO_FEW, rule)


def mixed(rule: "Mean | Near | Ranked | Share | Against", runs: pd.DataFrame) -> bool:
    """Whether a model has several runs of a seed: settings vary that a rule does not tell apart."""
    setting = getattr(getattr(rule, "metric", None), "setting", getattr(rule, "setting", None))  # which it tells apart
    own = [name for name in ("who", "seed", setting) if name in runs]
    return {"who", "seed"} <= set(own) and bool(runs.duplicated(own).any())


def too_few(why: str, rule: str) -> Verdict:
    """There is nothing to judge."""
    return Verdict(why, "", 0, TOO_FEW, rule)


class Rule(Protocol):
    """What decides a claim."""

    words: str  # the rule, for a reader

    def judge(self, runs: pd.DataFrame) -> Verdict: ...


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included, and who set these bounds: a place in the paper, or "ours"."""

    low: float
    high: float
    source: str

    def holds(self, interval: tuple[float, float]) -> bool:
        """Whether a whole interval lies in it."""
        return self.low <= interval[0] and interval[1] <= self.high

    def misses(self, interval: tuple[float, float]) -> bool:
        """Whether a whole interval lies outside."""
        return interval[1] < self.low or self.high < interval[0]

    def words(self, unit: str) -> str:
        """Such as "at least 90 % (ours)"."""
        if self.high == math.inf:
            bounds = f"at least {self.low:.4g}"
        else:
            bounds = f"at most {self.high:.4g}" if self.low == -math.inf else f"{self.low:.4g} to {self.high:.4g}"
        return f"{bounds}{unit} ({self.source})"


def at_least(low: float, source: str) -> Range:
    """Numbers from ``low`` upwards."""
    return Range(low, math.inf, source)


def at_most(high: float, source: str) -> Range:
    """Numbers up to ``high``."""
    return Range(-math.inf, high, source)


between = Range


def place(interval: tuple[float, float], full: Range, part: Range | None = None) -> str:
    """The verdict on an interval: in ``full`` or in ``part``, outside of both, or across a border."""
    if full.holds(interval):
        return REPRODUCED
    if part and part.holds(interval):
        return PARTLY
    return NOT if full.misses(interval) and (not part or part.misses(interval)) else INCONCLUSIVE


def compare(interval: tuple[float, float], margin: float | None = None) -> str:
    """What the interval of a difference says, positive where HetSynLIF is better; within the margin both are equal."""
    low, high = interval
    if margin is not None and -margin <= low and high <= margin:
        return EQUAL
    if low > 0:
        return REPRODUCED
    return NOT if high < 0 else INCONCLUSIVE


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
class Mean:
    """The mean of a metric lies in a range."""

    metric: str | Ratio
    full: Range  # in percent where ``percent`` says so
    part: Range | None = None  # what a weaker claim would say
    percent: bool = False  # the metric is a share and is shown in percent
    who: str = OURS

    @property
    def words(self) -> str:
        return "mean; " + _ranges(self.full, self.part, _unit(self.percent))

    def judge(self, runs: pd.DataFrame) -> Verdict:
        """The mean over all runs, and its interval."""
        values = (100 if self.percent else 1) * _values(runs, self.metric, self.who)
        if not len(values):
            return too_few("no such run", self.words)
        unit, found = _unit(self.percent), mean_interval(values)
        if self.percent:
            found = max(found[0], 0.0), min(found[1], 100.0)
        verdict = place(found, self.full, self.part)
        return decide(f"{values.mean():.3g}{unit}", show(*found, unit), len(values), verdict, self.words)


@dataclass(frozen=True)
class Share:
    """The share of runs in which a metric reaches a level lies in a range; for runs that succeed or stay at chance."""

    metric: str
    level: float
    full: Range  # in percent
    part: Range | None = None
    who: str = OURS

    @property
    def words(self) -> str:
        return f"share of runs with {self.metric} of {100 * self.level:g} %; " + _ranges(self.full, self.part, " %")

    def judge(self, runs: pd.DataFrame) -> Verdict:
        """The share, and its exact interval (Clopper and Pearson)."""
        values = _values(runs, self.metric, self.who)
        if not len(values):
            return too_few("no such run", self.words)
        k, n = int((values >= self.level).sum()), len(values)
        low, high = stats.binomtest(k, n).proportion_ci(0.95, "exact")
        found = 100 * low, 100 * high
        return decide(f"{k} of {n}", show(*found, " %"), n, place(found, self.full, self.part), self.words)


class Against:
    """HetSynLIF is better than each of some others, over the seeds that both have; the worst verdict counts.

    Where several have it, that against the strongest of them is shown. A subclass compares two.
    """

    percent = False

    def than(self, *others: str) -> Self:
        """The same rule against others."""
        return replace(self, others=others)

    def judge(self, runs: pd.DataFrame) -> Verdict:
        """What the comparison with the other that decides says."""
        scores = _by_seed(runs, self.metric, (OURS, *self.others), self.percent)
        if not {OURS, *self.others} <= set(scores.dropna(axis=1, how="all")):
            return too_few("not all variants were run", self.words)
        pairs = {other: scores[[OURS, other]].dropna() for other in self.others}
        if alone := [other for other, both in pairs.items() if both.empty]:
            return too_few(f"no seed that {alone[0]} shares", self.words)
        found = [self.compared(other, both[OURS], both[other]) for other, both in pairs.items()]
        verdict, _, measured, interval = max(found, key=lambda one: (ORDER.index(one[0]), one[1]))
        return decide(measured, interval, min(map(len, pairs.values())), verdict, self.words)

    def compared(self, other: str, mine: pd.Series, theirs: pd.Series) -> tuple[str, float, str, str]:
        """Verdict, how strong the other is, and in words what was measured and its interval."""
        raise NotImplementedError


@dataclass(frozen=True)
class Better(Against):
    """HetSynLIF has a better mean of a metric than each of the others."""

    metric: str
    lower: bool  # is better
    others: tuple[str, ...] = OTHERS  # who they are, in "who"
    percent: bool = False  # the metric is a share and is shown in percent
    margin: float | None = None  # of equality

    @property
    def words(self) -> str:
        return f"mean difference to each other; {REPRODUCED}: better" + _equality(self.margin, _points(self.percent))

    def compared(self, other: str, mine: pd.Series, theirs: pd.Series) -> tuple[str, float, str, str]:
        """By the means, and the interval of their difference."""
        sign, unit = -1 if self.lower else 1, _unit(self.percent)  # so that more is better
        gap = mean_interval(sign * (mine - theirs))
        measured = f"{mine.mean():.3g}{unit}; {other} {theirs.mean():.3g}{unit}"
        interval = "difference " + show(*sorted(sign * end for end in gap), _points(self.percent))
        return compare(gap, self.margin), sign * theirs.mean(), measured, interval


@dataclass(frozen=True)
class MoreOften(Against):
    """More runs of HetSynLIF reach a level than of each of the others, counted in pairs with the same seed."""

    metric: str
    level: float
    others: tuple[str, ...] = OTHERS
    margin: float | None = None  # of equality, in percentage points

    @property
    def words(self) -> str:
        text = f"share of runs with {self.metric} of {100 * self.level:g} %, against each other; {REPRODUCED}: larger"
        return text + ", exact p < 0.05" + _equality(self.margin, " points")

    def compared(self, other: str, mine: pd.Series, theirs: pd.Series) -> tuple[str, float, str, str]:
        """By the counts: the interval of the difference, and McNemar's exact p."""
        mine, theirs = mine >= self.level, theirs >= self.level
        wins, losses, n = int((mine & ~theirs).sum()), int((~mine & theirs).sum()), len(mine)
        gap, p = share_difference(wins, losses, n), sign_test(wins, losses)
        verdict = compare(gap, self.margin)
        if verdict in (REPRODUCED, NOT) and p >= 0.05:
            verdict = INCONCLUSIVE
        shown_p = "< 0.001" if p < 0.001 else f"= {p:.2g}"
        interval = f"difference {show(*gap, ' points')}, p {shown_p}"
        return verdict, theirs.mean(), f"{mine.sum()} of {n}; {other} {theirs.sum()}", interval


@dataclass(frozen=True)
class Ranked:
    """The variants come in the paper's order in a metric, larger is better, over the seeds that all have."""

    metric: str
    percent: bool = False
    order: ClassVar[tuple[str, ...]] = tuple(reversed(VARIANTS))
    words: ClassVar[str] = (
        f"mean difference of neighbours; {REPRODUCED}: each better than the next; {PARTLY}: HetSynLIF better than each"
    )

    def judge(self, runs: pd.DataFrame) -> Verdict:
        """The means in their order, and the intervals of the differences between the paper's neighbours."""
        scores = _by_seed(runs, self.metric, self.order, self.percent)
        if not set(self.order) <= set(scores):
            return too_few("not all variants were run", self.words)
        scores = scores.dropna()
        means = scores.mean().sort_values(ascending=False)
        gaps = [mean_interval(scores[first] - scores[second]) for first, second in pairwise(self.order)]
        found = worst(compare(gap) for gap in gaps)
        best = worst(compare(mean_interval(scores[OURS] - scores[other])) for other in OTHERS)
        unit = _unit(self.percent)
        return decide(
            measured=" > ".join(f"{variant} {mean:.3g}{unit}" for variant, mean in means.items()),
            interval="differences in points: " * self.percent + "; ".join(show(*gap) for gap in gaps),
            n=len(scores),
            verdict=PARTLY if found != REPRODUCED == best else found,
            rule=self.words,
        )


@dataclass(frozen=True)
class Near:
    """The means of a metric at several values of a setting all lie near the paper's."""

    metric: str
    setting: str
    paper: dict[float, float]  # the paper's number for each value of the setting
    full: float  # a share of the paper's number to either side
    part: float
    fitted: bool = False  # the runs were chosen by these numbers, which is no test

    @property
    def words(self) -> str:
        if self.fitted:
            return "no test: of the readings other than the text's, the one that comes closest to these numbers"
        near = f"within {100 * self.full:g} % of the paper's number (ours)"
        return f"mean at every {self.setting}; {REPRODUCED}: {near}; {PARTLY}: within {100 * self.part:g} % (ours)"

    def judge(self, runs: pd.DataFrame) -> Verdict:
        """The means, and the interval of each."""
        values = [runs.loc[runs[self.setting] == level, self.metric] for level in self.paper]
        gaps = [mean_interval(own) for own in values]
        full, part = (
            [Range((1 - share) * number, (1 + share) * number, "ours") for number in self.paper.values()]
            for share in (self.full, self.part)
        )
        return decide(
            measured=" / ".join(f"{own.mean():.3g}" for own in values),
            interval="; ".join(show(*gap) for gap in gaps),
            n=min(map(len, values)),
            verdict=NO_TEST if self.fitted else worst(map(place, gaps, full, part)),
            rule=self.words,
        )


@dataclass(frozen=True)
class Counted:
    """Two ways to count give the same, one row per case; no run is needed."""

    metric: str
    paper: str  # the column that it should equal
    words: ClassVar[str] = f"{REPRODUCED}: the same number for every network; {PARTLY}: for more than half"

    def judge(self, cases: pd.DataFrame) -> Verdict:
        """How many cases agree."""
        same, n = int((cases[self.metric] == cases[self.paper]).sum()), len(cases)
        verdict = REPRODUCED if same == n else PARTLY if 2 * same > n else NOT
        return decide(f"{same} of {n}", "", n, verdict, self.words)


def mean_interval(values: pd.Series | np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of a mean, (low, high); one value has none."""
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    mean, half = float(np.mean(values)), float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return mean - half, mean + half


def share_difference(wins: int, losses: int, n: int) -> tuple[float, float]:
    """Interval in percent of the difference of two shares in n pairs, of which so many are won and lost.

    Bonett and Price 2012: one win and one loss are added, so that ties alone have an interval as well.
    """
    won, lost = (wins + 1) / (n + 2), (losses + 1) / (n + 2)
    half = 1.96 * math.sqrt((won + lost - (won - lost) ** 2) / (n + 2))
    return 100 * max(won - lost - half, -1.0), 100 * min(won - lost + half, 1.0)


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact p that wins and losses are equally likely (McNemar's exact test)."""
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def show(low: float, high: float, unit: str = "") -> str:
    """An interval as text."""
    return f"{low + 0:.3g} to {high + 0:.3g}{unit}" if np.isfinite(low) else "one run, no interval"  # + 0: never "-0"


def _values(runs: pd.DataFrame, metric: str | Ratio, who: str) -> np.ndarray:
    """A metric, once per run or pair of runs; empty where it was not measured."""
    needs = {metric.metric, metric.setting} if isinstance(metric, Ratio) else {metric}
    if not needs | {"who"} <= set(runs):
        return np.array([])
    own = runs[runs["who"] == who]
    return (metric.of(own) if isinstance(metric, Ratio) else own[metric]).dropna().to_numpy()


def _by_seed(runs: pd.DataFrame, metric: str, who: tuple[str, ...], percent: bool = False) -> pd.DataFrame:
    """A metric, one row per seed, one column for each of ``who`` that was run; in percent where that is wanted."""
    if not {metric, "who"} <= set(runs):
        return pd.DataFrame()
    own = runs[runs["who"].isin(who)]
    return own.pivot(index="seed", columns="who", values=metric) * (100 if percent else 1)


def _ranges(full: Range, part: Range | None, unit: str) -> str:
    return f"{REPRODUCED}: {full.words(unit)}" + (f"; {PARTLY}: {part.words(unit)}" if part else "")


def _equality(margin: float | None, unit: str) -> str:
    one = unit.removesuffix("s") if margin == 1 else unit
    return f"; {EQUAL}: within {margin:g}{one} (ours)" if margin is not None else ""


def _unit(percent: bool) -> str:
    return " %" if percent else ""


def _points(percent: bool) -> str:
    """The unit of a difference of percentages."""
    return " points" if percent else ""

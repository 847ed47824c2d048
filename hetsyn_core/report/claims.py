"""What the paper claims with Figs. 2 and 3, A1-A3 and Table 4, and what the records say: the ledger.

    python -m hetsyn_core.report.claims    # writes it into README.md

Every row is computed: the numbers from the records, the verdict from the numbers. Runs with the same seed share the
task (segment, targets) and are compared in pairs. Intervals are bootstrap 95 % intervals, p values Wilcoxon's for
pairs. A run that never reaches 95 % counts as slower than any that does; failed runs are left out.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ..model.layer import VARIANTS
from ..paths import ROOT, write_whole
from ..runs import sweep
from ..runs.experiments import DELAY_MS, EXPERIMENTS, HIDDEN, LEARNING_RATES, NOISE_HZ, READINGS, TABLE4_TAU_MS
from ..runs.train import TEMPLATE
from ..tasks import synthetic as tasks
from . import table4
from .tables import frame

REPRODUCED, PARTLY, NOT, TOO_FEW = "reproduced", "partly", "not reproduced", "too few runs"
BEST = "reproduced: better than each other variant, interval without 0 and p < 0.05; partly: none has a better median, nor is the median difference to one against it"
OTHERS = [v for v in VARIANTS if v != "HetSynLIF"]


def row(figure: str, claim: str, paper: str, measured: str, interval: str, n: int, verdict: str, rule: str) -> dict:
    """One line of the ledger; fewer than five runs decide nothing."""
    return {**locals(), "verdict": verdict if n >= 5 else TOO_FEW}


def ledger(profile: str = "paper") -> list[dict]:
    """All rows; runs that are not on record are computed first."""
    found = {name: sweep.run(configs(profile), what=name) for name, configs in EXPERIMENTS.items()}
    return [
        *pattern(found["fig2"]),
        *hidden_sizes(found["fig3"]),
        *frozen_decays(found["fig3c"]),
        *learning_rates(found["a1"]),
        *three_targets(found["a2"]),
        *delays(found["a3_delay"]),
        *added_noise(found["a3_noise"]),
        *initial_taus(table4.table(found["table4"])),
    ]


def markdown(rows: list[dict]) -> str:
    """The ledger for the README: how many claims came out which way, and a line each."""
    verdicts = pd.Series([r["verdict"] for r in rows]).value_counts()
    counts = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items())
    lines = [f"{len(rows)} claims: {counts}.", "", "| figure | claim | paper | here | 95 % interval | n | verdict |"]
    lines.append("|---|---|---|---|---|---|---|")
    columns = ("figure", "claim", "paper", "measured", "interval", "n", "verdict")
    lines += ["| " + " | ".join(str(r[c]) for c in columns) + " |" for r in rows]
    return "\n".join(lines)


def write_readme(path: Path, rows: list[dict]) -> None:
    """Put the ledger between the two comments of a README that enclose it."""
    begin, end = "<!-- ledger: made by python -m hetsyn_core.report.claims -->", "<!-- end of ledger -->"
    text = path.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{path} has no place for the ledger: {begin} and {end}")
    body = f"{begin}\n{markdown(rows)}\n{end}"
    text = re.sub(f"{re.escape(begin)}.*{re.escape(end)}", lambda _: body, text, flags=re.DOTALL)
    write_whole(path, text.encode())


def table(rows: list[dict]) -> pd.DataFrame:
    """Rows of the ledger as a table for reading."""
    return pd.DataFrame(rows).set_index(["figure", "claim"])


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


def best(
    runs: pd.DataFrame, figure: str, claim: str, metric: str, lower: bool, scale: float = 1, unit: str = ""
) -> dict:
    """Is HetSynLIF better in ``metric`` than each other variant, over the seeds that both have?"""
    pivot = runs.pivot(index="seed", columns="variant", values=metric) * (scale if lower else -scale)
    medians = pivot.median()
    gaps, clear, against = {}, True, False
    for other in OTHERS:
        pairs = pivot[["HetSynLIF", other]].dropna()
        gap = (pairs["HetSynLIF"] - pairs[other]).to_numpy()  # below 0 where HetSynLIF is better
        gaps[other] = interval(gap)
        p = stats.wilcoxon(gap).pvalue if len(gap) > 1 and gap.any() else 1.0
        clear &= gaps[other][1] < 0 and p < 0.05
        against |= bool(np.median(gap) > 0 or medians[other] < medians["HetSynLIF"])
    verdict = NOT if against else REPRODUCED if clear else PARTLY
    rival = medians[OTHERS].idxmin()
    sign = 1 if lower else -1
    values = f"{sign * medians['HetSynLIF']:.3g}{unit}; next {rival} {sign * medians[rival]:.3g}{unit}"
    low, high = sorted(sign * g for g in gaps[rival])
    return row(
        figure, claim, "HetSynLIF best", values, f"difference {show(low, high, unit)}", len(pivot), verdict, BEST
    )


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
    """A claim about one number, reproduced if it lies in the range ``full``, partly if in ``part``; None is no bound."""
    x = float(statistic(values))
    verdict = REPRODUCED if _within(x, full) else PARTLY if _within(x, part) else NOT
    rule = f"reproduced: {_range(full, unit)}; partly: {_range(part, unit)}"
    return row(
        figure, claim, paper, f"{x:.3g}{unit}", show(*interval(values, statistic), unit), len(values), verdict, rule
    )


def _within(x: float, bounds: tuple) -> bool:
    low, high = bounds
    return (low is None or x >= low) and (high is None or x <= high)


def _range(bounds: tuple, unit: str) -> str:
    low, high = bounds
    if high is None:
        return f"at least {low:g}{unit}"
    return f"at most {high:g}{unit}" if low is None else f"{low:g} to {high:g}{unit}"


def pattern(records: list[dict]) -> list[dict]:
    """Fig. 2."""
    runs = frame(records).assign(learning=_learning(records))
    runs["gap_share"] = [
        r["metrics"]["silent_rms"] / _target_in_gaps(r["config"]["seed"]) if "metrics" in r else np.nan for r in records
    ]
    rows = []
    for arch in "FR":
        mine = runs[runs["model"].str.startswith(arch)]
        quiet = mine[mine["noise_hz"] == 2]
        if arch == "F":
            claim = "F-HetSynLIF learns fastest (MSE, mean over all iterations)"
            rows.append(best(quiet, "2D", claim, "learning", lower=True))
        for hz in NOISE_HZ:
            at = mine[mine["noise_hz"] == hz]
            rows.append(
                best(
                    at,
                    f"2{'EF'['FR'.index(arch)]}",
                    f"{arch}-HetSynLIF has the lowest MSE at {hz} Hz",
                    "mse",
                    lower=True,
                )
            )
        for pair, metric in (("2nd and 1st", "d21"), ("3rd and 2nd", "d32")):
            claim = f"{arch}-HetSynLIF: largest distance of {pair} segment"
            rows.append(best(quiet, f"2{'BC'['FR'.index(arch)]}", claim, metric, lower=False))
        for variant in "HomNeuLIF", "HomNeuALIF":
            share = quiet.loc[quiet["variant"] == variant, "gap_share"].dropna().to_numpy()
            claim = f"{arch}-{variant} is near zero in the silent gaps (output / target, root mean square)"
            rows.append(graded("2A", claim, "near 0", share, (None, 0.2), (None, 0.5)))
    return rows


def _learning(records: list[dict]) -> list[float]:
    """How fast a run learns, in one number: its MSE, mean over all iterations; nan for one that failed."""
    return [r["curves"]["mse"].mean() if "curves" in r else np.nan for r in records]


def _target_in_gaps(seed: int) -> float:
    target = tasks.pattern_template([seed, TEMPLATE])[1]
    return float(np.sqrt(np.square(target[tasks.silent_steps()]).mean()))


def learning_rates(records: list[dict]) -> list[dict]:
    """A1."""
    runs = frame(records).assign(learning=_learning(records))
    return [
        best(
            runs[runs["lr"] == lr], "A1", f"F-HetSynLIF learns fastest at learning rate {lr:g}", "learning", lower=True
        )
        for lr in LEARNING_RATES
    ]


def three_targets(records: list[dict]) -> list[dict]:
    """A2."""
    mse = frame(records).pivot(index="seed", columns="iterations", values="mse").dropna()
    first, last = mse.iloc[:, 0].to_numpy(), mse.iloc[:, -1].to_numpy()
    claim = (
        f"F-HetSynLIF learns three targets at once (MSE after {mse.columns[-1]} / after {mse.columns[0]} iterations)"
    )
    return [graded("A2", claim, "follows all three", last / first, (None, 0.25), (None, 0.5))]


def hidden_sizes(records: list[dict]) -> list[dict]:
    """Fig. 3 B, D-G."""
    runs = frame(records)
    runs["to_95"] = runs["iterations_to_95"].fillna(runs["iterations"] + 1).where(runs["failed"].isna())
    runs["success"] = (runs["accuracy"] >= 0.9).astype(float).where(runs["failed"].isna())
    of_100 = runs[(runs["model"].str.startswith("F")) & (runs["hidden"] == max(HIDDEN))]
    rows = [
        best(of_100, "3B", "F-HetSynLIF learns fastest (iterations to 95 %)", "to_95", lower=True),
        best(of_100, "3B", "F-HetSynLIF is most accurate", "accuracy", lower=False, scale=100, unit=" %"),
    ]
    for arch, success, accuracy in (("F", "3D", "3E"), ("R", "3F", "3G")):
        for hidden in HIDDEN:
            mine = runs[runs["model"].str.startswith(arch) & (runs["hidden"] == hidden)]
            wins = mine.loc[mine["variant"] == "HetSynLIF", "success"].dropna().to_numpy()
            claim = f"{arch}-HetSynLIF succeeds with {hidden} neurons (share of runs with accuracy >= 90 %)"
            rows.append(graded(success, claim, "succeeds", 100 * wins, (90, None), (50, None), " %", np.mean))
            claim = f"{arch}-HetSynLIF is most accurate with {hidden} neurons"
            rows.append(best(mine, accuracy, claim, "accuracy", lower=False, scale=100, unit=" %"))
    return rows


def frozen_decays(records: list[dict]) -> list[dict]:
    """Fig. 3 C."""
    runs = frame(records)
    accuracy = 100 * runs.loc[runs["frozen"] == 0.8, "accuracy"].dropna().to_numpy()
    claim = "R-HetSynLIF with 80 % of its time constants frozen"
    return [graded("3C", claim, "100 %", accuracy, (99.5, None), (95, None), " %")]


def delays(records: list[dict]) -> list[dict]:
    """A3, delay."""
    runs = frame(records)
    accuracy = 100 * runs.loc[runs["delay_ms"] == max(DELAY_MS), "accuracy"].dropna().to_numpy()
    rows = [graded("A3", f"R-HetSynLIF at {max(DELAY_MS)} ms delay", "100 %", accuracy, (99.5, None), (95, None), " %")]
    to_95 = runs["iterations_to_95"].fillna(runs["iterations"] + 1)
    pivot = runs.assign(to_95=to_95).pivot(index="seed", columns="delay_ms", values="to_95").dropna()
    ratio = (pivot[max(DELAY_MS)] / pivot[min(DELAY_MS)]).to_numpy()
    claim = f"no clear rise of iterations to 95 % ({max(DELAY_MS)} / {min(DELAY_MS)} ms)"
    return [*rows, graded("A3", claim, "about 1", ratio, (None, 1.5), (None, 3))]


def added_noise(records: list[dict]) -> list[dict]:
    """A3, noise."""
    runs = frame(records)
    rows = []
    for where, text in (("all", "all channels"), ("cues", "cue channels alone, another reading")):
        here = runs[(runs["noise_hz"] == 20) & (runs["noise_on"] == where)]
        accuracy = 100 * here["accuracy"].dropna().to_numpy()
        claim = f"R-HetSynLIF under 20 Hz of added noise (mean; {text})"
        rows.append(graded("A3", claim, "nearly 80 %", accuracy, (75, 85), (65, None), " %", np.mean))
    return rows


TABLE4 = {  # the paper's numbers for mu = 100, 200, 400
    "cue_tau": (154.38, 252.43, 430.70),
    "noise_tau": (85.59, 181.93, 382.29),
    "long_share": (5.25, 6.05, 5.80),
    "accuracy": (99.97, 100.00, 99.87),
    "reset_accuracy": (75.68, 76.47, 77.15),
}
TABLE4_WITHIN = "reproduced: within 10 % of the paper for every mu; partly: for one or two"
TABLE4_TEXT = {
    "cue_tau": "mean tau, cue channels (ms)",
    "noise_tau": "mean tau, noise channels (ms)",
    "long_share": "synapses with tau > 700 ms (%)",
    "accuracy": "accuracy (%)",
    "reset_accuracy": "accuracy after resetting those to mu (%)",
}


def initial_taus(runs: pd.DataFrame) -> list[dict]:
    """Table 4 from `table4.table`: every quantity under the text's reading and the closest one."""
    named = {name: own for name, own in runs.groupby("reading", sort=False)}
    text = f"F, {READINGS[0][1]}"
    closest = min((n for n in named if n != text), key=lambda n: table4_distance(named[n]))
    rows = []
    for name in (text, closest):
        for quantity, paper in TABLE4.items():
            by_mu = [named[name].loc[named[name]["tau_s_mean_ms"] == mu, quantity].to_numpy() for mu in TABLE4_TAU_MS]
            means = [float(np.mean(v)) for v in by_mu]
            hits = sum(abs(m - p) <= 0.1 * p for m, p in zip(means, paper))
            verdict = {3: REPRODUCED, 0: NOT}.get(hits, PARTLY)
            rows.append(row(
                "T4", f"{TABLE4_TEXT[quantity]}, reading: {name}", " / ".join(f"{p:g}" for p in paper),
                " / ".join(f"{m:.3g}" for m in means), "; ".join(show(*interval(v, np.mean)) for v in by_mu),
                min(map(len, by_mu)), verdict, TABLE4_WITHIN,
            ))  # fmt: skip
    return rows


def table4_distance(runs: pd.DataFrame) -> float:
    """How far a reading is from Table 4: mean over its 15 numbers of |log(ours / paper)|."""
    means = runs.groupby("tau_s_mean_ms")[list(TABLE4)].mean().loc[list(TABLE4_TAU_MS)]
    return float(np.abs(np.log(means.clip(lower=1e-3) / pd.DataFrame(TABLE4, index=means.index))).mean(axis=None))


if __name__ == "__main__":
    write_readme(ROOT / "README.md", ledger())

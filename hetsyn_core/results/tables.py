"""From records to tables: one row per run, or one row per point of a learning curve.

Of the modules in this folder only this one knows what a record holds (and `cost.simulated`, which simulates the network
that is kept in one).
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd

from ..runs import records as store
from ..runs import sweep
from ..runs.experiments import EXPERIMENTS, MEASURED, MEASURED_BINS
from ..tasks import TASKS
from ..tasks.pattern import pattern_template, silent_steps
from ..tasks.run import TEMPLATE, Run
from ..tasks.speech import DELETED, WARPS

SUCCESS = 0.9  # accuracy of a successful run (Fig. 3 D, F)
PAPER, BIOLOGY = "paper", "biology"  # where time constants start


def experiment(name: str, profile: str = "paper", changes: dict | None = None, fresh: bool = False):
    """Records and table of the runs behind a figure, under `changes`; prints how many there are and how many failed.

    What is on record is loaded, the rest trained on all cores.

    Args:
        name: of the figure, see `experiments.EXPERIMENTS`.
        profile: "paper" (all runs), "quick" (one of each setting) or "smoke" (a few iterations).
        changes: settings for every run, such as {"hidden": 50}; a list is a setting that varies.
        fresh: train again what is on record.

    Returns:
        records, as `train` returns them; their `frame`.

    Raises:
        ValueError: an unknown name or setting, or a value out of range.
        RuntimeError: all runs failed; with the reason of the first.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    records = sweep.run(EXPERIMENTS[name](profile, changes or {}), fresh=fresh, what=name)
    failed = [r["failed"] for r in records if "failed" in r]
    if not records:
        print(f"{name}, profile {profile}: not computed yet")
        return [], pd.DataFrame(columns=["variant", "seed", "failed"])
    if len(failed) == len(records):
        raise RuntimeError(f"all {len(records)} runs of {name} failed, the first with: {failed[0]}")
    print(f"{name}, profile {profile}: {len(records)} runs, failed: {len(failed)}")
    return records, frame(records)


def frame(records: list[dict]) -> pd.DataFrame:
    """One row per run: its settings, its metrics, and the columns below. A failed run has no metrics.

    One hidden layer is a number, several are text, such as "128-64"; "tau_s_draw" is a tuple.

    Returns:
        Also "model" (F-HetSynLIF, ...); "failed" (the reason, or None); "learning", the mean of the training curve over
        all iterations (MSE or accuracy); "run", the `Run` itself (None for a task of one's own); and where the runs
        have what they need, the columns of `DERIVED`.
    """
    runs = pd.DataFrame(
        {
            **settings(r["config"]),
            **r.get("metrics", {}),
            "model": model(r["config"]),
            "failed": r.get("failed"),
            "learning": _learning(r),
            "run": _run(r),
        }
        for r in records
    )
    return runs.assign(**{name: make(runs) for name, (needs, make) in DERIVED.items() if needs <= set(runs)})


def settings(config: dict) -> dict:
    """A record's config with values that a table can group by."""
    hidden = config["hidden"]
    shown = {"hidden": hidden[0] if len(hidden) == 1 else "-".join(map(str, hidden))}
    return config | shown | {"tau_s_draw": tuple(config["tau_s_draw"])}


def model(config: dict) -> str:
    """The paper's name of a config's model: F- (feedforward) or R- (recurrent), and the variant."""
    return ("R-" if config["recurrent"] else "F-") + config["variant"]


def _learning(record: dict) -> float:
    curves = record.get("curves", {})
    return next((float(curves[name].mean()) for name in ("mse", "accuracy") if name in curves), np.nan)


def _run(record: dict) -> Run | None:
    return store.restore(record["config"]) if record["config"].get("task") in TASKS else None


def _who(runs: pd.DataFrame) -> list[str]:
    def name(variant: str, frozen: float, groups: float | None, grouped_by: str) -> str:
        if variant == "HetSynLIF" and frozen == 1:
            return "fixed"
        if pd.isna(groups):
            return variant
        return f"{groups:g} groups" + ("" if grouped_by == "random" else f" by {grouped_by}")

    columns = [runs[column] for column in ("variant", "frozen", "groups", "grouped_by")]
    return [name(*values) for values in zip(*columns, strict=True)]


def _to_95(runs: pd.DataFrame) -> pd.Series:
    return runs["iterations_to_95"].fillna(runs["iterations"] + 1).where(runs["failed"].isna())


def _success(runs: pd.DataFrame) -> pd.Series:
    return (runs["accuracy"] >= SUCCESS).astype(float).where(runs["failed"].isna())


def _gap_share(runs: pd.DataFrame) -> pd.Series:
    targets = [_target_in_gaps(seed, n) for seed, n in zip(runs["seed"], runs["n_targets"], strict=True)]
    return runs["silent_rms"] / targets


@lru_cache(64)
def _target_in_gaps(seed: int, n_targets: int) -> float:
    target = pattern_template([seed, TEMPLATE], n_targets)[1]
    return float(np.sqrt(np.square(target[silent_steps()]).mean()))


def _readout_shift(runs: pd.DataFrame) -> pd.Series:
    return runs["readout_tau"] / [(a + b) / 2 if kind == "uniform" else a for kind, a, b in runs["tau_s_draw"]]


_DELETED = [f"deleted {share:g}" for share in DELETED if share]
_WARPED = [f"warped {warp:g}" for warp in WARPS]
# Further columns of a frame: which columns they are made of, and how.
DERIVED: dict[str, tuple[set[str], Callable[[pd.DataFrame], pd.Series | list]]] = {
    # Whose run it is: the variant; of HetSynLIF also "fixed" time constants, "16 groups", "16 groups by pre".
    "who": ({"variant", "frozen", "groups", "grouped_by"}, _who),
    # Time constants start as in the paper or as in biology.
    "start": (
        {"tau_s_draw"},
        lambda runs: [BIOLOGY if draw in (MEASURED, MEASURED_BINS) else PAPER for draw in runs["tau_s_draw"]],
    ),
    # Iterations to 95 %, one more than the run had where it never came there.
    "to_95": ({"iterations_to_95", "iterations", "failed"}, _to_95),
    # 1 for an accuracy of at least 90 %, else 0.
    "success": ({"accuracy", "failed"}, _success),
    # Root mean square of the output in the silent gaps / that of the target.
    "gap_share": ({"silent_rms", "seed", "n_targets"}, _gap_share),
    # Accuracy with deleted spikes and with warped time, means over all levels.
    "deleted": (set(_DELETED), lambda runs: runs[_DELETED].mean(axis=1)),
    "warped": (set(_WARPED), lambda runs: runs[_WARPED].mean(axis=1)),
    # Median time constant of the readout after training / before.
    "readout_shift": ({"readout_tau", "tau_s_draw"}, _readout_shift),
}


def curves(records: list[dict], name: str, window: int = 20, every: int = 10) -> pd.DataFrame:
    """Learning curves, one row per point: "iteration", "value" (moving mean of ``window``), and the run's settings.

    The settings come with "model", "who" and "start", as in `frame`.

    Args:
        name: "mse", "accuracy" or "loss"; with several epochs also "test_accuracy", one point per epoch.
        every: one point in so many iterations.

    Raises:
        ValueError: no run has a curve.
    """
    trained = [r for r in records if "failed" not in r]
    if not trained:
        raise ValueError(f"no run has a curve of {name}: all failed, or none was asked for")
    parts = []
    for k, r in enumerate(trained):
        mean = pd.Series(r["curves"][name]).rolling(window, min_periods=1).mean()
        mean.index += 1
        shown = mean[(mean.index % every == 0) | (mean.index == 1)]
        parts.append(pd.DataFrame({"iteration": shown.index, "value": shown.to_numpy(), "of": k}))
    runs = frame(trained)
    own = [column for column in (*trained[0]["config"], "model", "who", "start") if column in runs]
    return pd.concat(parts, ignore_index=True).join(runs[own], on="of").drop(columns="of")


def example_input(found: list[dict | None]) -> np.ndarray | None:
    """Input (steps, channels) of the first of some records that keeps an example; None where none does."""
    return next((record["example"]["input"] for record in found if record and "example" in record), None)

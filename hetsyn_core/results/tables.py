"""From records to tables: one row per run, or one row per point of a learning curve.

Of the modules in this folder only this one knows what a record holds (and `cost.simulated`, which simulates the network
that is kept in one).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from ..model.time_constants import centre
from ..paths import figures_folder
from ..runs import sweep
from ..runs.analyses import DELETED, WARPS
from ..runs.experiments import LOG_UNIFORM, WIDE, WIDE_BINS, jobs
from ..runs.record import Record
from ..runs.store import settings
from ..tasks.pattern import pattern_template, silent_steps
from ..tasks.task import TEMPLATE, Task

SUCCESS = 0.9  # accuracy of a successful run (Fig. 3 D, F)
PAPER = "paper"  # where time constants start, if not at one of these
STARTS = {WIDE: "wide", WIDE_BINS: "wide", LOG_UNIFORM: "log-uniform"}


def experiment(
    name: str, profile: str = "paper", changes: dict | None = None, fresh: bool = False
) -> tuple[list[Record], pd.DataFrame]:
    """Records and table of the runs behind a figure, under `changes`; says how many runs there are and how many failed.

    What is on record is loaded, the rest trained on all cores.

        >>> records, runs = experiment("fig3c", "smoke", {"frozen": 0.8, "hidden": 4, "delay_ms": 50.0})
        fig3c, profile smoke: 1 runs, failed: 0
        >>> float(runs["frozen"].iloc[0]), records[0].train_curve["accuracy"].shape
        (0.8, (5,))

    Args:
        name: of the figure, see `experiments.EXPERIMENTS`.
        profile: "paper" (all runs), "quick" (one of each setting) or "smoke" (a few iterations).
        changes: settings for every run, such as {"hidden": 50}; a list is a setting that varies.
        fresh: train again what is on record.

    Returns:
        the records, and their `frame`.

    Raises:
        ValueError: an unknown name or setting, or a value out of range.
        RuntimeError: all runs failed; with the reason of the first.
        OSError: runs are missing, and the folder of records or that of figures cannot be written to.
    """
    if not isinstance(changes, dict | None):
        advice = "papermill takes one by -y 'changes: {hidden: 50}'"
        raise ValueError(f"changes must be a dict, not {changes!r}; {advice}")
    records = sweep.run(jobs(name, profile, changes), fresh=fresh, what=name, writes=[figures_folder()])
    failures = [record.failure for record in records if record.failure is not None]
    if records and len(failures) == len(records):
        raise RuntimeError(f"all {len(records)} runs of {name} failed, the first with: {failures[0]}")
    print(f"{name}, profile {profile}: {len(records)} runs, failed: {len(failures)}")
    return records, frame(records)


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row per run. A failed run has its settings alone.

    Returns:
        Its settings, see `setting_columns`; "run", the settings as they are; "model" (F-HetSynLIF, ...); "failed" (the
        reason, or None); means over the test trials ("accuracy" or "mse", "rate_hz") and over those of validation
        ("validation_accuracy"); what the analyses found; of the learning curve "learning", its mean,
        "training_accuracy" or "training_mse", its mean over the last ten batches, and "iterations_to_95"; with several
        epochs "best_test_accuracy", the published habit, and "chosen_test_accuracy", at the best validation epoch.
        Where the runs have what they need, also the columns of `DERIVED`.
    """
    runs = pd.DataFrame([row(record) for record in records])
    return runs.assign(**{name: make(runs) for name, (needs, make) in DERIVED.items() if needs <= set(runs)})


def row(record: Record) -> dict:
    """The row of `frame`."""
    columns = setting_columns(record.run) | {"run": record.run, "model": model(record.run), "failed": record.failure}
    if record.failure is not None:
        return columns
    score = record.score
    columns |= record.test | record.found() | {f"validation_{name}": v for name, v in record.validation.items()}
    columns |= {"learning": float(record.train_curve[score].mean()), f"training_{score}": record.training_score}
    if record.test_curve:
        columns |= {f"best_test_{score}": record.best_test_score, f"chosen_test_{score}": record.chosen_test_score}
    elif score == "accuracy":
        columns["iterations_to_95"] = record.iterations_to(0.95)
    return columns


def setting_columns(run: Task) -> dict:
    """The settings of a run as values that a table can group by.

    One hidden layer is a number, several are text, such as "128-64"; "tau_s" is where the time constants start.
    """
    hidden = run.hidden[0] if len(run.hidden) == 1 else "-".join(map(str, run.hidden))
    return settings(run) | {"hidden": hidden, "tau_s": run.initial_tau_s()}


def model(run: Task) -> str:
    """The paper's name of a run's model: F- (feedforward) or R- (recurrent), and the variant."""
    return ("R-" if run.recurrent else "F-") + run.variant


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
    return runs["silent_rms"] / list(map(_target_in_gaps, runs["seed"], runs["n_targets"]))


@lru_cache(64)
def _target_in_gaps(seed: int, n_targets: int) -> float:
    target = pattern_template([seed, TEMPLATE], n_targets)[1]
    return float(np.sqrt(np.square(target[silent_steps()]).mean()))


_DELETED = [f"deleted {share:g}" for share in DELETED if share]
_WARPED = [f"warped {warp:g}" for warp in WARPS]
# Further columns of a frame: which columns they are made of, and how.
DERIVED: dict[str, tuple[set[str], Callable[[pd.DataFrame], pd.Series | list]]] = {
    # Whose run it is: the variant; of HetSynLIF also "fixed" time constants, "16 groups", "16 groups by pre".
    "who": ({"variant", "frozen", "groups", "grouped_by"}, _who),
    # Where time constants start: as in the paper, wide or log-uniform.
    "start": ({"tau_s"}, lambda runs: [STARTS.get(draw, PAPER) for draw in runs["tau_s"]]),
    # How far the normalised distances of Fig. 2 B and C are from 1, that of the target.
    "off21": ({"d21"}, lambda runs: (runs["d21"] - 1).abs()),
    "off32": ({"d32"}, lambda runs: (runs["d32"] - 1).abs()),
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
    "readout_shift": ({"readout_tau", "tau_s"}, lambda runs: runs["readout_tau"] / runs["tau_s"].map(centre)),
}


def curves(records: Sequence[Record], name: str, window: int = 20, every: int = 10) -> pd.DataFrame:
    """Learning curves, one row per point: "iteration", "value" (moving mean of ``window``), and the run's settings.

    The settings come with "model", "who" and "start", as in `frame`.

    Args:
        name: "mse", "accuracy" or "loss".
        every: one point in so many iterations.

    Raises:
        ValueError: no run has a curve.
    """

    def points(record: Record) -> pd.DataFrame:
        mean = pd.Series(record.train_curve[name]).rolling(window, min_periods=1).mean()
        mean.index += 1
        shown = mean[(mean.index % every == 0) | (mean.index == 1)]
        return pd.DataFrame({"iteration": shown.index, "value": shown.to_numpy()})

    return _with_settings(records, points)


def epoch_curves(records: Sequence[Record]) -> pd.DataFrame:
    """Test accuracy after each epoch, one row per epoch and run: "epoch" from 1, "percent", and the run's settings.

    Raises:
        ValueError: no run has a curve.
    """

    def points(record: Record) -> pd.DataFrame:
        percent = 100 * record.test_curve[record.score].astype(float)
        return pd.DataFrame({"epoch": np.arange(1, len(percent) + 1), "percent": percent})

    return _with_settings(records, points)


def _with_settings(records: Sequence[Record], points: Callable[[Record], pd.DataFrame]) -> pd.DataFrame:
    finished = [record for record in records if record.failure is None]
    if not finished:
        raise ValueError("no run has a curve: all failed, or none was asked for")
    runs = frame(finished)
    own = [name for name in (*settings(finished[0].run), "model", "who", "start") if name in runs]
    table = pd.concat([points(record).assign(of=k) for k, record in enumerate(finished)], ignore_index=True)
    return table.join(runs[own], on="of")


def example_input(found: Sequence[Record | None]) -> np.ndarray | None:
    """Input (steps, channels) of the first of some records that keeps an example; None where none does."""
    return next((record.detail.example.input for record in found if record and record.detail), None)

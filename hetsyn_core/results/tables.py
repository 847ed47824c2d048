"""From records to tables: one row per run, or one row per point of a learning curve."""

from collections.abc import Sequence

import pandas as pd

from ..runs import sweep
from ..runs.experiments import jobs
from ..runs.record import Record
from ..runs.store import settings
from ..tasks.task import Task


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
    """
    records = sweep.run(jobs(name, profile, changes), fresh=fresh, what=name)
    failures = [record.failure for record in records if record.failure is not None]
    if records and len(failures) == len(records):
        raise RuntimeError(f"all {len(records)} runs of {name} failed, the first with: {failures[0]}")
    print(f"{name}, profile {profile}: {len(records)} runs, failed: {len(failures)}")
    return records, frame(records)


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row per run.

    Returns:
        Its settings, see `setting_columns`; "model" (F-HetSynLIF, ...); "failed" (the reason, or None); means over the
        test trials ("accuracy" or "mse", "rate_hz") and over those of validation ("validation_accuracy"); what the
        analyses found; of the learning curve "learning", its mean, "training_accuracy" or "training_mse", its mean over
        the last ten batches, and "iterations_to_95"; with several epochs "best_test_accuracy", the published habit,
        and "chosen_test_accuracy", at the best validation epoch.
    """
    return pd.DataFrame([row(record) for record in records])


def row(record: Record) -> dict:
    """The row of `frame`."""
    columns = setting_columns(record.run) | {"model": model(record.run), "failed": record.failure}
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


def to_95(runs: pd.DataFrame) -> pd.Series:
    """Iterations to 95 % of each run, one more than it had where it never came there; nan where it failed."""
    return runs["iterations_to_95"].fillna(runs["iterations"] + 1).where(runs["failed"].isna())


def curves(records: Sequence[Record], name: str, window: int = 20, every: int = 10) -> pd.DataFrame:
    """Learning curves, one row per point: "iteration", "value" (moving mean of ``window``), the settings of the run.

    Args:
        name: "mse", "accuracy" or "loss".
        every: one point in so many iterations.

    Raises:
        ValueError: no run has a curve.
    """
    parts = []
    for record in records:
        if record.failure is None:
            mean = pd.Series(record.train_curve[name]).rolling(window, min_periods=1).mean()
            mean.index += 1
            shown = mean[(mean.index % every == 0) | (mean.index == 1)]
            points = pd.DataFrame({"iteration": shown.index, "value": shown.to_numpy()})
            single = {k: v for k, v in setting_columns(record.run).items() if not isinstance(v, tuple | list)}
            parts.append(points.assign(**single, model=model(record.run)))
    if not parts:
        raise ValueError(f"no run has a curve of {name}: all failed, or none was asked for")
    return pd.concat(parts, ignore_index=True)


def epoch_curves(records: Sequence[Record]) -> pd.DataFrame:
    """Accuracy after each epoch, one row per epoch of each run: "epoch" from 1, "percent", the settings of the run."""
    parts = [
        pd.DataFrame({"percent": 100 * record.test_curve[record.score]})
        .rename_axis("epoch")
        .reset_index()
        .assign(**{k: v for k, v in setting_columns(record.run).items() if not isinstance(v, tuple | list)})
        for record in records
        if record.failure is None
    ]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(epoch=table["epoch"] + 1)


def reading(run: dict) -> str:
    """A row's reading of "decays are trained directly" (Table 4): architecture, parameter, its relative rate."""
    rate = run["decay_lr_scale"]
    return f"{'R' if run['recurrent'] else 'F'}, {run['parameterization']}" + (f" x{rate:g}" if rate != 1 else "")


def readings(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of Table 4 with "reading", "mu", the mean initial time constant in ms, and shares in percent."""
    runs = runs[runs["failed"].isna()]
    percent = {name: 100 * runs[name] for name in ("long_share", "accuracy", "reset_accuracy")}
    names = [reading(row) for row in runs.to_dict("records")]
    return runs.assign(reading=names, mu=runs["tau_s"].str[1], **percent)

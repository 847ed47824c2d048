"""From records to tables: one row a run, one row a point of a learning curve."""

import pandas as pd

from ..runs import sweep
from ..runs.experiments import EXPERIMENTS


def experiment(name: str, profile: str = "paper", changes: dict | None = None, fresh: bool = False):
    """Records and table of the runs behind a figure, under `changes`; says how many runs there are and how many failed.

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
    """One row a run: its settings, its metrics, "model" (F-HetSynLIF, ...) and "failed" (the reason, or None).

    One hidden layer is a number, several are text, such as "128-64"; "tau_s_draw" is a tuple.
    """
    return pd.DataFrame(
        {**settings(r["config"]), **r.get("metrics", {}), "model": model(r["config"]), "failed": r.get("failed")}
        for r in records
    )


def settings(config: dict) -> dict:
    """A record's config with values that a table can group by."""
    hidden = config["hidden"]
    shown = {"hidden": hidden[0] if len(hidden) == 1 else "-".join(map(str, hidden))}
    return config | shown | {"tau_s_draw": tuple(config["tau_s_draw"])}


def model(config: dict) -> str:
    """The paper's name of a config's model: F- (feedforward) or R- (recurrent), and the variant."""
    return ("R-" if config["recurrent"] else "F-") + config["variant"]


def to_95(runs: pd.DataFrame) -> pd.Series:
    """Iterations to 95 % of each run, one more than it had where it never came there; nan where it failed."""
    return runs["iterations_to_95"].fillna(runs["iterations"] + 1).where(runs["failed"].isna())


def curves(records: list[dict], name: str, window: int = 20, every: int = 10) -> pd.DataFrame:
    """Learning curves, one row a point: "iteration", "value" (moving mean of ``window``), the settings of the run.

    Args:
        name: "mse", "accuracy" or "loss".
        every: one point in so many iterations.

    Raises:
        ValueError: no run has a curve.
    """
    parts = []
    for r in records:
        if "failed" not in r:
            mean = pd.Series(r["curves"][name]).rolling(window, min_periods=1).mean()
            mean.index += 1
            shown = mean[(mean.index % every == 0) | (mean.index == 1)]
            columns = {"iteration": shown.index, "value": shown.to_numpy()}
            parts.append(pd.DataFrame(columns).assign(**scalars(r["config"]), model=model(r["config"])))
    if not parts:
        raise ValueError(f"no run has a curve of {name}: all failed, or none was asked for")
    return pd.concat(parts, ignore_index=True)


def scalars(config: dict) -> dict:
    """`settings` without lists, for columns of one value."""
    return {name: value for name, value in settings(config).items() if not isinstance(value, tuple | list)}


def reading(config: dict) -> str:
    """A config's reading of "decays are trained directly" (Table 4): architecture, parameter, its relative rate."""
    rate = config["decay_lr_scale"]
    return f"{'R' if config['recurrent'] else 'F'}, {config['parameterization']}" + (f" x{rate:g}" if rate != 1 else "")


def readings(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of Table 4 with "reading", "mu", the mean initial time constant in ms, and shares in percent."""
    runs = runs[runs["failed"].isna()]
    percent = {name: 100 * runs[name] for name in ("long_share", "accuracy", "reset_accuracy")}
    names = [reading(row) for row in runs.to_dict("records")]
    return runs.assign(reading=names, mu=runs["tau_s_draw"].str[1], **percent)

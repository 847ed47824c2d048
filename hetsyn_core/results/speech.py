"""Spoken digits: how fast networks learn them, what disturbed speech costs, and who leads by how much."""

import pandas as pd

LEVEL = 38  # the epoch from which on the learning rate is so small that curves are level


def progress(curves: pd.DataFrame, goal: float = 80) -> pd.DataFrame:
    """How test accuracy rises, one row per model.

    Args:
        curves: of `tables.epoch_curves`.
        goal: percent.

    Returns:
        The first epoch at which the mean over runs reaches the goal (missing: none); the widest step of a single run
        from one epoch to the next, from epoch 5 to `LEVEL` and after, in points; mean, lowest and highest run at the
        last epoch.
    """
    wide = curves.pivot_table(index=["model", "seed"], columns="epoch", values="percent", sort=False)
    mean = wide.groupby("model", sort=False).mean()
    steps = wide.diff(axis=1).abs()
    widest = lambda own: own.max(axis=1).groupby("model", sort=False).max()
    last = wide.iloc[:, -1].groupby("model", sort=False)
    return pd.DataFrame(
        {
            f"mean reaches {goal:g} %": (mean >= goal).idxmax(axis=1).where((mean >= goal).any(axis=1)),
            f"widest step, epochs 5 to {LEVEL}": widest(steps.loc[:, 5:LEVEL]),
            "widest step, later": widest(steps.loc[:, LEVEL + 1 :]),
            "last epoch": last.mean(),
            "lowest run": last.min(),
            "highest run": last.max(),
        }
    ).rename_axis("model")


def lead(runs: pd.DataFrame, column: str) -> str:
    """By how many points HetSynLIF is ahead of HetNeuLIF, mean over the seeds of both, and in how many seeds."""
    by_seed = 100 * runs.pivot_table(index="seed", columns="variant", values=column)
    if not {"HetSynLIF", "HetNeuLIF"} <= set(by_seed):
        return "not both variants have runs"
    difference = (by_seed["HetSynLIF"] - by_seed["HetNeuLIF"]).dropna()
    return f"{difference.mean():.1f} points, higher in {(difference > 0).sum()} of {len(difference)} seeds"


def losses(runs: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Mean accuracy in percent on clean speech, and how many points less it is on disturbed speech; a row per model."""
    percent = 100 * runs.groupby("model", sort=False)[["accuracy", *columns]].mean()
    lost = percent[columns].rsub(percent["accuracy"], axis=0)
    return pd.concat([percent["accuracy"].rename("clean (%)"), lost.add_prefix("lost, ")], axis=1)

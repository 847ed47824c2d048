"""From records to tables: one row a run, one row a point of a learning curve."""

import pandas as pd


def frame(records: list[dict]) -> pd.DataFrame:
    """One row a run: its settings, its metrics, "model" (F-HetSynLIF, ...) and "failed" (the reason, or None)."""
    return pd.DataFrame(
        {**r["config"], **r.get("metrics", {}), "model": model(r["config"]), "failed": r.get("failed")} for r in records
    )


def model(config: dict) -> str:
    """The paper's name of a config's model: F- (feedforward) or R- (recurrent), and the variant."""
    return ("R-" if config["recurrent"] else "F-") + config["variant"]


def curves(records: list[dict], name: str, window: int = 20, every: int = 10) -> pd.DataFrame:
    """Learning curves, one row a point: "iteration", "value" (moving mean of ``window``), the settings of the run.

    Args:
        name: "mse", "accuracy" or "loss".
        every: one point in so many iterations.
    """
    parts = []
    for r in records:
        if "failed" not in r:
            mean = pd.Series(r["curves"][name]).rolling(window, min_periods=1).mean()
            mean.index += 1
            shown = mean[(mean.index % every == 0) | (mean.index == 1)]
            settings = r["config"] | {"model": model(r["config"])}
            parts.append(pd.DataFrame({"iteration": shown.index, "value": shown.to_numpy(), **settings}))
    return pd.concat(parts, ignore_index=True)

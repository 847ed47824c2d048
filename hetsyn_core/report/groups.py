"""How many time constants: runs by the number of those that learn and by who shares them."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from ..runs import records
from ..runs.experiments import MEASURED

RANDOM, PRE, POST = "random groups of synapses", "by presynaptic neuron", "by postsynaptic neuron"
LOOK = {RANDOM: ("black", "o"), PRE: ("#D55E00", "v"), POST: ("#005A9C", "^")}


def counted(found: list[dict], runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of an experiment with P, once for each line they belong to.

    Returns:
        ``runs`` with "P", the time constants of the first layer that learn, counted in a network; "line", who shares
        them; "start", "paper" or "biology"; for match-to-sample "percent" correct, and "to_95", the iterations to
        95 %, or all where that was never reached.
    """
    numbers = {}
    for record in found:
        run = records.restore(record["config"]).replace(seed=0, detail=False)
        if run not in numbers:
            numbers[run] = run.network().layers[0].decay_parameter.numel()
        record["P"] = numbers[run]
    table = runs.assign(
        P=[record["P"] for record in found],
        line=[lines(run) for run in runs.to_dict("records")],
        start=["biology" if draw == MEASURED else "paper" for draw in runs["tau_s_draw"]],
    )
    if "iterations_to_95" in table:
        table["percent"] = 100 * table["accuracy"]
        table["to_95"] = table["iterations_to_95"].fillna(table["iterations"])
    return table.explode("line", ignore_index=True)


def lines(run: dict) -> list[str]:
    """The lines of a run; one time constant for all synapses begins all three."""
    if run["groups"] == 1:
        return [RANDOM, PRE, POST]
    if run["variant"] == "HetNeuLIF":
        return [POST]
    return [{"random": RANDOM, "pre": PRE, "post": POST}[run["grouped_by"]]]


def against_p(ax: Axes, table: pd.DataFrame, y: str, **labels) -> None:
    """Mean over runs against P with its bootstrap 95 % interval, a line for each way to share; a legend on demand."""
    sns.lineplot(
        table, x="P", y=y, hue="line", style="line", ax=ax, errorbar=("ci", 95), err_style="bars", seed=0,
        hue_order=list(LOOK), palette={line: color for line, (color, _) in LOOK.items()}, style_order=list(LOOK),
        markers={line: marker for line, (_, marker) in LOOK.items()}, dashes=False, markersize=5, markeredgewidth=0,
    )  # fmt: skip
    ax.set(**{"xscale": "log", "xlabel": "time constants"} | labels)
    if legend := ax.get_legend():
        legend.remove()


def speech(found: list[dict]) -> pd.DataFrame:
    """Runs of SHD by who shares a time constant, at the last epoch that all have.

    Returns:
        "time constants", in words, from fewest to most; "percent", test accuracy after "epochs"; "seed"; "data".
    """
    order = ["fixed", "1", "16", "256", "one a neuron", "one a synapse"]
    words = {"HomNeuLIF": "fixed", "HetNeuLIF": "one a neuron", "HetSynLIF": "one a synapse"}
    epochs = min(len(r["curves"]["test_accuracy"]) for r in found)
    rows = [
        {
            "time constants": str(r["config"]["groups"] or words[r["config"]["variant"]]),
            "percent": 100 * r["curves"]["test_accuracy"][epochs - 1],
            "seed": r["config"]["seed"],
            "data": r["config"]["data"],
            "epochs": epochs,
        }
        for r in found
        if r["config"]["variant"] in words
    ]
    table = pd.DataFrame(rows)
    table["time constants"] = pd.Categorical(table["time constants"], order, ordered=True)
    return table


def controls(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of an experiment with controls, with "kind": HetSynLIF, what was done to it, or who is as large."""

    def kind(run: dict) -> str:
        if run["variant"] != "HetSynLIF":
            return f"{run['variant']}, as large"
        start = "biology's start" if run["tau_s_draw"] == MEASURED else "paper's start"
        return f"HetSynLIF, {start}" + (", fixed" if run["frozen"] else "")

    return runs.assign(kind=[kind(run) for run in runs.to_dict("records")])

"""How many time constants: runs by the number of those that learn and by who shares them."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from ..runs import records
from ..runs.experiments import MEASURED, MEASURED_BINS, parameters
from ..tasks.run import Run
from . import cost
from .tables import to_95

RANDOM, PRE, POST = "random groups of synapses", "by presynaptic neuron", "by postsynaptic neuron"
STARTS = {"paper": "from the paper's start", "biology": "from biology's start"}
BIOLOGY = "one a synapse, biology's start"
LOOK = {RANDOM: ("black", "o"), PRE: ("#D55E00", "v"), POST: ("#005A9C", "^")}


def counted(found: list[dict], runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of an experiment with P, once for each line they belong to.

    Returns:
        ``runs`` with "P", the time constants of the first layer that learn, counted in a network; "line", who shares
        them; "start", "paper" or "biology"; for match-to-sample "percent" correct, and "to_95", see
        `tables.to_95`.
    """
    numbers, counts = {}, []
    for record in found:
        run = records.restore(record["config"]).replace(seed=0, detail=False)
        if run not in numbers:
            numbers[run] = run.network().layers[0].decay_parameter.numel()
        counts.append(numbers[run])
    table = runs.assign(
        P=counts,
        line=[lines(run) for run in runs.to_dict("records")],
        start=["biology" if draw == MEASURED else "paper" for draw in runs["tau_s_draw"]],
    )
    if "iterations_to_95" in table:
        table["percent"] = 100 * table["accuracy"]
        table["to_95"] = to_95(table)
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
    """Runs of SHD, a row an epoch, of those epochs that all kinds of runs have.

    Returns:
        "time constants" of a layer, in words; "seed"; "epoch"; test accuracy in "percent".
    """
    words = {"HomNeuLIF": "one, fixed", "HetNeuLIF": "one a neuron", "HetSynLIF": "one a synapse"}

    def who(config: dict) -> str:
        if tuple(config["tau_s_draw"]) == MEASURED_BINS:
            return BIOLOGY
        return str(config["groups"] or words[config["variant"]])

    known = [record for record in found if record["config"]["variant"] in words and "curves" in record]
    table = pd.concat(
        pd.DataFrame({"percent": 100 * record["curves"]["test_accuracy"]})
        .rename_axis("epoch")
        .reset_index()
        .assign(**{"time constants": who(record["config"]), "seed": record["config"]["seed"]})
        for record in known
    )
    table["epoch"] += 1
    return table[table["epoch"] <= table.groupby("time constants")["epoch"].max().min()]


def with_costs(found: list[dict], runs: pd.DataFrame) -> pd.DataFrame:
    """Runs with what their networks cost.

    Returns:
        ``runs`` with "parameters", those that learn (Table 3), and "operations" a step of a clocked machine (`cost`),
        at the mean spike rate of all runs with the same network.
    """
    columns = ["variant", "recurrent", "hidden"]
    rates = runs.groupby(columns)["rate_hz"].mean()
    rows = {}
    for record, name in zip(found, runs[columns].itertuples(index=False, name=None)):
        if name not in rows:
            run = records.restore(record["config"])
            rows[name] = {"parameters": parameters(run), "operations": _operations(run, rates[name])}
    return runs.join(pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns), on=columns)


def _operations(run: Run, rate_hz: float) -> float:
    x = cost.test_trials(run, 0)
    spikes = cost.at_random(run, x, rate_hz * run.step_ms() / 1000)
    return cost.operations(run.network(), spikes).loc[cost.CLOCKED].sum() / x.shape[1]


def controls(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of an experiment with controls, with "kind": HetSynLIF, what was done to it, or who is as large."""

    def kind(run: dict) -> str:
        if run["variant"] != "HetSynLIF":
            return f"{run['variant']}, as large"
        start = "biology's start" if run["tau_s_draw"] == MEASURED else "paper's start"
        return f"HetSynLIF, {start}" + (", fixed" if run["frozen"] else "")

    return runs.assign(kind=[kind(run) for run in runs.to_dict("records")])

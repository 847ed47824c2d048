"""How many time constants: runs by the number of trainable ones and by who shares them; what the networks cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from ..runs.experiments import RIVALS, parameters
from ..runs.make import make_network
from ..runs.record import Record
from ..tasks.task import Task
from . import cost, tables

RANDOM, PRE, POST = "random groups of synapses", "by presynaptic neuron", "by postsynaptic neuron"
STARTS = {"paper": "from the paper's start", "wide": "from the wide start"}
WIDE = "one per synapse, wide start"
LOOK = {RANDOM: ("black", "o"), PRE: ("#D55E00", "v"), POST: ("#005A9C", "^")}


def counted(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of an experiment with P, once for each line they belong to.

    Returns:
        ``runs`` with "P", the trainable time constants of the first layer, counted in a network; "line", who shares
        them; for match-to-sample "percent" correct.
    """
    bare = [run.replace(seed=0) for run in runs["run"]]  # one network for all seeds
    counts = {run: make_network(run).layers[0].decay_parameter.numel() for run in dict.fromkeys(bare)}
    table = runs.assign(P=[counts[run] for run in bare], line=[lines(run) for run in bare])
    if "accuracy" in table:
        table["percent"] = 100 * table["accuracy"]
    return table.explode("line", ignore_index=True)


def lines(run: Task) -> list[str]:
    """The lines of a run; one time constant for all synapses begins all three."""
    if run.groups == 1:
        return [RANDOM, PRE, POST]
    if run.variant == "HetNeuLIF":
        return [POST]
    return [{"random": RANDOM, "pre": PRE, "post": POST}[run.grouped_by]]


def against_p(ax: Axes, table: pd.DataFrame, y: str, **labels) -> None:
    """Mean over runs against P with its bootstrap 95 % interval, one line for each way to share."""
    sns.lineplot(
        table, x="P", y=y, hue="line", style="line", ax=ax, errorbar=("ci", 95), err_style="bars", seed=0,
        hue_order=list(LOOK), palette={line: color for line, (color, _) in LOOK.items()}, style_order=list(LOOK),
        markers={line: marker for line, (_, marker) in LOOK.items()}, dashes=False, markersize=5, markeredgewidth=0,
    )  # fmt: skip
    ax.set(**{"xscale": "log", "xlabel": "time constants"} | labels)
    if legend := ax.get_legend():
        legend.remove()


def speech(found: Sequence[Record]) -> pd.DataFrame:
    """Test accuracy of SHD runs, one row per epoch, up to the last epoch that all kinds of runs have.

    HomNeuALIF is left out.

    Args:
        found: records.

    Returns:
        "time constants" of a layer, in words; "seed"; "epoch"; test accuracy in "percent".
    """
    words = {"HomNeuLIF": "one, fixed", "HetNeuLIF": "one per neuron", "HetSynLIF": "one per synapse"}

    def kind(variant: str, start: str, groups: float | None) -> str:
        if start == "wide":
            return WIDE
        return words[variant] if pd.isna(groups) else f"{groups:g}"

    points = tables.epoch_curves(found)
    points = points[points["variant"].isin(words)]
    kinds = [kind(*row) for row in points[["variant", "start", "groups"]].itertuples(index=False)]
    table = points[["seed", "epoch", "percent"]].assign(**{"time constants": kinds})
    return table[table["epoch"] <= table.groupby("time constants")["epoch"].max().min()]


def with_costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs with what their networks cost.

    Returns:
        ``runs`` with "parameters", the trainable ones (Table 3), and "operations" per step of a clocked machine
        (`cost`), at the mean spike rate of all runs with the same network.
    """
    columns = ["variant", "recurrent", "hidden"]
    rates = runs.groupby(columns)["rate_hz"].mean()
    first = runs.drop_duplicates(columns).set_index(columns)["run"]
    costs = pd.DataFrame(
        {
            "parameters": first.map(parameters),
            "operations": [_operations(run, rates[name]) for name, run in first.items()],
        }
    )
    return runs.join(costs, on=columns)


def _operations(run: Task, rate_hz: float) -> float:
    x = cost.first_trials(run, np.random.default_rng(0))
    spikes = cost.at_random(run, x, rate_hz * run.step_ms() / 1000)
    return cost.operations(make_network(run), spikes).loc[cost.CLOCKED].sum() / x.shape[1]


def as_busy(runs: pd.DataFrame, recurrent: bool) -> pd.DataFrame:
    """The smallest HetSynLIF, and the sizes of its rivals that come nearest to as many operations (Fig. 3).

    Returns:
        Those runs, with "neurons" of that HetSynLIF and "rivals" in words, the same in every row; none where
        HetSynLIF or all rivals were not run.
    """
    if runs.empty:
        return runs
    runs = with_costs(runs[runs["recurrent"] == recurrent])
    sizes = runs.groupby(["variant", "hidden"])["operations"].first()
    present = [variant for variant in RIVALS if variant in sizes]
    if "HetSynLIF" not in sizes or not present:
        return runs.iloc[:0]
    wanted = sizes["HetSynLIF"].min()
    busy = {variant: (sizes[variant] / wanted - 1).abs().idxmin() for variant in ("HetSynLIF", *present)}
    own = runs[runs["hidden"] == runs["variant"].map(busy)]
    rivals = " and ".join(f"{variant} with {busy[variant]}" for variant in present)
    return own.assign(neurons=busy["HetSynLIF"], rivals=rivals)


def controls(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of an experiment with controls, with "kind": HetSynLIF, what was done to it, or who is as large."""

    starts = {"paper": "paper's start", "wide": "wide start", "log-uniform": "log-uniform start"}

    def kind(variant: str, start: str, frozen: float) -> str:
        if variant != "HetSynLIF":
            return f"{variant}, as large"
        return f"HetSynLIF, {starts[start]}" + (", fixed" if frozen else "")

    kinds = [kind(*row) for row in runs[["variant", "start", "frozen"]].itertuples(index=False)]
    return runs.assign(kind=kinds)

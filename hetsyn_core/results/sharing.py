"""How many time constants: runs by the number of trainable ones and by who shares them; what the networks cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..runs.experiments import RIVALS, parameters
from ..runs.make import make_network
from ..runs.record import Record
from ..tasks.task import Task
from . import cost, tables

RANDOM, PRE, POST = "random groups", "groups by presynaptic neuron", "groups by postsynaptic neuron"
FROM_START = {"paper": "from the paper's start", "wide": "from the wide start"}
WIDE = "one per synapse, wide start"
PER_NEURON, PER_SYNAPSE = "one per neuron", "one per synapse"
LAST = 3  # epochs of a speech run that are averaged: single ones jump


def counted(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of an experiment with how many time constants a layer has, and who shares them.

    Returns:
        ``runs`` with "P", the trainable time constants of the first layer, counted in a network; "level", P as text,
        or `PER_NEURON` or `PER_SYNAPSE` (ordered); "sharing", who shares them: `RANDOM`, `PRE`, `POST`, or the variant
        that has one per neuron or per synapse; for match-to-sample "percent" correct.
    """
    bare = [run.replace(seed=0) for run in runs["run"]]  # one network for all seeds
    counts = {run: make_network(run).layers[0].decay_parameter.numel() for run in dict.fromkeys(bare)}
    table = runs.assign(P=[counts[run] for run in bare], sharing=[sharing(run) for run in bare])
    level = pd.Series([_level(run, counts[run]) for run in bare], runs.index)
    order = table["P"].groupby(level).min().sort_values(kind="stable").index
    order = [name for name in order if name != PER_SYNAPSE] + [PER_SYNAPSE] * (PER_SYNAPSE in order)
    table["level"] = pd.Categorical(level, order, ordered=True)
    if "accuracy" in table:
        table["percent"] = 100 * table["accuracy"]
    return table


def sharing(run: Task) -> str:
    """Who shares the time constants of a run; one for all synapses of a layer counts as a random group."""
    if not run.groups:
        return run.variant
    return RANDOM if run.groups == 1 else {"random": RANDOM, "pre": PRE, "post": POST}[run.grouped_by]


def _level(run: Task, p: int) -> str:
    if not run.groups:
        return PER_SYNAPSE if run.variant == "HetSynLIF" else PER_NEURON
    if p == run.groups:
        return f"{p:,}"
    return PER_SYNAPSE if run.grouped_by == "random" else PER_NEURON  # no more groups than synapses, or neurons


def speech(found: Sequence[Record]) -> pd.DataFrame:
    """Test accuracy of SHD runs, one row per epoch, up to the last epoch that all kinds of runs have.

    HomNeuALIF is left out.

    Args:
        found: records.

    Returns:
        "time constants" of a layer, in words; "seed"; "epoch"; test accuracy in "percent".
    """
    words = {"HomNeuLIF": "one, fixed", "HetNeuLIF": PER_NEURON, "HetSynLIF": PER_SYNAPSE}

    def kind(variant: str, start: str, groups: float | None) -> str:
        if start == "wide":
            return WIDE
        return words[variant] if pd.isna(groups) else f"{groups:g}"

    points = tables.epoch_curves(found)
    points = points[points["variant"].isin(words)]
    kinds = [kind(*row) for row in points[["variant", "start", "groups"]].itertuples(index=False)]
    table = points[["seed", "epoch", "percent"]].assign(**{"time constants": kinds})
    return table[table["epoch"] <= table.groupby("time constants")["epoch"].max().min()]


def last_epochs(heard: pd.DataFrame) -> pd.DataFrame:
    """Mean "percent" of each run of `speech` over the last epochs."""
    late = heard[heard["epoch"] > heard["epoch"].max() - LAST]
    return late.groupby(["time constants", "seed"], sort=False)["percent"].mean().reset_index()


def with_costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs with what their networks cost.

    Returns:
        ``runs`` with "parameters", the trainable ones (Table 3), and "operations" per step of a clocked machine
        (`cost`), at the mean spike rate of all runs with the same network.
    """
    columns = ["variant", "recurrent", "hidden", "groups", "grouped_by"]
    network = runs.groupby(columns, dropna=False, sort=False).ngroup()  # its number, for each run
    rates = runs.groupby(network)["rate_hz"].mean()
    first = runs["run"].groupby(network).first()
    operations = pd.Series({k: _operations(run, rates[k]) for k, run in first.items()})
    return runs.assign(parameters=network.map(first.map(parameters)), operations=network.map(operations))


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

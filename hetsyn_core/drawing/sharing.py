"""Pictures of shared time constants: by their number, and by who shares them."""

from collections.abc import Callable, Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from ..results.sharing import FROM_START, LAST, PER_NEURON, PER_SYNAPSE, POST, PRE, RANDOM, WIDE, last_epochs
from . import plots

# Shared ones have a colour of their own, from light to dark; the variants keep theirs. In the order of their places.
SHARED = "#2A8C8C"
LOOK = {
    PRE: ("#63BBA4", "v"),
    RANDOM: (SHARED, "o"),
    POST: ("#0B4A57", "^"),
    "HetNeuLIF": (plots.COLORS["HetNeuLIF"], plots.MARKERS["HetNeuLIF"]),
    "HetSynLIF": (plots.COLORS["HetSynLIF"], plots.MARKERS["HetSynLIF"]),
}
XLABEL = "trainable time constants of a layer"
# Of speech, by the words of `results.sharing.speech`: colour and kind of line.
SPEECH = {
    "one, fixed": (plots.COLORS["HomNeuLIF"], "-"),
    "1": (SHARED, ":"),
    "16": (SHARED, "-"),
    PER_NEURON: (plots.COLORS["HetNeuLIF"], "-"),
    PER_SYNAPSE: (plots.COLORS["HetSynLIF"], "-"),
    WIDE: (plots.COLORS["HetSynLIF"], "--"),
}


def against_p(ax: Axes, table: pd.DataFrame, y: str, statistic: str = "mean", **labels) -> None:
    """Every run a small dot and their mean (or "median") a large one, for each number of time constants.

    A line joins three or more numbers of random groups with one per synapse.

    Args:
        table: of `results.sharing.counted`.
    """
    for place, name, own in _places(table):
        beside = 0.2 * (2 * (np.arange(len(own)) + 0.5) / len(own) - 1) if len(own) > 1 else 0
        ax.plot(place + beside, own[y], ".", color=LOOK[name][0], ms=4.5, mew=0, alpha=0.6, zorder=1)
    # Not by seaborn: on an axis that is logarithmic already it would average logarithms.
    _points(ax, table, lambda own: own[y].agg(statistic))
    ax.set(**labels)


def learned(ax: Axes, table: pd.DataFrame, **labels) -> None:
    """Percent of runs that learn (`success`), with its exact 95 % interval, for each number of time constants."""
    for place, name, own in _places(table):
        interval = stats.binomtest(int(own["success"].sum()), len(own)).proportion_ci()
        ax.plot([place, place], [100 * interval.low, 100 * interval.high], color=LOOK[name][0], lw=1, zorder=1)
    _points(ax, table, lambda own: 100 * own["success"].mean())
    ax.set(**{"ylim": (-8, 108), "yticks": [0, 50, 100]} | labels)


def speed(ax: Axes, table: pd.DataFrame, **labels) -> None:
    """Iterations until 95 % are correct, and their median."""
    against_p(ax, table, "to_95", "median", **labels)
    never = table["iterations"].max() + 1 if len(table) else 1001
    ticks = [n for n in (20, 50, 100, 200, 500) if n < never]
    ax.set(yscale="log", ylim=(18, 1.3 * never))
    ax.set_yticks([*ticks, never], [*ticks, "never"])
    ax.set_yticks([], minor=True)


def error(ax: Axes, table: pd.DataFrame, **labels) -> None:
    """Mean squared error, and its mean over runs."""
    against_p(ax, table, "mse", **labels)
    plots.decades(ax)


def _places(table: pd.DataFrame) -> Iterator[tuple[float, str, pd.DataFrame]]:
    """Place on the axis, who shares, and the runs; those at one level stand beside each other around its tick."""
    for k, level in enumerate(table["level"].cat.categories):
        own = table[(table["level"] == level) & table["failed"].isna()]
        present = [name for name in LOOK if name in set(own["sharing"])]
        for i, name in enumerate(present):
            yield k + 0.32 * (i - (len(present) - 1) / 2), name, own[own["sharing"] == name]


def _points(ax: Axes, table: pd.DataFrame, number: Callable[[pd.DataFrame], float]) -> None:
    found = [(place, name, number(own)) for place, name, own in _places(table)]
    joined = [(place, value) for place, name, value in found if name in (RANDOM, "HetSynLIF")]
    if len(joined) > 2:
        ax.plot(*zip(*joined, strict=True), color=SHARED, lw=0.8, zorder=2)
    for place, name, value in found:
        color, marker = LOOK[name]
        ax.plot(place, value, marker, color=color, ms=5, mec="white", mew=0.5, zorder=3)
    levels = [name.replace("one per ", "\none per\n") for name in table["level"].cat.categories]
    ax.set(xlim=(-0.6, len(levels) - 0.4), xticks=range(len(levels)), xticklabels=levels)


def networks(table: pd.DataFrame, draw: Callable, ylabel: str, height: float = 1.1) -> Figure:
    """A row for each network, a column for each start; ``draw(ax, runs)`` fills the panels."""
    rows = list(table.groupby(["recurrent", "hidden"]))
    shape = dict(figsize=(5, 1.1 + height * len(rows)), sharex=True, sharey=True, squeeze=False)
    fig, axes = plt.subplots(len(rows), len(FROM_START), **shape)
    for row, ((recurrent, hidden), own) in zip(axes, rows, strict=True):
        for ax, (start, title) in zip(row, FROM_START.items(), strict=True):
            draw(ax, own[own["start"] == start])
            ax.set_title(f"{'R' if recurrent else 'F'}, {hidden} neurons, {title}", size=7)
            ax.label_outer()
    fig.supylabel(ylabel, size=8)
    fig.supxlabel(XLABEL, size=8)
    legend(fig, table)
    return fig


def legend(where: Figure, table: pd.DataFrame, ncols: int = 3) -> None:
    """Who shares, above all panels, with the number of runs."""
    entries = [
        Line2D([], [], ls="", marker=marker, color=color, ms=5, label=name)
        for name, (color, marker) in LOOK.items()
        if name in set(table["sharing"])
    ]
    n = plots.how_many(table, "model", "hidden", "start", "level", "sharing")
    where.legend(handles=entries, title=f"who shares ({n})", loc="outside upper center", ncols=ncols)


def speech(curves: Axes, ends: Axes, heard: pd.DataFrame) -> None:
    """Mean test accuracy against the epoch, and every run's mean over the last `results.sharing.LAST` epochs, a dot.

    Args:
        heard: of `results.sharing.speech`.
    """
    late, epochs = last_epochs(heard), heard["epoch"].max()
    present = [name for name in SPEECH if name in set(late["time constants"])]
    names = []
    for row, name in enumerate(present):
        color, dashes = SPEECH[name]
        mean = heard[heard["time constants"] == name].groupby("epoch")["percent"].mean()
        curves.plot(mean.index, mean, color=color, ls=dashes, label=name)
        runs = late.loc[late["time constants"] == name, "percent"]
        place = row + np.linspace(-0.2, 0.2, len(runs))
        ends.plot(runs, place, "o", color=color, mfc=color if dashes == "-" else "none", ms=3.5)
        ends.plot([runs.mean()], [row], "|", color=color, ms=15, mew=1.5)
        names.append(f"{name}, n = {len(runs)}")
    curves.set(xlabel="epoch", ylabel="test accuracy (%)", xticks=sorted({1, epochs // 2, epochs}))
    ends.set(
        xlabel=f"last {LAST} epochs (%)", yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6)
    )

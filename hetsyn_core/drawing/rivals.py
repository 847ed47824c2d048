"""Pictures of other models that are as large or as busy, and of HetSynLIF whose time constants do not learn."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from . import plots

# Where variants meet, the lower mark is the larger one, so that it shows around the upper.
SIZES = {"HomNeuLIF": 8, "HomNeuALIF": 6, "HetNeuLIF": 5, "HetSynLIF": 5}
PRICES = {"hidden": "neurons", "parameters": "parameters", "operations": "operations per step"}
CHANCE = dict(color="0.6", ls=":", lw=0.8, zorder=0)


def price(axes: Sequence[Axes], runs: pd.DataFrame, title: str) -> None:
    """Mean percent correct with its bootstrap 95 % interval, against neurons, parameters and operations.

    Args:
        axes: three.
        runs: of `results.sharing.with_costs`.
        title: of the panel in the middle.
    """
    runs = runs.assign(percent=100 * runs["accuracy"])
    for ax, (column, name) in zip(axes, PRICES.items(), strict=True):
        for variant, color in plots.COLORS.items():
            look = dict(color=color, marker=plots.MARKERS[variant], markersize=SIZES[variant], markeredgewidth=0.5)
            bars = dict(errorbar=("ci", 95), err_style="bars", seed=0)
            sns.lineplot(runs[runs["variant"] == variant], x=column, y="percent", lw=0.9, **look, **bars, ax=ax)
        ax.axhline(50, **CHANCE)
        ax.set(xscale="log", xlabel=name, ylabel="correct (%)", ylim=(44, 104), yticks=[50, 75, 100])
        ax.label_outer()
    sizes = sorted(runs["hidden"].unique())
    axes[0].set_xticks(sizes, sizes)
    axes[0].set_xticks([], minor=True)
    axes[0].set_xlim(0.75 * sizes[0], 1.3 * sizes[-1])
    for ax in axes[1:]:
        ax.xaxis.set_major_formatter("{x:,.0f}")
    axes[1].set_title(title)


def controls(ax: Axes, runs: pd.DataFrame, y: str, **labels) -> None:
    """Every run a dot, the mean a bar, one row per kind; hollow: the time constants are fixed.

    Args:
        runs: of `results.sharing.controls`.
    """
    kinds = list(dict.fromkeys(runs["kind"]))
    for row, kind in enumerate(kinds):
        own = runs[runs["kind"] == kind]
        values = own[y].dropna()
        color = plots.COLORS[own["variant"].iloc[0]]
        fill = "none" if own["frozen"].iloc[0] else color
        places = row + np.linspace(-0.3, 0.3, len(values)) if len(values) > 1 else [row]
        ax.plot(values, places, "o", color=color, mfc=fill, ms=2.5, mew=0.6)
        ax.plot([values.mean()], [row], "|", color=color, ms=13, mew=1.5)
    ax.set(**{"yticks": range(len(kinds)), "yticklabels": kinds, "ylim": (len(kinds) - 0.4, -0.6)} | labels)

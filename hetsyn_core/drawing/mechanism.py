"""Pictures of interventions: one colour per pathway, everywhere the same."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..runs.interventions import ALL

# Not the colours of the variants: all networks here are HetSynLIF.
PATHWAYS = {
    "input": "#009E73",
    "recurrent": "#CC79A7",
    "1 to 2": "#56B4E9",
    "recurrent 2": "#8C510A",
    "readout": "0.6",
    ALL: "black",
}


def lines(ax: Axes, table: pd.DataFrame, hue: str, colors: dict[str, str], **labels) -> None:
    """Mean over runs against the level, with the bootstrap 95 % interval as bars, one line for each kind."""
    present = [name for name in colors if name in set(table[hue])]
    sns.lineplot(
        table, x="level", y="percent", hue=hue, hue_order=present, palette=colors, ax=ax,
        errorbar=("ci", 95), err_style="bars", seed=0, marker="o", markersize=4, markeredgewidth=0,
    )  # fmt: skip
    if legend := ax.get_legend():
        legend.remove()
    ax.set(**labels)


def bars(ax: Axes, table: pd.DataFrame, x: str, hue: str, colors: dict[str, str], **labels) -> None:
    """Mean over runs, the bootstrap 95 % interval, and every run a dot."""
    order = dict(x=x, y="percent", hue=hue, hue_order=list(colors), palette=colors, ax=ax, legend=False)
    sns.barplot(table, **order, errorbar=("ci", 95), seed=0, fill=False, linewidth=1, err_kws={"linewidth": 1})
    sns.stripplot(table, **order, dodge=True, jitter=False, size=2.5, alpha=0.6)
    ax.set(**labels)


def squares(colors: dict[str, str]) -> list[Line2D]:
    """Entries of a legend for `bars`."""
    return [Line2D([], [], ls="", marker="s", markersize=5, color=color, label=name) for name, color in colors.items()]

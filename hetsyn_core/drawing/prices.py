"""Pictures of what a training step takes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..results.cost import FUSED, LOOP, OTHER
from . import plots

FLOOR = "floor"
# Colour, marker and what fills it. The loop is HetSynLIF too, hollow; other libraries are grey.
LOOKS = {
    OTHER: (plots.COLORS["HomNeuLIF"], "o", None),
    FUSED: (plots.COLORS["HetSynLIF"], "D", None),
    LOOP: (plots.COLORS["HetSynLIF"], "D", "none"),
}
LIBRARIES = ("^", "v", "P", "X", "*")
GREY = "0.5"
LAPTOP_GB = 16  # memory
AXES = {"steps": "steps", "batch": "trials in the batch", "neurons": "synapses"}
DEVICES = {"cpu": "CPU", "cuda": "GPU"}


def memory(ax: Axes, kept_gb: pd.Series) -> None:
    """What the plain loop keeps for one training step of each network, and what a laptop has."""
    ax.plot(kept_gb, range(len(kept_gb)), "D", color="black", mfc="none", ms=5)
    ax.axvline(LAPTOP_GB, ls="--", color=GREY, lw=0.8)
    ax.annotate(f"{LAPTOP_GB} GB", (LAPTOP_GB, 1), (3, -2), xycoords=("data", "axes fraction"),
                textcoords="offset points", size=7, color=GREY, va="top")  # fmt: skip
    ax.set(xscale="log", yticks=range(len(kept_gb)), yticklabels=kept_gb.index, xlim=(0.05, 60))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="currents kept for one training step (GB)", ylim=(len(kept_gb) - 0.5, -0.5))


def steps(ax: Axes, wide: pd.DataFrame, reasons: pd.Series, machine: str) -> None:
    """Time of a training step of each network on a machine; those measured on it stand below each other in a row.

    Args:
        wide: ms, one row per network, one column for each of `LOOKS`, "floor" and each other library.
        reasons: why a time is missing, by network and who; none: it was not measured.
    """
    looks = LOOKS | {
        who: (GREY, marker, None)
        for who, marker in zip([who for who in wide if who not in LOOKS and who != FLOOR], LIBRARIES, strict=False)
    }
    nowhere = [who for who in looks if wide[who].isna().all()]
    for k, (who, (color, marker, fill)) in enumerate(looks.items()):
        places = np.arange(len(wide)) + 0.7 * ((k + 0.5) / len(looks) - 0.5)
        ax.plot(wide[who], places, marker, color=color, mfc=fill or color, ms=4, label=who)
        for place, network in zip(places, wide.index, strict=True):
            if np.isnan(wide.loc[network, who]) and who not in nowhere:
                left = wide.loc[network, list(looks)].max() > 100  # where there is room
                note, x = f"{who}: {_short(reasons.get((network, who), ''))}", 0.01 if left else 0.99
                where = dict(ha="left" if left else "right", va="center", xycoords=("axes fraction", "data"))
                ax.annotate(note, (x, place), size=6, **where)
    for row in range(0, len(wide), 2):
        ax.axhspan(row - 0.5, row + 0.5, color="0.95", lw=0, zorder=0)
    ax.plot(wide[FLOOR], range(len(wide)), "|", color="black", ms=17, mew=1)
    ax.plot([], [], "|", color="black", ms=6, mew=1, label="HetSynLIF's multiply-adds")
    absent = ", ".join(who.removeprefix("LIF, ") for who in nowhere)
    ax.set_title(machine + (f"\nnot measured: {absent}" if absent else ""), size=7)
    ax.set(xscale="log", yticks=range(len(wide)), yticklabels=wide.index, ylim=(len(wide) - 0.5, -0.5))
    ax.xaxis.set_major_formatter("{x:,g}")


def _short(reason: str) -> str:
    return "not measured" if not reason else "no memory left" if "memory" in reason else "failed"


def growth(axes: Sequence[Axes], points: pd.DataFrame, device: str) -> None:
    """Median time of a training step against steps, trials and synapses, with the quartiles; dotted: the floor.

    Args:
        axes: three.
        points: one row per measurement: "device", "axis", "who", "x", "median_s", "quartiles_s", "floor_s".
    """
    for ax, (axis, name) in zip(axes, AXES.items(), strict=True):
        measured = points[(points["axis"] == axis) & (points["device"] == device)]
        for who, (color, marker, fill) in LOOKS.items():
            own = measured[measured["who"] == who]
            low, high = 1e3 * np.array(own["quartiles_s"].tolist()).T
            ax.fill_between(own["x"], low, high, color=color, alpha=0.25, lw=0)
            look = dict(color=color, mfc=fill or color, ms=5.5 if who == OTHER else 3.5, label=who)
            ax.plot(own["x"], 1e3 * own["median_s"], marker + "-", **look)
        ax.plot(own["x"], 1e3 * own["floor_s"], ":", color="black", label=FLOOR)
        ax.set(xscale="log", yscale="log", xlabel=name, ylabel=f"ms per training step, {DEVICES[device]}")
        ax.label_outer()
        ax.xaxis.set_minor_formatter("")
        if axis == "neurons":
            ax.xaxis.set_major_formatter("{x:,.0f}")
            ax.set_xlim(0.8 * own["x"].min(), 1.25 * own["x"].max())
        else:  # few values, each is named
            ax.set_xticks(own["x"], own["x"])
            ax.set_xticks([], minor=True)
        ax.yaxis.set_major_formatter("{x:,g}")

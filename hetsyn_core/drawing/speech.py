"""Pictures of spoken digits: what a network hears and how it votes, accuracies, and time constants in bins."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from ..runs.analyses import DELETED, WARPS
from ..runs.record import Record
from ..tasks import Speech
from . import biology, distributions, plots

STEP_MS = Speech.bin_ms  # a bin of the sound
BINS = 5 * 2.0 ** (np.arange(-16, 27) / 5)  # of time constants, in bins of the sound; 5 and 20 are edges
LONG = 20  # bins; no time constant starts above


def sound(ax: Axes, spikes: np.ndarray, **labels) -> None:
    """Spikes of one recording, boolean (steps, channels)."""
    step, channel = np.nonzero(spikes)
    ax.plot(STEP_MS * step, channel, ".", color="black", ms=0.9, mew=0, rasterized=True)
    ax.set(**{"xlim": (0, STEP_MS * len(spikes)), "ylim": (0, spikes.shape[1])} | labels)


def sounds(axes: Sequence[Axes], spikes: Mapping[str, np.ndarray], **labels) -> None:
    """`sound` of several recordings beside each other, each under its title."""
    for ax, (title, own) in zip(axes, spikes.items(), strict=True):
        sound(ax, own, title=title, **{"yticks": [0, 350, 700]} | labels)
    axes[0].set_ylabel("channel")
    axes[len(axes) // 2].set_xlabel("time (ms)")


def votes(ax: Axes, votes: np.ndarray, right: int, **labels) -> None:
    """Votes or scores of the classes (steps, classes) over time, that of the right word in black."""
    time = STEP_MS * np.arange(len(votes))
    ax.plot(time, np.delete(votes, right, 1), color="0.75", lw=0.6)
    ax.lines[0].set_label(f"the {votes.shape[1] - 1} others")
    ax.plot(time, votes[:, right], color="black", label="the word that is said")
    ax.set(**{"xlabel": "time (ms)"} | labels)


def habit(ax: Axes, records: Sequence[Record]) -> None:
    """Test accuracy of single runs; a triangle: the best epoch, a circle: the last."""
    for record in records:
        tested = 100 * record.test_curve["accuracy"]
        epoch, color = 1 + np.arange(len(tested)), plots.COLORS[record.run.variant]
        ax.plot(epoch, tested, color=color, lw=0.7)
        ax.plot(epoch[tested.argmax()], tested.max() + 0.9, "v", color=color, ms=5)
        ax.plot(epoch[-1], tested[-1], "o", color=color, ms=4)
    top = max(100 * record.test_curve["accuracy"].max() for record in records)
    ax.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(top - 20, top + 3))


def changed(runs: pd.DataFrame, kind: str, values: Sequence[float]) -> pd.DataFrame:
    """Accuracies under a change of the test set, one row each: the change, "percent", "variant"."""
    names = {f"{kind} {value:g}": value for value in values}
    long = runs.melt(["variant", "seed"], list(names), kind, "percent")
    return long.assign(**{"percent": 100 * long["percent"], kind: long[kind].map(names)})


def deletion(ax: Axes, runs: pd.DataFrame, **labels) -> None:
    """Test accuracy against the probability of deletion, in equal steps, with its bootstrap 95 % interval."""
    points = changed(runs, "deleted", DELETED)
    rank = {share: k for k, share in enumerate(DELETED)}
    plots.levels(ax, points.assign(deleted=points["deleted"].map(rank)), "deleted", "percent", **labels)
    ax.set_xticks(range(len(DELETED)), [f"{share:g}" for share in DELETED])
    ax.set(xlabel="probability of deletion", ylabel="test accuracy (%)")


def warp(ax: Axes, runs: pd.DataFrame, **labels) -> None:
    """Test accuracy against the warp of time, with a band of two standard errors on either side."""
    look = dict(hue="variant", palette=plots.COLORS, hue_order=list(plots.COLORS), legend=False)
    sns.lineplot(changed(runs, "warped", WARPS), x="warped", y="percent", **look, errorbar=("se", 2), ax=ax)
    ax.set(xlabel=r"$\log_2\alpha$", ylabel="test accuracy (%)", xticks=[-0.5, 0, 0.5], **labels)


def conditions(ax: Axes, runs: pd.DataFrame, names: Mapping[str, str], **labels) -> None:
    """Test accuracy under some conditions, every run a dot and the mean a large one.

    Args:
        names: of the conditions, by their column.
    """
    long = runs.melt(["variant", "seed"], list(names), "column", "percent")
    long = long.assign(percent=100 * long["percent"], place=long["column"].map({c: k for k, c in enumerate(names)}))
    plots.dots(ax, long, "place", "percent", joined=False, **{"ylabel": "test accuracy (%)"} | labels)
    ax.set_xticks(range(len(names)), names.values())


def readout_taus(ax: Axes, record: Record) -> None:
    """Time constants of the readout before (grey) and after training (black)."""
    for when, color in (("before", "0.6"), ("after", "black")):
        taus = biology.pooled([record], when)["readout"]
        distributions.histogram(ax, taus, BINS, color, when, histtype="step")
    ax.axvline(LONG, ls=":", color="0.4", lw=1)
    ax.set(xlabel=r"$\tau_s$ of the readout (bins)", ylabel="synapses (%)")
    in_ms(ax, "ms of sound")
    ax.legend(loc="upper right")


def in_ms(ax: Axes, label: str = "") -> None:
    """A second axis above an axis in bins."""
    ms = ax.secondary_xaxis("top", functions=(lambda bins: STEP_MS * bins, lambda ms: ms / STEP_MS))
    ms.set_xlabel(label)
    for axis in ax.xaxis, ms.xaxis:
        axis.set_major_formatter("{x:g}")

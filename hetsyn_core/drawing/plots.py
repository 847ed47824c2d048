"""One look for all figures: colours of the variants, panel letters, and files that come out the same each time."""

import io
import re
from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from ..paths import figures_folder, write_whole

# Yellow, vermilion, blue, black: told apart by every kind of colour vision, and by lightness in grey.
COLORS = {
    "HomNeuLIF": "#F0B429",
    "HomNeuALIF": "#D55E00",
    "HetNeuLIF": "#005A9C",
    "HetSynLIF": "#000000",
}

MARKERS = {"HomNeuLIF": "o", "HomNeuALIF": "s", "HetNeuLIF": "^", "HetSynLIF": "D"}
# HomNeuLIF and HomNeuALIF often lie on each other: the lower line is wide, so that it shows on both sides of the upper.
WIDTHS = {"HomNeuLIF": 3.0, "HomNeuALIF": 1.2, "HetNeuLIF": 1.2, "HetSynLIF": 1.2}
WRONG = "#CC79A7"  # purple, in an exercise: an answer that is not right yet
_BY_VARIANT = dict(
    hue_order=list(COLORS), palette=COLORS, size="variant", size_order=list(COLORS), sizes=WIDTHS, estimator="mean",
    legend=False,
)  # fmt: skip


def style() -> None:
    """Set the look of a journal figure, and text that stays text in the SVG; call once per notebook."""
    sns.set_theme(context="paper", style="ticks", palette=list(COLORS.values()))
    mpl.rcParams.update(
        {
            "font.size": 8,
            "axes.labelsize": 8,
            "axes.titlesize": 8,
            "legend.fontsize": 7,
            "legend.title_fontsize": 7,
            "legend.frameon": False,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "lines.linewidth": 1.2,
            "figure.constrained_layout.use": True,
            "svg.fonttype": "none",
        }
    )


def letter(ax: Axes, text: str) -> None:
    """Put the bold letter of a panel above the upper left corner of its axes."""
    ax.annotate(text, (0, 1), (-22, 8), xycoords="axes fraction", textcoords="offset points", size=11, weight="bold")


def curves(ax: Axes, data: pd.DataFrame, x: str = "iteration", y: str = "value", errorbar=("se", 2), **labels) -> None:
    """Learning curves of `tables.curves`, or with other columns of `tables.epoch_curves`.

    Mean over runs, and a band of two standard errors on either side.
    """
    sns.lineplot(data, x=x, y=y, hue="variant", ax=ax, errorbar=errorbar, **_BY_VARIANT)
    ax.set(**labels)


def levels(
    ax: Axes, data: pd.DataFrame, x: str, y: str, estimator: str = "mean", errorbar=("ci", 95), **labels
) -> None:
    """A metric against a setting with few values: mean over runs, bars its bootstrap 95 % interval.

    Variants stand a little beside each other, so that none hides behind another.
    """
    ticks = sorted(data[x].unique())
    present = [v for v in COLORS if v in set(data["variant"])]
    aside = {v: 0.025 * (ticks[-1] - ticks[0]) * (i - (len(present) - 1) / 2) for i, v in enumerate(present)}
    data = data.assign(**{x: data[x] + data["variant"].map(aside)})
    sns.lineplot(
        data, x=x, y=y, hue="variant", style="variant", ax=ax, errorbar=errorbar, err_style="bars",
        **_BY_VARIANT | {"estimator": estimator}, style_order=list(COLORS), markers=MARKERS, dashes=False, markersize=5,
        seed=0,  # of the bootstrap
    )  # fmt: skip
    ax.set(**{"xticks": ticks} | labels)


def dots(
    ax: Axes,
    data: pd.DataFrame,
    x: str,
    y: str,
    statistic: str = "mean",
    by: str = "variant",
    colors: Mapping[str, str] = COLORS,
    markers: Mapping[str, str] = MARKERS,
    joined: bool = True,
    **labels,
) -> None:
    """Every run a small dot, and over them the mean (or "median") of each variant; the levels of ``x`` in equal steps.

    The dots of one variant and level stand side by side in the order of the table, so that none hides another.

    Args:
        by: another column than the variant, with its own ``colors`` and ``markers``.
        joined: draw a line through the means.
    """
    levels = sorted(data[x].unique())
    present = [name for name in colors if name in set(data[by])]
    width = 0.8 / len(present)
    for i, name in enumerate(present):
        found = {}  # place on the axis: mean
        for k, level in enumerate(levels):
            own = data.loc[(data[by] == name) & (data[x] == level), y].dropna()
            if len(own):
                middle = k + width * (i - (len(present) - 1) / 2)
                aside = 0.7 * width * ((np.arange(len(own)) + 0.5) / len(own) - 0.5)
                ax.plot(middle + aside, own, ".", color=colors[name], ms=3 if len(own) > 20 else 4.5, mew=0, alpha=0.6)
                found[middle] = own.agg(statistic)
        marker = dict(marker=markers[name], ms=4.5, mec="white", mew=0.5)
        ax.plot(found.keys(), found.values(), color=colors[name], lw=0.8 if joined else 0, zorder=3, **marker)
    names = [level if isinstance(level, str) else f"{level:g}" for level in levels]
    ax.set(**dict(xticks=range(len(levels)), xticklabels=names, xlim=(-0.5, len(levels) - 0.5)) | labels)


def how_many(runs: pd.DataFrame, *by: str) -> str:
    """The number of runs in each group of a table, as text for a legend: "10 runs each", or "9 to 10 runs each"."""
    n = runs.groupby(list(by), sort=False).size()
    number = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    return f"{number} run{'s' if n.max() > 1 else ''} each"


def decades(ax: Axes, x: bool = False) -> None:
    """A logarithmic y axis, or x axis, with ticks 1, 2, 5 in plain numbers."""
    ax.set(**{"xscale" if x else "yscale": "log"})
    axis = ax.xaxis if x else ax.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


def raster(ax: Axes, spikes: np.ndarray, dt_ms: float = 1.0, **labels) -> None:
    """Spikes, boolean (steps, neuron), as ticks over time in ms."""
    step, neuron = np.nonzero(spikes)
    ax.plot(step * dt_ms, neuron, "|", color="black", markersize=1.5, markeredgewidth=0.6)
    ax.set(ylim=(-1, spikes.shape[1]), **labels)


def legend(where: Axes | FigureBase, markers: bool = False, **options) -> None:
    """The variants and their colours, in an axes or beside all axes of a (sub)figure."""
    marker = MARKERS if markers else dict.fromkeys(COLORS)
    lines = [
        Line2D([], [], color=c, marker=marker[v], markersize=4, lw=1 if markers else WIDTHS[v], label=v)
        for v, c in COLORS.items()
    ]
    where.legend(handles=lines, **options)


def save_figure(fig: Figure, name: str) -> None:
    """Write NAME.png (150 dpi) and NAME.svg into $HETSYN_FIGURES, or figures/ of the repository.

    The files appear whole or not at all, and the same figure gives the same bytes.
    """
    folder = figures_folder()
    with mpl.rc_context({"svg.hashsalt": name}):
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            buffer = io.BytesIO()
            fig.savefig(buffer, format=kind, dpi=150, metadata=metadata)
            content = buffer.getvalue()
            write_whole(folder / f"{name}.{kind}", _named_in_order(content, name) if kind == "svg" else content)


def _named_in_order(svg: bytes, name: str) -> bytes:
    # Matplotlib names a clip path by a hash of its place to the last digit, which moves with what was drawn before.
    names = {}
    number = lambda match: names.setdefault(match[0], f"{name}-clip{len(names)}".encode())
    return re.sub(rb'(?<=["#])p[0-9a-f]{10}\b', number, svg)

"""One look for all figures: colours of the variants, panel letters, and files that come out the same each time."""

import io
import re

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
_BY_VARIANT = dict(hue_order=list(COLORS), palette=COLORS, estimator="median", legend=False)


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


def curves(ax: Axes, data: pd.DataFrame, x: str = "iteration", y: str = "value", **labels) -> None:
    """Learning curves of `tables.curves`, or with other columns of `tables.epoch_curves`.

    Median over runs, and a band from the first to the third quartile.
    """
    sns.lineplot(data, x=x, y=y, hue="variant", ax=ax, errorbar=("pi", 50), **_BY_VARIANT)
    ax.set(**labels)


def levels(
    ax: Axes, data: pd.DataFrame, x: str, y: str, estimator: str = "median", errorbar=("pi", 50), **labels
) -> None:
    """A metric against a setting with few values: median over runs, bars from the first to the third quartile.

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


def boxes(ax: Axes, data: pd.DataFrame, x: str, y: str, **labels) -> None:
    """A box per variant (quartiles; whiskers to the furthest run), every run a dot."""
    options = dict(x=x, y=y, hue="variant", hue_order=list(COLORS), palette=COLORS, legend=False, ax=ax)
    sns.boxplot(data, **options, whis=(0, 100), fill=False, linewidth=1, gap=0.2)
    sns.stripplot(data, **options, dodge=True, jitter=False, size=2, alpha=0.6)
    ax.set(**labels)


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
    lines = [Line2D([], [], color=c, marker=marker[v], markersize=4, label=v) for v, c in COLORS.items()]
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

"""One look for all figures: colours of the variants, panel letters, and files that come out the same each time."""

import os
from pathlib import Path

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Yellow, vermilion, blue, black: told apart by every kind of colour vision, and by lightness in grey.
COLORS = {
    "HomNeuLIF": "#F0B429",
    "HomNeuALIF": "#D55E00",
    "HetNeuLIF": "#005A9C",
    "HetSynLIF": "#000000",
}


def style() -> None:
    """Set the look of a journal figure, and text that stays text in the SVG; call once per notebook."""
    sns.set_theme(context="paper", style="ticks", palette=list(COLORS.values()))
    mpl.rcParams.update({
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
    })


def letter(ax: Axes, text: str) -> None:
    """Put the bold letter of a panel above the upper left corner of its axes."""
    ax.annotate(text, (0, 1), (-22, 8), xycoords="axes fraction", textcoords="offset points", size=11, weight="bold")


def save_figure(fig: Figure, name: str) -> None:
    """Write NAME.png (150 dpi) and NAME.svg into $HETSYN_FIGURES, or figures/ of the repository.

    The files appear whole or not at all, and the same figure gives the same bytes.
    """
    folder = Path(os.environ.get("HETSYN_FIGURES") or Path(__file__).resolve().parents[1] / "figures")
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": name}):
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            temporary = folder / f".{name}.{os.getpid()}.{kind}"
            try:
                fig.savefig(temporary, format=kind, dpi=150, metadata=metadata)
                temporary.replace(folder / f"{name}.{kind}")
            finally:
                temporary.unlink(missing_ok=True)

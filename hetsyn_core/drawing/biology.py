"""Time constants of biological synapses (Fig. 1A) and those of a trained network's pathways (Fig. 4D, A5)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..datasets import allen
from ..model.time_constants import centre, tau_from_decay
from ..runs.interventions import pathway_names
from ..runs.record import Record
from . import distributions
from .plots import decades, letter

SPECIES = {"human": ("0.35", "--"), "mouse": ("0.6", "-.")}  # grey: the colours are those of the variants
BINS = np.geomspace(1, 5000, 60)
LEARNED_BINS = np.geomspace(5, 5000 * 10 ** (1 / 12), 38)  # 12 in each decade; the last begins at 5,000 ms
MOST_MS = 100_000  # longer ones are not told apart in `starting_points`
BOUNDS_MS = allen.START_MS["psp"] / allen.ROOM, allen.START_MS["psp"] * allen.ROOM


def pathway_taus(record: Record, when: str = "after") -> dict[str, np.ndarray]:
    """Time constants in ms of a HetSynLIF record with details, by pathway, "before" or "after" training.

    Returns:
        "input", "recurrent", "1 to 2", "recurrent 2" ... and "readout", as far as the network has them, each
        (post, pre). A decay of 1 is inf, one of 0 is 0.

    Raises:
        ValueError: the record holds no decays, or not one for each synapse.
    """
    run = record.run
    if record.detail is None or run.variant != "HetSynLIF" or run.groups:
        raise ValueError("time constants by pathway need a record of HetSynLIF without groups, with detail=True")
    layers = {"before": record.detail.decays_before, "after": record.detail.decays_after}
    if when not in layers:
        raise ValueError(f'when must be "before" or "after", not {when!r}')
    found, last = {}, len(layers[when]) - 1
    for k, decay in enumerate(layers[when]):
        tau = tau_from_decay(torch.from_numpy(decay).double(), run.dt_ms).numpy()
        forward, back = pathway_names(k, last)
        own = len(tau) if run.recurrent and k < last else 0  # the last columns come from the layer itself
        found[forward] = tau[:, : tau.shape[1] - own]
        if own:
            found[back] = tau[:, -own:]
    return found


def pooled(records: Sequence[Record], when: str = "after") -> dict[str, np.ndarray]:
    """`pathway_taus` of several runs of one network, all runs together."""
    parts = [pathway_taus(record, when) for record in records]
    return {name: np.concatenate([part[name].ravel() for part in parts]) for name in parts[0]}


def fig1a(database: Path | None) -> Figure:
    """Decay time constants of postsynaptic potentials by species; a stand-in, marked as one, where there is no file."""
    if database is None:
        fig, ax = plt.subplots(figsize=(5.6, 3))
        _stand_in(ax)
    else:
        fig, axes = plt.subplots(2, 1, figsize=(5.6, 4), sharex=True)
        _synapses(axes, database)
    plt.close(fig)
    return fig


def _synapses(axes: np.ndarray, database: Path) -> None:
    taus = allen.decay_tau(database)
    for ax, (species, (color, _)) in zip(axes, SPECIES.items(), strict=True):
        own = taus[taus["species"] == species]
        free = own.loc[~own["at_bound"], "tau_ms"]
        share = 100 / len(own)
        values = [free, own.loc[own["at_bound"], "tau_ms"]]
        weights = [np.full(len(v), share) for v in values]
        ax.hist(
            values, BINS, weights=weights, stacked=True, color=[color, "white"], edgecolor=color, lw=0.5,
            label=["measured", "fit at its bound"],
        )  # fmt: skip
        # Both curves describe the free fits alone, so they carry their share of all.
        distributions.density(ax, free, BINS, "black", share=len(free) * share, label="kernel density")
        distributions.fitted(ax, free, BINS, "black", share=len(free) * share, ls="--", label="log-normal fit")
        ax.axvline(distributions.LONG_MS, ls=":", color="0.4", lw=1)
        ax.set(ylabel="synapses (%)", title=f"{species}, {len(own):,} pairs")
    axes[0].legend(loc="upper left")
    decades(axes[-1], x=True)
    axes[-1].set_xlabel("decay time constant of the postsynaptic potential (ms)")


def _stand_in(ax: Axes) -> None:
    rows = allen.PUBLISHED
    ax.axvspan(*BOUNDS_MS, color="0.92", lw=0)
    ax.errorbar(rows["tau_ms"], range(len(rows)), xerr=rows["spread_ms"], fmt="o", color="black", ms=4, capsize=2)
    ax.axvline(distributions.LONG_MS, ls=":", color="0.4", lw=1)
    ax.set(
        xlim=(BINS[0], 1000), xlabel="decay time constant (ms)", ylim=(-0.7, len(rows) + 0.4),
        yticks=range(len(rows)), yticklabels=rows["current"] + " (n = " + rows["n"].astype(str) + ")",
    )  # fmt: skip
    decades(ax, x=True)
    ax.text(np.sqrt(np.prod(BOUNDS_MS)), len(rows) - 0.3, "fits to potentials lie here", ha="center", size=7)
    ax.set_title(
        "STAND-IN: mean synaptic currents of rat neocortex,\nnot the human and mouse pairs of Fig. 1A", weight="bold"
    )


def before_and_after(axes: Sequence[Axes], records: Sequence[Record], bins: np.ndarray, scale: float = 1) -> None:
    """Time constants of each pathway before (grey) and after training (black), a panel each, shares on a log axis.

    Args:
        scale: ms in a unit of the network's time constants, 4 where a step of 4 ms was trained as if it were 1 ms.
    """
    before, after = pooled(records, "before"), pooled(records)
    for ax, name in zip(axes, after, strict=True):
        distributions.histogram(ax, before[name], bins, "0.6", "before", histtype="step")
        distributions.histogram(ax, after[name], bins, "black", "after", histtype="step")
        ax.axvline(distributions.LONG_MS / scale, ls=":", color="0.4", lw=1)
        ax.set(title=name, yscale="log", ylim=(0.02, 90))


def learned(record: Record, name: str) -> Figure:
    """One network's time constants before and after training; every synapse shows, the longest in the last bin."""
    taus = pathway_taus(record)
    fig, axes = plt.subplots(1, len(taus), figsize=(6.4, 2.5), sharey=True)
    before_and_after(axes, [record], LEARNED_BINS)
    for ax, text, (path, tau) in zip(axes, "ABCDE", taus.items(), strict=False):
        letter(ax, text)
        ax.set(title=f"{path}, {tau.size:,} synapses", xlim=(5, 6500), ylim=(0.006, 90))
        ax.set(xticks=[10, 100, 1000, 5500], xticklabels=["10", "100", "", "≥5,000"])
        ax.set(yticks=[0.01, 0.1, 1, 10], yticklabels=["0.01", "0.1", "1", "10"])
        ax.tick_params(which="minor", length=0)
    axes[-1].text(distributions.LONG_MS * 1.1, 40, "500 ms", size=7)
    axes[0].set_ylabel("synapses (%)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="upper right", ncols=2, borderaxespad=0)
    fig.suptitle(name, size=8)
    fig.supxlabel(r"$\tau_s$ (ms)", size=8)
    plt.close(fig)
    return fig


def starting_points(networks: Mapping[str, Record]) -> Figure:
    """Box plots of learned input time constants over where they started, a box for each network."""
    fig, ax = plt.subplots(figsize=(5.4, 3.4))
    ends = (15, 550)
    ax.plot(ends, ends, ls="--", color="0.5", lw=0.8, label="as at the start")
    for recurrent, face in (False, "white"), (True, "0.7"):
        own = [record for record in networks.values() if record.run.recurrent == recurrent]
        starts = np.array([centre(record.run.initial_tau_s()) for record in own])
        at = starts * (1.09 if recurrent else 1 / 1.09)
        five = [np.quantile(pathway_taus(r)["input"], (0.05, 0.25, 0.5, 0.75, 0.95), method="lower") for r in own]
        keys = "whislo", "q1", "med", "q3", "whishi"
        ax.bxp(
            [dict(zip(keys, np.minimum(row, MOST_MS), strict=True)) for row in five], at, widths=0.14 * at,
            showfliers=False, showcaps=False, patch_artist=True, manage_ticks=False, boxprops=dict(facecolor=face),
            medianprops=dict(color="black", lw=2), label=f"{'R' if recurrent else 'F'}-HetSynLIF",
        )  # fmt: skip
        beyond = at[[row[-1] > MOST_MS for row in five]]
        ax.plot(beyond, np.full(len(beyond), MOST_MS), "^", color="black", ms=4, clip_on=False)
    ticks = sorted({centre(record.run.initial_tau_s()) for record in networks.values()})
    powers = 10 ** np.arange(1, 6)
    ax.set(
        xscale="log",
        xlabel=r"mean initial $\tau_s$ (ms)",
        yscale="log",
        ylabel=r"learned $\tau_s$ of input synapses (ms)",
    )
    ax.set(ylim=(5, MOST_MS), yticks=powers, yticklabels=[f"{ms:,}" for ms in powers])
    ax.set(xticks=ticks, xticklabels=[f"{ms:g}" for ms in ticks])
    ax.minorticks_off()
    ax.legend(loc="upper left", title="one network per box", alignment="left")
    plt.close(fig)
    return fig

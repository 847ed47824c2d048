"""Time constants of biological synapses (Fig. 1A) and those of a trained network's pathways (Fig. 4D, A5)."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..datasets import allen
from ..model.time_constants import tau_from_decay
from ..runs.record import Record
from . import distributions

SPECIES = {"human": "#D55E00", "mouse": "#005A9C"}
BINS = np.geomspace(1, 5000, 60)
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
    *hidden, readout = (tau_from_decay(torch.from_numpy(r).double(), run.dt_ms).numpy() for r in layers[when])
    taus = {}
    for k, tau in enumerate(hidden, start=1):
        own = len(tau) if run.recurrent else 0  # the last columns come from the layer itself
        taus["input" if k == 1 else f"{k - 1} to {k}"] = tau[:, : tau.shape[1] - own]
        if own:
            taus["recurrent" if k == 1 else f"recurrent {k}"] = tau[:, -own:]
    return taus | {"readout": readout}


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
    for ax, (species, color) in zip(axes, SPECIES.items(), strict=True):
        own = taus[taus["species"] == species]
        free = own.loc[~own["at_bound"], "tau_ms"]
        share = 100 / len(own)
        values = [free, own.loc[own["at_bound"], "tau_ms"]]
        weights = [np.full(len(v), share) for v in values]
        ax.hist(
            values, BINS, weights=weights, stacked=True, color=[color, "0.75"], label=["measured", "fit at its bound"]
        )
        # Both curves describe the free fits alone, so they carry their share of all.
        distributions.density(ax, free, BINS, "black", share=len(free) * share, label="kernel density")
        distributions.fitted(ax, free, BINS, "black", share=len(free) * share, ls="--", label="log-normal fit")
        ax.axvline(distributions.LONG_MS, ls=":", color="0.4", lw=1)
        ax.set(ylabel="synapses (%)", title=f"{species}, {len(own):,} pairs")
    axes[0].legend(loc="upper left")
    axes[-1].set(xlabel="decay time constant of the postsynaptic potential (ms)", xscale="log")


def _stand_in(ax: Axes) -> None:
    rows = allen.PUBLISHED
    ax.axvspan(*BOUNDS_MS, color="0.93")
    ax.errorbar(rows["tau_ms"], range(len(rows)), xerr=rows["spread_ms"], fmt="o", color="black", ms=4, capsize=2)
    ax.axvline(distributions.LONG_MS, ls=":", color="0.4", lw=1)
    ax.set(
        xscale="log", xlim=(BINS[0], BINS[-1]), xlabel="decay time constant (ms)", ylim=(-0.7, len(rows) + 1.2),
        yticks=range(len(rows)), yticklabels=rows["current"] + " (n = " + rows["n"].astype(str) + ")",
    )  # fmt: skip
    ax.text(np.sqrt(np.prod(BOUNDS_MS)), len(rows) + 0.4, "fits to potentials lie here", ha="center", size=7)
    ax.set_title(
        "STAND-IN: mean synaptic currents of rat neocortex,\nnot the human and mouse pairs of Fig. 1A", color="#D55E00"
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

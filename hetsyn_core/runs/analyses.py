"""What is found out about a network once it is trained: nothing here changes the training."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..datasets.events import Raster, bin_events
from ..model.layer import Network, Traces
from ..model.time_constants import centre, parameter_from_tau, tau_from_decay
from ..tasks.classify import Classification, in_batches
from ..tasks.match import CHANNELS, GROUP, MatchToSample
from ..tasks.pattern import PatternGeneration
from ..tasks.pattern import distances as of_trials
from ..tasks.speech import Speech, events_of
from ..tasks.task import TEST_BATCH, Task
from .evaluate import evaluate, performance, split_rng
from .exchange import exchanged
from .interventions import clamped, restarted, shuffled
from .make import make_network

DELETED = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)  # Fig. 4 C, share of spikes lost at test time
WARPS = tuple(np.linspace(-0.5, 0.5, 20).round(4).tolist())  # Fig. 4 F, log2 of the factor on all times
DELETION_SEED = 20_251_165
DRIVE = tuple(np.arange(-8, 2, 0.5).tolist())  # bins of V - theta; the first and the last hold what lies beyond
TABLE4_LONG_MS = 700.0  # Table 4: a time constant above it is long


def distances(network: Network, task: PatternGeneration) -> dict[str, float]:
    """Fig. 2 B, C: "d21", "d32", "silent_rms", means over the test trials, see `tasks.pattern.distances`."""
    return evaluate(network, task.batches("test", split_rng()), of_trials, task.test_trials)


def table4(network: Network, task: MatchToSample) -> dict[str, float]:
    """Time constants of the input synapses in ms, cue channels and noise channels apart, and what the long ones do.

    Returns:
        "cue_tau", "noise_tau": means, where each counts as the duration of the trial at most: a decay of 1 is
        tau = inf, and no current outlives its trial; "cue_median", "noise_median"; "long_share" of the input synapses
        with tau above 700 ms; "reset_accuracy", after those of all hidden synapses are back at their initial centre.

    Raises:
        ValueError: the time constants are not those of single synapses.
    """
    if task.variant != "HetSynLIF" or task.groups:
        raise ValueError("Table 4 is about HetSynLIF without groups")
    layer = network.layers[0]
    tau = tau_from_decay(layer.decay().detach().cpu().double(), layer.dt_ms)[:, :CHANNELS].numpy()
    cue, noise = tau[:, : 2 * GROUP], tau[:, 2 * GROUP :]
    return {
        "cue_tau": float(np.minimum(cue, task.trial_ms()).mean()),
        "noise_tau": float(np.minimum(noise, task.trial_ms()).mean()),
        "cue_median": float(np.median(cue)),
        "noise_median": float(np.median(noise)),
        "long_share": float((tau > TABLE4_LONG_MS).mean()),
        "reset_accuracy": performance(without_long_taus(network, task), task)["accuracy"],
    }


@torch.no_grad()
def without_long_taus(network: Network, task: MatchToSample) -> Network:
    """A copy whose long hidden synapses, recurrent ones too, are back at the `centre` of the initial ones."""
    copy = make_network(task)
    copy.load_state_dict(network.state_dict())
    layer = copy.layers[0]
    start = torch.tensor(centre(task.initial_tau_s()))
    long = layer.tau_s_ms() > TABLE4_LONG_MS
    layer.decay_parameter[long] = parameter_from_tau(start, task.dt_ms, task.parameterization)
    return copy


def readout_taus(network: Network, task: Task) -> dict[str, float]:
    """Fig. 4 D: "readout_tau", the median time constant of the readout, "readout_above_20", a share."""
    tau = network.layers[-1].tau_s_ms()
    return {"readout_tau": float(tau.median()), "readout_above_20": float((tau > 20).double().mean())}


def robustness(network: Network, task: Speech) -> dict[str, float]:
    """Fig. 4 C, F: test accuracy with spikes deleted, "deleted P", or time warped, "warped LOG2", at test time only.

    A warped recording has as many steps as its duration needs: 250 alpha.
    """
    events = events_of(task.data, "test")
    found = {}
    for share in DELETED:
        rng = np.random.default_rng([DELETION_SEED, round(1000 * share)])
        changed = bin_events(events, task.bin_ms, task.steps, task.reading, delete=share, rng=rng)
        found[f"deleted {share:g}"] = heard(network, task, changed)
    for warp in WARPS:
        alpha = 2.0**warp
        changed = bin_events(events, task.bin_ms, round(task.steps * alpha), task.reading, stretch=alpha)
        found[f"warped {warp:g}"] = heard(network, task, changed)
    return found


def speakers(network: Network, task: Speech) -> dict[str, float]:
    """Test accuracy on "known speakers", who are in the training set as well, and on "new speakers".

    Of SHD, speakers 4 and 5 are new. Also how many test recordings each have, "recordings of new speakers", and so on;
    a kind without recordings is left out.
    """
    raster = task.raster("test")
    known = np.isin(raster.speakers, task.raster("train").speakers)
    _, tested = task.passed("test", split_rng())
    found = {}
    for kind, own in (("known speakers", known), ("new speakers", ~known)):
        if len(rows := tested[own[tested]]):
            found |= {kind: heard(network, task, raster, rows), f"recordings of {kind}": float(len(rows))}
    return found


def heard(network: Network, task: Speech, raster: Raster, rows: np.ndarray | None = None) -> float:
    """Accuracy on the test recordings, or on some rows of them, as they are or changed."""
    if rows is None:
        _, rows = task.passed("test", split_rng())
    batches = in_batches(raster.dense, raster.labels, rows, TEST_BATCH)
    return evaluate(network, batches, task.measure)["accuracy"]


def readout_drive(network: Network, task: Classification) -> dict[str, float]:
    """Where the potentials of a readout that spikes lie on the test recordings, seen from its threshold.

    Returns:
        "silent", how many of the readout's neurons never spike; "spikes", of all of them in a recording; "pushed_away",
        the share of all neurons and steps where the surrogate is negative below the threshold, so that an error that
        asks for a spike lowers the potential; "from U", the share with U <= V - theta < U + 0.5, see `DRIVE`. Nothing
        for a leaky readout, which has no threshold.
    """
    layer = network.layers[-1]
    if not layer.spiking:
        return {}
    spiked = torch.zeros(layer.n_post, dtype=torch.float64)

    def measure(traces: Traces, wanted: Tensor) -> dict[str, Tensor]:
        u = (traces.readout - layer.threshold).cpu().double()
        counts = traces.readout_spikes.sum(1).cpu().double()
        spiked.add_(counts.sum(0))
        away = (u < 0) & (layer.surrogate.derivative(u, layer.threshold) < 0)
        place = (2 * (u - DRIVE[0])).floor().clamp(0, len(DRIVE) - 1)
        shares = {f"from {low:g}": (place == k).double().mean((1, 2)) for k, low in enumerate(DRIVE)}
        return {"spikes": counts.sum(1), "pushed_away": away.double().mean((1, 2))} | shares

    found = evaluate(network, task.batches("test", split_rng()), measure, task.test_trials)
    return {"silent": float((spiked == 0).sum())} | found


ANALYSES: dict[str, Callable[[Network, Task], dict[str, float]]] = {
    "distances": distances,
    "table4": table4,
    "readout_taus": readout_taus,
    "robustness": robustness,
    "speakers": speakers,
    "shuffled": shuffled,
    "clamped": clamped,
    "restarted": restarted,
    "exchanged": exchanged,
    "readout_drive": readout_drive,
}

"""What a network costs: parameters (Table 3), operations on a clocked and an event-driven machine, measured prices.

A neuron keeps states, numbers that each decay by a factor of their own: a current for every decay among its synapses
(one in all, or one per synapse), its reset current, an adaptation current where it has one. Counted are *decays* (a
state times a factor), *arrivals* (a spike adds a weight to a current, or the neuron's own spike something to its reset
and adaptation) and *sums* (a state is added to the potential), each as one operation. Not counted: comparing with the
threshold, and learning.
"""

import json
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..model.layer import VARIANTS, Layer, Network, parameter_count
from ..model.time_constants import Sharing
from ..paths import ROOT
from ..runs.evaluate import split_rng
from ..runs.experiments import shd_data
from ..runs.make import make_network
from ..runs.record import Record, trained
from ..runs.store import Job, load
from ..tasks import MatchToSample, PatternGeneration, Speech
from ..tasks.networks import SHAPES, Shape
from ..tasks.task import Task
from .tables import example_input

FUSED, OTHER, LOOP = "HetSynLIF, fused", "HomNeuLIF, fused", "HetSynLIF, reference"  # as `tools.benchmark` names them
NETWORKS = {shape.name: (shape.sizes, shape.recurrent) for shape in SHAPES} | {
    "TiDigits (Table 2)": ((500, 64, 32, 11), True),
    "Ti46-Alpha (Table 2)": ((500, 128, 128, 26), True),
}
TABLE3 = {  # as the paper has it: a layer of N neurons with M inputs, feedforward and recurrent
    "HomNeuLIF": (lambda M, N: M * N, lambda M, N: M * N + N * N),
    "HomNeuALIF": (lambda M, N: M * N, lambda M, N: M * N + N * N),
    "HetNeuLIF": (lambda M, N: M * N + N, lambda M, N: M * N + N * N + N),
    "HetSynLIF": (lambda M, N: 2 * M * N, lambda M, N: 2 * M * N + 2 * N * N),
}

CLOCKED, EVENTS, BOUND = "clocked", "event-driven", "lower bound"
TRIALS = 16  # of a task whose trials are drawn
TRAINED, RATE, DENSITY = "trained network", "rate on record", "density of the benchmark"


def table3() -> pd.DataFrame:
    """Trainable parameters of the paper's networks, one row for each network and variant.

    Returns:
        "counted" in a network that is built, by "parameter_count", by "Table 3", the paper's formula of each layer.
    """
    rows = []
    for (name, (sizes, recurrent)), variant in product(NETWORKS.items(), VARIANTS):
        network = Network(sizes, variant=variant, recurrent=recurrent)
        last = len(sizes) - 2
        layers = [(m, n, recurrent and k < last) for k, (m, n) in enumerate(pairwise(sizes))]
        counts = {
            "counted": sum(p.numel() for p in network.parameters() if p.requires_grad),
            "parameter_count": sum(parameter_count(variant, *layer) for layer in layers),
            "Table 3": sum(TABLE3[variant][back](m, n) for m, n, back in layers),
        }
        rows.append({"network": name, "variant": variant} | counts)
    return pd.DataFrame(rows).set_index(["network", "variant"])


def currents(layer: Layer) -> Tensor:
    """Which of its neuron's currents each synapse flows into, whole numbers (post, pre + recurrent)."""
    n_all = layer.n_pre + (0 if layer.recurrent_weight is None else layer.n_post)
    if layer.group is not None:
        return layer.group.expand(-1, n_all)
    one = torch.arange(n_all) if layer.sharing == Sharing.SYNAPSE else torch.zeros(n_all, dtype=torch.long)
    return one.expand(layer.n_post, -1)


def layer_operations(layer: Layer, x: Tensor, z: Tensor | None) -> pd.DataFrame:
    """Operations of a layer in a trial, "decays", "arrivals" and "sums", one row per machine; means over trials.

    clocked: all states decay, and every potential is summed, at every step. event-driven: a neuron does the same, but
    only at steps at which a spike comes to it or its own is taken off. lower bound: of the states only the one that a
    spike comes to is brought up to date, and the potential costs nothing, as where currents flow together on a wire.

    Args:
        x: input (trials, steps, pre); what is not 0 is a spike.
        z: the layer's own spikes (trials, steps, post); None for a leaky readout.
    """
    trials, steps, _ = x.shape
    n = layer.n_post
    before = torch.zeros(trials, steps, n) if z is None else torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], 1)
    x = (x if layer.recurrent_weight is None else torch.cat([x, before], 2)) != 0
    current = currents(layer)
    own = 0 if z is None else 1 + (layer.adaptation is not None)  # states that a neuron's own spikes drive
    own_spikes = own * int(before.sum())
    states = torch.tensor([len(row.unique()) + own for row in current])
    busy = (x.any(2, keepdim=True) | (before != 0)).sum((0, 1))
    if layer.sharing == Sharing.SYNAPSE:
        reached = n * int(x.sum())
    else:
        reached = sum(int((x.float() @ (current == c).float().T > 0).sum()) for c in current.unique())
    counts = {
        "decays": [trials * steps * int(states.sum()), int(busy @ states), reached + own_spikes],
        "arrivals": n * int(x.sum()) + own_spikes,
        "sums": [trials * steps * int((states - 1).sum()), int(busy @ (states - 1)), 0],
    }
    return pd.DataFrame(counts, index=[CLOCKED, EVENTS, BOUND]) / trials


def operations(network: Network, spikes: list[Tensor]) -> pd.DataFrame:
    """`layer_operations` of all layers; ``spikes`` are those that `passed_on` gives."""
    layers = enumerate(network.layers)
    return sum(layer_operations(layer, spikes[k], spikes[k + 1] if layer.spiking else None) for k, layer in layers)


@torch.no_grad()
def passed_on(network: Network, x: Tensor) -> list[Tensor]:
    """What each layer gets and what the last neurons fire: x (trials, steps, input), spikes (trials, steps, post)."""
    traces = network.eval()(x)
    return [x, *traces.spikes, *([] if traces.readout_spikes is None else [traces.readout_spikes])]


def drawn(x: Tensor, n: int, share: float, generator: torch.Generator) -> Tensor:
    """Spikes of n neurons drawn at random, as many trials and steps as in x; a share of them is 1."""
    return (torch.rand(*x.shape[:2], n, generator=generator) < share).float()


def simulated(run: Task, shape: Shape, record: Record | None, x: Tensor) -> tuple[Network, list[Tensor], str]:
    """A network, its spikes on an input as `operations` takes them, and where they come from.

    A record with details has the trained network. Otherwise hidden spikes are drawn at random, at the mean rate that
    the record names, or with the density of the shape.
    """
    if record is not None and record.detail is not None:
        network = trained(record)
        return network, passed_on(network, x), TRAINED
    network = make_network(run, shape.sizes)
    if record is None or record.failure is not None:
        return network, at_random(run, x, shape.density), DENSITY
    return network, at_random(run, x, record.test["rate_hz"] * run.step_ms() / 1000), RATE


def at_random(run: Task, x: Tensor, share: float) -> list[Tensor]:
    """The input, and for each layer of a run's network that spikes, spikes drawn at random; a share of them is 1."""
    generator = torch.Generator().manual_seed(run.seed)
    spiking = run.sizes()[1:] if run.readout == "spiking" else run.hidden
    return [x, *(drawn(x, n, share, generator) for n in spiking)]


def first_trials(run: Task, rng: np.random.Generator) -> Tensor:
    """`TRIALS` test trials of a task, (trials, steps, input)."""
    return next(iter(run.replace(test_trials=TRIALS).batches("test", rng)))[0]


def trials_of(run: Task, shape: Shape, recording: np.ndarray | None) -> Tensor:
    """Test trials (trials, steps, input): the task's own; for speech a recording, or without one random spikes.

    Args:
        recording: input of a test trial on record (steps, input); None: there is none.
    """
    if not isinstance(run, Speech):
        return first_trials(run, split_rng())
    if recording is not None:
        return torch.from_numpy(recording).float()[None]
    return drawn(torch.empty(1, shape.steps, 0), shape.sizes[0], shape.density, torch.Generator().manual_seed(0))


def runs_of_the_paper() -> dict[str, Task]:
    """A run for each of the paper's networks with spiking input, by the network's name in `SHAPES`."""
    pattern, match = PatternGeneration(noise_hz=2.0), MatchToSample()
    return {
        "pattern F (Fig. 2)": pattern,
        "pattern R (Fig. 2)": pattern.replace(recurrent=True),
        "match F (Fig. 3)": match,
        "match R (Fig. 3)": match.replace(recurrent=True),
        "SHD (Fig. 4)": Speech(data=shd_data()),
    }


def inferences() -> pd.DataFrame:
    """Operations of one inference of the paper's networks, from what is on record.

    A network with analog input (S-MNIST, a grey value at every step) is left out: an arrival is a spike that adds a
    weight, and a grey value must be multiplied.

    Returns:
        One row for each "network", "variant" and "machine" (the index): "decays", "arrivals", "sums" and "all" of
        them, means over test trials as whole numbers; "spikes", where those come from.
    """
    tables, paper = [], runs_of_the_paper()
    for shape in (shape for shape in SHAPES if not shape.analog):
        runs = [paper[shape.name].replace(variant=variant) for variant in VARIANTS]
        kept = load([*(Job(run, detail=True) for run in runs), *runs])
        found = [detailed or plain for detailed, plain in zip(kept[: len(runs)], kept[len(runs) :], strict=True)]
        x = trials_of(paper[shape.name], shape, example_input(found))
        for own, record in zip(runs, found, strict=True):
            network, spikes, source = simulated(own, shape, record, x)
            names = {"network": shape.name, "variant": own.variant, "spikes": source}
            counts = operations(network, spikes).round().astype(int)
            tables.append(counts.assign(all=counts.sum(axis=1), **names).rename_axis("machine").reset_index())
    return pd.concat(tables).set_index(["network", "variant", "machine"])


def timings(folder: Path = ROOT / "data" / "benchmark") -> pd.DataFrame:
    """All rows of the files that `benchmark` wrote, except those on growth."""
    columns = ["machine", "device", "network", "who", "ms", "MB", "floor", "missing"]  # the last: why there are no ms
    return pd.DataFrame(_timings(folder), columns=columns)


def _timings(folder: Path) -> Iterator[dict]:
    for file in sorted(folder.glob("*.json")):
        report = json.loads(file.read_text())
        for row in report.get("rows", []):
            size = row.get("peak_bytes")
            yield {
                "machine": report["devices"][row["device"]]["name"],
                "device": row["device"],
                "network": row["shape"]["name"],
                "who": row["who"],
                "ms": 1e3 * row.get("median_s", float("nan")),
                "MB": float("nan") if size is None else size / 1e6,
                "floor": 1e3 * row["floor_s"],
                "missing": row.get("error", ""),
            }


def prices(table: pd.DataFrame, unit: str = "ms") -> pd.DataFrame:
    """What the fused HetSynLIF takes / what each other takes, one row for each CPU and network; "GPU" in ms.

    Args:
        table: of `timings`.
        unit: "ms" of a training step, or "MB" of memory.
    """
    cpu = table[table["device"] == "cpu"]
    wide = cpu.pivot(index=["machine", "network"], columns="who", values=unit)
    wide = wide.reindex(cpu["network"].unique(), level="network")
    mine = wide.pop(FUSED)
    gpu = table[(table["device"] == "cuda") & (table["who"] == FUSED)].set_index("network")[unit]
    on_gpu = [f"{gpu[name]:.2f}" if name in gpu else "not measured" for _, name in wide.index]
    return wide.rdiv(mine, axis=0).assign(GPU=on_gpu)


def ranges(table: pd.DataFrame) -> pd.DataFrame:
    """Lowest and highest quotient of the fused HetSynLIF over the others, over all networks, as text.

    Args:
        table: of `timings`.

    Returns:
        One row each for HomNeuLIF in the same kernels, the plain loop, and all other libraries together; "time, CPU",
        "time, GPU" and "memory, CPU".
    """
    columns = {"time, CPU": ("cpu", "ms"), "time, GPU": ("cuda", "ms"), "memory, CPU": ("cpu", "MB")}
    rows = [OTHER, LOOP, "other libraries"]
    texts = {}
    for name, (device, unit) in columns.items():
        found = _ranges(table[table["device"] == device], unit)
        texts[name] = [found.get(row, "not measured") for row in rows]
    return pd.DataFrame(texts, index=pd.Index(rows, name=f"{FUSED} /"))


def _ranges(table: pd.DataFrame, unit: str) -> dict[str, str]:
    wide = table.pivot(index=["machine", "network"], columns="who", values=unit)
    if FUSED not in wide:
        return {}
    over = wide.rdiv(wide.pop(FUSED), axis=0).stack().dropna().reset_index(name="quotient")
    who = over["who"].where(over["who"].isin([OTHER, LOOP]), "other libraries")
    spans = over.groupby(who)["quotient"].agg(["min", "max"])
    return {name: f"{row['min']:.2f} to {row['max']:.2f}" for name, row in spans.iterrows()}

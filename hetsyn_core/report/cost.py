"""What a network costs: parameters (Table 3), operations on a clocked and an event-driven machine, measured prices.

A neuron keeps states, numbers that each decay by a factor of their own: a current for every decay among its synapses
(one in all, or one a synapse), its reset current, an adaptation current where it has one. Counted are *decays* (a state
times a factor), *arrivals* (a spike adds a weight to a current, or the neuron's own spike something to its reset and
adaptation) and *sums* (a state is added to the potential), each as one operation. Not counted: comparing with the
threshold, and learning.
"""

import json
from collections.abc import Iterator
from itertools import islice, pairwise, product
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from ..benchmark import SHAPES, Shape
from ..model.layer import VARIANTS, Layer, Network, parameter_count
from ..paths import ROOT
from ..runs import records
from ..runs.experiments import shd_data
from ..runs.train import trained
from ..tasks import MatchToSample, PatternGeneration, Speech
from ..tasks.run import Run

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
TRAINED, RATE, DENSITY = "trained network", "rate on record", "density of the benchmark"


def table3() -> pd.DataFrame:
    """Trainable parameters of the paper's networks, a row a network and variant.

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
    if isinstance(layer.shared, int):
        return layer.group.expand(-1, n_all)
    one = torch.arange(n_all) if layer.shared == "synapse" else torch.zeros(n_all, dtype=torch.long)
    return one.expand(layer.n_post, -1)


def layer_operations(layer: Layer, x: Tensor, z: Tensor | None) -> pd.DataFrame:
    """Operations of a layer in one trial, "decays", "arrivals" and "sums", a row a machine.

    clocked: all states decay, and every potential is summed, at every step. event-driven: a neuron does the same, but
    only at steps at which a spike comes to it or its own is taken off. lower bound: of the states only the one that a
    spike comes to is brought up to date, and the potential costs nothing, as where currents flow together on a wire.

    Args:
        x: input (steps, pre); what is not 0 is a spike.
        z: the layer's own spikes (steps, post); None for a leaky readout.
    """
    steps, n = len(x), layer.n_post
    before = torch.zeros(steps, n) if z is None else torch.cat([torch.zeros_like(z[:1]), z[:-1]])  # z[t-1]
    x = (x if layer.recurrent_weight is None else torch.cat([x, before], 1)) != 0
    current = currents(layer)
    own = 0 if z is None else 1 + (layer.adaptation is not None)  # states that a neuron's own spikes drive
    own_spikes = own * int(before.sum())
    states = torch.tensor([len(row.unique()) + own for row in current])
    busy = (x.any(1, keepdim=True) | (before != 0)).sum(0)
    if layer.shared == "synapse":
        reached = n * int(x.sum())
    else:
        reached = sum(int((x.float() @ (current == c).float().T > 0).sum()) for c in current.unique())
    return pd.DataFrame(
        {
            "decays": [steps * int(states.sum()), int(busy @ states), reached + own_spikes],
            "arrivals": n * int(x.sum()) + own_spikes,
            "sums": [steps * int((states - 1).sum()), int(busy @ (states - 1)), 0],
        },
        index=[CLOCKED, EVENTS, BOUND],
    )


def operations(network: Network, spikes: list[Tensor]) -> pd.DataFrame:
    """`layer_operations` of all layers; ``spikes`` are those that `passed_on` gives."""
    layers = enumerate(network.layers)
    return sum(layer_operations(layer, spikes[k], spikes[k + 1] if layer.spiking else None) for k, layer in layers)


@torch.no_grad()
def passed_on(network: Network, x: Tensor) -> list[Tensor]:
    """What each layer gets in one trial and what the last neurons fire: x (steps, input), then spikes (steps, post)."""
    traces = network.eval()(x[None])
    spikes = traces.spikes if traces.readout_spikes is None else [*traces.spikes, traces.readout_spikes]
    return [x, *(z[0] for z in spikes)]


def one_trial(
    run: Run, shape: Shape, record: dict | None = None, x: Tensor | None = None
) -> tuple[Network, list[Tensor], str]:
    """A network, its spikes in one trial as `operations` takes them, and where they come from.

    A record with details has a trained network and a test trial. Otherwise hidden spikes are drawn at random, at the
    mean rate that the record names, or with the density of the shape; so is the input where ``x`` (steps, input) is
    not given.
    """
    if record is not None and "state" in record:
        network = trained(record)
        return network, passed_on(network, torch.from_numpy(record["example"]["input"]).float()), TRAINED
    generator = torch.Generator().manual_seed(run.seed)
    draw = lambda n, share: (torch.rand(shape.steps, n, generator=generator) < share).float()
    x = draw(shape.sizes[0], shape.density) if x is None else x
    share = shape.density if record is None else record["metrics"]["rate_hz"] * run.step_ms() / 1000
    hidden = [draw(n, share) for n in shape.sizes[1:-1]]
    return run.network(shape.sizes), [x, *hidden], DENSITY if record is None else RATE


def inferences() -> pd.DataFrame:
    """Operations of one inference of the paper's networks with spiking input, from what is on record.

    Returns:
        A row a "network", "variant" and "machine" (the index): "decays", "arrivals", "sums", "all" of them, and
        "spikes", where those come from.
    """
    pattern, match, speech = PatternGeneration(noise_hz=2.0), MatchToSample(), Speech(data=shd_data(), robustness=True)
    runs = [pattern, pattern.replace(recurrent=True), match, match.replace(recurrent=True), speech]
    asked = [run.replace(variant=variant) for run in runs for variant in VARIANTS]
    kept = records.load([*(run.replace(detail=True) for run in asked), *asked])
    found = iter((run, kept[k] or kept[k + len(asked)]) for k, run in enumerate(asked))
    tables = []
    for shape in SHAPES[: len(runs)]:
        own = list(islice(found, len(VARIANTS)))
        seen = (r["example"]["input"] for _, r in own if r is not None and "example" in r)
        x = next((torch.from_numpy(x).float() for x in seen), None)
        for run, record in own:
            network, spikes, source = one_trial(run, shape, record, x)
            names = {"network": shape.name, "variant": run.variant, "spikes": source}
            tables.append(operations(network, spikes).rename_axis("machine").reset_index().assign(**names))
    table = pd.concat(tables).set_index(["network", "variant", "machine"])
    return table.assign(all=table[["decays", "arrivals", "sums"]].sum(axis=1))


def timings(folder: Path = ROOT / "data" / "benchmark") -> pd.DataFrame:
    """All rows of the files that `benchmark` wrote, those of its growth apart."""
    return pd.DataFrame(_timings(folder), columns=["machine", "device", "network", "who", "ms", "MB", "floor"])


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
            }


def prices(table: pd.DataFrame, unit: str = "ms") -> pd.DataFrame:
    """What the fused HetSynLIF takes, over what each other takes, a row a CPU and network; "GPU" in ms.

    Args:
        table: of `timings`.
        unit: "ms" of a training step, or "MB" of memory.
    """
    cpu = table[table["device"] == "cpu"]
    wide = cpu.pivot(index=["machine", "network"], columns="who", values=unit)
    wide = wide.reindex(cpu["network"].unique(), level="network")
    mine = wide.pop("HetSynLIF, fused")
    gpu = table[(table["device"] == "cuda") & (table["who"] == "HetSynLIF, fused")].set_index("network")[unit]
    on_gpu = [f"{gpu[name]:.2f}" if name in gpu else "not measured" for _, name in wide.index]
    return wide.rdiv(mine, axis=0).assign(GPU=on_gpu)

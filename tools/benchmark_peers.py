"""Time training steps; run as a script, those of one peer library: a homogeneous LIF network of a given shape.

This file needs torch and the peer alone. `benchmark` feeds it to the python of another environment on stdin, with a
JSON object as its argument (see `main`), and reads a JSON object from its last line.
"""

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn


def measure(make_step: Callable[[int, int], Callable[[], None]], shape: dict, device: str, seconds: float) -> dict:
    """Time and memory of a training step.

    Args:
        make_step: from batch and steps to a function that does one training step.
        shape: has "batch" and "steps".
        seconds: for how long to repeat it (but 3 times at least, 500 at most).

    Returns:
        "seconds": of each repetition, until the device is done, see `clock_of`; "peak_bytes": the most memory in use
        during one: tensors alone on a GPU, all that came on top since before the network was made on a CPU (Linux;
        else None).
    """
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    clock = clock_of(device)
    make_step(1, 2)()  # what is loaded and compiled once does not count
    before = _status("VmRSS")
    step = make_step(shape["batch"], shape["steps"])
    start = clock()
    for _ in range(3):
        step()
        wait()
        if clock() - start > seconds:
            break
    _reset_peak(device)
    found, start = [], clock()
    while len(found) < 3 or len(found) < 500 and clock() - start < seconds:
        begin = clock()
        step()
        wait()
        found.append(clock() - begin)
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = None if before is None else _status("VmHWM") - before
    return {"seconds": found, "peak_bytes": peak}


def clock_of(device: str) -> Callable[[], float]:
    """Processor time on one thread of a CPU, in which other work on the machine counts little; else what passes."""
    return time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter


def _status(key: str) -> int | None:
    """Bytes of resident memory of this process, now (VmRSS) or at most (VmHWM); None where Linux does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(key + ":")), None)


def _reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from VmRSS


def training_step(network: nn.Module, run: Callable, shape: dict, batch: int, steps: int, device: str) -> Callable:
    """One training step on random input of the shape's density: forward, loss, backward, Adam, clamped decays.

    ``run(x)`` gives readout and a list of the hidden layers' spikes. The loss reaches all of them.
    """
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(batch, steps, shape["sizes"][0], generator=draw)
    x = (x < shape["density"]).float() if shape["density"] < 1 else x
    x = x.to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    clamp = getattr(network, "clamp_", lambda: None)

    def step():
        optimiser.zero_grad()
        readout, spikes = run(x)
        loss = readout.square().mean() + sum((z.mean() - 0.02).square() for z in spikes)
        loss.backward()
        optimiser.step()
        clamp()

    return step


class SnnTorch(nn.Module):
    """Leaky and RLeaky, step by step, as in its tutorials."""

    package = "snntorch"

    def __init__(self, sizes, recurrent, spiking_readout):
        super().__init__()
        import snntorch

        last = len(sizes) - 2
        self.synapses = nn.ModuleList(nn.Linear(m, n, bias=False) for m, n in pairwise(sizes))
        self.neurons = nn.ModuleList()
        for k, n in enumerate(sizes[1:]):
            if k < last and recurrent:
                self.neurons.append(snntorch.RLeaky(beta=0.95, linear_features=n))
            else:
                reset = "subtract" if k < last or spiking_readout else "none"
                self.neurons.append(snntorch.Leaky(beta=0.95, reset_mechanism=reset))
        self.spiking_readout = spiking_readout

    def forward(self, x):
        states = [n.init_rleaky() if hasattr(n, "init_rleaky") else (n.init_leaky(),) for n in self.neurons]
        readout, spikes = [], [[] for _ in self.neurons[:-1]]
        for t in range(x.shape[1]):
            z = x[:, t]
            for k, (synapses, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
                z, v = neuron(synapses(z), *states[k])
                states[k] = (z, v) if len(states[k]) == 2 else (v,)
                if k < len(spikes):
                    spikes[k].append(z)
            readout.append(z if self.spiking_readout else v)
        return torch.stack(readout, 1), [torch.stack(z, 1) for z in spikes]


class Norse(nn.Module):
    """LIF, LIFRecurrent and LI over the whole sequence."""

    package = "norse"

    def __init__(self, sizes, recurrent, spiking_readout):
        super().__init__()
        from norse.torch import LI, LIF, LIFRecurrent

        last = len(sizes) - 2
        self.recurrent = recurrent
        self.synapses, self.neurons = nn.ModuleList(), nn.ModuleList()
        for k, (m, n) in enumerate(pairwise(sizes)):
            inside = recurrent and k < last  # LIFRecurrent has its own input weights
            self.synapses.append(nn.Identity() if inside else nn.Linear(m, n, bias=False))
            self.neurons.append(LIFRecurrent(m, n) if inside else LIF() if k < last or spiking_readout else LI())

    def forward(self, x):
        z, spikes = x.transpose(0, 1).contiguous(), []
        for synapses, neuron in zip(self.synapses, self.neurons, strict=True):
            z, _ = neuron(synapses(z))
            spikes.append(z)
        return spikes[-1], spikes[:-1]


class SpikingJelly(nn.Module):
    """LIFNode over the whole sequence (its Triton kernels on a GPU); step by step where the layer is recurrent."""

    package = "spikingjelly"

    def __init__(self, sizes, recurrent, spiking_readout):
        super().__init__()
        from spikingjelly.activation_based import functional, neuron

        last = len(sizes) - 2
        self.forget = functional.reset_net
        self.spiking_readout = spiking_readout
        self.synapses, self.back, self.neurons = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for k, (m, n) in enumerate(pairwise(sizes)):
            inside, silent = recurrent and k < last, k == last and not spiking_readout
            self.synapses.append(nn.Linear(m, n, bias=False))
            self.back.append(nn.Linear(n, n, bias=False) if inside else nn.Identity())
            lif = dict(tau=20.0, decay_input=False, v_reset=None, v_threshold=1e9 if silent else 1.0)
            self.neurons.append(neuron.LIFNode(**lif, step_mode="s" if inside else "m", store_v_seq=silent))

    def forward(self, x):
        self.forget(self)
        z, spikes = x.transpose(0, 1).contiguous(), []
        for synapses, back, neuron in zip(self.synapses, self.back, self.neurons, strict=True):
            current = synapses(z)
            if neuron.step_mode == "m":
                z = neuron(current)
            else:
                z, steps = torch.zeros_like(current[0]), []
                for t in range(len(current)):
                    z = neuron(current[t] + back(z))
                    steps.append(z)
                z = torch.stack(steps)
            spikes.append(z)
        return spikes[-1] if self.spiking_readout else self.neurons[-1].v_seq, spikes[:-1]


PEERS = {peer.package: peer for peer in (SnnTorch, Norse, SpikingJelly)}


def main(task: dict) -> dict:
    """Of a task with "peer", "shape", "device", "threads" and "seconds": what `measure` says, and the versions."""
    peer, shape, device = PEERS[task["peer"]], task["shape"], task["device"]
    torch.set_num_threads(task["threads"])
    torch.set_flush_denormal(shape["tiny_is_zero"])

    def make_step(batch, steps):
        torch.manual_seed(0)
        network = peer(shape["sizes"], shape["recurrent"], shape["spiking_readout"]).to(device)
        return training_step(network, network, shape, batch, steps, device)

    versions = {name: importlib.metadata.version(name) for name in (peer.package, "torch")}
    return measure(make_step, shape, device, task["seconds"]) | {"versions": versions}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
